"""Figures, each a function of records.

One style for all. A figure is as wide as a paper's column (3.5 inches), or as
its text (7 inches) where it has many panels, with type of 6 to 8 points at that
size. What differs in kind differs in lightness and not in hue alone, so that it
survives gray print and colour blindness. Seeds that succeed are dark, the
others light.
"""

import functools
import io
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
import numpy as np
from etils import epath
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from emergence.records import write_atomically
from emergence.statistics import modality, success, summary

if TYPE_CHECKING:
  import pandas as pd

_COLUMN_WIDTH, _TEXT_WIDTH = 3.5, 7.0
_FILL, _LINE = "#9ecae1", "#08519c"
_SUCCEEDED, _FAILED, _OTHERS = "#08519c", "#e69f00", "#d0d0d0"
_MARKERS = "osD^vP"
# Beyond so many points, lines and dots go into a figure's SVG as a picture.
_MOST_VECTOR_POINTS = 20_000
# Steps of the golden ratio spread points evenly, and the same way every time.
_GOLDEN = 0.6180339887498949

_STYLE: dict[Any, Any] = {
  "font.size": 8,
  "axes.titlesize": 8,
  "axes.labelsize": 8,
  "xtick.labelsize": 7,
  "ytick.labelsize": 7,
  "legend.fontsize": 7,
  "axes.linewidth": 0.6,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.titlelocation": "left",
  "xtick.major.width": 0.6,
  "ytick.major.width": 0.6,
  "xtick.major.size": 2.5,
  "ytick.major.size": 2.5,
  "lines.linewidth": 1.2,
  "lines.markersize": 4,
  "legend.frameon": False,
  "figure.constrained_layout.use": True,
  "figure.constrained_layout.wspace": 0.05,
}


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
  """Draws in the one style, whatever the user's settings are."""

  @functools.wraps(draw)
  def styled(*args, **kwargs) -> Figure:
    with matplotlib.rc_context():
      matplotlib.rcdefaults()
      matplotlib.rcParams.update(_STYLE)
      return draw(*args, **kwargs)

  return styled


@_styled
def ridgeline(
  frame: "pd.DataFrame",
  test_length: int,
  threshold: float = success.DEFAULT_THRESHOLD,
) -> Figure:
  """Distribution over seeds of the final exact match, one ridge a cell.

  Each ridge is the density of `modality.density`, scaled to its own peak; the
  points under it are the seeds, and the number beside it is the share of them
  that reach the threshold.

  Args:
    frame: records, as `emergence.records.read` returns them.
    test_length: the test length to show.
    threshold: the least score of a success.
  """
  cells = _final_cells(frame, test_length)
  columns = _by_group(cells)
  height = max(len(column) for column in columns)
  width = _COLUMN_WIDTH if len(columns) == 1 else _TEXT_WIDTH
  figure = Figure(figsize=(width, 0.75 + 0.5 * height))
  panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
  for axes, column in zip(panels, columns, strict=True):
    for row, cell in enumerate(column):
      _ridge(axes, height - 1 - row, cell.scores_S, threshold)
    axes.axvline(threshold, color="0.35", linestyle=":", linewidth=0.8)
    axes.text(1.05, height - 0.12, f"≥ {threshold:.0%}", fontsize=7)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.3, height - 0.1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    if len(columns) > 1:
      axes.set_title(column[0].group_name)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
  longest = max(columns, key=len)
  panels[0].set_yticks(
    range(height - 1, -1, -1), [cell.scale_name for cell in longest]
  )
  figure.supxlabel(
    f"exact match at length {test_length}, one point a seed", fontsize=8
  )
  return figure


@_styled
def four_panels(
  frame: "pd.DataFrame",
  test_length: int,
  threshold: float = success.DEFAULT_THRESHOLD,
) -> Figure:
  """Mode, mean, success probability and mean of successes, by scale.

  The bars of the success probability are its 95 % Wilson interval. The mean of
  successes is left out where fewer than `success.MIN_SUCCESSES` seeds
  succeed.

  Args:
    frame: records, as `emergence.records.read` returns them.
    test_length: the test length to show.
    threshold: the least score of a success.
  """
  rows = summary.summarize(frame, test_length, threshold=threshold)
  axis = summary.scale_axis(rows)
  group = "width" if axis == "depth" else "depth"
  figure = Figure(figsize=(_COLUMN_WIDTH, 3.1))
  panels = figure.subplots(2, 2, sharex=True, sharey=True).ravel()
  titles = {
    "mode": "mode",
    "mean": "mean",
    "success_probability": f"P(score ≥ {threshold:.0%})",
    "mean_given_success": f"mean of seeds ≥ {threshold:.0%}",
  }
  groups = sorted({row[group] for row in rows})
  colors = _ramp(len(groups))
  for axes, (key, title) in zip(panels, titles.items(), strict=True):
    for i, value in enumerate(groups):
      line = [row for row in rows if row[group] == value]
      x = [row[axis] for row in line]
      y = np.array([row[key] for row in line], float)  # None becomes NaN.
      style = {
        "color": colors[i],
        "marker": _MARKERS[i % len(_MARKERS)],
        "label": f"{group} {value}",
        "clip_on": False,
      }
      if key == "success_probability":
        low = y - [row["success_low"] for row in line]
        high = [row["success_high"] for row in line] - y
        axes.errorbar(x, y, [low, high], capsize=2, elinewidth=0.8, **style)
      else:
        axes.plot(x, y, **style)
    axes.set_title(title)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
  _name_scales(panels[0], sorted({row[axis] for row in rows}))
  for axes in panels[2:]:
    axes.set_xlabel(axis)
  if len(groups) > 1:
    panels[0].legend()
  return figure


@_styled
def length_curves(
  frame: "pd.DataFrame",
  test_length: int,
  threshold: float = success.DEFAULT_THRESHOLD,
  max_train_length: int | None = None,
) -> Figure:
  """Final exact match by test length, one line a seed, one panel a cell.

  Args:
    frame: records, as `emergence.records.read` returns them.
    test_length: seeds that reach the threshold here are drawn dark.
    threshold: the least score of a success.
    max_train_length: marked where given: the longest length in training.
  """
  final = frame.query("step == step.max()")
  lengths = sorted(set(final["test_length"]))

  def draw(axes: Axes, cell: _FinalCell) -> None:
    curves = _curves(final, cell, "test_length", "exact_match")
    _seed_lines(axes, *curves, cell, threshold)
    if max_train_length is not None:
      axes.axvline(max_train_length, color="0.35", linestyle=":", linewidth=0.8)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xticks([lengths[0], lengths[-1]])

  cells = _final_cells(frame, test_length)
  figure = _small_multiples(cells, draw, "test length", "exact match")
  return _explain_colors(figure, test_length, threshold)


@_styled
def training_curves(
  frame: "pd.DataFrame",
  test_length: int,
  metric: str = "exact_match",
  threshold: float = success.DEFAULT_THRESHOLD,
) -> Figure:
  """A metric over the updates, one line a seed, one panel a cell.

  Args:
    frame: records, as `emergence.records.read` returns them.
    test_length: the test length of the metric; seeds whose final exact match
      reaches the threshold here are drawn dark.
    metric: a column of the records; all but exact match and token accuracy are
      drawn on a logarithmic axis.
    threshold: the least score of a success.
  """
  rows = frame.query(f"test_length == {test_length}")
  is_share = metric in ("exact_match", "token_accuracy")
  last = int(rows["step"].to_numpy().max())

  def draw(axes: Axes, cell: _FinalCell) -> None:
    _seed_lines(axes, *_curves(rows, cell, "step", metric), cell, threshold)
    if is_share:
      axes.set_ylim(-0.03, 1.03)
      axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    else:
      axes.set_yscale("log")
    axes.set_xlim(0, last)
    axes.set_xticks([0, last], ["0", _short(last)])

  name = metric.replace("_", " ") + (" (nats)" if not is_share else "")
  cells = _final_cells(frame, test_length)
  figure = _small_multiples(cells, draw, "updates", name)
  return _explain_colors(figure, test_length, threshold)


@_styled
def exact_match_against_nll(
  frame: "pd.DataFrame",
  test_length: int,
  threshold: float = success.DEFAULT_THRESHOLD,
) -> Figure:
  """Final exact match against the likelihood of the answer, a point a seed.

  One panel a cell; the seeds of all other cells stand in gray behind. Seeds
  without a finite likelihood have diverged and are counted in the panel.

  Args:
    frame: records, as `emergence.records.read` returns them.
    test_length: the test length to show.
    threshold: the least score of a success.
  """
  cells = _final_cells(frame, test_length)
  all_x = np.concatenate([c.rows["nll_mean"].to_numpy(float) for c in cells])
  all_y = np.concatenate([cell.scores_S for cell in cells])

  def draw(axes: Axes, cell: _FinalCell) -> None:
    axes.plot(all_x, all_y, ".", color=_OTHERS, markersize=2, rasterized=True)
    nll_S = cell.rows["nll_mean"].to_numpy(float)
    axes.scatter(
      nll_S,
      cell.scores_S,
      s=6,
      c=_seed_colors(cell, threshold),
      linewidths=0,
      alpha=0.8,
      zorder=3,
      clip_on=False,
    )
    num_missing = int((~np.isfinite(nll_S)).sum())
    if num_missing:
      axes.text(0.03, 0.03, f"{num_missing} diverged", transform=axes.transAxes)
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])

  x_label = f"nats per answer token at length {test_length}"
  figure = _small_multiples(cells, draw, x_label, "exact match")
  return _explain_colors(figure, test_length, threshold)


def save(figure: Figure, path: epath.Path) -> None:
  """Writes a figure as PNG at 200 dots an inch, and as SVG beside it.

  A file that holds the same bytes already is not written again.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  for suffix in (".png", ".svg"):
    file, content = path.with_suffix(suffix), render(figure, suffix[1:])
    if not file.exists() or file.read_bytes() != content:
      write_atomically(file, content)


def render(figure: Figure, kind: str, transparent: bool = False) -> bytes:
  """A figure as `png`, at 200 dots an inch, or as `svg`.

  Without date and random names: the same records draw the same bytes.

  Args:
    figure: the figure.
    kind: `png` or `svg`.
    transparent: leave out the white paper.
  """
  buffer = io.BytesIO()
  metadata = {"Date": None} if kind == "svg" else {}
  with matplotlib.rc_context({"svg.hashsalt": "emergence"}):
    figure.savefig(
      buffer, format=kind, dpi=200, metadata=metadata, transparent=transparent
    )
  return buffer.getvalue()


class _FinalCell(NamedTuple):
  """One cell after the last update, at one test length."""

  task: str
  width: int
  depth: int
  axis: str
  rows: Any

  @property
  def scores_S(self) -> np.ndarray:
    return self.rows["exact_match"].to_numpy(float)

  @property
  def group(self) -> int:
    return self.width if self.axis == "depth" else self.depth

  @property
  def group_name(self) -> str:
    other = "width" if self.axis == "depth" else "depth"
    return f"{other} {self.group}"

  @property
  def scale_name(self) -> str:
    return f"{self.axis} {self.depth if self.axis == 'depth' else self.width}"


def _final_cells(frame: "pd.DataFrame", test_length: int) -> list[_FinalCell]:
  found = summary.final_cells(frame, test_length)
  axis = summary.scale_axis(
    [{"width": width, "depth": depth} for (_, width, depth), _ in found]
  )
  cells = [_FinalCell(*key, axis, rows) for key, rows in found]
  other = "depth" if axis == "width" else "width"
  return sorted(cells, key=lambda c: (getattr(c, other), getattr(c, axis)))


def _by_group(cells: Sequence[_FinalCell]) -> list[list[_FinalCell]]:
  groups = itertools.groupby(cells, key=lambda cell: cell.group)
  return [list(group) for _, group in groups]


def _small_multiples(
  cells: Sequence[_FinalCell],
  draw: Callable[[Axes, _FinalCell], None],
  x_label: str,
  y_label: str,
) -> Figure:
  """One panel a cell, all on the same axes; a group begins a new line."""
  groups = _by_group(cells)
  longest = max(len(group) for group in groups)
  num_columns = min(longest, 6)
  if len(groups) == 1 and longest > 3:
    # Two lines or three look better in a column than one across the text.
    num_columns = {4: 2}.get(longest, 3 if longest <= 9 else 6)
  lines = [
    group[first : first + num_columns]
    for group in groups
    for first in range(0, len(group), num_columns)
  ]
  figure = Figure(
    figsize=(
      _COLUMN_WIDTH if num_columns <= 3 else _TEXT_WIDTH,
      0.6 + (1.9 if num_columns == 1 else 1.25) * len(lines),
    )
  )
  panels = figure.subplots(
    len(lines), num_columns, sharex=True, sharey=True, squeeze=False
  )
  for line, row in zip(lines, panels, strict=True):
    for axes, cell in itertools.zip_longest(row, line):
      if cell is None:
        axes.set_axis_off()
        continue
      draw(axes, cell)
      name = cell.scale_name
      if len(groups) > 1:
        name = f"{cell.group_name}, {name}"
      axes.set_title(name, fontsize=7)
      axes.margins(x=0.04)
  figure.supxlabel(x_label, fontsize=8)
  figure.supylabel(y_label, fontsize=8)
  return figure


def _ridge(
  axes: Axes, base: float, scores_S: np.ndarray, threshold: float
) -> None:
  at_G, density_G = modality.density(scores_S)
  ridge_G = base + 0.62 * density_G / density_G.max()
  axes.fill_between(at_G, base, ridge_G, color=_FILL, linewidth=0)
  axes.plot(at_G, ridge_G, color=_LINE, linewidth=0.9)
  spread_S = (np.arange(scores_S.size) * _GOLDEN) % 1.0
  axes.plot(
    scores_S,
    base - 0.06 - 0.16 * spread_S,
    "o",
    color=_LINE,
    markersize=1.8,
    alpha=0.6,
    markeredgewidth=0,
    clip_on=False,
  )
  share = success.success_probability(scores_S, threshold).probability
  axes.text(1.05, base + 0.06, f"{share:.0%}", fontsize=7)


def _curves(
  rows: "pd.DataFrame", cell: _FinalCell, x: str, y: str
) -> tuple[np.ndarray, np.ndarray]:
  """Points [N] and, for each seed in the order of the cell, values [S, N]."""
  own = rows.query(f"width == {cell.width} and depth == {cell.depth}")
  table = own.pivot(index="seed", columns=x, values=y)
  table = table.reindex(cell.rows["seed"])
  return table.columns.to_numpy(float), table.to_numpy(float)


def _seed_lines(
  axes: Axes,
  x_N: np.ndarray,
  y_SN: np.ndarray,
  cell: _FinalCell,
  threshold: float,
) -> None:
  """One line a seed; a seed that reaches the threshold is drawn dark."""
  # A column without any value, such as the loss at step 0, has no place.
  seen_N = np.isfinite(y_SN).any(axis=0)
  x_N, y_SN = x_N[seen_N], y_SN[:, seen_N]
  lines = [np.column_stack([x_N, y_N]) for y_N in y_SN]
  collection = LineCollection(
    lines,
    colors=_seed_colors(cell, threshold),
    linewidths=0.6,
    alpha=max(0.25, min(0.8, 20 / len(lines))),
    rasterized=y_SN.size > _MOST_VECTOR_POINTS,
  )
  axes.add_collection(collection)
  if x_N.size == 1:
    axes.plot(np.broadcast_to(x_N, y_SN.shape), y_SN, ".", color=_LINE)
  axes.autoscale_view()


def _seed_colors(cell: _FinalCell, threshold: float) -> list[str]:
  succeeded_S = success.is_success(cell.scores_S, threshold)
  return [_SUCCEEDED if s else _FAILED for s in succeeded_S]


def _explain_colors(
  figure: Figure, test_length: int, threshold: float
) -> Figure:
  names = {
    f"{threshold:.0%} or more at length {test_length}": _SUCCEEDED,
    "less": _FAILED,
  }
  figure.legend(
    [Line2D([], [], color=color, linewidth=2) for color in names.values()],
    list(names),
    loc="outside upper right",
    ncols=2,
    handlelength=1.2,
    borderpad=0,
  )
  return figure


def _ramp(count: int) -> list[Any]:
  """Colours from dark to light, for what has an order."""
  if count == 1:
    return [_LINE]
  return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.85, count)))


def _name_scales(axes: Axes, scales: Sequence[int]) -> None:
  if scales[-1] >= 8 * scales[0]:
    axes.set_xscale("log", base=2)
  shown = scales if len(scales) <= 8 else scales[:: -(-len(scales) // 8)]
  axes.set_xticks(shown, [str(scale) for scale in shown])
  axes.minorticks_off()
  axes.margins(x=0.1)


def _short(number: int) -> str:
  """50000 as 50k, where nothing is lost by it."""
  return f"{number // 1000}k" if number % 1000 == 0 else str(number)
