"""How many runs succeed, and how sure that is."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

# The paper calls a run successful from 20 % exact match on; a convention, so
# every output names it.
DEFAULT_THRESHOLD = 0.2

# Below this many successes their mean says more about the runs that happened
# to succeed than about the scale.
LEAST_SUCCESSES = 10


class Success(NamedTuple):
  """Success probability of a population of runs.

  Attributes:
    threshold: a run succeeds if its score is at least this.
    num_successes: runs that succeed.
    num_runs: all runs, diverged ones included.
    probability: num_successes / num_runs.
    low: lower end of the Wilson interval.
    high: upper end of the Wilson interval.
  """

  threshold: float
  num_successes: int
  num_runs: int
  probability: float
  low: float
  high: float


def is_success(
  scores_S: npt.ArrayLike, threshold: float = DEFAULT_THRESHOLD
) -> np.ndarray:
  """Which runs have score ≥ threshold, bool [S]; NaN has not.

  Args:
    scores_S: one score a run, [S].
    threshold: the least score of a success, in the unit of the scores.
  """
  # Scores are stored in single precision, in which 0.7 is below 0.7.
  return np.asarray(scores_S, float) >= threshold - 1e-6


def success_probability(
  scores_S: npt.ArrayLike,
  threshold: float = DEFAULT_THRESHOLD,
  confidence: float = 0.95,
) -> Success:
  """Share of runs with score ≥ threshold, with its Wilson score interval.

  The interval is that of Wilson (1927), "Probable inference, the law of
  succession, and statistical inference", JASA 22, without continuity
  correction.

  Args:
    scores_S: one score a run, [S]. A run without a finite score has failed.
    threshold: the least score of a success, in the unit of the scores.
    confidence: coverage of the interval, in (0, 1).

  Raises:
    ValueError: no scores.
  """
  scores_S = np.asarray(scores_S, float)
  if scores_S.ndim != 1 or not scores_S.size:
    raise ValueError(f"expected scores of shape [S], got {scores_S.shape}")
  num_successes = int(is_success(scores_S, threshold).sum())
  interval = stats.binomtest(num_successes, scores_S.size).proportion_ci(
    confidence, method="wilson"
  )
  return Success(
    threshold,
    num_successes,
    scores_S.size,
    num_successes / scores_S.size,
    float(interval.low),
    float(interval.high),
  )


class MeanGivenSuccess(NamedTuple):
  """Mean score of the runs that succeed.

  Attributes:
    value: the mean; NaN where there is a reason not to give it.
    num_successes: runs that succeed.
    reason: why there is no value, in words; empty where there is one.
  """

  value: float
  num_successes: int
  reason: str


def mean_given_success(
  scores_S: npt.ArrayLike, threshold: float = DEFAULT_THRESHOLD
) -> MeanGivenSuccess:
  """Mean score of the runs with score ≥ threshold, given 10 or more of them.

  Args:
    scores_S: one score a run, [S]. A run without a finite score has failed.
    threshold: the least score of a success, in the unit of the scores.
  """
  scores_S = np.asarray(scores_S, float)
  succeeded_S = scores_S[is_success(scores_S, threshold)]
  if succeeded_S.size < LEAST_SUCCESSES:
    return MeanGivenSuccess(
      float("nan"),
      succeeded_S.size,
      f"{succeeded_S.size} successes, fewer than {LEAST_SUCCESSES}",
    )
  return MeanGivenSuccess(float(succeeded_S.mean()), succeeded_S.size, "")
