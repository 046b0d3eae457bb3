"""The share of runs that succeed, with intervals.

Higher scores are better throughout. For a metric in which lower is better, such
as a negative log-likelihood, pass `Sample.negated()` and minus the threshold.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from emergence.statistics.options import (
  CONFIDENCE,
  DEFAULT_THRESHOLD,
  MIN_RUNS,
)
from emergence.statistics.sample import SAME_SCORE, UNIT, Sample


class Success(NamedTuple):
  """Success probability of a population of runs.

  Attributes:
    threshold: a run succeeds if its score is at least this.
    num_successes: runs that succeed.
    num_runs: all runs, diverged ones included.
    probability: num_successes / num_runs.
    low: lower end of its 95 % interval: Wilson's from 10 runs on, Clopper and
      Pearson's for fewer.
    high: upper end.
  """

  threshold: float
  num_successes: int
  num_runs: int
  probability: float
  low: float
  high: float


class SuccessAndDivergence(NamedTuple):
  """Success probability with diverged runs as failures, and without them.

  Attributes:
    diverged_fail: of all runs; every run without a finite score is a failure.
    diverged_left_out: of the runs with a finite score; None if there is none.
  """

  diverged_fail: Success
  diverged_left_out: Success | None


class MeanGivenSuccess(NamedTuple):
  """Mean score of the runs that succeed.

  Attributes:
    value: the mean, NaN where there are too few successes.
    reason: why there is no value; empty if there is one.
  """

  value: float
  reason: str


class ThresholdCurve(NamedTuple):
  """Success probability at every threshold.

  Attributes:
    threshold_T: thresholds, increasing, [T].
    probability_T: share of runs with at least that score, [T].
    low_T: lower end of the simultaneous band, [T].
    high_T: upper end of the simultaneous band, [T].
    reference: success at the threshold that the caller asked for.
  """

  threshold_T: np.ndarray
  probability_T: np.ndarray
  low_T: np.ndarray
  high_T: np.ndarray
  reference: Success


def is_nearly_normal(num_successes: int, runs_N: npt.ArrayLike) -> bool:
  """Whether p-values may be taken from the normal approximation.

  They may if at least 5 successes and 5 failures are expected at every scale
  when all scales have one success probability (Cochran 1954).

  Args:
    num_successes: total over all scales.
    runs_N: runs at each scale, [N].
  """
  runs_N = np.asarray(runs_N)
  fewer = min(num_successes, runs_N.sum() - num_successes)
  return bool(fewer * runs_N.min() >= 5 * runs_N.sum())


def is_success(scores: npt.ArrayLike, threshold: float) -> np.ndarray:
  """Whether each score is finite and at least the threshold, up to 1e-6.

  Args:
    scores: scores of any shape.
    threshold: the least score of a success, in the unit of the scores.

  Returns:
    Booleans of the shape of the scores.
  """
  scores = np.asarray(scores, float)
  return np.isfinite(scores) & (scores >= threshold - SAME_SCORE)


def success_probability(
  sample: Sample, threshold: float = DEFAULT_THRESHOLD
) -> Success:
  """Share of runs with score ≥ threshold, with its 95 % interval.

  From 10 runs on the interval is that of Wilson (1927), "Probable inference,
  the law of succession, and statistical inference", JASA 22, without continuity
  correction. It covers 95 % on average over P. For fewer runs it is the exact
  one of Clopper and Pearson (1934), "The use of confidence or fiducial limits",
  Biometrika 26, which covers at least 95 % at each P.

  Args:
    sample: the runs; diverged ones count as failures.
    threshold: the least score of a success, in the unit of the scores.
  """
  num_successes = int(is_success(sample.scores_S, threshold).sum())
  method = "wilson" if sample.size >= MIN_RUNS else "exact"
  interval = stats.binomtest(num_successes, sample.size).proportion_ci(
    CONFIDENCE, method=method
  )
  return Success(
    threshold,
    num_successes,
    sample.size,
    num_successes / sample.size,
    float(interval.low),
    float(interval.high),
  )


def success_and_divergence(
  sample: Sample, threshold: float = DEFAULT_THRESHOLD
) -> SuccessAndDivergence:
  """Success probability with diverged runs as failures, and without them.

  The first is the chance that a run succeeds, the second that of a run that
  does not diverge. Arguments are those of `success_probability`.
  """
  finite = sample._replace(scores_S=sample.finite_S)
  return SuccessAndDivergence(
    success_probability(sample, threshold),
    success_probability(finite, threshold) if finite.size else None,
  )


def mean_given_success(
  sample: Sample, threshold: float = DEFAULT_THRESHOLD
) -> MeanGivenSuccess:
  """Mean score of the runs with score ≥ threshold, NaN if fewer than 10.

  Args:
    sample: the runs; diverged ones count as failures.
    threshold: the least score of a success, in the unit of the scores.
  """
  success_S = is_success(sample.scores_S, threshold)
  num_successes = int(success_S.sum())
  if num_successes < MIN_RUNS:
    reason = (
      f"{num_successes} of {sample.size} succeed; a mean of successes needs"
      f" {MIN_RUNS}"
    )
    return MeanGivenSuccess(math.nan, reason)
  return MeanGivenSuccess(float(sample.scores_S[success_S].mean()), "")


def threshold_curve(
  sample: Sample, threshold: float = DEFAULT_THRESHOLD
) -> ThresholdCurve:
  """Success probability as a function of the threshold, with its band.

  The band holds the whole curve with 95 % confidence, however the scores are
  distributed: half width sqrt(ln(2 / 0.05) / (2 S)), after Dvoretzky, Kiefer
  and Wolfowitz (1956) with the constant of Massart (1990), "The tight constant
  in the Dvoretzky–Kiefer–Wolfowitz inequality", Annals of Probability 18. For
  scores on a grid, the confidence is higher.

  Args:
    sample: the runs; diverged ones fail at every threshold.
    threshold: threshold of `reference`, in the unit of the scores.

  Returns:
    The curve at 101 evenly spaced thresholds: over [0, 1] if that is the
    support, else over the range of the scores and `threshold`.
  """
  finite_S = np.sort(sample.finite_S)
  threshold_T = np.linspace(0, 1, 101)
  if sample.support != UNIT:
    ends = finite_S[[0, -1]] if finite_S.size else UNIT
    low, high = min(threshold, ends[0]), max(threshold, ends[1])
    threshold_T = np.linspace(low, max(high, low + SAME_SCORE), 101)
  below_T = np.searchsorted(finite_S, threshold_T - SAME_SCORE)
  probability_T = (finite_S.size - below_T) / sample.size
  half = math.sqrt(math.log(2 / (1 - CONFIDENCE)) / (2 * sample.size))
  return ThresholdCurve(
    threshold_T,
    probability_T,
    np.maximum(probability_T - half, 0),
    np.minimum(probability_T + half, 1),
    success_probability(sample, threshold),
  )
