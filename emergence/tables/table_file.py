"""Scores from a CSV, JSON lines, JSON or Parquet file, or several of them.

The options name the columns. Formats that can run code when they are read are
not supported.
"""

import ast
import dataclasses
import fnmatch
import gzip
import io
import itertools
import json
import re
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from etils import epath

from emergence.storage.files import glob_below
from emergence.tables import harness_names, parsing, summary_rows, units
from emergence.tables.audit import audit
from emergence.tables.parsing import flag
from emergence.tables.score_table import (
  COLUMNS,
  ONLY_SCALE,
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
_INTERNAL = ("given", "missing", "percent_sign", "training_step", "unit")
# New name of the column from which --name_pattern reads the seed.
_RENAMED = "name of the run"
# Unused columns beyond this number are counted, not named.
_MOST_NAMED = 8


def read(path: epath.Path, options: ReadOptions) -> ScoreTable:
  """Reads the scores of a file, or of all files of a folder as one table."""
  import pandas as pd

  found, options = _settle_columns(
    read_rows(path, options.skip_lines), path, options
  )
  rows: Any = found
  scale_column, seed_column = (
    str(options.scale_column),
    str(options.seed_column),
  )
  score_columns = options.score_columns
  used = _require_columns(
    rows,
    path,
    {
      "scale_column": [scale_column],
      "seed_column": [seed_column],
      "score_column": score_columns,
      "group_columns": options.group_columns,
      "metric_column": [options.metric_column] if options.metric_column else [],
      "step_column": [options.step_column] if options.step_column else [],
    },
  )
  if options.metric_column and len(score_columns) > 1:
    raise ValueError(
      "--metric_column needs a single --score_column, got"
      f" {', '.join(map(quote, score_columns))}"
    )
  if options.at_step and not options.step_column:
    raise ValueError("--at_step needs --step_column")
  rows, issues = parsing.select(rows, options.where, path)
  if options.decimal_comma:
    numbers = [scale_column, *score_columns]
    rows[numbers] = rows[numbers].map(parsing.with_decimal_point)
  groups = list(options.group_columns)
  is_crossed = set(parsing.CROSSED) <= set(rows).difference(used)
  crossed = parsing.CROSSED if is_crossed else ()
  used += crossed
  common = rows[[*groups, *crossed]].map(parsing.cell_text)
  common = common.assign(
    scale_label=rows[scale_column].map(parsing.cell_text),
    seed=rows[seed_column].map(parsing.cell_text),
    source=rows.index,
    diverged=False,
    num_items=float(options.items or np.nan),
  )
  if options.step_column:
    common["training_step"] = parsing.parse_steps(rows[options.step_column])
  metric_of = {
    column: rows[options.metric_column].map(parsing.cell_text)
    if options.metric_column
    else pd.Series(column, rows.index)
    for column in score_columns
  }
  names = list(dict.fromkeys(pd.concat(list(metric_of.values()))))
  parts = []
  for column, metric in metric_of.items():
    scores, missing, percent_sign = parsing.parse_scores(
      rows[column], column, rows.index
    )
    part = common.assign(
      metric=metric, score=scores, missing=missing, percent_sign=percent_sign
    )
    part["unit"] = units.units_of_rows(
      rows, list(metric), names, options.score_unit
    )
    parts.append(part)
  frame = pd.concat(parts, ignore_index=True)
  cell = [*groups, "scale_label", "metric"]
  cell += ["training_step"] if options.step_column else []
  kept = summary_rows.drop(frame, cell, options.drop_rows)
  dropped = len(set(frame["source"]) - set(kept["source"]))
  if dropped:
    sentence = f"--drop_rows leaves out {dropped:,} rows."
    issues.append(Issue("excluded", sentence, []))
  frame = kept
  by_source: Any = frame.set_index("source")
  frame = frame.assign(
    scale=parsing.parse_scales(
      by_source["scale_label"].rename(scale_column), options.scale_order
    ),
    seed=parsing.parse_seeds(by_source["seed"].rename(seed_column)),
  ).reset_index(drop=True)
  frame, metrics, unit_issues = units.settle_units(
    frame,
    options.lower_is_better,
    options.higher_is_better,
    scale_column=scale_column,
  )
  unused = rows.drop(columns=[*used, _RENAMED], errors="ignore")
  unused = unused.map(parsing.cell_text)
  if len(unused.columns):
    shown = ", ".join(map(quote, unused.columns[:_MOST_NAMED]))
    more = len(unused.columns) - _MOST_NAMED
    sentence = f"Columns that are not used: {shown}"
    sentence += f" and {more} others." if more > 0 else "."
    issues.append(Issue("unused_columns", sentence, []))
  return audit(
    ScoreTable(
      frame,
      tuple(groups),
      scale_column,
      metrics,
      condition=path.name,
      seed_meaning="The table does not say what runs with the same seed share"
      " at two scales.",
      issues=issues + unit_issues,
      init_and_data=parsing.init_and_data(frame),
    ),
    options.conflicting_scores,
    unused,
    at_step=options.at_step,
  )


def _settle_columns(
  rows: "pd.DataFrame", path: epath.Path, options: ReadOptions
) -> tuple["pd.DataFrame", ReadOptions]:
  """Returns the table in long form and options that name every column."""
  scale_column = options.scale_column or "scale"
  seed_column = options.seed_column or "seed"
  score_columns = tuple(options.score_columns) or ("score",)
  groups = list(dict.fromkeys(options.group_columns))
  if options.scale_columns:
    rows = _melt(
      rows, scale_column, score_columns, options.scale_columns, "scale"
    )
  if options.seed_columns:
    rows = _melt(rows, seed_column, score_columns, options.seed_columns, "seed")
  elif seed_column == "none":
    seed_column = "run"
    rows = rows.assign(run="0")
  elif (
    options.seed_column is None
    and seed_column not in rows
    and set(parsing.CROSSED) <= set(rows)
  ):
    texts = rows[list(parsing.CROSSED)].map(parsing.cell_text)
    rows = rows.assign(
      seed="init " + texts.iloc[:, 0] + ", data " + texts.iloc[:, 1]
    )
  else:
    advice = _wide_advice(rows, "seed")
    if not advice and options.seed_column is None:
      advice = "--seed_column=none makes all rows one run"
    has_text = rows.map(_has_text).any()
    require_column(
      seed_column, rows.columns[has_text], "seed_column", path, advice
    )
  if pattern := harness_names.compile_pattern(options.name_pattern):
    texts = rows[seed_column].map(parsing.cell_text)
    parts = texts.str.extract(pattern)[list(pattern.groupindex)]
    lacking: Any = texts[parts.isna().any(axis=1)]
    if len(lacking):
      raise ValueError(
        f"--name_pattern does not match {quote(lacking.iloc[0])} in the column"
        f" {quote(seed_column)}"
      )
    if "seed" in parts:
      rows = rows.rename(columns={seed_column: _RENAMED})
      seed_column = "seed"
    rows = rows.assign(**parts)
    scale_column = "scale" if "scale" in parts else scale_column
    groups += ["model"] if "model" in parts else []
  if scale_column == "none" or (
    options.scale_column is None
    and scale_column not in rows
    and not _name_advice(rows[seed_column])
    and not _varies(
      rows, {seed_column, *parsing.CROSSED, *score_columns, *groups}, options
    )
  ):
    scale_column = "one scale" if "scale" in rows else "scale"
    rows = rows.assign(**{scale_column: ONLY_SCALE})
    options = dataclasses.replace(options, scale_order=(ONLY_SCALE,))
  else:
    advice = _wide_advice(rows, "scale") or _name_advice(rows[seed_column])
    if not advice and options.scale_column is None:
      advice = "--scale_column=none makes all rows one scale"
    require_column(scale_column, rows.columns, "scale_column", path, advice)
  return rows, dataclasses.replace(
    options,
    scale_column=scale_column,
    seed_column=seed_column,
    score_columns=score_columns,
    group_columns=groups,
  )


def _melt(
  rows: "pd.DataFrame",
  column: str,
  score_columns: Sequence[str],
  patterns: Sequence[str],
  what: str,
) -> "pd.DataFrame":
  """One row per seed (or scale), from a table that has one column per seed."""
  wide = [
    name
    for name in rows.columns
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
  ]
  if not wide:
    require_column(
      ",".join(patterns),
      rows.columns,
      f"{what}_columns",
      "the table",
      _wide_advice(rows, what),
    )
  others = [x for x in rows.columns if x not in (*wide, column)]
  if len(score_columns) > 1 or score_columns[0] in rows.columns:
    raise ValueError(
      f"--{what}_columns needs a single --score_column, which then names the"
      " metric and must not be a column of the table"
    )
  return (
    rows.rename_axis("line of the file")
    .reset_index()
    .melt(["line of the file", *others], wide, column, score_columns[0])
    .set_index("line of the file")
  )


def _varies(rows: "pd.DataFrame", used: set[str], options: ReadOptions) -> bool:
  """Whether any unused column has different values in different rows."""
  used |= {options.metric_column or "", options.step_column or ""}
  others = rows.drop(columns=rows.columns.intersection(list(used)))
  return bool((others.map(parsing.cell_text).nunique() > 1).any())


def _wide_advice(rows: "pd.DataFrame", what: str) -> str:
  """Advises a flag if the names of columns differ only in a number."""
  names = [x.replace("[", "[[]") for x in rows.columns if re.search(r"\d", x)]
  is_size = [bool(re.fullmatch(r"[\d.]+ *[kKmMbB]", name)) for name in names]
  if len(names) < 2 or all(is_size) != (what == "scale"):
    return ""
  stems = [re.sub(r"[\d.]+", "*", name) for name in names]
  stem = max(dict.fromkeys(stems), key=stems.count)
  if stems.count(stem) < 2:
    return ""
  columns = flag(f"{what}_columns", "[0-9]*" if stem == "*" else stem)
  return f"{columns} reads each matching column as one {what}"


def _name_advice(names: Any) -> str:
  """Advises a --name_pattern if the name of every run contains a size."""
  seed = harness_names.NEAR_SIZE + r".*seed[-_=]?(?P<seed>\d+)"
  for pattern in (seed, harness_names.NEAR_SIZE):
    if all(re.search(pattern, parsing.cell_text(name)) for name in names):
      found = flag("name_pattern", pattern)
      return f"{found} reads the scale from the column {quote(names.name)}"
  return ""


def _has_text(cell: Any) -> bool:
  return parsing.cell_text(cell) != ""


def read_rows(path: epath.Path, skip_lines: int = 0) -> "pd.DataFrame":
  """Reads the rows of a table without converting their cells.

  Accepts delimited text with one header line (UTF-8, or UTF-16 with a byte
  order mark), JSON lines, JSON as pandas writes it and Parquet, each also in
  .gz or .zip. A folder of such files, without .zip, becomes one table whose
  column `file` has their names. Cells of delimited text are strings. A key
  missing from a JSON object becomes None, and nested objects become columns
  such as `config.seed`.

  Args:
    path: the file or folder.
    skip_lines: lines of delimited text above the header line.

  Returns:
    Rows of Python objects; the index has each row's place in its file.

  Raises:
    ValueError: a file is corrupt, empty or of another format.
    OSError: a file cannot be read.
  """
  import pandas as pd

  if not path.is_dir():
    return _read_file(path, skip_lines)
  tables = [
    _read_file(file, skip_lines).assign(
      file=visible(file.relative_to(path).as_posix())
    )
    for file in files_below(path)
  ]
  columns = list(dict.fromkeys(itertools.chain(*tables)))
  missing: Any = pd.NA
  # `concat` would fill the columns that a file lacks with NaN, which is a score
  # of a run that diverged.
  return pd.concat(
    [rows.reindex(columns=columns, fill_value=missing) for rows in tables]
  )


def files_below(folder: epath.Path) -> list[epath.Path]:
  """Finds the table files anywhere below a folder, except .zip files."""
  return [
    file
    for file in glob_below(folder, "*")
    if file.name.lower().removesuffix(".gz").endswith(SUFFIXES)
  ]


def _read_file(path: epath.Path, skip_lines: int) -> "pd.DataFrame":
  content, file_name = path.read_bytes(), path.name.lower()
  try:
    if file_name.endswith(".gz"):
      content, file_name = gzip.decompress(content), file_name[:-3]
    elif file_name.endswith(".zip"):
      with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (member,) = archive.namelist()
        content, file_name = archive.read(member), member.lower()
  except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(
      f"{path} cannot be unpacked; expected an archive of exactly one file:"
      f" {error}"
    ) from error
  suffix = epath.Path(file_name).suffix
  if suffix not in SUFFIXES:
    raise ValueError(
      f"cannot tell what {path} is; expected a work directory, a folder of"
      f" lm-evaluation-harness results, or a file ending in"
      f" {', '.join(SUFFIXES)}, or in one of these followed by .gz or .zip"
    )
  try:
    if suffix == ".parquet":
      rows, place = _read_parquet(content), "row"
    elif suffix in (".csv", ".tsv"):
      rows, place = (
        _read_separated(_decode(content), suffix, skip_lines),
        "line",
      )
    elif suffix == ".json":
      rows, place = _read_json(_decode(content)), "object"
    else:
      rows, place = _read_json_lines(_decode(content)), "line"
  # Arrow raises the last two for a Parquet file that is corrupt or unusual.
  except (ValueError, RecursionError, NotImplementedError, OSError) as error:
    reason = " ".join(str(error).split())
    raise ValueError(f"{path} is not readable: {reason}") from error
  if rows.empty:
    raise ValueError(f"{path} has no rows")
  rows = _flatten(rows.astype(object).where(rows.notna(), None))
  twice = rows.columns[rows.columns.duplicated()]
  if len(twice):
    raise ValueError(f"{path} has two columns {quote(twice[0])}; rename one")
  name = visible(path.name)
  return rows.set_axis([f"{name} {place} {n}" for n in rows.index])


def _flatten(rows: "pd.DataFrame") -> "pd.DataFrame":
  """Turns each column of objects, or of their text, into a column per key."""
  # pandas.json_normalize rounds long seeds in columns with missing values.
  import pandas as pd

  parts = []
  for name in rows:
    cells = [_object_in(cell) for cell in rows[name]]
    if all(isinstance(cell, dict) for cell in cells):
      inner = pd.DataFrame(cells, rows.index, dtype=object).add_prefix(
        f"{name}."
      )
      parts.append(_flatten(inner.where(inner.notna(), None)))
    else:
      parts.append(rows[[name]])
  return pd.concat(parts, axis=1)


def _object_in(cell: Any) -> Any:
  """Parses a text in braces as Python or JSON; returns other cells as is."""
  if not isinstance(cell, str) or not cell.startswith("{"):
    return cell
  try:
    return ast.literal_eval(cell)
  except (ValueError, SyntaxError, RecursionError, MemoryError):
    try:
      return json.loads(cell)
    except (ValueError, RecursionError):
      return cell


def _decode(content: bytes) -> str:
  is_utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
  try:
    text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(
      f"{error}; save the file as UTF-8, as `iconv -f WINDOWS-1252 -t UTF-8"
      " FILE > NEW.csv` does"
    ) from None
  if "\0" in text:
    raise ValueError("it holds NUL characters; save the file as UTF-8")
  return text


def _read_separated(text: str, suffix: str, skip_lines: int) -> "pd.DataFrame":
  import pandas as pd

  above = "".join(text.splitlines(keepends=True)[:skip_lines])
  body = text[len(above) :].lstrip("\r\n")
  lines = body.splitlines()
  head = lines[0] if lines else ""
  if not re.search("[,;\t|]", head):
    head = "".join(lines[:20])  # The first line may be a title.
  sep = "\t" if suffix == ".tsv" else max(",;\t|", key=head.count)
  if sep not in head:
    sep = r"\s+"
  splits = None if sep == r"\s+" else sep
  # Only the Python parser tells a missing field (NaN) from an empty one. The
  # header is read as a row, so that pandas does not rename repeated names.
  rows: Any = pd.read_csv(
    io.StringIO(body),
    sep=sep,
    engine="python",
    header=None,
    names=range(max((len(line.split(splits)) for line in lines), default=1)),
    dtype=str,
    keep_default_na=False,
    skip_blank_lines=False,
    skipinitialspace=True,
  )
  first = 1 + text[: len(text) - len(body)].count("\n")
  line_breaks = rows.map(lambda cell: str(cell).count("\n")).sum(axis=1)
  rows.index += first + line_breaks.cumsum()
  is_full = rows.notna() & (rows != "")
  rows = rows.loc[is_full.any(axis=1), is_full.any(axis=0)]
  if rows.empty:
    return rows
  names, top = rows.iloc[0].fillna("").str.strip(), rows.index[0]
  if len(rows) > 1 and names.iloc[0] == "":
    # Pandas writes the names of an index into a line of their own.
    own = rows.iloc[1].fillna("").str.strip()
    if not ((own != "") & (names != "")).any():
      names, rows = names + own, rows.drop(rows.index[1])
  # Leading columns without a name are an index.
  width = int(np.flatnonzero(names != "")[-1]) + 1
  long = rows[is_full.loc[rows.index, rows.columns[width:]].any(axis=1)]
  short = rows[rows.iloc[:, :width].isna().any(axis=1)]
  for wrong in (long, short):
    if len(wrong):
      line = wrong.index[0]
      fields = int(rows.loc[line].count())
      is_title = wrong is long and 2 * len(long) > len(rows)
      raise ValueError(
        f"line {line} has {fields} field{'s' * (fields != 1)}, but line {top}"
        f" names {width} column{'s' * (width != 1)}"
        + is_title
        * f"; add --skip_lines={line - 1} if line {top} is a title"
      )
  names = [name or f"Unnamed: {i}" for i, name in enumerate(names)]
  return rows[1:].set_axis(names, axis=1)


def _read_json(text: str) -> "pd.DataFrame":
  """Reads a list of objects, or what `DataFrame.to_json` writes."""
  import pandas as pd

  content = _loads(text)
  if isinstance(content, list):
    return _from_objects(dict(enumerate(content, 1)))
  if isinstance(content, dict) and {"columns", "data"} <= set(content):
    rows = pd.DataFrame(
      content["data"], columns=content["columns"], dtype=object
    )
  elif isinstance(content, dict) and all(
    isinstance(column, dict) for column in content.values()
  ):
    if "results" in content:
      raise ValueError(
        "it is no list of objects; for results of lm-evaluation-harness, give"
        " their folder"
      )
    rows = pd.DataFrame(content, dtype=object).rename_axis("index")
    rows = rows.reset_index()
  else:
    raise ValueError("it is no list of objects")
  return rows.set_axis(range(1, len(rows) + 1))


def _read_json_lines(text: str) -> "pd.DataFrame":
  objects = {}
  for number, line in enumerate(text.split("\n"), 1):
    if line.strip():
      try:
        objects[number] = _loads(line)
      except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
  return _from_objects(objects)


def _loads(text: str) -> Any:
  # Keep NaN as text, because None stands for a missing score.
  return json.loads(text, parse_constant=str)


def _from_objects(objects: dict[int, Any]) -> "pd.DataFrame":
  """Builds a table with one row per object, indexed by its number."""
  # pandas.read_json rounds long seeds in columns with missing values, and does
  # not tell the line of an error.
  import pandas as pd

  for number, row in objects.items():
    if not isinstance(row, dict):
      raise ValueError(f"row {number} is no object")
  return pd.DataFrame(list(objects.values()), list(objects), dtype=object)


def _read_parquet(content: bytes) -> "pd.DataFrame":
  import pandas as pd

  # Floats would round long seeds in a column with gaps, and other nullable
  # types do not tell NaN from a missing value.
  rows = pd.read_parquet(io.BytesIO(content), dtype_backend="pyarrow")
  if any(rows.index.names):
    rows = rows.reset_index()
  return rows.set_axis(range(1, len(rows) + 1))


def _require_columns(
  rows: "pd.DataFrame", path: epath.Path, flags: dict[str, Sequence[str]]
) -> list[str]:
  """The columns in use; ValueError if one is missing or used twice."""
  used: dict[str, str] = {}
  for option, names in flags.items():
    for name in names:
      require_column(name, rows.columns, option, path)
      if name in used:
        raise ValueError(
          f"--{option}: the column {quote(name)} is already used by"
          f" --{used[name]}; choose another column"
        )
      used[name] = option
  for name in flags["group_columns"]:
    if name in (*COLUMNS, *_INTERNAL):
      raise ValueError(
        f"--group_columns: {quote(name)} is a name that the analysis uses;"
        " rename the column"
      )
  return list(used)
