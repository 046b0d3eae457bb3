"""Figures of an analysis, each of one metric and all groups."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emergence.analysis.series import Analysis, Scale, Series, sign_of
from emergence.analysis.words import (
  axis_name,
  group_name,
  label_name,
  metric_name,
  scale_name,
  threshold_name,
)
from emergence.plotting import drawing, ridges
from emergence.plotting.drawing import Line, seed_lines
from emergence.plotting.ridges import Ridge
from emergence.plotting.style import LINE, OTHERS, literal, ramp, styled

_MOST_TICKS = 12
_HIGHEST, _STRAIGHTEST = LINE, "#e69f00"


def distributions(analysis: Analysis, several: Sequence[Series]) -> Figure:
  """Ridgelines of all scales, a column a group.

  Args:
    analysis: the analysis.
    several: its series of one metric.
  """
  metric = several[0].metric
  columns = [
    (
      group_name(analysis, series),
      [
        Ridge(
          f"{scale_name(analysis, s)}\n{s.modality.label}",
          s.population.finite_S,
        )
        for s in series.scales
      ],
    )
    for series in several
  ]
  return ridges.draw(
    columns,
    _axis_name(several[0]),
    (metric.low, metric.high),
    several[0].threshold,
    metric.higher_is_better,
  )


def summaries(analysis: Analysis, several: Sequence[Series]) -> Figure:
  """Mode, mean, success probability and mean of successes, by scale.

  Bars are 95 % intervals: Wilson's for the success probability, bootstrap over
  seeds for the means; a mode has none. Without a threshold, mode, mean and
  median.

  Args:
    analysis: the analysis.
    several: its series of one metric.
  """
  metric = several[0].metric
  sign = sign_of(metric)
  panels: dict[str, list[Line]] = {}

  def add(title: str, value: Callable[[Scale], tuple[float, float, float]]):
    panels[title] = []
    for series in several:
      value_N3 = np.array([value(scale) for scale in series.scales], float)
      panels[title].append(
        Line(
          group_name(analysis, series),
          [s.population.scale for s in series.scales],
          *value_N3.T,
        )
      )

  def interval(name: str) -> Callable[[Scale], tuple[float, float, float]]:
    def value(scale: Scale) -> tuple[float, float, float]:
      found = getattr(scale.bootstrap, name)
      low, high = sorted((sign * found.low, sign * found.high))
      return sign * found.value, low, high

    return value

  def mode(scale: Scale) -> tuple[float, float, float]:
    shape = scale.modality.shape
    return (shape.mode if shape else math.nan, math.nan, math.nan)

  def probability(scale: Scale) -> tuple[float, float, float]:
    assert scale.success is not None
    found = scale.success.diverged_fail
    return found.probability, found.low, found.high

  add("mode", mode)
  add("mean", interval("mean"))
  is_share = (metric.low, metric.high) == (0.0, 1.0)
  if several[0].threshold is None:
    add("median", interval("median"))
  else:
    text = threshold_name(several[0])
    add(f"P(score {text})", probability)
    add(f"mean of seeds {text}", interval("mean_given_success"))
  names = {
    s.population.scale: label_name(s)
    for series in several
    for s in series.scales
  }
  limits = (0.0, 1.0) if is_share else None
  return drawing.by_scale(panels, axis_name(analysis), names, limits)


@styled
def survival(analysis: Analysis, several: Sequence[Series]) -> Figure:
  """Success probability at every threshold, a panel a group, a line a scale.

  The band of the scale nearest to an even split holds its whole curve with 95 %
  confidence.

  Args:
    analysis: the analysis.
    several: its series of one metric, which has a threshold.
  """
  metric = several[0].metric
  sign = sign_of(metric)

  def draw(axes: Axes, series: Series) -> None:
    found = [s.survival for s in series.scales if s.survival is not None]
    split = min(found, key=lambda f: abs(f.reference.probability - 0.5))
    axes.fill_between(
      sign * split.threshold_T,
      split.low_T,
      split.high_T,
      color=OTHERS,
      linewidth=0,
    )
    colors = ramp(len(found))
    for scale, curve, color in zip(series.scales, found, colors, strict=True):
      axes.plot(
        sign * curve.threshold_T,
        curve.probability_T,
        color=color,
        linewidth=1,
        label=literal(scale_name(analysis, scale), 16),
      )
    assert series.threshold is not None
    axes.axvline(series.threshold, color="0.35", linestyle=":", linewidth=0.8)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    if len(found) <= 8:
      axes.legend(handlelength=1, fontsize=6)

  return drawing.small_multiples(
    [list(several)],
    draw,
    lambda series: group_name(analysis, series),
    f"threshold of {_axis_name(several[0])}",
    "share of seeds beyond",
  )


@styled
def distances(analysis: Analysis, several: Sequence[Series]) -> Figure:
  """Wasserstein-2 distance to the scale before, over its null, a panel a group.

  Args:
    analysis: the analysis.
    several: its series of one metric, with distances, two scales or more.
  """

  def draw(axes: Axes, series: Series) -> None:
    found = series.distances
    assert found is not None
    where = np.arange(1, len(series.scales))
    observed = [found.w2_NN[i - 1, i] for i in where]
    null = [found.test.null_KK[i - 1, i] for i in where]
    axes.bar(where, null, width=0.8, color=OTHERS)
    axes.plot(where, observed, "o", color=LINE, clip_on=False)
    step = math.ceil(len(where) / _MOST_TICKS)
    shown = where[(len(where) - 1) % step :: step]  # With the last.
    axes.set_xticks(
      shown, [literal(label_name(series.scales[i]), 12) for i in shown]
    )
    axes.set_ylim(bottom=0)

  return drawing.small_multiples(
    [list(several)],
    draw,
    lambda series: group_name(analysis, series),
    f"{axis_name(analysis)}, compared with the one before",
    "Wasserstein-2",
  )


@styled
def trajectories(analysis: Analysis, several: Sequence[Series]) -> Figure:
  """The score of each seed over scales, a panel a group.

  The seed of the highest finite breakthroughness is dark, that of the highest
  linearity light, the mean dashed. With fewer than six scales no seed is ranked
  and none stands out.

  Args:
    analysis: the analysis.
    several: its series of one metric, with trajectories.
  """

  def draw(axes: Axes, series: Series) -> None:
    found = series.trajectories
    assert found is not None
    x_N = np.array([s.population.scale for s in series.scales])
    at = [
      {seed: i for i, seed in enumerate(s.population.seeds)}
      for s in series.scales
    ]
    y_SN = np.array(
      [
        [
          s.population.scores_S[where[seed]]
          for s, where in zip(series.scales, at, strict=True)
        ]
        for seed in series.seeds
      ]
    )
    seed_lines(axes, x_N, y_SN, [OTHERS] * len(y_SN))
    means = [
      s.population.finite_S.mean() if s.population.finite_S.size else math.nan
      for s in series.scales
    ]
    axes.plot(x_N, means, "--", color="0.35", linewidth=1)
    for rank_S, color in (
      (found.breakthroughness_rank_S, _HIGHEST),
      (found.linearity_rank_S, _STRAIGHTEST),
    ):
      for s in np.flatnonzero(rank_S == 1):
        axes.plot(x_N, y_SN[s], color=color, marker="o", markersize=2.5)
    drawing.name_scales(
      axes, {s.population.scale: label_name(s) for s in series.scales}
    )

  figure = drawing.small_multiples(
    [list(several)],
    draw,
    lambda series: group_name(analysis, series),
    axis_name(analysis),
    _axis_name(several[0]),
  )
  found = [s.trajectories for s in several if s.trajectories is not None]
  names = {
    "highest breakthroughness": (_HIGHEST, "breakthroughness_rank_S"),
    "highest linearity": (_STRAIGHTEST, "linearity_rank_S"),
  }
  shown = {
    name: color
    for name, (color, rank) in names.items()
    if any((getattr(f, rank) == 1).any() for f in found)
  }
  return drawing.explain_colors(figure, shown) if shown else figure


def _axis_name(series: Series) -> str:
  name = metric_name(series)
  unit = series.metric.unit
  return name if unit.startswith("share") or not unit else f"{name} ({unit})"
