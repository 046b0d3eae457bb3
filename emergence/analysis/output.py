"""The files that an analysis leaves: tables as CSV, all of it as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from emergence.analysis import rows
from emergence.analysis.finding import Finding
from emergence.analysis.series import Analysis
from emergence.storage.files import write_atomically


def files(
  analysis: Analysis, statements: Sequence[Finding]
) -> dict[str, bytes]:
  """Everything that is written about an analysis, by file name.

  Args:
    analysis: the analysis.
    statements: what `findings.findings` says of it.
  """
  table = analysis.table
  content = {
    "condition": table.condition,
    "scale_name": table.scale_name,
    "group_columns": list(table.group_columns),
    "metrics": [metric._asdict() for metric in table.metrics.values()],
    "seed_meaning": table.seed_meaning,
    "options": analysis.options._asdict(),
    "family": f"all {analysis.family_size} cells × metrics of this table",
    "family_size": analysis.family_size,
    "columns": rows.SUMMARY_COLUMNS,
    "findings": [statement._asdict() for statement in statements],
    "series": rows.series_results(analysis),
    "small_studies": rows.small_studies(analysis),
    "audit": [finding._asdict() for finding in table.findings],
  }
  found = {
    "summary.csv": (rows.summary(analysis), tuple(rows.SUMMARY_COLUMNS)),
    "trajectories.csv": (rows.trajectories(analysis), rows.TRAJECTORY_COLUMNS),
    "distances.csv": (rows.distances(analysis), rows.DISTANCE_COLUMNS),
    "paths.csv": (rows.paths(analysis), rows.PATH_COLUMNS),
  }
  return {
    name: to_csv(lines, (*table.group_columns, *columns))
    for name, (lines, columns) in found.items()
  } | {"summary.json": to_json(content)}


def to_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
  """Rows as CSV in UTF-8; what is not there is an empty field."""
  import pandas as pd

  frame = pd.DataFrame(list(rows), columns=pd.Index(columns))
  return frame.to_csv(index=False).encode()


def to_json(content: Any) -> bytes:
  """As JSON; numbers that are not finite are null or the text `Infinity`."""
  return (
    json.dumps(rows.plain(content), indent=2, allow_nan=False) + "\n"
  ).encode()


def write_files(folder: epath.Path, files: Mapping[str, bytes]) -> None:
  """Writes files whose content differs from what is there."""
  folder.mkdir(parents=True, exist_ok=True)
  for name, content in files.items():
    path = folder / name
    if not path.exists() or path.read_bytes() != content:
      write_atomically(path, content)
