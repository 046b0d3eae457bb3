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
  if found is None or math.isnan(found.difference) or found.num_scales < 3:
    return
  known = {
    "mode": found.mode,
    "mean": found.mean,
    "success probability": found.success_probability,
    "mean of successes": found.mean_given_success,
  }
  # Of two scales the largest step is the whole range.
  few = {"mean of successes"} if found.num_scales_given_success < 3 else set()
  parts = [
    f"{name} {value:.2f}"
    for name, value in known.items()
    if not math.isnan(value) and name not in few
  ]
  interval = words.interval(found.difference_low, found.difference_high)
  if interval:
    interval = f", in resamples{interval}, a range that covers less than 95 %"
  yield finding(
    "abruptness",
    series,
    f"largest step as a share of the range over scales: {', '.join(parts)};"
    f" mode less success probability {words.signed(found.difference)}"
    f"{interval}. For"
    " two clusters a jump of the mode is arithmetic where their peaks are"
    " equal, near P = ½, and no evidence of an abrupt change",
    **found._asdict(),
  )


QUESTION = Question(
  "abruptness", "What jumps", compute, entry=entry, findings=findings
)
