"""Hartigan's dip test of unimodality, for scores with ties and on grids.

The null is the uniform distribution: Hartigan & Hartigan (1985), "The dip test
of unimodality", Annals of Statistics 13. The dip and its null distribution are
those of the package `diptest`. Distributions with one narrow peak near an end
and an even rest have larger dips, because the peak fixes where the one mode is;
see `end_factor`.
"""

import functools
import math
import pathlib
from typing import NamedTuple

import diptest.consts
import numpy as np

from emergence.statistics.options import Options
from emergence.statistics.sample import Sample

POWER_TABLE = pathlib.Path(__file__).parent / "data" / "dip_power.csv"
MIN_RUNS = 4  # Any three points are unimodal.
# Share of the range of the scores, at each end, that may hold a peak.
END = 0.1
# Power is about two modes this many standard deviations apart, which the test
# must detect in this share of samples.
MODE_DISTANCE, POWER = 5.0, 0.8
# Samples of each size in the table of diptest, and its largest size.
_NUM_DRAWS, _MOST_RUNS = 1_000_001, 72_000
SMALLEST_P = 1 / (1 + _NUM_DRAWS)
_ROUNDING = 1e-7


class DipTest(NamedTuple):
  """Result of the dip test.

  Attributes:
    dip: the dip, averaged over jitters; in [0, 1/4].
    p: share of uniform samples whose dip is at least `dip` / `end_factor`;
      never 0.
  """

  dip: float
  p: float


def dip_test(sample: Sample, options: Options = Options()) -> DipTest:
  """Dip test of unimodality.

  The test is for continuous distributions; on a grid, the plain dip takes grid
  points for modes. So equal scores are spread over their bins, see
  `Sample.jittered`; an atom in otherwise continuous scores is spread over a
  typical gap between scores. The dip is averaged over the jitters, because a
  single jitter adds noise to p.

  Args:
    sample: the runs; diverged ones are left out.
    options: the seed of the jitter.

  Raises:
    ValueError: fewer than four finite scores, scores that are all equal, or a
      grid spacing as wide as the support, such as for scores of one item.
  """
  scores_S = sample.require_finite_S()
  if scores_S.size < MIN_RUNS:
    raise ValueError(
      f"the dip test needs at least {MIN_RUNS} scores, got {scores_S.size}"
    )
  if sample.is_constant:
    raise ValueError(f"all scores are {scores_S[0]:g}: nothing to test")
  if sample.grid_step >= sample.support[1] - sample.support[0]:
    raise ValueError(
      f"the grid spacing {sample.grid_step:g} is as wide as the range of"
      f" scores, [{sample.support[0]:g}, {sample.support[1]:g}]: such scores,"
      " as of a single test item, cannot show modes"
    )
  rows_JS = sample.jittered(options.seed)
  dip = float(dips(rows_JS).mean())
  corrected = dip / end_factor(rows_JS)
  return DipTest(dip, p_value(corrected, scores_S.size))


def end_factor(rows_JS: np.ndarray) -> float:
  """Factor by which a peak near an end may increase the dip.

  If a distribution has a narrow peak of weight w at an end and a uniform rest,
  its dip is up to √(2 (1 − w)) times as large as that of a uniform
  distribution. In simulations of 32 to 1000 runs and w from 0.1 to 0.5, its
  quantiles were 0.8 to 1.05 times this bound. The factor is this bound if the
  tenth of the scores' range at an end holds a share of the runs that is more
  than two standard deviations above a tenth; w is then (share − 0.1) / 0.9.

  Args:
    rows_JS: the jittered scores, [J, S]; not all equal.

  Returns:
    The larger of the factors of both ends; 1 if neither has a peak.
  """
  reach_J1 = END * np.ptp(rows_JS, axis=1, keepdims=True)
  low_J1 = rows_JS.min(axis=1, keepdims=True)
  high_J1 = rows_JS.max(axis=1, keepdims=True)
  shares = [
    (rows_JS <= low_J1 + reach_J1).mean(),
    (rows_JS >= high_J1 - reach_J1).mean(),
  ]
  noise = math.sqrt(END * (1 - END) / rows_JS.shape[1])
  weights = [(x - END) / (1 - END) for x in shares if x > END + 2 * noise]
  return max([1.0, *(math.sqrt(2 * (1 - w)) for w in weights)])


def dips(samples_RS: np.ndarray) -> np.ndarray:
  """Hartigan's dip of each row, as the package `diptest` computes it.

  Args:
    samples_RS: samples of at least four finite numbers, [R, S], in any unit and
      order.

  Returns:
    The largest distance of the empirical distribution function from the
    closest unimodal one, as a share of the S numbers, [R].
  """
  samples_RS = np.sort(samples_RS, axis=1)
  return np.array([diptest.dipstat(row, sort_x=False) for row in samples_RS])


def p_value(dip: float, num_runs: int) -> float:
  """Share of uniform samples of `num_runs` runs whose dip is at least `dip`.

  It is (1 + N q) / (1 + N), with q the share read off the table of the package
  `diptest`, which has N = 1,000,001 samples of each size. So the smallest
  p-value, `SMALLEST_P`, is 10⁻⁶ and never 0 (Phipson & Smyth 2010,
  "Permutation p-values should never be zero"). Between tabulated sizes √S·dip
  is interpolated. Above the largest size, 72,000, the distribution of √S·dip is
  taken as constant, because it converges.

  Args:
    dip: a dip, in [0, 1/4].
    num_runs: number of scores that it was computed from, at least four.

  Returns:
    The p-value, in (0, 1].
  """
  size = min(num_runs, _MOST_RUNS)
  # Allow for rounding, so that equal dips count: with few points they are
  # common.
  scaled = (dip - _ROUNDING) * math.sqrt(num_runs / size)
  share = diptest.consts.Consts.compute_pval_interpolation(size, scaled)
  return (1 + _NUM_DRAWS * share) / (1 + _NUM_DRAWS)


def detectable_weight(num_runs: int, level: float) -> float:
  """Smallest weight of a second mode that the dip test detects with power 0.8.

  The two modes are normal and equally narrow, 5 standard deviations apart.
  `experiments.calibration.dip_power` simulates them at selected sizes and
  weights, and its table holds the 80 % quantile of p. The result is the first
  weight at which this quantile, interpolated between sizes, is at most the
  level.

  Args:
    num_runs: runs with a finite score.
    level: level of the dip test.

  Returns:
    The weight, in (0, 0.5]; NaN if even two equal modes are detected less
    often, or if `num_runs` is below the sizes of the table.
  """
  num_runs_N, weight_W, p_NW = power_table()
  if num_runs < num_runs_N[0]:
    return math.nan
  for weight, p_N in zip(weight_W, p_NW.T, strict=True):
    log_p = np.interp(np.log(num_runs), np.log(num_runs_N), np.log(p_N))
    if log_p <= math.log(level):
      return float(weight)
  return math.nan


@functools.cache
def power_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Sizes [N], weights [W], and the 80 % quantile of p for each pair [N, W]."""
  table = np.loadtxt(POWER_TABLE, delimiter=",", comments="#")
  return table[1:, 0], table[0, 1:], table[1:, 1:]
