"""How the share of runs that succeed changes over scale."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from emergence.analysis import words
from emergence.analysis.question import (
  Finding,
  Question,
  finding,
  interval_columns,
)
from emergence.analysis.series import Series
from emergence.statistics import success
from emergence.statistics.success import MeanGivenSuccess, SuccessAndDivergence


class Successes(NamedTuple):
  """Of one scale: its success probability and the mean of its successes."""

  success: SuccessAndDivergence
  given: MeanGivenSuccess


def compute(several: Sequence[Series]) -> list[list[Successes] | None]:
  """For each scale; None where the metric has no threshold."""
  return [
    None
    if (threshold := series.flipped_threshold) is None
    else [
      Successes(
        success.success_and_divergence(sample, threshold),
        success.mean_given_success(sample, threshold),
      )
      for sample in series.better_samples
    ]
    for series in several
  ]


def values(series: Series) -> Iterator[dict[str, Any]]:
  found = series.answers["success"]
  for i, boot in enumerate(series.answers["summaries"]):
    if found is None:
      yield dict.fromkeys(COLUMNS) | {
        "mean_given_success_reason": "no threshold for this metric"
      }
      continue
    given = found[i].given
    failing = found[i].success.diverged_fail
    left_out = found[i].success.diverged_left_out
    yield {
      "success_threshold": series.threshold,
      "success_probability": failing.probability,
      "success_low": failing.low,
      "success_high": failing.high,
      "success_probability_finite": left_out and left_out.probability,
      **interval_columns(
        "mean_given_success", boot.mean_given_success, series.sign
      ),
      "mean_given_success_reason": given.reason,
    }


def findings(series: Series) -> Iterator[Finding]:
  """The largest change of the success probability, and each fall of it."""
  if series.answers["success"] is None:
    return
  found = [x.success.diverged_fail for x in series.answers["success"]]
  what = f"the share of seeds at {series.threshold_name}"
  scales = series.populations
  if len(found) == 1:
    yield finding(
      "success",
      series,
      f"at {series.scale_name(scales[0])} {what} is"
      f" {words.with_interval(found[0])}. With one scale nothing can be said"
      " about change over scale",
      **found[0]._asdict(),
    )
    return
  # Rounded, so that of equal steps the first is the largest.
  steps = np.round(np.diff([x.probability for x in found]), 12)
  i = int(np.abs(steps).argmax())
  if not steps[i]:
    fewest = min(found, key=lambda x: x.num_runs)
    text = f"{what} is {words.with_interval(fewest)} at every {series.axis}"
    if len({x.num_runs for x in found}) > 1:
      text += f", the interval that of the fewest seeds, {fewest.num_runs}"
    yield finding(
      "success",
      series,
      text,
      probability=fewest.probability,
      low=fewest.low,
      high=fewest.high,
    )
    return
  text = (
    f"between {series.scale_name(scales[i])} and {scales[i + 1].name} {what}"
    f" goes from {words.with_interval(found[i])} to"
    f" {words.with_interval(found[i + 1])}"
  )
  if len(steps) > 1:
    text += f", the largest of {len(steps)} steps, and picked for that"
  yield finding(
    "success",
    series,
    text,
    scale_from=scales[i].scale,
    scale_to=scales[i + 1].scale,
    probability_from=found[i].probability,
    probability_to=found[i + 1].probability,
    low_from=found[i].low,
    high_from=found[i].high,
    low_to=found[i + 1].low,
    high_to=found[i + 1].high,
  )
  yield from _falls(series, what)


def _falls(series: Series, what: str) -> Iterator[Finding]:
  """Neighbouring scales at which the success probability falls."""
  found = [x.success.diverged_fail for x in series.answers["success"]]
  scales = series.populations
  for k, (x, y) in enumerate(itertools.pairwise(found)):
    if y.probability >= x.probability or x.low <= y.high:
      continue
    text = (
      f"{what} falls from {words.with_interval(x)} at"
      f" {series.scale_name(scales[k])} to {words.with_interval(y)} at"
      f" {scales[k + 1].name}; the intervals do not meet"
    )
    if found[0].high < found[-1].low:
      text += f". From the first {series.axis} to the last it rises"
    yield finding(
      "success",
      series,
      text,
      scale_from=scales[k].scale,
      scale_to=scales[k + 1].scale,
      probability_from=x.probability,
      probability_to=y.probability,
    )


COLUMNS = {
  "success_threshold": "least score of a success; greatest if less is better",
  "success_probability": "share of runs that succeed, diverged ones failing",
  "success_low": "lower end of its 95 % Wilson interval",
  "success_high": "upper end",
  "success_probability_finite": "the same among runs that did not diverge",
  "mean_given_success": "mean of the successes, if there are at least 10",
  "mean_given_success_low": "lower end of its 95 % bootstrap interval",
  "mean_given_success_high": "upper end",
  "mean_given_success_reason": "why it is blank",
}

QUESTION = Question(
  "success",
  "How the share of successes changes",
  compute,
  columns=COLUMNS,
  values=values,
  findings=findings,
)
