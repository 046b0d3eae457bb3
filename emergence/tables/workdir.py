"""Scores from a work directory of this project."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from etils import epath

from emergence import config as config_lib
from emergence import records, records_file
from emergence.config import Cell, Config
from emergence.identity import identity_hash
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

SCALE_AXES = ("auto", "width", "depth", "num_params")
_RECORD_METRICS = {
  metric.name: metric
  for metric in (
    Metric("exact_match", 0.0, 1.0, "share of items", True),
    Metric("token_accuracy", 0.0, 1.0, "share of answer tokens", True),
    Metric("nll_mean", 0.0, np.inf, "nats per answer token", False),
    Metric("min_token_log_prob", -np.inf, 0.0, "nats", True),
    Metric("nll_sum", 0.0, np.inf, "nats per answer", False),
    Metric("train_loss", 0.0, np.inf, "nats per token", False),
  )
}
# nll_sum is nll_mean times the tokens of an answer, and the training loss is a
# control, not a score; both are there for the asking.
_DEFAULT_METRICS = (
  "exact_match",
  "token_accuracy",
  "nll_mean",
  "min_token_log_prob",
)
_CELL = re.compile(r"width-(\d+)/depth-(\d+)")


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
  require_choice("scale_axis", scale_axis, SCALE_AXES)
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
  steps = config.train.steps
  at_end = (rows["test_length"] == length) & (rows["step"] == steps)
  rows = cast(Any, rows[at_end])
  if rows.empty:
    raise ValueError(f"{path}: no seed has a record at its last step, {steps}")
  rows, excluded = cells.select(rows, where, path)
  grid = [] if excluded else config_lib.cells(config)
  axis, groups = _choose_axis(scale_axis, rows, grid)
  frame = rows.melt(
    [*groups, axis, "seed", "diverged", "source"],
    list(metrics),
    var_name="metric",
    value_name="score",
    ignore_index=True,
  ).rename(columns={axis: "scale"})
  enumerated = config.task.name == "count"
  frame["scale_label"] = frame["scale"].astype(str)
  frame["scale"] = frame["scale"].astype(float)
  frame["score"] = frame["score"].astype(float)
  frame["item_stderr"] = np.nan
  # The task `count` tests every start; the others draw their items.
  frame["num_items"] = float(
    config.task.vocab_size - length + 1 if enumerated else config.eval.items
  )
  if axis == "num_params":
    findings = findings + _report_empty_cells(grid, rows)
  shared, meaning = _seed_meaning(config, axis)
  return audit(
    ScoreTable(
      frame,
      tuple(groups),
      axis,
      {name: _RECORD_METRICS[name] for name in metrics},
      f"test length {length}, after {steps} updates",
      meaning,
      shared,
      enumerated,
      findings + excluded,
    ),
    conflicting_scores,
    expected=_expected(grid, config.seeds.requested, axis, groups, rows),
  )


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
  for path, frame in records.read_files(workdir):
    provenance = records.read_provenance(path)
    if config is None and "config" in provenance:
      config = records_file.config_of(path, provenance)
    found = provenance.get("identity_hash")
    if config and found and found != identity_hash(config):
      raise ValueError(
        f"{path} holds seeds of another experiment (identity hash {found}, not"
        f" {identity_hash(config)}); move it away"
      )
    frame["source"] = visible(str(path.relative_to(workdir)))
    task = path.parent.parent.parent.name
    match = _CELL.fullmatch(f"{path.parent.parent.name}/{path.parent.name}")
    named = Cell(task, *map(int, match.groups())) if match else None
    is_wrong = ~frame["seed"].isin(records.seeds_of_file(path))
    if named:
      is_wrong |= (frame[list(Cell._fields)] != list(named)).any(axis=1)
    wrong.append(frame[is_wrong])
    if named and conflicting_labels == "path":
      frame = frame[frame["seed"].isin(records.seeds_of_file(path))]
      frame = frame.assign(**named._asdict())
    frames.append(frame)
  if config is None:
    raise ValueError(
      f"{workdir} has no config.json, and its records carry no config"
    )
  rows = cast(Any, pd.concat(wrong))
  rows = rows[rows["step"] == rows["step"].max()]
  rows = rows.drop_duplicates([*Cell._fields, "seed", "source"])
  return (
    pd.concat(frames, ignore_index=True),
    config,
    _label_findings(rows, conflicting_labels),
  )


def _label_findings(rows: "pd.DataFrame", rule: str) -> list[Finding]:
  if rows.empty:
    return []
  first = rows.iloc[0]
  cell = Cell(first["task"], first["width"], first["depth"])
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
  shown = [*Cell._fields, "seed", "source"]
  return [
    Finding(
      "conflicting_label",
      f"{found}. {believed} (--conflicting_labels={rule}).",
      plain_rows(rows, shown),
    )
  ]


def _choose_axis(
  scale_axis: str, rows: "pd.DataFrame", grid: Sequence[Cell]
) -> tuple[str, list[str]]:
  """The scale's column and the group's."""
  found = {*zip(rows["width"], rows["depth"], strict=True)}
  found |= {(cell.width, cell.depth) for cell in grid}
  widths, depths = (set(axis) for axis in zip(*found, strict=True))
  if scale_axis == "auto":
    scale_axis = "width" if len(widths) > 1 and len(depths) == 1 else "depth"
  if scale_axis != "num_params":
    other = "depth" if scale_axis == "width" else "width"
    return scale_axis, ["task", other]
  sizes = cast(Any, rows)[[*Cell._fields, "num_params"]].drop_duplicates()
  same = sizes[sizes.duplicated(["task", "num_params"], keep=False)]
  if len(same):
    row = same.iloc[0]
    raise ValueError(
      f"--scale_axis=num_params: several cells have {row['num_params']}"
      f" parameters, one of width {row['width']} and depth {row['depth']};"
      " choose width or depth"
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
  columns = [*Cell._fields, "num_params"]
  sizes = {tuple(row[:3]): row[3] for row in rows[columns].to_numpy()}
  wanted = {}
  for cell in grid:
    if axis == "num_params" and cell not in sizes:
      continue  # Its scale is not known; `_report_empty_cells` tells of it.
    values = {**cell._asdict(), "num_params": sizes.get(cell)}
    wanted[(*(values[name] for name in groups), float(values[axis]))] = seeds
  return wanted


def _report_empty_cells(
  grid: Sequence[Cell], rows: "pd.DataFrame"
) -> list[Finding]:
  """Cells whose number of parameters is unknown, as they have no records."""
  found = {*rows[list(Cell._fields)].itertuples(index=False, name=None)}
  empty = [cell for cell in grid if cell not in found]
  sentence = f"{len(empty)} cells that the config asks for have no records."
  shown = [plain_row(cell._asdict()) for cell in empty]
  return [Finding("missing", sentence, shown)] if empty else []


def _seed_meaning(config: Config, axis: str) -> tuple[bool, str]:
  """Whether a seed index shares anything across scales, and what."""
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
