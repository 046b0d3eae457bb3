"""How many runs succeed, and how sure that is.

Higher scores are better throughout. For a metric of which less is better, such
as a negative log-likelihood, flip the sign of scores and thresholds.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from emergence.statistics import intervals
from emergence.statistics.score_grid import SAME_SCORE

# The paper calls a run successful from 20 % exact match on; a convention, so
# every output names it.
DEFAULT_THRESHOLD = 0.2
# The mean of fewer successes says more about these runs than about the scale.
MIN_SUCCESSES = 10
# From this share of resamples without an antimode on, the output says so.
_MANY_WITHOUT = 0.05


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


class SuccessAndDivergence(NamedTuple):
  """What diverged runs do to a success probability.

  Attributes:
    diverged_fail: every run without a finite score is a failure.
    diverged_left_out: only runs with a finite score; None if there is none.
    num_diverged: runs without a finite score.
  """

  diverged_fail: Success
  diverged_left_out: Success | None
  num_diverged: int


class MeanGivenSuccess(NamedTuple):
  """Mean score of the runs that succeed.

  Attributes:
    value: the mean, NaN where there are too few successes.
    num_successes: runs that succeed.
    reason: why there is no value; empty if there is one.
    threshold: a run succeeds if its score is at least this.
  """

  value: float
  num_successes: int
  reason: str
  threshold: float


class Survival(NamedTuple):
  """Success probability at every threshold.

  Attributes:
    threshold_T: thresholds, increasing, [T].
    probability_T: share of runs with at least that score, [T].
    low_T: lower end of the simultaneous band, [T].
    high_T: upper end of the simultaneous band, [T].
    half_width: of the band, before it is cut at 0 and 1.
    reference: success at the threshold that statements are made with.
    changes_T: whether the statement would change with that threshold: the share
      of runs at it is outside of the Wilson interval of the reference, [T].
    same_from: least threshold of those next to the reference that do not
      change the statement.
    same_to: greatest of them.
    num_diverged: runs without a finite score, failures at every threshold.
  """

  threshold_T: np.ndarray
  probability_T: np.ndarray
  low_T: np.ndarray
  high_T: np.ndarray
  half_width: float
  reference: Success
  changes_T: np.ndarray
  same_from: float
  same_to: float
  num_diverged: int


class SuccessBeyondAntimode(NamedTuple):
  """Success probability without a threshold of anybody's choice.

  Attributes:
    antimode: the score between the two modes, NaN if there is none.
    antimode_low: lower end of its bootstrap interval.
    antimode_high: upper end of its bootstrap interval.
    probability: share of all runs with at least that score.
    low: lower end of its bootstrap interval.
    high: upper end of its bootstrap interval.
    num_diverged: runs without a finite score; they count as failures.
    share_without: share of resamples in which no antimode was found. They are
      no part of the intervals.
    reason: why something is missing, or to be read with care; may be empty.
  """

  antimode: float
  antimode_low: float
  antimode_high: float
  probability: float
  low: float
  high: float
  num_diverged: int
  share_without: float
  reason: str


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
  scores_S = _require_scores(scores_S)
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


def success_and_divergence(
  scores_S: npt.ArrayLike,
  threshold: float = DEFAULT_THRESHOLD,
  confidence: float = 0.95,
) -> SuccessAndDivergence:
  """Success probability with diverged runs as failures, and without them.

  The first is what a study gets that starts a run; the second is conditional
  on training having ended well. Both with their Wilson interval.

  Args:
    scores_S: one score a run, [S]; not finite where the run diverged.
    threshold: the least score of a success, in the unit of the scores.
    confidence: coverage of each interval, in (0, 1).

  Raises:
    ValueError: no scores.
  """
  scores_S = _require_scores(scores_S)
  finite_S = scores_S[np.isfinite(scores_S)]
  return SuccessAndDivergence(
    success_probability(scores_S, threshold, confidence),
    success_probability(finite_S, threshold, confidence)
    if finite_S.size
    else None,
    scores_S.size - finite_S.size,
  )


def mean_given_success(
  scores_S: npt.ArrayLike,
  threshold: float = DEFAULT_THRESHOLD,
  min_successes: int = MIN_SUCCESSES,
) -> MeanGivenSuccess:
  """Mean score of the runs with score ≥ threshold, blank if they are few.

  Args:
    scores_S: one score a run, [S]. A run without a finite score has failed.
    threshold: the least score of a success, in the unit of the scores.
    min_successes: the least number of successes that gives a value.

  Raises:
    ValueError: no scores.
  """
  scores_S = _require_scores(scores_S)
  success_S = is_success(scores_S, threshold)
  num_successes = int(success_S.sum())
  if num_successes < max(min_successes, 1):
    reason = (
      f"{num_successes} of {scores_S.size} runs reach {threshold:g}; a mean of "
      f"successes needs {max(min_successes, 1)}"
    )
    return MeanGivenSuccess(math.nan, num_successes, reason, threshold)
  value = float(scores_S[success_S].mean())
  return MeanGivenSuccess(value, num_successes, "", threshold)


def survival(
  scores_S: npt.ArrayLike,
  threshold_T: npt.ArrayLike | None = None,
  threshold: float = DEFAULT_THRESHOLD,
  confidence: float = 0.95,
) -> Survival:
  """Success probability as a function of the threshold, with its band.

  The band holds the whole curve with the stated confidence, whatever the law of
  the scores: half width sqrt(ln(2 / (1 − confidence)) / (2 S)), after
  Dvoretzky, Kiefer and Wolfowitz (1956) with the constant of Massart (1990),
  "The tight constant in the Dvoretzky–Kiefer–Wolfowitz inequality", Annals of
  Probability 18. On a grid of scores it holds more often than that.

  Args:
    scores_S: one score a run, [S]. A run without a finite score fails at every
      threshold.
    threshold_T: increasing thresholds, [T]; 0, 0.01, …, 1 where None.
    threshold: the one that statements are made with.
    confidence: coverage of the band and of the reference's interval, in (0, 1).

  Raises:
    ValueError: no scores, or thresholds that do not increase.
  """
  scores_S = _require_scores(scores_S)
  if threshold_T is None:
    threshold_T = np.linspace(0, 1, 101)
  threshold_T = np.asarray(threshold_T, float)
  if threshold_T.ndim != 1 or not (np.diff(threshold_T) > 0).all():
    raise ValueError("expected increasing thresholds of shape [T]")
  finite_S = np.sort(scores_S[np.isfinite(scores_S)])
  below_T = np.searchsorted(finite_S, threshold_T - SAME_SCORE)
  probability_T = (finite_S.size - below_T) / scores_S.size
  half = math.sqrt(math.log(2 / (1 - confidence)) / (2 * scores_S.size))
  reference = success_probability(scores_S, threshold, confidence)
  changes_T = (probability_T < reference.low) | (probability_T > reference.high)
  # The curve falls, so thresholds that change nothing are neighbours.
  same_T = np.append(threshold_T[~changes_T], threshold)
  return Survival(
    threshold_T,
    probability_T,
    np.maximum(probability_T - half, 0),
    np.minimum(probability_T + half, 1),
    half,
    reference,
    changes_T,
    float(same_T.min()),
    float(same_T.max()),
    scores_S.size - finite_S.size,
  )


def success_beyond_antimode(
  scores_S: npt.ArrayLike,
  find_antimode: Callable[[np.ndarray], float],
  num_resamples: int = 1000,
  confidence: float = 0.95,
  seed: int = 0,
  find_resampled: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> SuccessBeyondAntimode:
  """Share of runs at or above the antimode, with a bootstrap interval.

  Meant for populations with two modes, where the valley between them says what
  a success is. The antimode is found again in each resample of the runs, so
  the interval carries the uncertainty of where it is. Intervals are those of
  `intervals.percentile_interval`.

  Args:
    scores_S: one score a run, [S]. A run without a finite score is a failure
      and takes no part in finding the antimode.
    find_antimode: the antimode of finite scores [S]; NaN where there is none.
    num_resamples: bootstrap samples.
    confidence: coverage of the intervals, in (0, 1).
    seed: of the resampling.
    find_resampled: the same for all resamples at once, from the finite scores
      [S] and the runs that each resample holds, [R, S], to antimodes [R];
      `find_antimode` on each where None.

  Raises:
    ValueError: no scores.
  """
  scores_S = _require_scores(scores_S)
  finite_S = scores_S[np.isfinite(scores_S)]
  num_diverged = scores_S.size - finite_S.size
  antimode = float(find_antimode(finite_S)) if finite_S.size else math.nan
  if math.isnan(antimode):
    nan = math.nan
    reason = "these scores have no antimode"
    return SuccessBeyondAntimode(
      nan, nan, nan, nan, nan, nan, num_diverged, nan, reason
    )
  index_RS = intervals.resample_indices(finite_S.size, num_resamples, seed)
  if find_resampled is None:
    antimode_R = np.array([find_antimode(finite_S[row]) for row in index_RS])
  else:
    antimode_R = np.asarray(find_resampled(finite_S, index_RS), float)
  at_least_R = (finite_S[index_RS] >= antimode_R[:, None]).mean(axis=1)
  at_least_R[np.isnan(antimode_R)] = math.nan
  # Another study would also see another number of runs diverge.
  rng = np.random.default_rng([seed, 1])
  share_finite = finite_S.size / scores_S.size
  finite_R = rng.binomial(scores_S.size, share_finite, num_resamples)
  probability_R = at_least_R * finite_R / scores_S.size
  share_without = float(np.isnan(antimode_R).mean())
  reason = ""
  if share_without > _MANY_WITHOUT:
    reason = (
      f"no antimode in {share_without:.0%} of the resamples; the intervals "
      "are of the others"
    )
  antimode_low, antimode_high = intervals.percentile_interval(
    antimode_R, finite_S.size, confidence
  )
  low, high = intervals.percentile_interval(
    probability_R, scores_S.size, confidence
  )
  return SuccessBeyondAntimode(
    antimode,
    antimode_low,
    antimode_high,
    int((finite_S >= antimode).sum()) / scores_S.size,
    low,
    high,
    num_diverged,
    share_without,
    reason,
  )


def _require_scores(scores_S: npt.ArrayLike) -> np.ndarray:
  scores_S = np.asarray(scores_S, float)
  if scores_S.ndim != 1 or not scores_S.size:
    raise ValueError(f"expected scores of shape [S], got {scores_S.shape}")
  return scores_S
