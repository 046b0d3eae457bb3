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
      "n_successes": failing.num_successes,
      "success_probability": _probability(failing),
      "success_low": failing.low,
      "success_high": failing.high,
      "success_probability_finite": left_out and _probability(left_out),
      **interval_columns(
        "mean_given_success", boot.mean_given_success, series.sign
      ),
      "mean_given_success_reason": given.reason,
    }


def _probability(found: Success) -> float | None:
  """None of a single run, whose share could be only 0 or 1."""
  return found.probability if found.num_runs > 1 else None


COLUMNS = {
  "success_threshold": "least score of a success; greatest if lower is better",
  "n_successes": "runs that succeed; diverged ones fail",
  "success_probability": "their share of all runs; empty for a single run",
  "success_low": "lower end of its 95 % interval: Wilson's from 10 runs on,"
  " Clopper and Pearson's of fewer",
  "success_high": "upper end",
  "success_probability_finite": "the same among runs that did not diverge",
  "mean_given_success": "mean of the successes, if there are at least 10",
  "mean_given_success_low": "lower end of its 95 % bootstrap interval",
  "mean_given_success_high": "upper end",
  "mean_given_success_reason": "why it is blank",
}

QUESTION = Question(
  "success",
  "How many seeds succeed?",
  compute,
  columns=COLUMNS,
  values=values,
)
