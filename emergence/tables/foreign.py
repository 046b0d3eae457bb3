"""Scores from a table in a file, its columns named by the caller."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from etils import epath

from emergence.tables import cells, files, units
from emergence.tables.audit import audit
from emergence.tables.score_table import (
  COLUMNS,
  Finding,
  ScoreTable,
  quote,
  require_column,
)

if TYPE_CHECKING:
  import pandas as pd


def read(
  path: epath.PathLike,
  *,
  scale_column: str,
  seed_column: str,
  score_columns: Sequence[str],
  group_columns: Sequence[str] = (),
  metric_column: str | None = None,
  where: Sequence[str] = (),
  score_unit: Sequence[str] = (),
  lower_is_better: Sequence[str] = (),
  items: int | None = None,
  conflicting_scores: str = "refuse",
) -> ScoreTable:
  """Reads a CSV, JSON lines or Parquet file; arguments as in `tables.read`."""
  import pandas as pd

  path = epath.Path(path)
  rows = files.read_rows(path)
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
  rows, findings = cells.select(rows, where, path)
  sources = rows.index.tolist()
  common: dict[str, Any] = {
    name: rows[name].map(cells.cell_text).tolist() for name in group_columns
  }
  scales = rows[scale_column]
  common["scale"] = _parse_each(scales, cells.parse_scale)
  common["scale_label"] = scales.map(cells.cell_text).tolist()
  common["seed"] = cells.parse_seeds(rows[seed_column], sources)
  common["source"] = sources
  parts = []
  for column in score_columns:
    parsed = _parse_each(rows[column], cells.parse_score)
    scores, percent_sign = zip(*parsed, strict=True)
    metric = column
    if metric_column:
      metric = rows[metric_column].map(cells.cell_text).tolist()
    parts.append(
      pd.DataFrame(common).assign(
        metric=metric, score=scores, percent_sign=percent_sign
      )
    )
  frame = pd.concat(parts, ignore_index=True)
  frame = frame.assign(
    diverged=False,
    item_stderr=np.nan,
    num_items=np.nan if items is None else float(items),
  )
  frame, metrics, more = units.settle_units(frame, score_unit, lower_is_better)
  unused = rows.drop(columns=list(used)).map(cells.cell_text)
  if len(unused.columns):
    names = ", ".join(map(quote, unused.columns))
    findings.append(
      Finding("unused_columns", f"Columns that are not used: {names}.", [])
    )
  return audit(
    ScoreTable(
      frame,
      tuple(group_columns),
      scale_column,
      metrics,
      condition=path.name,
      seed_meaning="The table does not tell what a seed has in common at two"
      " scales.",
      seeds_shared=None,
      items_enumerated=None,
      findings=findings + more + _label_findings(frame),
    ),
    conflicting_scores,
    unused,
  )


def _require_columns(rows, path, flags: dict[str, Sequence[str]]) -> list[str]:
  """Raises ValueError where a named column is not there or named twice."""
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


def _parse_each(cells: Any, parse: Callable[[Any], Any]) -> list[Any]:
  """Parses the cells of a column; says where one fails."""
  parsed = []
  for source, cell in cells.items():
    try:
      parsed.append(parse(cell))
    except ValueError as error:
      raise ValueError(
        f"{source}, column {quote(cells.name)}: {error}"
      ) from None
  return parsed


def _label_findings(frame: "pd.DataFrame") -> list[Finding]:
  """Says where one scale is written in several ways."""
  labels = cast(Any, frame)[["scale", "scale_label"]].drop_duplicates()
  several = labels[labels.duplicated("scale", keep=False)]
  if several.empty:
    return []
  rows = [
    {"scale": float(scale), "labels": sorted(group["scale_label"])}
    for scale, group in several.groupby("scale")
  ]
  return [
    Finding(
      "scale_label",
      f"{len(rows)} scales are written in several ways, each counts as one:"
      f" {' and '.join(map(quote, rows[0]['labels'][:3]))} …",
      rows,
    )
  ]
