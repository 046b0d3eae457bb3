"""How much the success probability depends on the threshold of a success."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emergence.analysis.question import Question, Section
from emergence.analysis.series import Analysis, Series
from emergence.analysis.summaries import explain_scales, scale_colors
from emergence.plotting import drawing
from emergence.plotting.style import OTHERS, styled
from emergence.statistics import success
from emergence.statistics.success import ThresholdCurve


def compute(several: Sequence[Series]) -> list[list[ThresholdCurve]]:
  """For each series and scale, success probability at every threshold.

  The list of a series whose metric has no success threshold is empty.
  """
  return [
    []
    if (threshold := series.flipped_threshold) is None
    else [
      success.threshold_curve(sample, threshold)
      for sample in series.better_samples
    ]
    for series in several
  ]


def _nearest_to_half(found: Sequence[ThresholdCurve]) -> int:
  """The index of the scale whose success probability is nearest to 0.5."""
  return min(
    range(len(found)), key=lambda i: abs(found[i].reference.probability - 0.5)
  )


def entry(series: Series) -> dict[str, Any]:
  found: list[ThresholdCurve] = series.answers["threshold"]
  return {
    "threshold_curve": [
      {
        "scale": population.scale,
        "threshold": series.sign * curve.threshold_T,
        "probability": curve.probability_T,
        "low": curve.low_T,
        "high": curve.high_T,
      }
      for population, curve in zip(series.populations, found, strict=False)
    ]
  }


def sections(analysis: Analysis) -> Iterator[Section]:
  several = analysis.of_first_metric
  if several[0].threshold is not None:
    yield Section(
      "thresholds",
      "The share of seeds at or beyond each threshold. Where a curve is flat,"
      " the choice of the threshold does not matter; where it is steep, the"
      " result depends on this choice. The dotted line is the threshold of the"
      " other sections.",
      "The gray band belongs to the scale whose share at the dotted line is"
      " nearest to one half: with 95 % confidence it contains the whole true"
      " curve. Diverged seeds do not reach any threshold.",
      figure=draw(several),
      title=QUESTION.title,
    )


@styled
def draw(several: Sequence[Series]) -> Figure:
  """Success probability at every threshold.

  There is one panel per group and one line per scale. The gray band belongs to
  the scale whose success probability is nearest to 0.5: it holds the whole
  curve of that scale with 95 % confidence.

  Args:
    several: the series of one metric, which has a threshold.
  """
  color_of = scale_colors(several)

  def panel(axes: Axes, series: Series) -> None:
    found: list[ThresholdCurve] = series.answers["threshold"]
    split = found[_nearest_to_half(found)]
    # Curves are extended to the range of the thresholds of all scales.
    ends = [
      x.threshold_T[[0, -1]] for s in several for x in s.answers["threshold"]
    ]
    low, high = np.min(ends), np.max(ends)
    axes.fill_between(
      series.sign * split.threshold_T,
      split.low_T,
      split.high_T,
      color=OTHERS,
      linewidth=0,
    )
    for population, curve in zip(series.populations, found, strict=True):
      at_T, share_T = curve.threshold_T, curve.probability_T
      if at_T[0] > low:
        at_T, share_T = np.append(low, at_T), np.append(share_T[0], share_T)
      if at_T[-1] < high:
        at_T = np.concatenate([at_T, [at_T[-1], high]])
        share_T = np.concatenate([share_T, [0, 0]])
      axes.plot(
        series.sign * at_T,
        share_T,
        color=color_of[population.scale],
        linewidth=1,
        label=series.scale_name(population),
      )
    assert series.threshold is not None
    axes.axvline(series.threshold, color="0.35", linestyle=":", linewidth=0.8)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])

  figure = drawing.panel_per_group(
    several,
    panel,
    f"threshold of {several[0].axis_label}",
    "share of seeds that reach it",
  )
  return explain_scales(figure, several)


QUESTION = Question(
  "threshold",
  "Does the threshold of a success matter?",
  compute,
  entry=entry,
  sections=sections,
)
