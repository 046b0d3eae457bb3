"""The files that an analysis writes: tables as CSV, other results as JSON."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from emergence.analysis.question import Rows
from emergence.analysis.questions import QUESTIONS, findings
from emergence.analysis.series import Analysis, Series
from emergence.storage.files import write_if_changed
from emergence.tables.score_table import quote


def files(analysis: Analysis) -> dict[str, bytes]:
  """The content of each file that is written for an analysis, by file name."""
  table = analysis.table
  tables = {"summary.csv": summary(analysis)} | {
    name: _rows(analysis, rows)
    for question in QUESTIONS
    for name, rows in question.files.items()
  }
  content = {
    "condition": table.condition,
    "scale_name": table.scale_name,
    "group_columns": list(table.group_columns),
    "metrics": [metric._asdict() for metric in table.metrics.values()],
    "seed_meaning": table.seed_meaning,
    "options": analysis.options._asdict(),
    "findings": [statement._asdict() for _, statement in findings(analysis)],
    "series": [_entry(series) for series in analysis.series],
    "audit": [issue._asdict() for issue in table.issues],
  } | {k: rows for k, rows in tables.items() if not k.endswith(".csv")}
  return {"summary.json": to_json(content)} | {
    # A header for tables without rows, too: pandas cannot read an empty file.
    name: to_csv(rows, rows[0] if rows else (*table.group_columns, "metric"))
    for name, rows in tables.items()
    if name.endswith(".csv")
  }


def summary(analysis: Analysis) -> list[dict[str, Any]]:
  """One row per cell and metric, with the columns of all questions.

  A cell without any score has a row too, with its number of missing seeds.
  These rows come last.
  """
  rows, table = _rows(analysis, _cells), analysis.table
  scored = {
    (*series.group, p.scale, series.metric.name)
    for series in analysis.series
    for p in series.populations
  }
  for cell, num in table.num_missing.items():
    if cell not in scored and num:
      *group, scale, metric = cell
      names = dict(zip(table.group_columns, group, strict=True))
      found = {"scale": scale, "metric": metric, "n_seeds": 0, "n_missing": num}
      rows.append({name: _number(x) for name, x in (names | found).items()})
  return rows


def _cells(series: Series) -> Rows:
  columns = [
    question.values(series) for question in QUESTIONS if question.values
  ]
  for population, *found in zip(series.populations, *columns, strict=True):
    row: dict[str, Any] = {
      "scale": population.scale,
      "scale_label": population.label,
      "metric": series.metric.name,
    }
    for values in found:
      row |= values
    yield row


def _rows(analysis: Analysis, rows: Any) -> list[dict[str, Any]]:
  """Rows of all series, group columns first; ValueError if names collide."""
  found = []
  for series in analysis.series:
    group = _group(series)
    for row in rows(series):
      _require_distinct(group, row)
      found.append({k: _number(value) for k, value in (group | row).items()})
  return found


def _entry(series: Series) -> dict[str, Any]:
  """The entry of a series in summary.json."""
  found = _group(series) | {
    "metric": series.metric.name,
    "unit": series.metric.unit,
    "higher_is_better": series.metric.higher_is_better,
  }
  for question in QUESTIONS:
    found |= question.entry(series)
  return found


def _group(series: Series) -> dict[str, Any]:
  return dict(zip(series.group_columns, series.group, strict=True))


def _require_distinct(
  group_columns: Iterable[str], columns: Iterable[str]
) -> None:
  """Raises ValueError if a group column has the name of a result column."""
  if taken := set(group_columns) & set(columns):
    raise ValueError(
      f"--group_columns: {quote(min(taken))} is also a column of the results;"
      " rename it in your table"
    )


def to_csv(rows: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> bytes:
  """Rows as CSV in UTF-8; a missing value is an empty field."""
  import pandas as pd

  frame = pd.DataFrame(list(rows), columns=pd.Index(list(columns)))
  return frame.to_csv(index=False).encode()


def to_json(content: Any) -> bytes:
  """Content as JSON: NaN as null, ±inf as the text `Infinity`, `-Infinity`."""
  return (json.dumps(plain(content), indent=2, allow_nan=False) + "\n").encode()


def plain(value: Any) -> Any:
  """Converts arrays, named tuples and numpy scalars to what JSON can hold."""
  if isinstance(value, Mapping):
    return {str(key): plain(item) for key, item in value.items()}
  if hasattr(value, "_asdict"):
    return plain(value._asdict())
  if isinstance(value, (list, tuple, np.ndarray)):
    return [plain(item) for item in value]
  value = _number(value)
  if isinstance(value, float) and math.isinf(value):
    return "Infinity" if value > 0 else "-Infinity"
  return value


def _number(value: Any) -> Any:
  """Converts a numpy scalar to a Python number, and NaN to None."""
  if isinstance(value, np.generic):
    value = value.item()
  if isinstance(value, float) and math.isnan(value):
    return None
  return value


def write_files(folder: epath.Path, files: Mapping[str, bytes]) -> None:
  """Writes files by name to a folder, except those that would not change."""
  folder.mkdir(parents=True, exist_ok=True)
  for name, content in files.items():
    write_if_changed(folder / name, content)
