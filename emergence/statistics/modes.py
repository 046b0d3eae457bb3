"""Mode and antimode: where most runs are, what separates them, how sure."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from emergence.statistics import intervals
from emergence.statistics.density import bandwidth, kernel, points
from emergence.statistics.options import Options
from emergence.statistics.sample import Sample

# A valley is an antimode if it is a fifth lower than the lower of the peaks
# beside it, and has a twentieth of 100 runs on each side. With more runs that
# share falls as 1 / √S, as do the weights that a dip test detects.
_LEAST_DEPTH, _LEAST_WEIGHT, _LEAST_WEIGHT_RUNS = 0.2, 0.05, 100
_LEAST_RUNS = 2  # One run is no mode, however far it is from the others.
_ROUNDING = 1e-9
# The bottom of a valley is where the density is this close to its lowest.
_FLAT = 0.01
# A mode is stable if the next highest peak is lower than this share of it.
_CLOSE_PEAK = 0.8
# The density of resamples is looked at every so many bandwidths: peaks and
# valleys are wider.
_POINTS = 0.25
# No more densities of resamples are made. A level of 2.5 % then has a standard
# error of 0.8 %.
MOST_RESAMPLES = 400


class ModeAndAntimode(NamedTuple):
  """Mode and antimode of a population.

  Attributes:
    mode: the score at which the density is highest.
    mode_stable: False if the second highest peak is within 20 % of the highest;
      True without a second one.
    antimode: the score that separates two peaks, NaN where none does.
    weight_above: share of runs at or above the antimode, NaN without one.
  """

  mode: float
  mode_stable: bool
  antimode: float
  weight_above: float


class ModeShares(NamedTuple):
  """Which cluster is the most populous one, and how sure that is.

  Attributes:
    below: share of resamples whose mode is below the antimode.
    above: share of resamples whose mode is at or above it; NaN where there is
      one cluster, of which `below` is then 1.
  """

  below: float
  above: float


def mode_and_antimode(sample: Sample) -> ModeAndAntimode:
  """Mode and antimode of `density`, each at its `bandwidth`.

  The antimode is the bottom of the deepest valley; where the bottom is flat,
  its middle. The depth of a valley is how far it lies below the lower of the
  highest peaks on its two sides. The bottom counts as an antimode only if the
  depth is at least a fifth of that peak, and if each side has at least two runs
  and at least a twentieth of all runs (of S > 100 runs, at least the share 1 /
  (2 √S)). So an atom at an end of the support has an antimode beside it only if
  the density rises again beyond. The dip test says whether two modes are more
  than chance.

  Args:
    sample: the runs; diverged ones are left out.

  Raises:
    ValueError: no run has a finite score.
  """
  scores_S = sample.require_finite_S()
  all_RS = np.arange(scores_S.size)[None]
  share_RD, _, at_G, kernel_GD = _resampled_kernels(
    sample, all_RS, bandwidth(sample), points
  )
  density_RG = share_RD @ kernel_GD.T
  antimode = float(_antimodes(sample, all_RS, points)[0])
  above = float((scores_S >= antimode).mean())
  return ModeAndAntimode(
    mode=float(at_G[density_RG[0].argmax()]),
    mode_stable=_second_peak(density_RG[0]) < _CLOSE_PEAK,
    antimode=antimode,
    weight_above=math.nan if math.isnan(antimode) else above,
  )


def resampled_modes(sample: Sample, index_RS: np.ndarray) -> np.ndarray:
  """Modes of bootstrap samples, all at the bandwidth of the scores.

  They are found to a quarter of the bandwidth.

  Args:
    sample: the runs.
    index_RS: which of the finite scores each bootstrap sample holds, [R, S].

  Returns:
    The mode of each, [R].

  Raises:
    ValueError: no run has a finite score.
  """
  share_RD, _, at_G, kernel_GD = _resampled_kernels(
    sample, index_RS, bandwidth(sample), _coarse_points
  )
  return at_G[(share_RD @ kernel_GD.T).argmax(axis=1)]


def resampled_antimodes(sample: Sample, index_RS: np.ndarray) -> np.ndarray:
  """Antimodes of bootstrap samples, NaN where there is none, [R].

  Arguments and errors are those of `resampled_modes`.
  """
  return _antimodes(sample, index_RS, _coarse_points)


def mode_shares(
  sample: Sample, antimode: float, options: Options = Options()
) -> ModeShares:
  """How often the mode of a resample is in each of two clusters.

  A percentile interval of the mode of two clusters would span the gap where no
  run is, so the mode carries these shares instead.

  Args:
    sample: the runs; diverged ones are left out.
    antimode: the score that separates the clusters, NaN where there is one.
    options: number, up to `MOST_RESAMPLES`, and seed of the resamples.

  Raises:
    ValueError: no run has a finite score.
  """
  num_runs = sample.require_finite_S().size
  if math.isnan(antimode):
    return ModeShares(1.0, math.nan)
  width = bandwidth(sample)
  at_G = _coarse_points(sample, width)
  # Single precision tells peaks apart.
  kernel_SG = kernel(at_G, sample.finite_S, width, sample).T
  num = min(options.num_resamples, MOST_RESAMPLES)
  count_RS = _counts(num_runs, num, options.seed)
  density_RG = count_RS @ kernel_SG.astype(np.float32)
  above = float((at_G[density_RG.argmax(axis=1)] >= antimode).mean())
  return ModeShares(1 - above, above)


@functools.lru_cache(maxsize=4)
def _counts(num_runs: int, num_resamples: int, seed: int) -> np.ndarray:
  """How often each bootstrap sample holds each run, [R, S]."""
  index_RS = intervals.resample_indices(num_runs, num_resamples, seed)
  return intervals.count_draws(index_RS, num_runs).astype(np.float32)


def _coarse_points(sample: Sample, width: float) -> np.ndarray:
  """Every so many of `points`, mirrored if the scores are."""
  at_G = points(sample, width)
  every = max(1, int(_POINTS * width * at_G.size / np.ptp(at_G)))
  return at_G[(at_G.size - 1) % every // 2 :: every]


def _resampled_kernels(
  sample: Sample,
  index_RS: np.ndarray,
  width: float,
  find_points: Callable[[Sample, float], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """What densities of bootstrap samples are made of.

  Returns:
    The share of each sample's runs at each distinct score [R, D], these scores
    [D], points [G], and the density there of a run at each score [G, D].
  """
  at_G = find_points(sample, width)
  score_D, which_S = np.unique(sample.finite_S, return_inverse=True)
  count_RD = intervals.count_draws(which_S[index_RS], score_D.size)
  share_RD = count_RD / index_RS.shape[1]
  return share_RD, score_D, at_G, kernel(at_G, score_D, width, sample)


def _antimodes(
  sample: Sample,
  index_RS: np.ndarray,
  find_points: Callable[[Sample, float], np.ndarray],
) -> np.ndarray:
  """Antimode of each bootstrap sample, NaN where there is none, [R]."""
  num_runs = index_RS.shape[1]
  share_RD, score_D, at_G, kernel_GD = _resampled_kernels(
    sample, index_RS, bandwidth(sample, of_valleys=True), find_points
  )
  density_RG = share_RD @ kernel_GD.T
  weight = _LEAST_WEIGHT * min(1, math.sqrt(_LEAST_WEIGHT_RUNS / num_runs))
  weight = max(weight, _LEAST_RUNS / num_runs)
  upto_RD = np.pad(share_RD.cumsum(axis=1), ((0, 0), (1, 0)))
  below_RG = upto_RD[:, np.searchsorted(score_D, at_G)]
  above_RG = 1 - upto_RD[:, np.searchsorted(score_D, at_G, side="right")]
  left_RG = np.maximum.accumulate(density_RG, axis=1)
  right_RG = np.maximum.accumulate(density_RG[:, ::-1], axis=1)[:, ::-1]
  lower_RG = np.minimum(left_RG, right_RG)
  least = weight - _ROUNDING
  allowed_RG = (below_RG >= least) & (above_RG >= least)
  depth_RG = np.where(allowed_RG, lower_RG - density_RG, 0.0)
  bottom_R = depth_RG.argmax(axis=1)
  row_R = np.arange(len(density_RG))
  lower_R = lower_RG[row_R, bottom_R]
  limit_R = density_RG[row_R, bottom_R] + _FLAT * lower_R
  index_G = np.arange(at_G.size)
  is_higher_RG = density_RG > limit_R[:, None]
  first_R = np.where(is_higher_RG & (index_G < bottom_R[:, None]), index_G, -1)
  last_R = np.where(
    is_higher_RG & (index_G > bottom_R[:, None]), index_G, at_G.size
  )
  first_R = np.minimum(first_R.max(axis=1) + 1, at_G.size - 1)
  last_R = np.maximum(last_R.min(axis=1) - 1, 0)
  middle_R = (at_G[first_R] + at_G[last_R]) / 2
  depth_R = depth_RG[row_R, bottom_R]
  is_deep_R = (depth_R > 0) & (depth_R >= _LEAST_DEPTH * lower_R)
  return np.where(is_deep_R, middle_R, np.nan)


def _second_peak(density_G: np.ndarray) -> float:
  """Height of the second highest peak as a share of the highest; 0 if none."""
  padded_G = np.pad(density_G, 1, constant_values=-np.inf)
  is_peak_G = (density_G > padded_G[:-2]) & (density_G >= padded_G[2:])
  heights = np.sort(density_G[is_peak_G])[::-1]
  return float(heights[1] / heights[0]) if heights.size > 1 else 0.0
