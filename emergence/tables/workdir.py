"""Scores from a work directory of this project."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from etils import epath

from emergence import config as config_lib
from emergence.config import Cell, Config, axes_of, cell_hash, identity_hash
from emergence.storage import records
from emergence.tables import cells
from emergence.tables.audit import audit
from emergence.tables.score_table import (
  CONFLICTING_LABELS,
  Finding,
  Metric,
  ScoreTable,
  plain_row,
  plain_rows,
  require_choice,
  require_column,
  visible,
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
# nll_sum is nll_mean times the tokens of an answer, and the training loss is a
# control, not a score; both are there for the asking.
_DEFAULT_METRICS = (
  "exact_match",
  "token_accuracy",
  "nll_mean",
  "min_token_log_prob",
)


def read(
  path: epath.PathLike,
  *,
  scale_axis: str = "auto",
  test_length: int | None = None,
  metrics: Sequence[str] = (),
  where: Sequence[str] = (),
  conflicting_scores: str = "refuse",
  conflicting_labels: str = "refuse",
) -> ScoreTable:
  """Reads a work directory, finished or not, after the last update.

  Arguments as in `tables.read`; `metrics` are columns of the records.
  """
  metrics = tuple(dict.fromkeys(metrics)) or _DEFAULT_METRICS
  for name in metrics:
    require_column(name, _RECORD_METRICS, "score_column", "records")
  rows, config, findings = _read_records(epath.Path(path), conflicting_labels)
  length = config.headline_length if test_length is None else test_length
  if length not in config.task.test_lengths:
    raise ValueError(
      f"--test_length: {length} was not tested; choose one of"
      f" {', '.join(map(str, config.task.test_lengths))}"
    )
  rows = _at_the_end(rows, config, length)
  if rows.empty:
    raise ValueError(f"{path}: no seed has a record at its last step")
  rows, excluded = cells.select(rows, where, path)
  grid = [] if excluded else config_lib.cells(config)
  axis, groups = _choose_axis(scale_axis, rows, grid)
  frame = rows.melt(
    [*groups, axis, "seed", "diverged", "source", "lacking", "num_items"],
    list(metrics),
    var_name="metric",
    value_name="score",
    ignore_index=True,
  ).rename(columns={axis: "scale"})
  # Not measured, which is not the same as a score that is not finite.
  is_there = [
    metric not in lacking
    for metric, lacking in zip(frame["metric"], frame["lacking"], strict=True)
  ]
  frame = cast(Any, frame)[is_there].reset_index(drop=True)
  missing = set(metrics) - set(frame["metric"])
  findings = findings + _report_lacking(rows, metrics)
  frame["scale_label"] = frame["scale"].astype(str)
  frame["scale"] = frame["scale"].astype(float)
  frame["score"] = frame["score"].astype(float)
  frame["item_stderr"] = np.nan
  if axis == "num_params":
    findings = findings + _report_empty_cells(grid, rows)
  shared, meaning = _seed_meaning(config, axis)
  steps = {config_lib.cell_config(config, c).train.steps for c in grid}
  after = f", after {steps.pop()} steps" if len(steps) == 1 else ""
  return audit(
    ScoreTable(
      frame,
      tuple(groups),
      axis,
      {name: _RECORD_METRICS[name] for name in metrics if name not in missing},
      f"test length {length}{after}",
      meaning,
      shared,
      _is_enumerated(config),
      findings + excluded,
    ),
    conflicting_scores,
    expected=_expected(grid, config.seeds.requested, axis, groups, rows),
  )


def _report_lacking(
  rows: "pd.DataFrame", metrics: Sequence[str]
) -> list[Finding]:
  """Cells some of whose records are older than a metric."""
  found = {
    (source, metric): row
    for source, lacking, row in zip(
      rows["source"],
      rows["lacking"],
      plain_rows(rows, [*records.cell_columns(rows), "source"]),
      strict=True,
    )
    for metric in metrics
    if metric in lacking
  }
  if not found:
    return []
  names = sorted({metric for _, metric in found})
  return [
    Finding(
      "missing",
      f"{len({source for source, _ in found})} files of records were written"
      f" before {', '.join(names)} was recorded, and have no such scores.",
      [row | {"metric": metric} for (_, metric), row in found.items()],
    )
  ]


def _is_enumerated(config: Config) -> bool:
  """Whether every item is tested: `count` does, the others draw items."""
  return config.task.name == "count"


def _at_the_end(
  rows: "pd.DataFrame", config: Config, length: int
) -> "pd.DataFrame":
  """Rows of a test length after the last step, and `num_items` tested."""
  names = ["task", *config.grid.axis_names]
  last, items = [], []
  known: dict[tuple, Config] = {}
  for task, *values in rows[names].itertuples(index=False, name=None):
    axes = tuple(zip(config.grid.axis_names, values, strict=True))
    if axes not in known:
      known[axes] = config_lib.cell_config(config, Cell(task, axes))
    own = known[axes]
    last.append(own.train.steps)
    enumerated = own.task.vocab_size - length + 1
    items.append(enumerated if _is_enumerated(own) else own.eval.items)
  rows = rows.assign(num_items=np.array(items, float))
  is_last = rows["step"].to_numpy() == np.array(last)
  return cast(Any, rows[(rows["test_length"] == length) & is_last])


def _read_records(
  workdir: epath.Path, conflicting_labels: str
) -> tuple["pd.DataFrame", Config, list[Finding]]:
  """All rows with their `source`, labels settled, and their config."""
  import pandas as pd

  require_choice("conflicting_labels", conflicting_labels, CONFLICTING_LABELS)
  config = None
  if (workdir / "config.json").exists():
    config = records.read_config(workdir)
  frames, wrong = [], []
  for path in records.require_files(workdir):
    file = records.read_file(path)
    provenance = file.provenance
    if config is None and "config" in provenance:
      config = records.config_of(path, provenance)
    frame = records.to_frame(file.table)
    if config and provenance:
      _require_same_cell(path, frame, provenance, config)
    frame["source"] = visible(str(path.relative_to(workdir)))
    frame["lacking"] = [file.lacking] * len(frame)
    try:
      named = records.cell_of_file(workdir, path)
    except ValueError:
      named = None  # It was moved; the columns tell.
    is_wrong = ~frame["seed"].isin(records.seeds_of_file(path))
    if named:
      for column, value in named.columns.items():
        is_wrong |= frame[column] != value if column in frame else True
    wrong.append(frame[is_wrong])
    if named and conflicting_labels == "path":
      frame = frame[frame["seed"].isin(records.seeds_of_file(path))]
      frame = frame.assign(**named.columns)
    frames.append(frame)
  if config is None:
    raise ValueError(
      f"{workdir} has no config.json, and its records carry no config"
    )
  rows = records.final_rows(pd.concat(wrong))
  columns = ["task", *config.grid.axis_names, "seed", "source"]
  rows = rows.drop_duplicates(columns)
  return (
    pd.concat(frames, ignore_index=True),
    config,
    _label_findings(rows[columns], conflicting_labels),
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


def _label_findings(rows: "pd.DataFrame", rule: str) -> list[Finding]:
  if rows.empty:
    return []
  first = rows.iloc[0]
  cell = records.cell_of_row(first)
  found = (
    f"{len(rows)} seeds stand in a file whose path names another cell or seed:"
    f" {first['source']} holds seed {first['seed']} of {cell}"
  )
  if rule == "refuse":
    raise ValueError(
      f"{found}; move the file to where it belongs, or say which is right with"
      " --conflicting_labels=label or path"
    )
  believed = (
    "The columns in the file count"
    if rule == "label"
    else "The cell of the path counts, and seeds that its name lacks are left"
    " out"
  )
  return [
    Finding(
      "conflicting_label",
      f"{found}. {believed} (--conflicting_labels={rule}).",
      plain_rows(rows, list(rows)),
    )
  ]


def _choose_axis(
  scale_axis: str, rows: "pd.DataFrame", grid: Sequence[Cell]
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
    scale_axis = records.scale_axis([*found, *(cell.columns for cell in grid)])
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
  grid: Sequence[Cell],
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
  for cell in grid:
    size = sizes.get(tuple(cell.columns.values()))
    if axis == "num_params" and size is None:
      continue  # Its scale is not known; `_report_empty_cells` tells of it.
    values = {**cell.columns, "num_params": size}
    wanted[(*(values[name] for name in groups), float(values[axis]))] = seeds
  return wanted


def _report_empty_cells(
  grid: Sequence[Cell], rows: "pd.DataFrame"
) -> list[Finding]:
  """Cells whose number of parameters is unknown, as they have no records."""
  names = records.cell_columns(rows)
  found = {*rows[names].itertuples(index=False, name=None)}
  empty = [c for c in grid if tuple(c.columns.values()) not in found]
  sentence = f"{len(empty)} cells that the config asks for have no records."
  shown = [plain_row(cell.columns) for cell in empty]
  return [Finding("missing", sentence, shown)] if empty else []


def _seed_meaning(config: Config, axis: str) -> tuple[bool, str]:
  """Whether a seed index shares anything across scales, and what."""
  if axis == "root_seed":
    return False, "A seed index has nothing in common at two root seeds."
  if axis not in ("width", "depth", "num_params"):
    return True, (
      "At two scales a seed index shares the random keys of its initialization"
      f" and of its data; what is drawn with them may depend on {axis}."
    )
  layers = (
    "the initialization of the embeddings and of the layers that both have"
  )
  of_depths = {
    "depth": f" and, as all scales of a group have one width, {layers}",
    "width": "; no initialization, as widths differ",
    "num_params": f" and, where widths are equal, {layers}",
  }[axis]
  match config.seeds.design:
    case "fixed_data" if axis == "width":
      return False, (
        "A seed index has nothing in common at two scales: it stands for the"
        " initialization, and widths differ. All seeds see the same data."
      )
    case "fixed_data":
      where = "" if axis == "depth" else " where widths are equal"
      return True, (
        f"At two scales a seed index shares {layers}{where}. All seeds see the"
        " same data."
      )
    case "fixed_init":
      return True, (
        "At two scales a seed index shares the data stream. All seeds of a cell"
        " start from the same initialization."
      )
    case _:
      return (
        True,
        f"At two scales a seed index shares the data stream{of_depths}.",
      )
