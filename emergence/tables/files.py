"""Rows of CSV, JSON lines and Parquet files.

No format that can run code when it is read is taken.
"""

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from etils import epath

from emergence.tables.score_table import quote, visible

if TYPE_CHECKING:
  import pandas as pd

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


def read_rows(path: epath.PathLike) -> "pd.DataFrame":
  """The rows of a table, cells as the file has them.

  Comma, semicolon and tab separated texts with one line of names (UTF-8, or
  UTF-16 with its byte order mark), JSON lines or a JSON list of objects, and
  Parquet. Cells of texts are texts; a key that an object lacks is None.

  Args:
    path: the file, local or gs://; its suffix, one of `SUFFIXES`, says what it
      is.

  Returns:
    Rows of Python objects; the index says where each stood.

  Raises:
    ValueError: the file is damaged, empty or of another kind.
    OSError: it cannot be read.
  """
  import pandas as pd

  path = epath.Path(path)
  suffix = path.suffix.lower()
  if suffix not in SUFFIXES:
    raise ValueError(
      f"cannot tell what {path} is; expected a work directory, a folder of"
      f" lm-evaluation-harness results, or a file ending in"
      f" {', '.join(SUFFIXES)}"
    )
  content = path.read_bytes()
  if not content:
    raise ValueError(f"{path} is empty")
  if suffix == ".parquet":
    columns, place, numbers_R = _read_parquet(path, content), "row", None
  elif suffix in (".csv", ".tsv"):
    columns, numbers_R = _read_separated(path, decode(path, content), suffix)
    place = "line"
  else:
    columns, place, numbers_R = _read_json(path, decode(path, content), suffix)
  frame = pd.DataFrame(columns, dtype=object)
  if frame.empty:
    raise ValueError(f"{path} has no rows")
  places = numbers_R or range(1, len(frame) + 1)
  name = visible(path.name)
  frame.index = pd.Index([f"{name} {place} {n}" for n in places])
  return frame


def decode(path: epath.Path, content: bytes) -> str:
  """The text of a file: UTF-8, or UTF-16 with its byte order mark.

  Raises:
    ValueError: neither, or no text.
  """
  is_utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
  encoding = "utf-16" if is_utf16 else "utf-8-sig"
  try:
    text = content.decode(encoding)
  except UnicodeDecodeError as error:
    line = content[: error.start].count(b"\n") + 1
    raise ValueError(
      f"{path} line {line}: byte {content[error.start]:#04x} is not"
      f" {'UTF-16' if is_utf16 else 'UTF-8'}; save the file as UTF-8"
    ) from error
  if "\0" in text:
    raise ValueError(f"{path} is no text file: it holds zero bytes")
  if not text.strip():
    raise ValueError(f"{path} is empty")
  return text


def _read_separated(
  path: epath.Path, text: str, suffix: str
) -> tuple[dict[str, list], list[int]]:
  head = text.lstrip("\r\n").splitlines()[0]
  separator = "\t" if suffix == ".tsv" else max(",;\t", key=head.count)
  reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
  names, rows, lines = [], [], []
  try:
    for row in reader:
      if not row:
        continue
      if not names:
        names = [name.strip() for name in row]
        continue
      if len(row) != len(names):
        raise ValueError(
          f"{path} line {reader.line_num}: {len(row)} fields where the first"
          f" line names {len(names)}"
        )
      rows.append(row)
      lines.append(reader.line_num)
  except csv.Error as error:
    raise ValueError(f"{path} line {reader.line_num}: {error}") from error
  if not rows:
    raise ValueError(f"{path} has no rows")
  _require_distinct(path, names)
  columns = zip(*rows, strict=True)
  return {n: list(c) for n, c in zip(names, columns, strict=True)}, lines


def _read_json(
  path: epath.Path, text: str, suffix: str
) -> tuple[dict[str, list], str, list[int]]:
  if suffix == ".json":
    rows, place = parse_json(text, path), "object"
    if not isinstance(rows, list):
      raise ValueError(
        f"{path} is no list of objects; for results of lm-evaluation-harness,"
        " give their folder"
      )
    numbered = list(enumerate(rows, 1))
  else:
    place = "line"
    numbered = [
      (n, parse_json(line, f"{path} line {n}"))
      for n, line in enumerate(text.split("\n"), 1)
      if line.strip()
    ]
  names: dict[str, None] = {}
  for n, row in numbered:
    if not isinstance(row, dict):
      raise ValueError(f"{path} {place} {n} is no object")
    names |= dict.fromkeys(row)
  columns = {name: [row.get(name) for _, row in numbered] for name in names}
  return columns, place, [n for n, _ in numbered]


def parse_json(text: str, where: object) -> Any:
  """The value of a JSON text; NaN and infinities are allowed.

  Raises:
    ValueError: not JSON, a key that stands twice, or a number too long.
  """
  try:
    return json.loads(text, object_pairs_hook=_object)
  except RecursionError:
    raise ValueError(f"{where} is nested too deep") from None
  except ValueError as error:
    raise ValueError(f"{where} is not readable JSON: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise ValueError(f"key {quote(twice)} stands twice in one object")
  return found


def _read_parquet(path: epath.Path, content: bytes) -> dict[str, list]:
  import pyarrow as pa
  import pyarrow.parquet as pq

  try:
    table = pq.read_table(io.BytesIO(content))
    _require_distinct(path, table.column_names)
    columns = table.to_pydict()
  except (pa.ArrowException, OSError) as error:
    reason = " ".join(str(error).split())
    raise ValueError(f"{path} is not readable Parquet: {reason}") from error
  # pandas keeps an index that counts up as three numbers beside the columns.
  for index in (table.schema.pandas_metadata or {}).get("index_columns", ()):
    if isinstance(index, dict) and index.get("name"):
      numbers = range(index["start"], index["stop"], index["step"])
      columns[index["name"]] = list(numbers)
  return columns


def _require_distinct(path: epath.Path, names: list[str]) -> None:
  twice = [name for name in names if names.count(name) > 1]
  if twice:
    raise ValueError(f"{path} has two columns {quote(twice[0])}; rename one")
