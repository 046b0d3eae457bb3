"""When runs first succeed, and whether they still do at the end.

Higher scores are better throughout. A run is only seen at its evaluations. The
time of its success is the step of the first evaluation that shows it; the
success itself may be earlier, but after the evaluation before.
"""

import math
import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from emergence.statistics import success
from emergence.statistics.intervals import Interval
from emergence.statistics.options import CONFIDENCE, MIN_RUNS

_NUM_PERMUTATIONS = 4999


class Times(NamedTuple):
  """When each run of a population first succeeds.

  Attributes:
    time_S: step of the first evaluation at or above the threshold; for a run
      that never succeeds, the step at which it is censored, [S].
    succeeded_S: whether the run ever succeeds, [S].
    num_fell_back: number of runs that succeed at some evaluation but not at
      their last one; a run that has diverged by then does not succeed there.
  """

  time_S: np.ndarray
  succeeded_S: np.ndarray
  num_fell_back: int


class TimeToSuccess(NamedTuple):
  """The Kaplan–Meier curve of a population: the share not yet successful.

  Attributes:
    step_T: the steps at which the curve may fall, increasing, [T].
    share_T: share of runs that have not succeeded by then, [T].
    low_T: lower end of its 95 % interval at each step, NaN for none, [T].
    high_T: upper end, [T].
    median: the first step by which half of the runs have succeeded, NaN if they
      never have; low and high are where the interval of the curve reaches ½.
  """

  step_T: np.ndarray
  share_T: np.ndarray
  low_T: np.ndarray
  high_T: np.ndarray
  median: Interval


def first_success(
  steps_E: npt.ArrayLike,
  scores_SE: npt.ArrayLike,
  diverged_SE: npt.ArrayLike,
  threshold: float,
) -> Times:
  """Finds when each run is first seen at or above the threshold.

  A run that diverges stays at risk to the end and never succeeds afterwards: it
  is censored at the last step of the population. A run that is not evaluated
  any more without having diverged is censored at its last evaluation.

  Args:
    steps_E: the steps of the evaluations, increasing, [E].
    scores_SE: the score of each run at each evaluation, [S, E]; NaN for none.
    diverged_SE: whether the run had diverged by that evaluation, [S, E].
    threshold: the least score of a success, in the unit of the scores.

  Returns:
    The times of the runs with at least one evaluation.
  """
  steps_E = np.asarray(steps_E)
  diverged_SE = np.maximum.accumulate(np.asarray(diverged_SE, bool), axis=1)
  seen_SE = np.isfinite(scores_SE) | diverged_SE
  is_run_S = seen_SE.any(axis=1)
  seen_SE, diverged_SE = seen_SE[is_run_S], diverged_SE[is_run_S]
  success_SE = success.is_success(np.asarray(scores_SE)[is_run_S], threshold)
  success_SE &= ~diverged_SE
  succeeded_S = np.any(success_SE, axis=1)
  last_S = seen_SE.shape[1] - 1 - seen_SE[:, ::-1].argmax(axis=1)
  is_last_S = np.take_along_axis(success_SE, last_S[:, None], axis=1)[:, 0]
  return Times(
    steps_E[np.where(succeeded_S, success_SE.argmax(axis=1), last_S)],
    succeeded_S,
    int((succeeded_S & ~is_last_S).sum()),
  )


def time_to_success(times: Times) -> TimeToSuccess:
  """Kaplan and Meier's curve with its interval at each step, and the median.

  Kaplan and Meier (1958), "Nonparametric estimation from incomplete
  observations", JASA 53. The curve's interval is Greenwood's on the scale of
  log(−log share), for each step by itself. The median's interval holds the
  steps at which the curve's interval holds ½ (Brookmeyer and Crowley 1982,
  Biometrics 38). Before the first success, the curve's interval is [1, 1]. If
  the last runs at risk succeed together, the formula fails. The interval then
  goes from 0 to 1 − 0.025^(1/r), with r runs at risk (Clopper and Pearson
  1934), or to the upper end of the step before if that is less. There are no
  intervals below `MIN_RUNS` runs.

  Raises:
    ValueError: no runs.
  """
  if not times.time_S.size:
    raise ValueError("expected at least one run")
  curve = stats.ecdf(_censored(times)).sf
  step_T, share_T = curve.quantiles, curve.probabilities
  low_T, high_T = np.full((2, step_T.size), math.nan)
  if times.time_S.size >= MIN_RUNS:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # Shares 0 and 1 are set below.
      band = curve.confidence_interval(CONFIDENCE, method="log-log")
    at_risk_T = (times.time_S >= step_T[:, None]).sum(axis=1)
    unseen_T = 1 - ((1 - CONFIDENCE) / 2) ** (1 / at_risk_T)
    none, all_ = share_T == 1, share_T == 0
    low_T = np.select([none, all_], [1.0, 0.0], band.low.probabilities)
    high_T = np.select([none, all_], [1.0, unseen_T], band.high.probabilities)
    high_T = np.minimum.accumulate(high_T)
  return TimeToSuccess(
    step_T,
    share_T,
    low_T,
    high_T,
    Interval(*(_half(step_T, x_T) for x_T in (share_T, low_T, high_T))),
  )


def log_rank(first: Times, second: Times, seed: int = 0) -> tuple[float, float]:
  """Mantel's log-rank test of two populations, taken as independent.

  Mantel (1966), "Evaluation of survival data and two new rank order statistics
  arising in its consideration", Cancer Chemotherapy Reports 50. The p-value is
  that of the normal distribution where `success.is_nearly_normal` holds.
  Otherwise it is that of a permutation test, which assigns the runs to the two
  populations 4999 times at random and compares observed minus expected
  successes.

  Args:
    first: times of one population.
    second: times of the other.
    seed: seed of the permutations.

  Returns:
    The statistic, positive where the second population succeeds sooner, and its
    two-sided p-value; both NaN where nothing can be compared, as when no run
    succeeds.
  """
  if not first.time_S.size or not second.time_S.size:
    return math.nan, math.nan
  with np.errstate(invalid="ignore", divide="ignore"):
    found = stats.logrank(_censored(second), _censored(first))
  statistic, p = float(found.statistic), float(found.pvalue)
  sizes = first.time_S.size, second.time_S.size
  succeeded_S = np.concatenate([first.succeeded_S, second.succeeded_S])
  if math.isnan(p) or success.is_nearly_normal(succeeded_S.sum(), sizes):
    return statistic, p
  time_S = np.concatenate([first.time_S, second.time_S])
  event_T, num_T = np.unique(time_S[succeeded_S], return_counts=True)
  at_risk_T = (time_S >= event_T[:, None]).sum(axis=1)
  # Nelson and Aalen's cumulative hazard up to the time of each run.
  expected_S = (event_T <= time_S[:, None]) @ (num_T / at_risk_T)
  excess_S = succeeded_S - expected_S
  rng = np.random.default_rng(seed)
  null_R = np.array(
    [
      abs(rng.permutation(excess_S)[: sizes[0]].sum())
      for _ in range(_NUM_PERMUTATIONS)
    ]
  )
  as_large = int((null_R >= abs(excess_S[: sizes[0]].sum()) - 1e-9).sum())
  return statistic, (1 + as_large) / (1 + _NUM_PERMUTATIONS)


def _censored(times: Times) -> stats.CensoredData:
  return stats.CensoredData(
    times.time_S[times.succeeded_S], right=times.time_S[~times.succeeded_S]
  )


def _half(step_T: np.ndarray, share_T: np.ndarray) -> float:
  """The first step with a share of at most a half, NaN if there is none."""
  (at_most,) = np.nonzero(share_T <= 0.5 + 1e-9)
  return float(step_T[at_most[0]]) if at_most.size else math.nan
