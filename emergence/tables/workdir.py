"""Scores from a work directory of this project."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from etils import epath

from emergence import config as config_lib
from emergence.config import Cell, Config, axes_of, cell_hash, identity_hash
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
  visible,
)

if TYPE_CHECKING:
  import pandas as pd

  from emergence.tasks import Task

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
  """Reads a work directory, finished or not, after the last step.

  The score columns of the options are columns of the records; without any, the
  headline metric of the config comes first, then the usual ones.
  """
  for name in options.score_columns:
    require_column(name, _RECORD_METRICS, "score_column", "records")
  rows, config = _read_records(path)
  usual = [metric.name for metric in records.METRICS if metric.is_default]
  metrics = tuple(
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
  every = rows[rows["test_length"] == length]
  rows = _at_the_end(rows, config, length)
  if rows.empty:
    raise ValueError(f"{path}: no seed has a record at its last step")
  rows, excluded = parsing.select(rows, options.where, path)
  cells = [] if excluded else config_lib.cells(config)
  axis, groups = _choose_axis(options.scale_axis, rows, cells)
  frame = rows.melt(
    [*groups, axis, "seed", "diverged", "source", "lacking", "num_items"],
    list(metrics),
    var_name="metric",
    value_name="score",
    ignore_index=True,
  ).rename(columns={axis: "scale"})
  # Not measured, which is not the same as a score that is not finite.
  is_lacking = np.array(
    [
      metric in lacking
      for metric, lacking in zip(frame["metric"], frame["lacking"], strict=True)
    ]
  )
  issues = _lacking_issues(rows, metrics)
  frame = cast(Any, frame)[~is_lacking].reset_index(drop=True)
  frame["scale_label"] = frame["scale"].astype(str)
  frame["scale"] = frame["scale"].astype(float)
  frame["score"] = frame["score"].astype(float)
  frame["item_stderr"] = np.nan
  if axis == "num_params":
    issues += _empty_cell_issues(cells, rows)
  steps = {config_lib.cell_config(config, c).train.steps for c in cells}
  after = f", after {steps.pop()} steps" if len(steps) == 1 else ""
  measured = set(frame["metric"])
  return audit(
    ScoreTable(
      frame,
      tuple(groups),
      axis,
      {name: _RECORD_METRICS[name] for name in metrics if name in measured},
      condition=f"test length {length}{after}",
      seed_meaning=_seed_meaning(config, axis),
      items_enumerated=_task(config).is_enumerated,
      issues=issues + excluded,
      curves=_curves(
        cast(Any, every).merge(_runs(rows)),
        [*groups, axis],
        [name for name in metrics if name in measured],
        options.conflicting_scores,
      ).rename(columns={axis: "scale"}),
      init_and_data=parsing.init_and_data(rows),
    ),
    options.conflicting_scores,
    expected=_expected(cells, config.seeds.requested, axis, groups, rows),
  )


def _runs(rows: "pd.DataFrame") -> Any:
  """The columns that name a run, one row per run."""
  names = [*records.cell_columns(rows), "seed", "source"]
  return cast(Any, rows)[names].drop_duplicates()


def _curves(
  rows: "pd.DataFrame",
  cell_columns: Sequence[str],
  metrics: Sequence[str],
  conflicting_scores: str,
) -> "pd.DataFrame":
  """Scores at all steps, as in `ScoreTable.curves`.

  Args:
    rows: those of all steps.
    cell_columns: those of the group and, last, of the scale.
    metrics: the columns of scores.
    conflicting_scores: as in the options.
  """
  curves: Any = rows.melt(
    [*cell_columns, "seed", "step", "diverged"],
    metrics,
    var_name="metric",
    value_name="score",
  ).astype({cell_columns[-1]: float, "score": float})
  key = [*cell_columns, "metric", "seed", "step"]
  keep = "last" if conflicting_scores == "last" else "first"
  return curves.drop_duplicates(key, keep=keep)[[*key, "score", "diverged"]]


def _lacking_issues(
  rows: "pd.DataFrame", metrics: Sequence[str]
) -> list[Issue]:
  """Tells of records files that are older than a metric."""
  files = rows.drop_duplicates("source")
  columns = [*records.cell_columns(rows), "source"]
  shown = [
    row | {"metric": metric}
    for row, lacking in zip(
      plain_rows(files, columns), files["lacking"], strict=True
    )
    for metric in metrics
    if metric in lacking
  ]
  if not shown:
    return []
  sentence = (
    f"{len({row['source'] for row in shown})} files of records were written"
    f" before {', '.join(sorted({row['metric'] for row in shown}))} was"
    " recorded, and have no such scores."
  )
  return [Issue("missing", sentence, shown)]


def _task(config: Config) -> "Task":
  from emergence.tasks import make_task  # Only here, as JAX takes seconds.

  return make_task(config.task, config.eval.items)


def _at_the_end(
  rows: "pd.DataFrame", config: Config, length: int
) -> "pd.DataFrame":
  """Rows of one test length at the last step, with a column `num_items`."""
  names = ["task", *config.grid.axis_names]
  last, items = [], []
  known: dict[tuple, tuple[int, int]] = {}
  for task, *values in rows[names].itertuples(index=False, name=None):
    axes = tuple(zip(config.grid.axis_names, values, strict=True))
    if axes not in known:
      own = config_lib.cell_config(config, Cell(task, axes))
      evaluation = _task(own).evaluation(length)
      known[axes] = own.train.steps, len(evaluation.length)
    steps, num_items = known[axes]
    last.append(steps)
    items.append(num_items)
  rows = rows.assign(num_items=np.array(items, float))
  is_last = rows["step"].to_numpy() == np.array(last)
  return cast(Any, rows[(rows["test_length"] == length) & is_last])


def _read_records(workdir: epath.Path) -> tuple["pd.DataFrame", Config]:
  """All rows with their `source`, and the config."""
  import pandas as pd

  config = None
  if (workdir / "config.json").exists():
    config = records.read_config(workdir)
  frames = []
  for path in records.require_files(workdir):
    file = records.read_file(path)
    config = config or records.config_of(path, file.provenance)
    frame = records.to_frame(file.table)
    _require_same_cell(path, frame, file.provenance, config)
    _require_place(workdir, path, frame)
    frame["source"] = visible(str(path.relative_to(workdir)))
    frame["lacking"] = [file.lacking] * len(frame)
    frames.append(frame)
  assert config is not None  # As `require_files` found some.
  return pd.concat(frames, ignore_index=True), config


def _require_place(
  workdir: epath.Path, path: epath.Path, frame: "pd.DataFrame"
) -> None:
  """Raises ValueError where a file's path names another cell or seeds."""
  is_named: Any = frame["seed"].isin(records.seeds_of_file(path))
  named = records.cell_of_file(workdir, path).columns
  for column, value in named.items():
    is_named &= frame[column] == value if column in frame else False
  if not is_named.all():
    row = cast(Any, frame)[~is_named].iloc[0]
    raise ValueError(
      f"{path} holds seed {row['seed']} of {records.cell_of_row(row)}, which"
      " its path does not name; move it to where it belongs"
    )


def _require_same_cell(
  path: epath.Path, frame: "pd.DataFrame", provenance: dict, config: Config
) -> None:
  """Raises ValueError where a file's rows are not of this experiment."""
  cell = records.cell_of_row(cast(Any, frame).iloc[0])
  expected = {"identity_hash": identity_hash(config)}
  if [name for name, _ in cell.axes] == list(config.grid.axis_names):
    expected["cell_hash"] = cell_hash(config, cell)
  for key, value in expected.items():
    if provenance.get(key, value) != value:
      raise ValueError(
        f"{path} holds seeds of another experiment ({key} {provenance[key]},"
        f" not {value}); move it away"
      )


def _choose_axis(
  scale_axis: str, rows: "pd.DataFrame", cells: Sequence[Cell]
) -> tuple[str, list[str]]:
  """The scale's column and the columns of groups."""
  axes = axes_of(rows.columns)
  if scale_axis not in ("auto", "num_params", *axes):
    raise ValueError(
      f"--scale_axis must be one of {', '.join(('auto', *axes, 'num_params'))},"
      f" got {scale_axis!r}"
    )
  if scale_axis == "auto":
    found = cast(Any, rows)[axes].drop_duplicates().to_dict("records")
    scale_axis = records.scale_axis([*found, *(cell.columns for cell in cells)])
  if scale_axis != "num_params":
    if isinstance(rows[scale_axis].iloc[0], str | bool | np.bool_):
      raise ValueError(f"--scale_axis: {scale_axis} is not a number")
    return scale_axis, ["task", *(axis for axis in axes if axis != scale_axis)]
  sizes = cast(Any, rows)[["task", *axes, "num_params"]].drop_duplicates()
  same = sizes[sizes.duplicated(["task", "num_params"], keep=False)]
  if len(same):
    row = same.iloc[0]
    raise ValueError(
      f"--scale_axis=num_params: several cells have {row['num_params']}"
      f" parameters, one of {', '.join(f'{a} {row[a]}' for a in axes)}; choose"
      f" {' or '.join(axes)}"
    )
  return "num_params", ["task"]


def _expected(
  cells: Sequence[Cell],
  seeds: range,
  axis: str,
  groups: Sequence[str],
  rows: "pd.DataFrame",
) -> dict[tuple, range]:
  """The seeds that the config asks for, by (*group, scale)."""
  columns = [*records.cell_columns(rows), "num_params"]
  found = rows[columns].itertuples(index=False, name=None)
  sizes = {row[:-1]: row[-1] for row in found}
  wanted = {}
  for cell in cells:
    size = sizes.get(tuple(cell.columns.values()))
    if axis == "num_params" and size is None:
      continue  # Its scale is not known; `_empty_cell_issues` tells of it.
    values = {**cell.columns, "num_params": size}
    wanted[(*(values[name] for name in groups), float(values[axis]))] = seeds
  return wanted


def _empty_cell_issues(
  cells: Sequence[Cell], rows: "pd.DataFrame"
) -> list[Issue]:
  """Tells of cells without records, whose number of parameters is unknown."""
  names = records.cell_columns(rows)
  found = {*rows[names].itertuples(index=False, name=None)}
  empty = [c for c in cells if tuple(c.columns.values()) not in found]
  sentence = f"Cells of the config that have no records: {len(empty)}."
  shown = [dict(cell.columns) for cell in empty]
  return [Issue("missing", sentence, shown)] if empty else []


def _seed_meaning(config: Config, axis: str) -> str:
  """What runs with the same seed index share at different scales, in words."""
  design = config.seeds.design
  if axis == "root_seed":
    return "A seed index has nothing in common at two root seeds."
  if axis not in ("width", "depth", "num_params"):
    return (
      "At two scales a seed index shares the random keys of its initialization"
      f" and of its data; what is drawn with them may depend on {axis}."
    )
  if design == "fixed_data" and axis == "width":
    return (
      "A seed index has nothing in common at two scales: it stands for the"
      " initialization, and widths differ. All seeds see the same data."
    )
  if design == "fixed_init":
    return (
      "At two scales a seed index shares the data stream. All seeds of a cell"
      " start from the same initialization."
    )
  layers = (
    "the initialization of the embeddings and of the layers that both have"
  )
  if design == "fixed_data":
    where = "" if axis == "depth" else " where widths are equal"
    return (
      f"At two scales a seed index shares {layers}{where}. All seeds see the"
      " same data."
    )
  more = {
    "depth": f" and, as all scales of a group have one width, {layers}",
    "width": "; no initialization, as widths differ",
    "num_params": f" and, where widths are equal, {layers}",
  }[axis]
  return f"At two scales a seed index shares the data stream{more}."
