"""How well two metrics agree on how they divide the same runs in two."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emergence.statistics import intervals
from emergence.statistics.intervals import Interval
from emergence.statistics.options import MIN_RUNS, Options


class Agreement(NamedTuple):
  """Counts of runs by their side in two metrics, and how well the sides agree.

  Attributes:
    both_upper: runs on the upper side in both metrics.
    only_first: runs on the upper side in the first metric only.
    only_second: runs on the upper side in the second metric only.
    both_lower: runs on the lower side in both metrics.
    kappa: Cohen's kappa with its interval; 1 is full agreement, 0 agreement by
      chance, NaN if all runs are on the same side in both metrics.
  """

  both_upper: int
  only_first: int
  only_second: int
  both_lower: int
  kappa: Interval

  @property
  def num_same(self) -> int:
    return self.both_upper + self.both_lower

  @property
  def num_runs(self) -> int:
    return self.num_same + self.only_first + self.only_second


def agreement(
  first_S: npt.ArrayLike, second_S: npt.ArrayLike, options: Options = Options()
) -> Agreement:
  """Cohen's kappa of two metrics that each divide the runs in upper and lower.

  Cohen (1960), "A coefficient of agreement for nominal scales", Educational and
  Psychological Measurement 20: kappa is (A − C) / (1 − C), where A is the share
  of runs on the same side in both metrics, and C is the expected value of A if
  the metrics were independent and each kept its number of runs per side.

  The interval is that of `intervals.percentile_interval` over resamples of the
  runs. It is NaN for fewer than `MIN_RUNS` runs, and if the metrics agree on
  all runs, because they then agree in every resample.

  Args:
    first_S: whether each run is on the upper side in the first metric, [S].
    second_S: the same for the second metric, [S].
    options: number and seed of the resamples.
  """
  first_S, second_S = np.asarray(first_S, bool), np.asarray(second_S, bool)
  count_4 = np.bincount(3 - 2 * first_S - second_S, minlength=4)
  num = int(count_4.sum())
  value, low, high = float(_kappa(count_4)), math.nan, math.nan
  if num >= MIN_RUNS and value < 1:
    rng = np.random.default_rng(options.seed)
    count_R4 = rng.multinomial(num, count_4 / num, options.num_resamples)
    low, high = intervals.percentile_interval(_kappa(count_R4), num)
  both, first, second, neither = count_4.tolist()
  return Agreement(both, first, second, neither, Interval(value, low, high))


def _kappa(count_4: np.ndarray) -> np.ndarray:
  """Cohen's kappa of counts [..., 4]; NaN if all are in both or in neither."""
  both, first, second, neither = np.moveaxis(count_4.astype(float), -1, 0)
  # (A − C) / (1 − C), multiplied by the square of the number of runs.
  above = 2 * (both * neither - first * second)
  below = (both + first) * (first + neither) + (both + second) * (
    second + neither
  )
  return np.divide(
    above, below, out=np.full(np.shape(above), math.nan), where=below > 0
  )
