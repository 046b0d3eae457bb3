"""Figures of records, in the style of `emergence.plotting.style`.

Each function takes records, as `emergence.storage.records.read` returns them,
and a test length. Except in `ridgeline`, seeds whose score at this length
reaches `DEFAULT_THRESHOLD` are drawn dark.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emergence.config import axes_of, axis_text
from emergence.plotting import drawing, ridges
from emergence.plotting.drawing import seed_lines
from emergence.plotting.ridges import Ridge
from emergence.plotting.style import FAILED, OTHERS, SUCCEEDED, styled
from emergence.statistics import success, summary
from emergence.statistics.options import DEFAULT_THRESHOLD
from emergence.storage import records

if TYPE_CHECKING:
  import pandas as pd


def ridgeline(frame: "pd.DataFrame", test_length: int) -> Figure:
  """Distribution over seeds of the final exact match, one ridge per cell.

  See `ridges.draw`.

  Args:
    frame: records, as `emergence.storage.records.read` returns them.
    test_length: the test length to show.
  """
  columns = [
    (group[0].group_name, [Ridge(c.scale_name, c.scores_S) for c in group])
    for group in _by_group(_final_cells(frame, test_length, "exact_match"))
  ]
  x_label = f"exact match at length {test_length}"
  return ridges.draw(columns, x_label, threshold=DEFAULT_THRESHOLD)


@styled
def length_curves(
  frame: "pd.DataFrame",
  test_length: int,
  max_train_length: int | None = None,
  score: str = "exact_match",
) -> Figure:
  """Final exact match by test length: a line per seed, a panel per cell.

  Args:
    frame: records, as `emergence.storage.records.read` returns them.
    test_length: seeds whose `score` reaches the threshold at this length are
      drawn dark.
    max_train_length: longest length in training, marked if given.
    score: the column that is drawn, a share.
  """
  final = records.final_rows(frame)
  final = final[final["test_length"].notna()]
  lengths = sorted(set(final["test_length"]))

  def draw(axes: Axes, cell: _FinalCell) -> None:
    curves = _curves(final, cell, "test_length", score)
    seed_lines(axes, *curves, _seed_colors(cell), len(final))
    longest = cell.columns.get("task.max_train_length", max_train_length)
    if longest is not None:
      axes.axvline(longest, color="0.35", linestyle=":", linewidth=0.8)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xticks([lengths[0], lengths[-1]])

  cells = _final_cells(frame, test_length, score)
  figure = _small_multiples(cells, draw, "test length", records.TITLES[score])
  return _explain_colors(figure, test_length)


@styled
def training_curves(
  frame: "pd.DataFrame",
  test_length: int,
  metric: str = "exact_match",
  score: str = "exact_match",
) -> Figure:
  """A metric over training steps: a line per seed, a panel per cell.

  Args:
    frame: records, as `emergence.storage.records.read` returns them.
    test_length: the test length of `metric` and `score`.
    metric: the column that is drawn. Its axis is logarithmic unless it is a
      share: `score`, exact match or token accuracy.
    score: the column, a share, whose final value at `test_length` decides which
      seeds are dark: those that reach the threshold.
  """
  rows = cast(Any, frame[frame["test_length"] == test_length])
  is_share = metric in (score, "exact_match", "token_accuracy")
  last = int(rows["step"].to_numpy().max())

  def draw(axes: Axes, cell: _FinalCell) -> None:
    seed_lines(
      axes,
      *_curves(rows, cell, "step", metric),
      _seed_colors(cell),
      len(rows),
    )
    if is_share:
      axes.set_ylim(-0.03, 1.03)
      axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    else:
      drawing.log_axis(axes, "y", rows[metric].to_numpy(float))
    axes.set_xlim(0, last)
    axes.set_xticks([0, last], ["0", _short(last)])

  name = records.TITLES[metric] + (" (nats)" if not is_share else "")
  cells = _final_cells(frame, test_length, score)
  figure = _small_multiples(cells, draw, "steps", name)
  return _explain_colors(figure, test_length)


@styled
def exact_match_against(
  frame: "pd.DataFrame",
  test_length: int,
  score: str = "exact_match",
  loss: str = "nll_mean",
) -> Figure:
  """Final exact match against the likelihood of the answer, a point per seed.

  There is one panel per cell, with the seeds of all other cells in gray. Each
  panel counts the seeds whose loss is not finite, and those with loss 0, which
  are drawn at the smallest positive loss.

  Args:
    frame: records, as `emergence.storage.records.read` returns them.
    test_length: the test length to show.
    score: the column of the score.
    loss: the column on the x axis, `nll_mean` (at the test length) or
      `train_loss`, in nats per answer token.
  """
  cells = _final_cells(frame, test_length, score)
  all_x = np.concatenate([c.rows[loss].to_numpy(float) for c in cells])
  smallest = np.min(all_x, where=all_x > 0, initial=np.inf)
  all_x = np.maximum(all_x, smallest)
  all_y = np.concatenate([cell.scores_S for cell in cells])

  def draw(axes: Axes, cell: _FinalCell) -> None:
    axes.plot(all_x, all_y, ".", color=OTHERS, markersize=2, rasterized=True)
    nll_S = cell.rows[loss].to_numpy(float)
    axes.scatter(
      np.maximum(nll_S, smallest),
      cell.scores_S,
      s=6,
      c=_seed_colors(cell),
      linewidths=0,
      alpha=0.8,
      zorder=3,
      clip_on=False,
      rasterized=drawing.is_many(8 * all_x.size),
    )
    notes = {
      "not finite": int((~np.isfinite(nll_S)).sum()),
      "at 0": int((nll_S == 0).sum()),
    }
    shown = [f"{count} {what}" for what, count in notes.items() if count]
    axes.text(0.03, 0.05, "\n".join(shown), transform=axes.transAxes)
    drawing.log_axis(axes, "x", all_x)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])

  where = "in training" if loss == "train_loss" else f"at length {test_length}"
  x_label = f"nats per answer token {where}"
  figure = _small_multiples(cells, draw, x_label, records.TITLES[score])
  return _explain_colors(figure, test_length)


class _FinalCell(NamedTuple):
  """One cell after its last step, at one test length.

  Attributes:
    columns: the columns that name it.
    axis: the axis along which cells are compared.
    others: the other axes, which name its group.
    rows: its records, one per seed.
    score: the column of the score.
  """

  columns: dict[str, Any]
  axis: str
  others: tuple[str, ...]
  rows: Any
  score: str

  @property
  def scores_S(self) -> np.ndarray:
    return self.rows[self.score].to_numpy(float)

  @property
  def group(self) -> tuple:
    return tuple(self.columns[name] for name in self.others)

  @property
  def group_name(self) -> str:
    return self._name(self.others)

  @property
  def scale_name(self) -> str:
    return self._name([self.axis])

  def _name(self, axes: Sequence[str]) -> str:
    # Panels are narrow: `weight decay 0.1` for train.weight_decay.
    short = {a: a.rpartition(".")[2].replace("_", " ") for a in axes}
    return ", ".join(f"{short[a]} {axis_text(self.columns[a])}" for a in axes)


def _final_cells(
  frame: "pd.DataFrame", test_length: int, score: str
) -> list[_FinalCell]:
  found = summary.final_cells(frame, test_length)
  rows = [columns for columns, _ in found]
  axis = records.scale_axis(rows)
  others = [name for name in axes_of(frame.columns) if name != axis]
  varying = [name for name in others if len({row[name] for row in rows}) > 1]
  names = tuple(varying or others[:1])
  cells = [
    _FinalCell(columns, axis, names, rows, score) for columns, rows in found
  ]
  return sorted(cells, key=lambda c: (c.group, c.columns[axis]))


def _by_group(cells: Sequence[_FinalCell]) -> list[list[_FinalCell]]:
  groups = itertools.groupby(cells, key=lambda cell: cell.group)
  return [list(group) for _, group in groups]


def _small_multiples(
  cells: Sequence[_FinalCell],
  draw: Callable[[Axes, _FinalCell], None],
  x_label: str,
  y_label: str,
) -> Figure:
  groups = _by_group(cells)

  def name(cell: _FinalCell) -> str:
    if len(groups) == 1:
      return cell.scale_name
    return f"{cell.group_name}, {cell.scale_name}"

  return drawing.small_multiples(groups, draw, name, x_label, y_label)


def _curves(
  rows: "pd.DataFrame", cell: _FinalCell, x: str, y: str
) -> tuple[np.ndarray, np.ndarray]:
  """Values of `x`, [N], and of `y` per seed, in the order of `cell`, [S, N]."""
  own = records.rows_of_cell(rows, cell.columns)
  table = own.pivot(index="seed", columns=x, values=y)
  table = table.reindex(cell.rows["seed"])
  return table.columns.to_numpy(float), table.to_numpy(float)


def _seed_colors(cell: _FinalCell) -> list[str]:
  succeeded_S = success.is_success(cell.scores_S, DEFAULT_THRESHOLD)
  return [SUCCEEDED if s else FAILED for s in succeeded_S]


def _explain_colors(figure: Figure, test_length: int) -> Figure:
  names = {
    f"{DEFAULT_THRESHOLD:.0%} or more at length {test_length}": SUCCEEDED,
    "less": FAILED,
  }
  return drawing.explain_colors(figure, names)


def _short(number: int) -> str:
  """50000 as 50k, but 1234 as it is."""
  return f"{number // 1000}k" if number % 1000 == 0 else str(number)
