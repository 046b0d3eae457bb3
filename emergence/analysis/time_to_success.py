"""After how many training steps the seeds of each scale first succeed."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emergence.analysis import words
from emergence.analysis.question import (
  Finding,
  Question,
  Section,
  finding,
)
from emergence.analysis.series import Analysis, Population, Series
from emergence.analysis.summaries import explain_scales, scale_colors
from emergence.plotting import drawing
from emergence.plotting.style import styled
from emergence.statistics import success, time_to_success
from emergence.statistics.modality import holm
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.time_to_success import Times, TimeToSuccess

# With more scales in a panel their bands hide one another.
_MOST_BANDS = 4
# If a smaller share of seeds falls back, it may be due to noise in the scores.
_FELL_BACK = 0.1


class ScaleTimes(NamedTuple):
  """When the seeds of one scale succeed.

  Attributes:
    times: when each seed first succeeds.
    curve: the share of seeds that have not succeeded yet, by step.
    sooner: the log-rank statistic against the scale before, positive if seeds
      of this scale succeed sooner; NaN without a test.
    p: its p-value.
    p_adjusted: p after Holm's correction over the tested pairs of the series.
    num_already: runs whose first score is after step 0 and a success already,
      so that it is not known when they succeeded.
  """

  times: Times
  curve: TimeToSuccess
  sooner: float
  p: float
  p_adjusted: float
  num_already: int


def compute(several: Sequence[Series]) -> list[list[ScaleTimes] | None]:
  """For each series, when the seeds of each scale first succeed.

  None for a series without a threshold, or with a scale that has no curves.
  """
  return [_scales(series) for series in several]


def _scales(series: Series) -> list[ScaleTimes] | None:
  threshold = series.flipped_threshold
  if threshold is None:
    return None
  found, already = [], []
  for population in series.populations:
    if population.curves is None:
      return None
    steps_E, scores_SE, diverged_SE = population.curves
    times = time_to_success.first_success(
      steps_E, series.sign * scores_SE, diverged_SE, threshold
    )
    if not times.time_S.size:
      return None
    found.append(times)
    first_S = np.isfinite(scores_SE).argmax(axis=1)
    score_S = series.sign * scores_SE[np.arange(len(first_S)), first_S]
    is_late_S = steps_E[first_S] > 0
    is_success_S = success.is_success(score_S, threshold)
    already.append(int((is_late_S & is_success_S).sum()))
  tests = [(math.nan, math.nan)]
  for a, b in itertools.pairwise(found):
    is_few = min(a.time_S.size, b.time_S.size) < MIN_RUNS
    tests.append(
      (math.nan, math.nan)
      if is_few
      else time_to_success.log_rank(a, b, series.options.seed)
    )
  sooner_N, p_N = np.array(tests).T
  adjusted_N, tested_N = p_N.copy(), ~np.isnan(p_N)
  adjusted_N[tested_N] = holm(p_N[tested_N])
  return [
    ScaleTimes(
      times,
      time_to_success.time_to_success(times),
      *(float(sooner), float(p), float(adjusted)),
      num,
    )
    for times, num, sooner, p, adjusted in zip(
      found, already, sooner_N, p_N, adjusted_N, strict=True
    )
  ]


def _found(series: Series) -> list[tuple[Population, ScaleTimes]]:
  """The scales with their times; empty if not all times are known."""
  found = series.answers["time_to_success"]
  if not found or any(x.num_already for x in found):
    return []
  return list(zip(series.populations, found, strict=True))


def rows(series: Series) -> Iterator[dict[str, Any]]:
  """One row per scale."""
  for population, found in _found(series):
    succeeded = int(found.times.succeeded_S.sum())
    yield {
      "metric": series.metric.name,
      "scale": population.scale,
      "threshold": series.threshold,
      "n_seeds": found.times.time_S.size,
      "n_succeeded": succeeded,
      "n_censored": found.times.time_S.size - succeeded,
      "median_step": found.curve.median.value,
      "median_step_low": found.curve.median.low,
      "median_step_high": found.curve.median.high,
      "p_to_previous": found.p,
      "p_to_previous_adjusted": found.p_adjusted,
      "share_fell_back": found.times.num_fell_back / succeeded
      if succeeded
      else math.nan,
    }


def findings(series: Series) -> Iterator[Finding]:
  """States at which scale seeds succeed sooner or later than at the one before.

  Also states how many succeed at their first score, and at which scale many
  that have succeeded fail at their last evaluation.
  """
  found = _found(series)
  scales = series.answers["time_to_success"] or []
  if already := sum(x.num_already for x in scales):
    num = sum(int(x.times.succeeded_S.sum()) for x in scales)
    yield finding(
      "time_to_success",
      series,
      f"{already} of the {words.count(num, 'seed')} that reach"
      f" {series.threshold_name} do so at their first score in the table, so it"
      " is not known when seeds succeed",
    )
  if found:
    yield from _sooner(series, found)
    yield from _fell_back(series, found)


def _sooner(
  series: Series, found: list[tuple[Population, ScaleTimes]]
) -> Iterator[Finding]:
  """States the clearest change over scales or when half of the runs succeed."""
  steps = [
    (a, b)
    for a, b in itertools.pairwise(found)
    if b[1].p_adjusted <= series.options.alpha
  ]
  halves = [x for x in found if not math.isnan(x[1].curve.median.low)]
  if steps:
    a, b = min(steps, key=lambda step: step[1][1].p)
    middle = f"{_half(b[1])} at {b[0].name}, {_half(a[1])} at {a[0].name}"
    if _half(a[1]) == _half(b[1]):
      middle = f"{_half(b[1])} at both"
      if not math.isnan(b[1].curve.median.value):
        ends = [f"{_count(x)} at {p.name}" for p, x in (b, a)]
        middle += f"; by the last step {', '.join(ends)}"
    text = (
      f"seeds reach {series.threshold_name}"
      f" {'sooner' if b[1].sooner > 0 else 'later'} at"
      f" {series.scale_name(b[0])} than at {a[0].name}: {middle}"
    )
  elif halves:
    a = b = halves[-1]
    median, succeeded_S = b[1].curve.median.value, b[1].times.succeeded_S
    share, total, end = "half", "", f"step {median:,.9g}{_interval(b[1])}"
    if math.isnan(median):
      share, total = f"{succeeded_S.sum()}", f" {succeeded_S.size}"
      end = "the last step"
    text = (
      f"at {series.scale_name(b[0])}, {share} of the{total} seeds reach"
      f" {series.threshold_name} by {end}"
    )
  else:
    return
  yield finding(
    "time_to_success",
    series,
    text,
    scale_from=a[0].scale,
    scale_to=b[0].scale,
    median_from=a[1].curve.median._asdict(),
    median_to=b[1].curve.median._asdict(),
    p=b[1].p,
    p_adjusted=b[1].p_adjusted,
  )


def _half(found: ScaleTimes) -> str:
  median = found.curve.median.value
  if math.isnan(median):
    return _ends(found)
  return f"half by step {median:,.9g}"


def _ends(found: ScaleTimes) -> str:
  return f"{_count(found)} by the last step"


def _count(found: ScaleTimes) -> str:
  succeeded_S = found.times.succeeded_S
  return f"{succeeded_S.sum()} of {succeeded_S.size}"


def _interval(found: ScaleTimes) -> str:
  median, low, high = found.curve.median
  if math.isnan(median):
    return ""
  if math.isnan(high):
    return f" (95% interval: {low:,.9g} or later)"
  return f" ({low:,.9g}–{high:,.9g})"


def _fell_back(
  series: Series, found: list[tuple[Population, ScaleTimes]]
) -> Iterator[Finding]:
  """States where the largest share of seeds falls back, if 10 % or more do."""
  columns = [
    (int(x.times.succeeded_S.sum()), x.times.num_fell_back, population)
    for population, x in found
  ]
  several = [x for x in columns if x[0] >= MIN_RUNS]
  if not several:
    return
  succeeded, fell_back, population = max(several, key=lambda x: x[1] / x[0])
  if fell_back < _FELL_BACK * succeeded:
    return
  yield finding(
    "time_to_success",
    series,
    f"at {series.scale_name(population)}, {fell_back} of the {succeeded} seeds"
    f" that reached {series.threshold_name} fail at their last evaluation",
    scale=population.scale,
    n_fell_back=fell_back,
    n_succeeded=succeeded,
  )


def sections(analysis: Analysis) -> Iterator[Section]:
  several = [
    series
    for series in analysis.of_first_metric
    if any(x.times.succeeded_S.any() for _, x in _found(series))
  ]
  if several:
    yield Section(
      "time-to-success",
      "The share of seeds that have not reached"
      f" {several[0].threshold_name} yet, by training step.",
      "The curves are Kaplan–Meier estimates. A seed counts as successful from"
      " the first evaluation that shows a success, even if it falls back later;"
      " a seed that diverges before that never succeeds. Bands are 95 %"
      " intervals over seeds, drawn for scales with 10 runs or more if there"
      f" are at most {_MOST_BANDS} scales. time_to_success.csv has the median"
      " steps with their 95 % intervals, the tests between neighbouring scales"
      " and the share of seeds that fell back.",
      figure=draw(several),
    )


@styled
def draw(several: Sequence[Series]) -> Figure:
  """Plots the share of seeds that have not succeeded yet, by training step.

  There is one panel per group and one line per scale.

  Args:
    several: the series of one metric.
  """
  color_of = scale_colors(several)

  def panel(axes: Axes, series: Series) -> None:
    found = _found(series)
    for population, x in found:
      assert population.curves is not None
      # Start at step 0 with no success, whenever the first evaluation is.
      end = population.curves.steps_E[-1:]
      curve, color = x.curve, color_of[population.scale]
      step_T = np.concatenate([[0], curve.step_T, end])
      share_T, low_T, high_T = (
        np.concatenate([[1.0], y_T, y_T[-1:]])
        for y_T in (curve.share_T, curve.low_T, curve.high_T)
      )
      axes.plot(step_T, share_T, color=color, drawstyle="steps-post")
      if len(found) <= _MOST_BANDS:
        axes.fill_between(
          step_T,
          low_T,
          high_T,
          step="post",
          color=color,
          alpha=0.15,
          linewidth=0,
        )
    axes.set_ylim(-0.03, 1.03)

  figure = drawing.panel_per_group(
    several, panel, "training step", "share not yet successful"
  )
  return explain_scales(figure, several)


QUESTION = Question(
  "time_to_success",
  "When do seeds succeed?",
  compute,
  files={"time_to_success.csv": rows},
  findings=findings,
  sections=sections,
  unanswered="No scale is shown to have half of its seeds succeed, and no two"
  " neighbouring scales are shown to differ.",
)
