"""Per-seed scores from our work directories and from anybody's tables.

`read` takes a work directory of this project, a CSV, JSON lines or Parquet
file, or a folder of lm-evaluation-harness results, and returns one
`ScoreTable`. What it noticed on the way is in the table's findings; nothing is
dropped without one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from emergence.storage import records
from emergence.storage.files import glob_below
from emergence.tables import foreign, harness, workdir
from emergence.tables.score_table import Finding, Metric, ScoreTable

__all__ = ["Finding", "Metric", "ScoreTable", "read"]


def read(
  path: epath.PathLike,
  *,
  scale_column: str | None = None,
  seed_column: str | None = None,
  score_columns: Sequence[str] = (),
  group_columns: Sequence[str] = (),
  metric_column: str | None = None,
  where: Sequence[str] = (),
  score_unit: Sequence[str] = (),
  lower_is_better: Sequence[str] = (),
  items: int | None = None,
  scale_axis: str = "auto",
  test_length: int | None = None,
  name_pattern: str | None = None,
  conflicting_scores: str = "refuse",
  conflicting_labels: str = "refuse",
) -> ScoreTable:
  """Reads per-seed scores from anywhere.

  Args:
    path: a work directory, a folder of lm-evaluation-harness results, or a
      file of `emergence.tables.files.SUFFIXES`.
    scale_column: files: the column of the scale, `scale` if None.
    seed_column: files: the column of the seed, `seed` if None.
    score_columns: files: the columns of scores, each a metric, `score` if
      empty. Elsewhere: which metrics to take, all usual ones if empty.
    group_columns: files: columns that tell groups apart.
    metric_column: files: a column that names the metric of its row, for tables
      in long form; needs a single score column.
    where: conditions on the rows to keep, all of which must hold; see
      `emergence.tables.cells.parse_where`.
    score_unit: files and harness: `auto` (the default), `percent`, `fraction`
      or `raw` for all metrics, or `METRIC=UNIT` for one; see
      `emergence.tables.units.to_unit`.
    lower_is_better: files and harness: metrics in which less is better, beside
      those whose names say so, see `emergence.tables.units.is_lower_better`.
    items: files: test items that each score is a mean of, if they are known.
    scale_axis: work directories: an axis of the grid, such as `width`, or
      `num_params`. `auto` is depth where it varies, else the first axis that
      does.
    test_length: work directories: the test length to take, the headline length
      if None.
    name_pattern: harness: see `emergence.tables.harness.read`.
    conflicting_scores: where a seed has two scores in one cell: `refuse`, or
      take the `first` or the `last` row.
    conflicting_labels: work directories and harness: where a file says another
      cell or seed than its path: `refuse`, or believe the `label` in the file
      or the `path`.

  Raises:
    ValueError: something in the data or the arguments is wrong, or an argument
      does not concern this kind of source.
  """
  path = epath.Path(path)
  if path.name == "records" and not (path / "records").exists():
    path = path.parent if glob_below(path, "seeds-*.parquet") else path
  of_file = {
    "scale_column": scale_column,
    "seed_column": seed_column,
    "group_columns": group_columns,
    "metric_column": metric_column,
    "items": items,
  }
  of_foreign = {"score_unit": score_unit, "lower_is_better": lower_is_better}
  of_workdir = {
    "scale_axis": "" if scale_axis == "auto" else scale_axis,
    "test_length": test_length,
  }
  of_harness = {"name_pattern": name_pattern}
  if not path.exists():
    raise ValueError(f"--records: there is no {path}")
  if _is_workdir(path):
    _refuse(of_file | of_foreign | of_harness, "a work directory")
    return workdir.read(
      path,
      scale_axis=scale_axis,
      test_length=test_length,
      metrics=score_columns,
      where=where,
      conflicting_scores=conflicting_scores,
      conflicting_labels=conflicting_labels,
    )
  if path.is_dir():
    _refuse(of_file | of_workdir, "a folder of lm-evaluation-harness results")
    return harness.read(
      path,
      metrics=score_columns,
      where=where,
      score_unit=score_unit,
      lower_is_better=lower_is_better,
      name_pattern=name_pattern,
      conflicting_scores=conflicting_scores,
      conflicting_labels=conflicting_labels,
    )
  if conflicting_labels != "refuse":
    of_harness["conflicting_labels"] = conflicting_labels
  _refuse(of_workdir | of_harness, "a single file")
  return foreign.read(
    path,
    scale_column=scale_column or "scale",
    seed_column=seed_column or "seed",
    score_columns=score_columns or ("score",),
    group_columns=group_columns,
    metric_column=metric_column,
    where=where,
    score_unit=score_unit,
    lower_is_better=lower_is_better,
    items=items,
    conflicting_scores=conflicting_scores,
  )


def _is_workdir(path: epath.Path) -> bool:
  """Whether a path is a work directory, be it one without records yet."""
  if (path / "records").is_dir():
    return True
  try:
    records.read_config(path)
  except ValueError:
    return False
  return True


def _refuse(arguments: Mapping[str, Any], source: str) -> None:
  """Raises ValueError for the first argument that is given."""
  for name, value in arguments.items():
    if value not in (None, "", (), []):
      raise ValueError(f"--{name} does not concern {source}; leave it out")
