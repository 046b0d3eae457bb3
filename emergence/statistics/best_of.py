"""The best score that a study of k seeds is expected to report."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from emergence.statistics import intervals
from emergence.statistics.intervals import Interval
from emergence.statistics.options import Options
from emergence.statistics.sample import Sample

# Numbers of seeds of the studies, as far as there are runs for them.
NUM_SEEDS = (1, 2, 3, 5, 10, 20, 50, 100)
# So many runs for each seed of a study: with fewer, intervals are too short.
RUNS_FOR_INTERVAL = 4


class BestOf(NamedTuple):
  """Of studies that report the best of their seeds.

  Attributes:
    num_seeds: seeds of such a study, k.
    best: the expected best score, with its interval over seeds.
  """

  num_seeds: int
  best: Interval


def best_of(sample: Sample, options: Options = Options()) -> list[BestOf]:
  """The expected best of k of these runs, k being 1, 2, 3, 5, 10, 20, ….

  The mean over all subsets of k runs of their largest score, which is unbiased:
  with scores in ascending order the i-th of S is the largest of
  C(i − 1, k − 1) of the C(S, k) subsets (Tang et al. 2020, "Showing your work
  doesn't always work", section 3). Drawing with replacement, as is common, is
  too low. Runs that diverged are left out, of the resamples too.

  The interval is the expanded percentile bootstrap over runs, given up to a
  quarter of the runs. Up to a tenth it covers the truth in 85 to 95 % of
  samples, at a quarter in 77 to 94 %, and in fewer where the best runs are so
  rare that most samples have none (`experiments.calibration.coverage`).

  Args:
    sample: the runs of one cell, higher scores being better.
    options: number and seed of the resamples.

  Returns:
    A row for each k up to half of the finite runs.
  """
  score_S = np.sort(sample.finite_S)
  num = score_S.size
  found = [k for k in NUM_SEEDS if 2 * k <= num]
  if not found:
    return []
  # The chance that a subset lies within the first i runs, and its differences.
  rank = np.arange(num + 1)
  weight_KS = np.array(
    [np.diff(stats.hypergeom.pmf(k, num, rank, k)) for k in found]
  )
  index_RS = intervals.resample_indices(
    num, options.num_resamples, options.seed
  )
  # Indices in order pick scores in order.
  best_RK = score_S[np.sort(index_RS, axis=1)] @ weight_KS.T
  rows = []
  for k, value, best_R in zip(
    found, weight_KS @ score_S, best_RK.T, strict=True
  ):
    low, high = np.nan, np.nan
    # Equal scores say nothing about how far others may be.
    if RUNS_FOR_INTERVAL * k <= num and np.ptp(score_S) > 0:
      low, high = intervals.percentile_interval(best_R, num)
    rows.append(BestOf(k, Interval(float(value), low, high)))
  return rows
