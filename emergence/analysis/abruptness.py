"""What jumps most over scales: the mode, the mean or the success probability.

The figure beside it is that of the summaries.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from emergence.analysis import words
from emergence.analysis.question import Finding, Question, finding
from emergence.analysis.series import Series
from emergence.statistics import abruptness
from emergence.statistics.abruptness import Abruptness
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.scale_curve import LEVEL


def compute(several: Sequence[Series]) -> list[Abruptness | None]:
  """None without a threshold, with one scale, or with one without scores."""
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
  return {
    "abruptness": found and found._asdict() | {"threshold": series.threshold}
  }


def findings(series: Series) -> Iterator[Finding]:
  found: Abruptness | None = series.answers["abruptness"]
  # With two scales the largest change is the whole range.
  if found is None or found.num_scales < 3 or math.isnan(found.difference):
    return
  if min(p.finite_S.size for p in series.populations) < MIN_RUNS:
    return
  # Noise too has a largest step.
  is_trend = series.answers["curve"].trend.p < LEVEL
  p_N = series.answers["distance"].adjusted_N
  if not is_trend and not (p_N <= series.options.alpha).any():
    return
  yield finding(
    "abruptness",
    series,
    "the largest step between neighbours makes up"
    f" {words.percent(found.mean)} of the range of the mean over all scales,"
    f" {words.percent(found.success_probability)} for the share of successes"
    f" and {words.percent(found.mode)} for the mode",
    **found._asdict(),
  )


QUESTION = Question(
  "abruptness",
  "Does the score jump from one scale to the next?",
  compute,
  entry=entry,
  findings=findings,
)
