"""Per-seed scores from our work directories and from anybody's tables.

`read` takes a work directory of this project, a CSV, JSON or Parquet file or a
folder of them, or a folder of lm-evaluation-harness results, and returns one
`ScoreTable`. Whatever is unusual is reported in the table's issues.
"""

import dataclasses
from typing import Any

from etils import epath

from emergence.storage import records
from emergence.storage.files import glob_below
from emergence.tables import harness, table_file, workdir
from emergence.tables.score_table import (
  HARNESS,
  TABLES,
  WORKDIRS,
  Issue,
  Metric,
  ReadOptions,
  ScoreTable,
)

__all__ = ["Issue", "Metric", "ReadOptions", "ScoreTable", "read"]


def read(path: epath.PathLike, **options: Any) -> ScoreTable:
  """Reads per-seed scores from anywhere.

  Args:
    path: a work directory, a folder of lm-evaluation-harness results, a file
      that ends in one of `emergence.tables.table_file.SUFFIXES`, or a folder of
      such files.
    **options: the fields of `ReadOptions`.

  Raises:
    ValueError: the data or the options are wrong, or an option does not apply
      to this kind of source.
  """
  path, chosen = epath.Path(path), ReadOptions(**options)
  if not path.exists():
    raise ValueError(f"--records: there is no {path}")
  if path.name == "records" and glob_below(path, "seeds-*.parquet"):
    path = path.parent
  if _is_workdir(path):
    reader, kind, source = workdir.read, WORKDIRS, "a work directory"
  elif path.is_dir() and not _has_tables_only(path):
    reader, kind = harness.read, HARNESS
    source = "a folder of lm-evaluation-harness results"
  else:
    reader, kind, source = table_file.read, TABLES, "a table"
  for option in dataclasses.fields(chosen):
    value = getattr(chosen, option.name)
    is_given = value not in (option.default, [], ())
    if is_given and kind not in option.metadata["sources"]:
      raise ValueError(
        f"{path} is read as {source}, to which --{option.name} does not apply;"
        " leave the flag out"
      )
  return reader(path, chosen)


def _has_tables_only(folder: epath.Path) -> bool:
  return bool(
    table_file.files_below(folder) and not glob_below(folder, "*.json")
  )


def _is_workdir(path: epath.Path) -> bool:
  """Whether a path is a work directory, with or without records."""
  if (path / "records").is_dir():
    return True
  try:
    records.read_config(path)
  except ValueError:
    return False
  return True
