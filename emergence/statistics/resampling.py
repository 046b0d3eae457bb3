"""Bootstrap over seeds, and over seeds and items.

Resamples of the runs say how far a statistic would move with other seeds of
the same distribution. They cannot say what no run has shown: a cluster of
weight w is missed by S runs with probability (1 − w)^S, and then no interval of
these runs covers its part of the mean. Where all scores are equal a bootstrap
interval has no width; the interval of the mean is then wider. With fewer than
20 runs some 95 % intervals cover less than 90 % (measured); with fewer than
`MIN_RUNS` there is none of a mean or median.
"""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emergence.statistics import intervals, success
from emergence.statistics.intervals import Interval
from emergence.statistics.options import (
  CONFIDENCE,
  DEFAULT_THRESHOLD,
  MIN_RUNS,
  Options,
)
from emergence.statistics.sample import UNIT, Sample


class Bootstrap(NamedTuple):
  """Intervals of one population.

  Attributes:
    mean: of the score over runs with a finite score.
    median: likewise.
    success_probability: over all runs, diverged ones being failures.
    mean_given_success: mean score of the successes, if there are enough.
  """

  mean: Interval
  median: Interval
  success_probability: Interval
  mean_given_success: Interval


def bootstrap(
  samples: Sequence[Sample],
  threshold: float = DEFAULT_THRESHOLD,
  options: Options = Options(),
) -> list[Bootstrap]:
  """Intervals of mean, median, success probability and mean given success.

  The intervals are `intervals.percentile_interval`, that of the success
  probability `intervals.bca_interval`. All populations share their draws, which
  changes no interval by itself.

  Where all S scores are equal, up to q = 1 − 0.025^(1/S) of all runs may still
  score differently (Clopper and Pearson 1934, no success among S). The interval
  of the mean then holds all means that such a share at the ends of the support
  could make; there is none where the support is infinite. Where the success
  probability is 0 or 1 its interval is Wilson's.

  Args:
    samples: populations of as many runs each, diverged ones included.
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
  count_RS = _counts(index_RS, num_runs)
  finite_CS = np.isfinite(scores_CS)
  success_CS = success.is_success(scores_CS, threshold)
  filled_CS = np.where(finite_CS, scores_CS, 0)
  num_success_RC = count_RS @ success_CS.T
  mean_RC = _divide(count_RS @ filled_CS.T, count_RS @ finite_CS.T)
  given_RC = _divide(count_RS @ (filled_CS * success_CS).T, num_success_RC)
  return [
    _intervals(
      sample,
      mean_R,
      _resampled_median(sample.scores_S, count_RS),
      num_success_R / num_runs,
      given_R,
      threshold,
    )
    for sample, mean_R, num_success_R, given_R in zip(
      samples, mean_RC.T, num_success_RC.T, given_RC.T, strict=True
    )
  ]


def crossed_bootstrap(
  results_SN: npt.ArrayLike,
  threshold: float = DEFAULT_THRESHOLD,
  support: tuple[float, float] = UNIT,
  options: Options = Options(),
) -> Bootstrap:
  """The intervals of `bootstrap` where the items are a sample as well.

  Runs and items are resampled independently and a resample holds their cross:
  Owen (2007), "The pigeonhole bootstrap", Annals of Applied Statistics 1, where
  it is shown to err on the wide side for means. A score near the threshold
  crosses it more often in resamples of items than in other sets of items,
  because it carries the item noise twice: with few items read the interval of
  the success probability as an upper bound of its length. Where every item
  that exists is tested, use `bootstrap`.

  Args:
    results_SN: result of each run on each item, such as 0 or 1, [S, N]. A run
      with a result that is not finite has diverged, and is treated as in
      `bootstrap`.
    threshold: the least mean over items of a success.
    support: the least and the largest possible result.
    options: number and seed of the resamples.

  Raises:
    ValueError: another shape, no runs or items, or a score outside of the
      support.
  """
  results_SN = np.asarray(results_SN, float)
  if results_SN.ndim != 2 or not results_SN.size:
    raise ValueError(f"expected results [S, N], got {results_SN.shape}")
  sample = Sample.of(results_SN.mean(axis=1), support)
  num_items = results_SN.shape[1]
  index_RS = intervals.resample_indices(
    sample.size, options.num_resamples, options.seed
  )
  rng = np.random.default_rng([options.seed, 1])
  item_RN = rng.integers(num_items, size=(options.num_resamples, num_items))
  share_RN = _counts(item_RN, num_items) / num_items
  finite_S = np.isfinite(sample.scores_S)
  scores_RS = share_RN @ np.where(finite_S[:, None], results_SN, 0).T
  scores_RS[:, ~finite_S] = math.nan
  scores_RS = np.take_along_axis(scores_RS, index_RS, axis=1)
  success_RS = success.is_success(scores_RS, threshold)
  filled_RS = np.where(np.isfinite(scores_RS), scores_RS, 0)
  num_finite_R = np.isfinite(scores_RS).sum(axis=1)
  num_success_R = success_RS.sum(axis=1)
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Of resamples without a finite score.
    median_R = np.nanmedian(scores_RS, axis=1)
  return _intervals(
    sample,
    _divide(filled_RS.sum(axis=1), num_finite_R),
    median_R,
    num_success_R / sample.size,
    _divide((filled_RS * success_RS).sum(axis=1), num_success_R),
    threshold,
  )


def _intervals(
  sample: Sample,
  mean_R: np.ndarray,
  median_R: np.ndarray,
  probability_R: np.ndarray,
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
    _probability_interval(sample, probability_R, threshold),
    given_interval,
  )


def _mean_interval(
  value: float,
  value_R: np.ndarray,
  scores_S: np.ndarray,
  low: float,
  high: float,
) -> Interval:
  """Interval of a mean, wider than nothing where all scores are equal."""
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


def _probability_interval(
  sample: Sample, value_R: np.ndarray, threshold: float
) -> Interval:
  """BCa interval of a share of runs; Wilson's where there is none."""
  found = success.success_probability(sample, threshold)
  size, share = found.num_runs, found.probability
  if 0 < share < 1:
    # Influence of a run is its success less the share; a binomial's skewness.
    spread = math.sqrt(size * share * (1 - share))
    low, high = intervals.bca_interval(
      value_R, share, (1 - 2 * share) / (6 * spread)
    )
    if low < high:
      return Interval(share, low, high)
  return Interval(share, found.low, found.high)


def _counts(index_RS: np.ndarray, num_runs: int) -> np.ndarray:
  """How often each sample holds each run, as floats, [R, num_runs]."""
  num = len(index_RS)
  flat = index_RS + num_runs * np.arange(num)[:, None]
  count = np.bincount(flat.ravel(), minlength=num * num_runs)
  return count.reshape(num, num_runs).astype(float)


def _divide(total: np.ndarray, count: np.ndarray) -> np.ndarray:
  return np.divide(
    total, count, out=np.full(total.shape, math.nan), where=count > 0
  )


def _resampled_median(scores_S: np.ndarray, count_RS: np.ndarray) -> np.ndarray:
  """Median of samples that hold each score so many times, NaN if of none."""
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
