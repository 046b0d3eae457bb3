"""How much the success probability depends on the threshold of a success."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emergence.analysis import words
from emergence.analysis.question import Finding, Question, Section, finding
from emergence.analysis.series import Analysis, Series
from emergence.analysis.summaries import explain_scales, scale_colors
from emergence.plotting import drawing
from emergence.plotting.style import OTHERS, styled
from emergence.statistics import success
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.success import ThresholdCurve


def compute(several: Sequence[Series]) -> list[list[ThresholdCurve]]:
  """Success probability over all thresholds; empty without a threshold."""
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
  """The index of the scale nearest to an even split."""
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


def findings(series: Series) -> Iterator[Finding]:
  """The thresholds that keep the success probability within its interval.

  Of few runs, or where all or none succeed: those that do not change it.
  """
  found: list[ThresholdCurve] = series.answers["threshold"]
  if not found:
    return
  i = _nearest_to_half(found)
  curve = found[i]
  share = curve.reference.probability
  if curve.reference.num_runs < MIN_RUNS or share in (0, 1):
    verb = "succeeds" if curve.reference.num_runs == 1 else "succeed"
    yield finding(
      "threshold",
      series,
      f"{curve.reference.num_successes} of"
      f" {words.count(curve.reference.num_runs, 'seed')} at"
      f" {series.scale_name(series.populations[i])} {verb} at any threshold"
      f"{_unchanged(series, i)}",
      scale=series.populations[i].scale,
    )
    return
  ends = sorted((series.sign * curve.same_from, series.sign * curve.same_to))
  low, high = words.between(*ends)
  span = f"from {low} to {high}"
  if math.isclose(ends[0], series.metric.low, abs_tol=1e-5):
    # A threshold of the least score itself gives a share of 1.
    span = f"above {series.metric.low:g} up to {high}"
  yield finding(
    "threshold",
    series,
    f"at {series.scale_name(series.populations[i])} any threshold {span} gives"
    f" a share inside the 95% interval at {series.threshold_name}"
    f"{words.interval(curve.reference.low, curve.reference.high)}",
    scale=series.populations[i].scale,
    same_from=ends[0],
    same_to=ends[1],
    probability=curve.reference.probability,
    low=curve.reference.low,
    high=curve.reference.high,
  )


def _unchanged(series: Series, i: int) -> str:
  """The thresholds between the best failure and the worst success, if any."""
  assert series.flipped_threshold is not None
  score_S = np.sort(series.better_samples[i].finite_S)
  succeeds_S = success.is_success(score_S, series.flipped_threshold)
  ends = score_S[~succeeds_S][-1:], score_S[succeeds_S][:1]
  failure, worst = ([series.sign * float(x) for x in end] for end in ends)
  if failure and worst:
    low, high = words.between(*sorted(failure + worst))
    return f" between {low} and {high}"
  is_up = series.metric.higher_is_better
  if failure and is_up:
    return f" above {words.between(failure[0], math.inf)[0]}"
  if failure:
    return f" below {words.between(-math.inf, failure[0])[1]}"
  if worst and is_up:
    return f" up to {words.between(-math.inf, worst[0])[1]}"
  return f" from {words.between(worst[0], math.inf)[0]} on" if worst else ""


def sections(analysis: Analysis) -> Iterator[Section]:
  several = analysis.of_first_metric
  if several[0].threshold is not None:
    yield Section(
      "thresholds",
      "The share of seeds at or beyond each threshold. Where a curve is flat,"
      " the choice of the threshold does not matter; where it slopes, the"
      " choice makes the result. The dotted line is the threshold of the other"
      " sections.",
      "The gray band belongs to the scale whose share at the dotted line is"
      " nearest to one half: with 95 % confidence it holds the whole curve."
      " Diverged seeds are beyond no threshold.",
      figure=draw(several),
    )


@styled
def draw(several: Sequence[Series]) -> Figure:
  """Success probability at every threshold.

  There is one panel per group and one line per scale. The band is
  that of the scale nearest to an even split, and holds its whole curve with
  95 % confidence.

  Args:
    several: the series of one metric, which has a threshold.
  """
  color_of = scale_colors(several)

  def panel(axes: Axes, series: Series) -> None:
    found: list[ThresholdCurve] = series.answers["threshold"]
    split = found[_nearest_to_half(found)]
    # From the least to the greatest threshold of all scales.
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
    "share of seeds beyond",
  )
  return explain_scales(figure, several)


QUESTION = Question(
  "threshold",
  "Does the threshold of a success matter?",
  compute,
  entry=entry,
  findings=findings,
  sections=sections,
)
