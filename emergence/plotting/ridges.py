"""Ridgelines: one density for each distribution over seeds."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emergence.plotting.drawing import is_many, panel_title
from emergence.plotting.style import (
  COLUMN_WIDTH,
  FILL,
  LETTERS_PER_INCH,
  LINE,
  TEXT_WIDTH,
  literal,
  styled,
)
from emergence.statistics import density, success
from emergence.statistics.sample import UNIT, Sample

# Steps of the golden ratio spread points evenly and without randomness.
_GOLDEN = 0.6180339887498949


class Ridge(NamedTuple):
  """One row of a ridgeline.

  Attributes:
    name: its text on the left.
    scores_S: its scores, [S]; NaN for a diverged run, which counts only in the
      share.
    note: its text on the right, under the share beyond the threshold.
    step: spacing of the score grid, None where it is not known.
  """

  name: str
  scores_S: np.ndarray
  note: str = ""
  step: float | None = None


@styled
def draw(
  columns: Sequence[tuple[str, Sequence[Ridge]]],
  x_label: str,
  support: tuple[float, float] = UNIT,
  threshold: float | None = None,
  higher_is_better: bool = True,
  is_log: bool = False,
  most_columns: int = 4,
) -> Figure:
  """Plots distributions over seeds as ridges, one row each, from the top down.

  A ridge is a density, scaled to its own peak. The points under it are the
  seeds. The number on its right is the share of seeds beyond the threshold.

  Args:
    columns: title and ridges of each column. The title of a single column is
      not shown.
    x_label: what the scores are.
    support: the smallest and the largest possible score.
    threshold: threshold of a success; if None, shares are not shown.
    higher_is_better: if True, scores of at least the threshold are successes;
      if False, scores of at most the threshold.
    is_log: whether the scores are decimal logarithms; ticks give the numbers.
    most_columns: at most this many columns are side by side; the others begin a
      new line. More than four would leave no room for the texts at their sides.
  """
  lines = [
    columns[i : i + most_columns] for i in range(0, len(columns), most_columns)
  ]
  # In an SVG each dot is a curve of about eight points.
  as_picture = is_many(
    8 * sum(r.scores_S.size for _, ridges in columns for r in ridges)
  )
  heights = [max(len(ridges) for _, ridges in line) for line in lines]
  num_columns = max(len(line) for line in lines)
  width = COLUMN_WIDTH if num_columns == 1 else TEXT_WIDTH
  figure = Figure(figsize=(width, 0.35 + sum(0.4 + 0.5 * h for h in heights)))
  letters = int(width / num_columns * LETTERS_PER_INCH)
  panels = figure.subplots(
    *(len(lines), num_columns),
    squeeze=False,
    sharex=True,
    gridspec_kw={"height_ratios": heights},
  )
  for line, height, row in zip(lines, heights, panels, strict=True):
    for axes, column in itertools.zip_longest(row, line):
      if column is None:
        axes.set_axis_off()
        continue
      title, ridges = column
      # Names that equal those of the first column are not repeated.
      names = [ridge.name for ridge in ridges]
      if column is not line[0] and names == [r.name for r in line[0][1]]:
        ridges = [ridge._replace(name="") for ridge in ridges]
      _ridge_column(
        axes,
        ridges,
        height,
        support,
        threshold,
        higher_is_better,
        as_picture,
        letters // 2,
      )
      if len(columns) > 1:
        axes.set_title(panel_title(title, letters // 2))
  if is_log:
    panels[0, 0].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panels[0, 0].xaxis.set_major_formatter(lambda x, _: f"{10.0**x:g}")
  figure.supxlabel(literal(x_label), fontsize=8)
  return figure


def spread(num: int) -> np.ndarray:
  """Even offsets in [0, 1), [num], for points that would hide each other."""
  return (np.arange(num) * _GOLDEN) % 1.0


def _ridge_column(
  axes: Axes,
  ridges: Sequence[Ridge],
  height: int,
  support: tuple[float, float],
  threshold: float | None,
  higher_is_better: bool,
  as_picture: bool,
  letters: int,
) -> None:
  is_unit = support == UNIT
  for row, (_, scores_S, note, step) in enumerate(ridges):
    base = height - 1 - row
    if not scores_S.size:
      continue
    sample = Sample.of(scores_S, support, step=step)
    if sample.finite_S.size:
      at_G, density_G = density.density(sample)
      ridge_G = base + 0.62 * density_G / density_G.max()
      axes.fill_between(at_G, base, ridge_G, color=FILL, linewidth=0)
      axes.plot(at_G, ridge_G, color=LINE, linewidth=0.9)
    spread_S = spread(sample.finite_S.size)
    axes.plot(
      sample.finite_S,
      base - 0.06 - 0.16 * spread_S,
      "o",
      color=LINE,
      markersize=1.8,
      alpha=0.6,
      markeredgewidth=0,
      clip_on=False,
      rasterized=as_picture,
    )
    texts = [note]
    if threshold is not None:
      sign = 1 if higher_is_better else -1
      share = success.is_success(sign * scores_S, sign * threshold).mean()
      texts = [f"{share:.0%}", note]
    axes.annotate(
      "\n".join(filter(None, texts)),
      (1.04, base + 0.06),
      xycoords=("axes fraction", "data"),
      fontsize=7,
      va="center",
    )
  if threshold is not None:
    axes.axvline(threshold, color="0.35", linestyle=":", linewidth=0.8)
    text = f"{100 * threshold:.4g}%" if is_unit else f"{threshold:g}"
    axes.annotate(
      f"{'≥' if higher_is_better else '≤'} {text}",
      (1.04, height - 0.14),
      xycoords=("axes fraction", "data"),
      fontsize=7,
    )
  if is_unit:
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
  axes.set_ylim(-0.3, height - 0.1)
  axes.set_yticks(
    range(height - 1, height - 1 - len(ridges), -1),
    [literal(ridge.name, letters) for ridge in ridges],
  )
  axes.tick_params(axis="y", length=0)
  axes.spines["left"].set_visible(False)
