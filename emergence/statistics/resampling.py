"""Bootstrap over seeds.

Resamples of the runs say how far a statistic would move with other seeds of
the same distribution. They cannot say what no run has shown: a cluster of
weight w is missed by S runs with probability (1 − w)^S, and then no interval of
these runs covers its part of the mean. If all scores are equal, a bootstrap
interval has no width; the interval of the mean is then made wider. With fewer
than 20 runs some 95 % intervals cover less than 90 % (measured). With fewer
than `MIN_RUNS`, a mean or median has no interval.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from emergence.statistics import intervals, success
from emergence.statistics.intervals import Interval
from emergence.statistics.options import (
  CONFIDENCE,
  DEFAULT_THRESHOLD,
  MIN_RUNS,
  Options,
)
from emergence.statistics.sample import Sample


class Bootstrap(NamedTuple):
  """Intervals of one population.

  Attributes:
    mean: mean score of the runs with a finite score.
    median: median score of these runs.
    mean_given_success: mean score of the successes; NaN if there are too few.
  """

  mean: Interval
  median: Interval
  mean_given_success: Interval


def bootstrap(
  samples: Sequence[Sample],
  threshold: float = DEFAULT_THRESHOLD,
  options: Options = Options(),
) -> list[Bootstrap]:
  """Intervals of mean, median and mean given success.

  The intervals are `intervals.percentile_interval`. All populations share their
  draws, which does not change the interval of any one of them.

  If all S scores are equal, a share of up to q = 1 − 0.025^(1/S) of all runs
  may still score differently (Clopper and Pearson 1934, no success among S).
  The interval of the mean then holds all means that are possible with such a
  share at the ends of the support; it is NaN if the support is infinite.

  Args:
    samples: populations with equal numbers of runs, diverged ones included.
    threshold: the least score of a success, in the unit of the scores.
    options: number and seed of the resamples.

  Returns:
    The intervals of each population.

  Raises:
    ValueError: populations of different numbers of runs.
  """
  scores_CS = np.stack([sample.scores_S for sample in samples])
  num_runs = scores_CS.shape[1]
  index_RS = intervals.resample_indices(
    num_runs, options.num_resamples, options.seed
  )
  count_RS = intervals.count_draws(index_RS, num_runs).astype(float)
  finite_CS = np.isfinite(scores_CS)
  success_CS = success.is_success(scores_CS, threshold)
  filled_CS = np.where(finite_CS, scores_CS, 0)
  mean_RC = _divide(count_RS @ filled_CS.T, count_RS @ finite_CS.T)
  given_RC = _divide(
    count_RS @ (filled_CS * success_CS).T, count_RS @ success_CS.T
  )
  return [
    _intervals(
      sample,
      mean_R,
      _resampled_median(sample.scores_S, count_RS),
      given_R,
      threshold,
    )
    for sample, mean_R, given_R in zip(
      samples, mean_RC.T, given_RC.T, strict=True
    )
  ]


def _intervals(
  sample: Sample,
  mean_R: np.ndarray,
  median_R: np.ndarray,
  given_R: np.ndarray,
  threshold: float,
) -> Bootstrap:
  """The intervals of one population from its resampled statistics."""
  finite_S = sample.finite_S
  success_S = finite_S[success.is_success(finite_S, threshold)]
  given = success.mean_given_success(sample, threshold)
  low, high = sample.support
  given_interval = Interval(math.nan, math.nan, math.nan)
  if not given.reason:
    given_interval = _mean_interval(
      given.value, given_R, success_S, max(threshold, low), high
    )
  mean = median = math.nan
  if finite_S.size:
    mean, median = float(finite_S.mean()), float(np.median(finite_S))
  return Bootstrap(
    _mean_interval(mean, mean_R, finite_S, low, high),
    Interval(median, *intervals.percentile_interval(median_R, finite_S.size)),
    given_interval,
  )


def _mean_interval(
  value: float,
  value_R: np.ndarray,
  scores_S: np.ndarray,
  low: float,
  high: float,
) -> Interval:
  """Interval of a mean, widened if all scores are equal (see `bootstrap`)."""
  size = scores_S.size
  if size < MIN_RUNS:
    return Interval(value, math.nan, math.nan)
  if np.ptp(scores_S) > 0:
    return Interval(value, *intervals.percentile_interval(value_R, size))
  if not math.isfinite(high - low):
    return Interval(value, math.nan, math.nan)
  unseen = 1 - ((1 - CONFIDENCE) / 2) ** (1 / size)
  return Interval(
    value, value - unseen * (value - low), value + unseen * (high - value)
  )


def _divide(total: np.ndarray, count: np.ndarray) -> np.ndarray:
  return np.divide(
    total, count, out=np.full(total.shape, math.nan), where=count > 0
  )


def _resampled_median(scores_S: np.ndarray, count_RS: np.ndarray) -> np.ndarray:
  """Median of the finite scores of each resample, [R]; NaN if it has none."""
  finite_S = np.isfinite(scores_S)
  num_finite = int(finite_S.sum())
  order_S = np.where(finite_S, scores_S, math.inf).argsort()[:num_finite]
  if not num_finite:
    return np.full(len(count_RS), math.nan)
  upto_RS = count_RS[:, order_S].astype(np.int32).cumsum(axis=1)
  num_R = upto_RS[:, -1:]
  middle_2R = [
    scores_S[order_S][
      np.minimum((upto_RS < rank_R).sum(axis=1), num_finite - 1)
    ]
    for rank_R in ((num_R + 1) // 2, num_R // 2 + 1)
  ]
  return np.where(num_R[:, 0] > 0, np.mean(middle_2R, axis=0), math.nan)
