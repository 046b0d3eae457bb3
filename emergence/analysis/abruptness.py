"""What jumps most over scales: the mode, the mean or the success probability.

It has no figure of its own: that of `summaries` shows the same curves.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from emergence.analysis import words
from emergence.analysis.question import Finding, Question, finding
from emergence.analysis.series import Series
from emergence.statistics import abruptness
from emergence.statistics.abruptness import Abruptness
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.scale_curve import LEVEL

# A step of this share of the range is the whole change, unless it turns back.
_NEARLY_ALL = 0.95


def compute(several: Sequence[Series]) -> list[Abruptness | None]:
  """The largest steps of mode, mean and success probability of each series.

  None without a threshold, with one scale, or if a scale has no scores.
  """
  return [
    None
    if (threshold := series.flipped_threshold) is None
    or len(series.populations) < 2
    or not series.has_scores
    else abruptness.abruptness(
      series.better_samples, threshold, series.has_same_seeds, series.options
    )
    for series in several
  ]


def entry(series: Series) -> dict[str, Any]:
  found: Abruptness | None = series.answers["abruptness"]
  return {"abruptness": found and found._asdict()}


def findings(series: Series) -> Iterator[Finding]:
  found: Abruptness | None = series.answers["abruptness"]
  # With two scales the largest change is the whole range.
  if found is None or found.num_scales < 3 or math.isnan(found.difference):
    return
  if min(p.finite_S.size for p in series.populations) < MIN_RUNS:
    return
  # Noise too has a largest step: require a change that is significant.
  is_trend = series.answers["curve"].trend.p_adjusted < LEVEL
  p_N = series.answers["distance"].adjusted_N
  if not is_trend and not (p_N <= series.options.alpha).any():
    text = (
      f"no change over {series.axis} is shown, so a jump cannot be shown either"
    )
    yield finding("abruptness", series, text)
    return
  values = {
    "mean": [p.finite_S.mean() for p in series.populations],
    "share": [
      x.success.diverged_fail.probability for x in series.answers["success"]
    ],
    "mode": [x.peaks.mode for x in series.answers["modality"].by_scale],
  }
  parts = found.mean, found.success_probability, found.mode
  turning = [
    name
    for (name, value_N), part in zip(values.items(), parts, strict=True)
    if part >= _NEARLY_ALL and _turns_back(value_N)
  ]
  back = ""
  if turning:
    back = f"; the {words.listed(turning)} are not monotone"
    if len(turning) == 1:
      back = f"; the {turning[0]} is not monotone"
    elif len(turning) == 3:
      back = "; none of these is monotone"
  whats = (
    "of the range for the mean",
    "for the success share",
    "for the mode",
  )
  steps = [
    f"{words.percent(part)} {what} ({_largest_step(series, value_N)})"
    for what, value_N, part in zip(whats, values.values(), parts, strict=True)
  ]
  yield finding(
    "abruptness",
    series,
    f"the largest step is {words.listed(steps)}{back}",
    largest_step_of_mean=found.mean,
    largest_step_of_share=found.success_probability,
    largest_step_of_mode=found.mode,
    mode_minus_share=found.difference,
    mode_minus_share_low=found.difference_low,
    mode_minus_share_high=found.difference_high,
    p_that_mode_is_not_steeper=found.difference_p,
    threshold=series.threshold,
  )


def _largest_step(series: Series, value_N: Sequence[float]) -> str:
  """The scales of the largest step, such as `2–3`; of equal steps the first."""
  i = int(np.abs(np.diff(value_N)).round(12).argmax())
  a, b = series.populations[i : i + 2]
  return f"{a.name}–{b.name}"


def _turns_back(value_N: Sequence[float]) -> bool:
  return np.abs(np.diff(value_N)).sum() > np.ptp(value_N) / _NEARLY_ALL


QUESTION = Question(
  "abruptness",
  "Does the score jump from one scale to the next?",
  compute,
  entry=entry,
  findings=findings,
)
