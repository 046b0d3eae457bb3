"""How many runs succeed at each scale."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from emergence.analysis.question import Question, interval_columns
from emergence.analysis.series import Series
from emergence.statistics import success
from emergence.statistics.success import (
  MeanGivenSuccess,
  Success,
  SuccessAndDivergence,
)


class Successes(NamedTuple):
  """Success probability of one scale, and mean score of its successful runs."""

  success: SuccessAndDivergence
  given: MeanGivenSuccess


def compute(several: Sequence[Series]) -> list[list[Successes] | None]:
  """For each series, success probability and mean of successes at each scale.

  None for a series whose metric has no threshold.
  """
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
    answer = found and found[i]
    failing = answer and answer.success.diverged_fail
    left_out = answer and answer.success.diverged_left_out
    reason = answer.given.reason if answer else "no threshold for this metric"
    yield {
      "success_threshold": series.threshold,
      "n_successes": failing and failing.num_successes,
      "success_probability": failing and _probability(failing),
      "success_low": failing and failing.low,
      "success_high": failing and failing.high,
      "success_probability_finite": left_out and _probability(left_out),
      **interval_columns(
        "mean_given_success", answer and boot.mean_given_success, series.sign
      ),
      "mean_given_success_reason": reason,
    }


def _probability(found: Success) -> float | None:
  """The success probability; None for a single run, where it is 0 or 1."""
  return found.probability if found.num_runs > 1 else None


QUESTION = Question(
  "success",
  "How many seeds succeed?",
  compute,
  values=values,
)
