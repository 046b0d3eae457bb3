"""Scores from a work directory of this project."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from etils import epath

from emergence import config as config_lib
from emergence.config import Cell, Config, axes_of
from emergence.storage import records
from emergence.tables import parsing
from emergence.tables.audit import audit
from emergence.tables.score_table import (
  Issue,
  Metric,
  ReadOptions,
  ScoreTable,
  plain_rows,
  require_column,
)

if TYPE_CHECKING:
  import pandas as pd

_RECORD_METRICS = {
  metric.name: Metric(
    metric.name,
    metric.low,
    metric.high,
    metric.unit,
    metric.higher_is_better,
  )
  for metric in records.METRICS
}


def read(path: epath.Path, options: ReadOptions) -> ScoreTable:
  """Reads the last scores of each cell of a work directory, finished or not.

  `options.score_columns` are columns of the records; if there are none, the
  headline metric of the config comes first, then the other default metrics.
  """
  for name in options.score_columns:
    require_column(name, _RECORD_METRICS, "score_column", "records")
  frame, config = records.read(path), records.config_of(path)
  usual = [metric.name for metric in records.METRICS if metric.is_default]
  metrics = list(
    dict.fromkeys(
      options.score_columns or [config.eval.headline_metric, *usual]
    )
  )
  length = options.test_length
  if length is None:
    length = config.headline_length
  if length not in config.task.test_lengths:
    raise ValueError(
      f"--test_length: {length} was not tested; choose one of"
      f" {', '.join(map(str, config.task.test_lengths))}"
    )
  every: Any = frame[frame["test_length"] == length]
  rows, excluded = parsing.select(
    records.final_rows(every), options.where, path
  )
  cells = [] if excluded else config_lib.cells(config)
  axis, groups = _choose_axis(options.scale_axis, rows, cells)
  chosen = every.merge(rows[[*records.cell_columns(rows), "seed"]])
  curves, issues = _scores(chosen, metrics)
  ends = records.final_rows(curves).merge(_about_cells(rows, config, length))
  ends = ends.assign(
    scale=ends[axis].astype(float),
    scale_label=ends[axis].astype(str),
  )
  measured = set(ends["metric"])
  steps = {config_lib.cell_config(config, c).train.steps for c in cells}
  after = f", after {steps.pop()} steps" if len(steps) == 1 else ""
  columns = [*groups, "scale", "metric", "seed", "step", "score", "diverged"]
  return audit(
    ScoreTable(
      ends,
      tuple(groups),
      axis,
      {name: _RECORD_METRICS[name] for name in metrics if name in measured},
      condition=f"test length {length}{after}",
      seed_meaning=_seed_meaning(config, axis),
      issues=issues + excluded,
      curves=curves.assign(scale=curves[axis].astype(float))[columns],
      init_and_data=parsing.init_and_data(rows),
    ),
    expected={
      (
        *(cell.columns[name] for name in groups),
        float(cell.columns[axis]),
      ): config.seeds.requested
      for cell in cells
    },
  )


def _scores(rows: Any, metrics: Sequence[str]) -> tuple[Any, list[Issue]]:
  """Returns scores in long form, and an issue if records lack a metric."""
  cell = records.cell_columns(rows)
  long = rows.melt(
    [*cell, "seed", "step", "diverged"],
    metrics,
    var_name="metric",
    value_name="score",
  ).astype({"score": float})
  # Records that are older than a metric have it at no step, whereas a run that
  # diverges has it at step 0. Every version has recorded the loss.
  scores = long.groupby([*cell, "seed", "metric"])["score"]
  is_older = (scores.transform("count") == 0) & (long["metric"] != "train_loss")
  older = long[is_older]
  if older.empty:
    return long, []
  names = ", ".join(sorted(set(older["metric"])))
  num_runs = len(older.drop_duplicates([*cell, "seed"]))
  sentence = (
    f"{num_runs} {'run has' if num_runs == 1 else 'runs have'} no score in"
    f" {names}, because an older version of this package recorded"
    f" {'it' if num_runs == 1 else 'them'}."
  )
  shown = older.drop_duplicates([*cell, "metric"])
  issue = Issue("missing", sentence, plain_rows(shown, [*cell, "metric"]))
  return long[~is_older], [issue]


def _about_cells(rows: Any, config: Config, length: int) -> "pd.DataFrame":
  """Returns one row per cell of the records, with `source` and `num_items`."""
  found = rows[records.cell_columns(rows)].drop_duplicates()
  cells = [records.cell_of_row(row) for row in found.to_dict("records")]
  configs = [config_lib.cell_config(config, cell) for cell in cells]
  return found.assign(
    source=[f"records/{cell}" for cell in cells],
    num_items=[float(_num_items(own, length)) for own in configs],
  )


def _choose_axis(
  scale_axis: str, rows: "pd.DataFrame", cells: Sequence[Cell]
) -> tuple[str, list[str]]:
  """The scale's column and the columns of groups."""
  axes = axes_of(rows.columns)
  if scale_axis not in ("auto", *axes):
    raise ValueError(
      f"--scale_axis must be one of {', '.join(('auto', *axes))}, got"
      f" {scale_axis!r}"
    )
  if scale_axis == "auto":
    found = cast(Any, rows)[axes].drop_duplicates().to_dict("records")
    scale_axis = records.scale_axis([*found, *(cell.columns for cell in cells)])
  if isinstance(rows[scale_axis].iloc[0], str | bool | np.bool_):
    raise ValueError(f"--scale_axis: {scale_axis} is not a number")
  return scale_axis, ["task", *(axis for axis in axes if axis != scale_axis)]


def _num_items(config: Config, length: int) -> int:
  """Counts the items of an evaluation set without drawing them."""
  import jax  # Late: importing JAX is slow.

  from emergence.tasks import make_task

  task = make_task(config.task, config.eval.items)
  return len(jax.eval_shape(lambda: task.evaluation(length)).length)


def _seed_meaning(config: Config, axis: str) -> str:
  """What runs with the same seed index share at different scales, in words."""
  design = config.seeds.design
  if axis == "root_seed":
    return "Runs with the same seed index share nothing at two root seeds."
  if axis not in ("width", "depth"):
    return (
      "At two scales, runs with the same seed index share the random keys of"
      " initialization and data; what is drawn with these keys may depend on"
      f" {axis}."
    )
  if design == "fixed_data" and axis == "width":
    return (
      "At two scales, runs with the same seed index share nothing specific to"
      " that index: it selects the initialization, which differs between"
      " widths. All seeds see the same data."
    )
  if design == "fixed_init":
    return (
      "At two scales, runs with the same seed index share the data stream. All"
      " seeds of a cell start from the same initialization."
    )
  layers = (
    "the initialization of the embeddings and of the layers that both runs have"
  )
  if design == "fixed_data":
    return (
      f"At two scales, runs with the same seed index share {layers}. All seeds"
      " see the same data."
    )
  more = {
    "depth": (
      f" and, because all scales of a group have the same width, {layers}"
    ),
    "width": ", but not the initialization, because their widths differ",
  }[axis]
  return (
    f"At two scales, runs with the same seed index share the data stream{more}."
  )
