"""Bootstrap resamples of runs, and intervals from them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from emergence.statistics.options import CONFIDENCE, MIN_RUNS


class Interval(NamedTuple):
  """A statistic and its 95 % interval.

  Attributes:
    value: the statistic of the runs, NaN where it is undefined.
    low: lower end of the interval, NaN where there is none.
    high: upper end.
  """

  value: float
  low: float
  high: float


def resample_indices(
  num_runs: int, num_resamples: int, seed: int | Sequence[int] = 0
) -> np.ndarray:
  """Draws the runs of each bootstrap sample, with replacement.

  Args:
    num_runs: number of runs to draw from, S.
    num_resamples: number of bootstrap samples, R.
    seed: seed of the draws.

  Returns:
    Integers below S, [R, S].
  """
  rng = np.random.default_rng(seed)
  return rng.integers(num_runs, size=(num_resamples, num_runs))


def count_draws(index_RS: np.ndarray, num_runs: int) -> np.ndarray:
  """How often each bootstrap sample holds each run.

  Args:
    index_RS: the runs that each sample holds, [R, S].
    num_runs: number of runs that are drawn from, which need not be S.

  Returns:
    Integers, [R, num_runs].
  """
  num = len(index_RS)
  flat = index_RS + num_runs * np.arange(num)[:, None]
  count = np.bincount(flat.ravel(), minlength=num * num_runs)
  return count.reshape(num, num_runs)


def percentile_interval(
  value_R: npt.ArrayLike, num_runs: int, min_runs: int = MIN_RUNS
) -> tuple[float, float]:
  """Expanded percentile interval of a statistic from its bootstrap values.

  The plain percentile interval of few runs is too short: the spread of
  resamples is sqrt((S − 1) / S) times that of samples, and the interval uses
  normal quantiles instead of Student's. The levels Φ(±t · sqrt(S / (S − 1)))
  correct both, with t the 97.5 % quantile of Student's distribution with S − 1
  degrees of freedom: Hesterberg (2015), "What teachers should know about the
  bootstrap", The American Statistician 69, section 5.3.
  `experiments.calibration.coverage` measures the coverage.

  Args:
    value_R: the statistic in each resample, [R]; NaN where it is undefined.
      Resamples with NaN are left out.
    num_runs: S, the number of runs.
    min_runs: fewer runs have no interval.

  Returns:
    Lower and upper end; both NaN for fewer than `min_runs` runs or no value.
  """
  value_R = np.asarray(value_R, float)
  value_R = value_R[~np.isnan(value_R)]
  if num_runs < min_runs or not value_R.size:
    return math.nan, math.nan
  z = special.stdtrit(num_runs - 1, (1 - CONFIDENCE) / 2)
  level = special.ndtr(z * math.sqrt(num_runs / (num_runs - 1)))
  low, high = np.quantile(value_R, [level, 1 - level])
  return float(low), float(high)
