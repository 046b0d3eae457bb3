"""Lines over scales and small multiples, in one style."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, NullFormatter, NullLocator

from emergence.plotting.style import (
  COLUMN_WIDTH,
  LETTERS_PER_INCH,
  MARKERS,
  TEXT_WIDTH,
  literal,
  ramp,
  styled,
)

MOST_COLUMNS = 6
# Inches beside the panels: the y label, its ticks and the right margin.
_MARGINS = 0.5
# With more points, the lines and dots of an SVG are one bitmap.
_MOST_VECTOR_POINTS = 20_000


class Line(NamedTuple):
  """One line over N scales in a panel; NaN values are not drawn.

  Attributes:
    name: name of the line in the legend.
    scales: the scales, [N].
    value_N: the values.
    low_N: lower ends of their intervals; None for no intervals.
    high_N: upper ends.
    fit: x and y of a smooth curve, drawn instead of a line through the values.
    monotone_N: a monotone fit, drawn dotted instead of a line through the
      values.
  """

  name: str
  scales: Sequence[float]
  value_N: npt.ArrayLike
  low_N: npt.ArrayLike | None = None
  high_N: npt.ArrayLike | None = None
  fit: tuple[np.ndarray, np.ndarray] | None = None
  monotone_N: npt.ArrayLike | None = None


@styled
def by_scale(
  panels: Mapping[str, Sequence[Line]],
  x_label: str,
  tick_names: Mapping[float, str],
  y_limits: tuple[float, float] | None = (0.0, 1.0),
) -> Figure:
  """Draws panels of lines over scales, two panels in a row.

  Args:
    panels: the lines of each panel, by its title.
    x_label: what the scale is.
    tick_names: the text of each scale, by its number.
    y_limits: y limits of all panels; None gives each panel its own.
  """
  num_rows = math.ceil(len(panels) / 2)
  figure = Figure(figsize=(COLUMN_WIDTH, 0.1 + 1.5 * num_rows))
  axes_of = figure.subplots(
    num_rows,
    2,
    sharex=True,
    sharey=y_limits is not None,
    squeeze=False,
  ).ravel()
  for axes in axes_of[len(panels) :]:
    axes.set_axis_off()
  for axes, (title, lines) in zip(axes_of, panels.items(), strict=False):
    _lines(axes, _beside(lines, is_spread(list(tick_names))))
    axes.set_title(literal(title))
    if y_limits == (0.0, 1.0):
      axes.set_ylim(-0.03, 1.03)
      axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    elif y_limits is not None:
      axes.set_ylim(*y_limits)
  for axes in axes_of[: len(panels)]:
    name_scales(axes, tick_names)
  _make_room(figure)
  for axes in axes_of[len(panels) - 2 : len(panels)]:
    axes.set_xlabel(literal(x_label))
    axes.tick_params(labelbottom=True)
  if max(len(lines) for lines in panels.values()) > 1:
    _legend(figure, *axes_of[0].get_legend_handles_labels())
  return figure


def num_columns_of(num_panels: int, is_grouped: bool) -> int:
  """Number of columns: for one row per group, or for a block of panels."""
  num_columns = min(num_panels, MOST_COLUMNS)
  if not is_grouped and num_panels > 3:
    # Two or three rows look better than one that is as wide as the page.
    num_columns = {4: 2}.get(num_panels, 3 if num_panels <= 9 else MOST_COLUMNS)
  return num_columns


def small_multiples(
  groups: Sequence[Sequence[Any]],
  draw: Callable[[Axes, Any], None],
  name: Callable[[Any], str],
  x_label: str,
  y_label: str,
  share_x: bool = True,
) -> Figure:
  """Draws one panel per cell, with shared axes; each group begins a new row.

  Args:
    groups: the cells of each group.
    draw: draws a cell in its panel.
    name: returns the title of a cell's panel.
    x_label: x label of the whole figure.
    y_label: y label of the whole figure.
    share_x: whether all panels have the same x axis.
  """
  num_columns = num_columns_of(max(map(len, groups)), len(groups) > 1)
  lines = [
    group[first : first + num_columns]
    for group in groups
    for first in range(0, len(group), num_columns)
  ]
  figure = Figure(
    figsize=(
      COLUMN_WIDTH if num_columns <= 3 else TEXT_WIDTH,
      0.6 + (1.9 if num_columns == 1 else 1.25) * len(lines),
    )
  )
  panels = figure.subplots(
    len(lines), num_columns, sharex=share_x, sharey=True, squeeze=False
  )
  for line, row in zip(lines, panels, strict=True):
    for axes, cell in itertools.zip_longest(row, line):
      if cell is None:
        axes.set_axis_off()
        continue
      draw(axes, cell)
      width = (figure.get_figwidth() - _MARGINS) / num_columns
      letters = int(width * LETTERS_PER_INCH)
      axes.set_title(panel_title(name(cell), letters), fontsize=7)
      axes.margins(x=0.04)
  figure.supxlabel(literal(x_label), fontsize=8)
  figure.supylabel(literal(y_label), fontsize=8)
  _make_room(figure)
  return figure


def panel_per_group(
  several: Sequence[Any],
  draw: Callable[[Axes, Any], None],
  x_label: str,
  y_label: str,
  share_x: bool = True,
) -> Figure:
  """Small multiples of series, each under its `group_name`."""
  return small_multiples(
    [several], draw, lambda s: s.group_name, x_label, y_label, share_x
  )


def panel_title(text: str, letters: int) -> str:
  """The title of a panel, with lines of at most `letters` characters.

  A longer name is broken after its commas, and a line that is still too long at
  its first space; then lines lose their middle.
  """
  if len(text) > letters:
    text = text.replace(", ", ",\n")
  lines = [
    line.replace(" ", "\n", 1) if len(line) > letters else line
    for line in text.split("\n")
  ]
  return literal("\n".join(lines), letters)


def seed_lines(
  axes: Axes,
  x_N: np.ndarray,
  y_SN: np.ndarray,
  colors: Sequence[Any],
  num_points: int | None = None,
) -> None:
  """Draws one line per seed; a value that is not finite is a gap.

  Args:
    axes: where to draw.
    x_N: positions, [N].
    y_SN: the values of each seed, [S, N].
    colors: one per seed.
    num_points: number of points in the whole figure, which decides whether the
      lines are a bitmap; None for the number in this panel.
  """
  # Drop columns without any value, such as the loss at step 0.
  seen_N = np.isfinite(y_SN).any(axis=0)
  x_N, y_SN = x_N[seen_N], y_SN[:, seen_N]
  lines = [np.column_stack([x_N, y_N]) for y_N in y_SN]
  collection = LineCollection(
    lines,
    colors=colors,
    linewidths=0.6,
    alpha=max(0.25, min(0.8, 20 / max(len(lines), 1))),
    rasterized=is_many(y_SN.size if num_points is None else num_points),
  )
  axes.add_collection(collection)
  # A line of a single point cannot be seen.
  alone_S = np.isfinite(y_SN).sum(axis=1) == 1
  for s in np.flatnonzero(alone_S).tolist():
    n = int(np.isfinite(y_SN[s]).argmax())
    axes.plot(
      x_N[n], y_SN[s, n], ".", color=colors[s], markersize=4, clip_on=False
    )
  axes.autoscale_view()


def interval_bars(
  value_N: npt.ArrayLike, low_N: npt.ArrayLike, high_N: npt.ArrayLike
) -> np.ndarray:
  """Lengths of error bars below and above values, [2, N].

  An end that is NaN or infinite has no bar.
  """
  bars_2N = np.array(
    [np.subtract(value_N, low_N), np.subtract(high_N, value_N)], float
  )
  return np.where(np.isfinite(bars_2N), np.maximum(bars_2N, 0), 0)


def is_many(num_points: int) -> bool:
  """Whether a figure of `num_points` points is drawn as a bitmap."""
  return num_points > _MOST_VECTOR_POINTS


def log_axis(axes: Axes, which: str, values: np.ndarray) -> None:
  """Makes axis `x` or `y` logarithmic; without values > 0, removes ticks."""
  values = values[np.isfinite(values) & (values > 0)]
  axis = axes.xaxis if which == "x" else axes.yaxis
  if not values.size:
    axis.set_ticks([])
    return
  (axes.set_xscale if which == "x" else axes.set_yscale)("log")
  low, high = float(values.min()), float(values.max())
  if high >= 10 * low:
    axis.set_minor_formatter(NullFormatter())
    return
  # Within a decade matplotlib draws fewer than two labels.
  axis.set_minor_locator(NullLocator())
  middle = math.sqrt(low * high)
  axis.set_ticks(
    sorted({float(f"{v:.2g}") for v in (low, middle, high)}),
  )
  axis.set_major_formatter(FormatStrFormatter("%g"))


def explain_colors(figure: Figure, names: Mapping[str, Any]) -> Figure:
  """Adds a legend of colours above the figure."""
  handles = [
    Line2D([], [], color=color, linewidth=2) for color in names.values()
  ]
  _legend(figure, handles, [literal(name) for name in names])
  return figure


def _legend(
  figure: Figure, handles: Sequence[Any], texts: Sequence[str]
) -> None:
  """Adds a legend above the figure and makes the figure higher by its lines."""
  letters = max(map(len, texts))
  room = figure.get_figwidth() * LETTERS_PER_INCH * 0.8
  num_columns = max(1, min(4, int(room // (6 + letters))))
  figure.legend(
    handles,
    texts,
    loc="outside upper right",
    ncols=num_columns,
    handlelength=1.2,
    borderpad=0,
  )
  lines = math.ceil(len(texts) / num_columns)
  figure.set_figheight(figure.get_figheight() + 0.14 * (lines - 1))


def label_ticks(
  axes: Axes, places: Sequence[float], names: Sequence[str]
) -> None:
  """Sets ticks of the x axis; their names are turned if they would overlap.

  Args:
    axes: a panel of a figure whose columns are equally wide.
    places: positions of the ticks.
    names: names of the ticks; cut to 12 letters, or to 20 if turned.
  """
  texts = [literal(name, 12) for name in names]
  axes.set_xticks(places, texts)
  figure, spec = axes.get_figure(root=True), axes.get_subplotspec()
  assert figure
  assert spec
  columns = spec.get_gridspec().ncols
  width = figure.get_figwidth() / columns
  # A letter more for the gap; a fifth of the width is labels and margins.
  room = 0.8 * width * LETTERS_PER_INCH / (1 + max(map(len, texts)))
  if len(texts) > room:
    axes.set_xticks(
      places,
      [literal(name, 20) for name in names],
      # Slanted names reach over the panel to the left.
      rotation=90 if columns > 2 else 45,
      ha="right",
      va="center" if columns > 2 else "top",
      rotation_mode="anchor",
    )


def _make_room(figure: Figure) -> None:
  """Makes a figure higher to fit the names of ticks, if these are turned."""
  letters = [
    len(label.get_text())
    for axes in figure.axes
    for label in axes.get_xticklabels()
    if label.get_rotation()
  ]
  if letters:
    height = max(letters) / LETTERS_PER_INCH
    figure.set_figheight(figure.get_figheight() + height)


def name_scales(axes: Axes, tick_names: Mapping[float, str]) -> None:
  """Sets at most eight ticks at scales; widely spread scales get a log axis."""
  scales = sorted(tick_names)
  place = float
  if is_spread(scales):
    axes.set_xscale("log", base=2)
    place = math.log2
  # The last scale, then downwards each that is far enough from the one above.
  least = (place(scales[-1]) - place(scales[0])) / 7
  shown = [scales[-1]]
  for scale in reversed(scales[:-1]):
    if place(shown[-1]) - place(scale) >= 0.99 * least:
      shown.append(scale)
  label_ticks(axes, shown, [tick_names[scale] for scale in shown])
  axes.minorticks_off()
  axes.margins(x=0.1)


def is_spread(scales: Sequence[float]) -> bool:
  """Whether scales are so widely spread that their axis is logarithmic."""
  # Outside of these limits the margins of a log axis overflow.
  return min(scales) > 1e-99 and 8 * min(scales) <= max(scales) < 1e99


def _beside(lines: Sequence[Line], is_log: bool) -> Iterator[Line]:
  """Moves lines sideways a little, so that equal values are side by side."""
  scales = sorted({x for line in lines for x in line.scales})
  for i, line in enumerate(lines):
    part = (i - (len(lines) - 1) / 2) * min(0.012, 0.04 / len(lines))
    if is_log:
      moved = [x * (scales[-1] / scales[0]) ** part for x in line.scales]
    else:
      moved = [x + part * (scales[-1] - scales[0]) for x in line.scales]
    yield line._replace(scales=moved)


def _lines(axes: Axes, lines: Iterable[Line]) -> None:
  lines = list(lines)
  for i, (line, color) in enumerate(zip(lines, ramp(len(lines)), strict=True)):
    y_N = np.asarray(line.value_N, float)
    style: dict[str, Any] = {
      "color": color,
      "marker": MARKERS[i % len(MARKERS)],
      "label": literal(line.name),
      "clip_on": False,
    }
    thin = {"color": color, "linewidth": 0.7, "alpha": 0.7, "zorder": 1}
    if line.fit is not None:
      axes.plot(*line.fit, **thin)
    if line.monotone_N is not None:
      axes.plot(line.scales, line.monotone_N, ":", **thin)
    if line.fit is not None or line.monotone_N is not None:
      style["linestyle"] = "none"
    if line.low_N is None or line.high_N is None:
      axes.plot(line.scales, y_N, **style)
      continue
    bars = interval_bars(y_N, line.low_N, line.high_N)
    axes.errorbar(line.scales, y_N, bars, capsize=2, elinewidth=0.8, **style)
