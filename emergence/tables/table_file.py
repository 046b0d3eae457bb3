"""Scores from a CSV, JSON lines, JSON or Parquet file.

The caller names its columns. No format that can run code when it is read is
taken.
"""

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from etils import epath

from emergence.tables import parsing, units
from emergence.tables.audit import audit
from emergence.tables.score_table import (
  COLUMNS,
  Issue,
  ReadOptions,
  ScoreTable,
  quote,
  require_column,
  visible,
)

if TYPE_CHECKING:
  import pandas as pd

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


def read(path: epath.Path, options: ReadOptions) -> ScoreTable:
  """Reads the scores of a file."""
  import pandas as pd

  scale_column = options.scale_column or "scale"
  seed_column = options.seed_column or "seed"
  score_columns = options.score_columns or ("score",)
  group_columns, metric_column = options.group_columns, options.metric_column
  rows = read_rows(path)
  used = _require_columns(
    rows,
    path,
    {
      "scale_column": [scale_column],
      "seed_column": [seed_column],
      "score_column": score_columns,
      "group_columns": group_columns,
      "metric_column": [metric_column] if metric_column else [],
    },
  )
  if metric_column and len(score_columns) > 1:
    raise ValueError("--metric_column goes with a single --score_column")
  rows, issues = parsing.select(rows, options.where, path)

  def parse(column, parse_cell):
    places = (f"{source}, column {quote(column)}" for source in rows.index)
    return parsing.parse_each(rows[column], parse_cell, places)

  common = rows[list(group_columns)].map(parsing.cell_text)
  common = common.assign(
    scale=parse(scale_column, parsing.parse_scale),
    scale_label=rows[scale_column].map(parsing.cell_text),
    seed=parsing.parse_seeds(rows[seed_column], rows.index),
    source=rows.index,
    diverged=False,
    item_stderr=np.nan,
    num_items=float(options.items or np.nan),
  )
  parts = []
  for column in score_columns:
    scores, percent_sign = zip(*parse(column, parsing.parse_score), strict=True)
    metric = (
      rows[metric_column].map(parsing.cell_text) if metric_column else column
    )
    parts.append(
      common.assign(metric=metric, score=scores, percent_sign=percent_sign)
    )
  frame = pd.concat(parts, ignore_index=True)
  frame, metrics, unit_issues = units.settle_units(
    frame, options.score_unit, options.lower_is_better
  )
  unused = rows.drop(columns=used).map(parsing.cell_text)
  if len(unused.columns):
    names = ", ".join(map(quote, unused.columns))
    sentence = f"Columns that are not used: {names}."
    issues.append(Issue("unused_columns", sentence, []))
  return audit(
    ScoreTable(
      frame,
      tuple(group_columns),
      scale_column,
      metrics,
      condition=path.name,
      seed_meaning="The table does not tell what a seed has in common at two"
      " scales.",
      items_enumerated=False,
      issues=issues + unit_issues + _label_issues(frame),
    ),
    options.conflicting_scores,
    unused,
  )


def read_rows(path: epath.Path) -> "pd.DataFrame":
  """Reads the rows of a table without converting their cells.

  Takes comma-, semicolon- or tab-separated text with one header line (UTF-8, or
  UTF-16 with a byte order mark), JSON lines, JSON lists of objects and Parquet.
  Cells of separated text are strings; a key that an object lacks becomes None.

  Returns:
    Rows of Python objects; the index says where in the file each one was.

  Raises:
    ValueError: the file is corrupt, empty or of another format.
    OSError: it cannot be read.
  """
  suffix = path.suffix.lower()
  if suffix not in SUFFIXES:
    raise ValueError(
      f"cannot tell what {path} is; expected a work directory, a folder of"
      f" lm-evaluation-harness results, or a file ending in"
      f" {', '.join(SUFFIXES)}"
    )
  content = path.read_bytes()
  try:
    if suffix == ".parquet":
      rows, place = _read_parquet(content), "row"
    elif suffix in (".csv", ".tsv"):
      rows, place = _read_separated(_decode(content), suffix), "line"
    elif suffix == ".json":
      rows, place = _read_json(_decode(content)), "object"
    else:
      rows, place = _read_json_lines(_decode(content)), "line"
  except (ValueError, RecursionError, NotImplementedError, OSError) as error:
    reason = " ".join(str(error).split())
    raise ValueError(f"{path} is not readable: {reason}") from error
  if rows.empty:
    raise ValueError(f"{path} has no rows")
  twice = rows.columns[rows.columns.duplicated()]
  if len(twice):
    raise ValueError(f"{path} has two columns {quote(twice[0])}; rename one")
  name = visible(path.name)
  rows = rows.astype(object).where(rows.notna(), None)
  return rows.set_axis([f"{name} {place} {n}" for n in rows.index])


def _decode(content: bytes) -> str:
  is_utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
  try:
    text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(f"{error}; save the file as UTF-8") from None
  if "\0" in text:
    raise ValueError("it holds zero bytes; save the file as UTF-8")
  return text


def _read_separated(text: str, suffix: str) -> "pd.DataFrame":
  import pandas as pd

  body = text.lstrip("\r\n")
  head = body.partition("\n")[0]
  # The Python parser alone tells a field that is not there (NaN) from an empty
  # one; the names as a row keep pandas from renaming those that repeat.
  rows = pd.read_csv(
    io.StringIO(body),
    sep="\t" if suffix == ".tsv" else max(",;\t", key=head.count),
    engine="python",
    header=None,
    dtype=str,
    keep_default_na=False,
    skip_blank_lines=False,
  )
  first = 1 + text[: len(text) - len(body)].count("\n")
  line_breaks = rows.map(lambda cell: str(cell).count("\n")).sum(axis=1)
  rows.index += first + line_breaks.cumsum()
  rows: Any = rows.dropna(how="all")
  short = rows[rows.isna().any(axis=1)]
  if len(short):
    raise ValueError(
      f"line {short.index[0]} has {short.iloc[0].count()} fields where the"
      f" first line names {rows.shape[1]}"
    )
  return rows[1:].set_axis(rows.iloc[0].str.strip(), axis=1)


def _read_json(text: str) -> "pd.DataFrame":
  objects = json.loads(text, object_pairs_hook=_object)
  if not isinstance(objects, list):
    raise ValueError(
      "it is no list of objects; for results of lm-evaluation-harness, give"
      " their folder"
    )
  return _from_objects(dict(enumerate(objects, 1)))


def _read_json_lines(text: str) -> "pd.DataFrame":
  objects = {}
  for number, line in enumerate(text.split("\n"), 1):
    if line.strip():
      try:
        objects[number] = json.loads(line, object_pairs_hook=_object)
      except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
  return _from_objects(objects)


def _from_objects(objects: dict[int, Any]) -> "pd.DataFrame":
  """Rows by number, without `pandas.read_json`.

  That rounds long seeds in a column with gaps, keeps one of two equal keys, and
  does not say in which line an error is.
  """
  import pandas as pd

  for number, row in objects.items():
    if not isinstance(row, dict):
      raise ValueError(f"row {number} is no object")
  return pd.DataFrame(list(objects.values()), list(objects), dtype=object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise ValueError(f"key {quote(twice)} stands twice in one object")
  return found


def _read_parquet(content: bytes) -> "pd.DataFrame":
  import pandas as pd

  # A nullable type, as floats would round long seeds in a column with gaps.
  rows = pd.read_parquet(io.BytesIO(content), dtype_backend="numpy_nullable")
  if any(rows.index.names):
    rows = rows.reset_index()
  return rows.set_axis(range(1, len(rows) + 1))


def _require_columns(
  rows: "pd.DataFrame", path: epath.Path, flags: dict[str, Sequence[str]]
) -> list[str]:
  """The columns in use; ValueError if one is missing or used twice."""
  used: dict[str, str] = {}
  for flag, names in flags.items():
    for name in names:
      require_column(name, rows.columns, flag, path)
      if name in used:
        raise ValueError(
          f"--{flag}: {quote(name)} is the --{used[name]} already"
        )
      used[name] = flag
  for name in flags["group_columns"]:
    if name in COLUMNS:
      raise ValueError(
        f"--group_columns: {quote(name)} is a name of the analysis; rename the"
        " column"
      )
  return list(used)


def _label_issues(frame: "pd.DataFrame") -> list[Issue]:
  """Tells of scales that are written in several ways."""
  labels = cast(Any, frame).groupby("scale")["scale_label"].unique()
  rows = [
    {"scale": float(scale), "labels": sorted(texts)}
    for scale, texts in labels.items()
    if len(texts) > 1
  ]
  if not rows:
    return []
  return [
    Issue(
      "scale_label",
      f"{len(rows)} scales are written in several ways, each counts as one:"
      f" {' and '.join(map(quote, rows[0]['labels'][:3]))} …",
      rows,
    )
  ]
