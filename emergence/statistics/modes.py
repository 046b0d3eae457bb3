"""Mode and antimode: the highest peak of the density and its deepest valley."""

import math
from typing import NamedTuple

import numpy as np

from emergence.statistics import intervals
from emergence.statistics.density import bandwidth, density, kernel, points
from emergence.statistics.sample import Sample

# A valley is an antimode if it is a fifth lower than the lower of the peaks on
# its two sides, and has a twentieth of the runs on each side. Above 100 runs,
# this share falls as 1 / √S, as do the weights that a dip test detects.
_LEAST_DEPTH, _LEAST_WEIGHT, _LEAST_WEIGHT_RUNS = 0.2, 0.05, 100
_LEAST_RUNS = 2  # One run is no mode, however far it is from the others.
_ROUNDING = 1e-9
# The bottom of a valley is where the density is this close to its minimum, as a
# share of the lower peak.
_FLAT = 0.01
# A mode is stable if the second highest peak is below this share of its height.
_CLOSE_PEAK = 0.8
# Distance, in bandwidths, of the points at which the density of resamples is
# computed: peaks are wider.
_POINTS = 0.25
# At most this many densities of resamples are computed. A level of 2.5 % then
# has a standard error of 0.8 %.
MOST_RESAMPLES = 400


class ModeAndAntimode(NamedTuple):
  """Mode and antimode of a population.

  Attributes:
    mode: the score at which the density is highest.
    mode_stable: False if the second highest peak is within 20 % of the highest;
      True if there is no second peak.
    antimode: the score that separates two peaks, NaN where none does.
    weight_above: share of runs at or above the antimode, NaN without one.
  """

  mode: float
  mode_stable: bool
  antimode: float
  weight_above: float


def mode_and_antimode(sample: Sample) -> ModeAndAntimode:
  """Finds mode and antimode of the `density`.

  The antimode is found with `of_valleys`. It is the bottom of the deepest
  valley, or the middle of the bottom if that is flat. The depth of a valley is
  how far it lies below the lower of the highest peaks on its two sides. The
  bottom counts as an antimode only if the depth is at least a fifth of that
  peak, and if each side has at least two runs and at least a twentieth of all
  runs (of S > 100 runs, at least the share 1 / (2 √S)). So an atom at an end of
  the support has an antimode beside it only if the density rises again farther
  from that end. The dip test says whether two modes are more than chance.

  Args:
    sample: the runs; diverged ones are left out.

  Raises:
    ValueError: no run has a finite score.
  """
  scores_S = sample.require_finite_S()
  at_G, density_G = density(sample)
  antimode = _antimode(sample)
  above = float((scores_S >= antimode).mean())
  return ModeAndAntimode(
    mode=float(at_G[density_G.argmax()]),
    mode_stable=_second_peak(density_G) < _CLOSE_PEAK,
    antimode=antimode,
    weight_above=math.nan if math.isnan(antimode) else above,
  )


def resampled_modes(sample: Sample, index_RS: np.ndarray) -> np.ndarray:
  """Modes of bootstrap samples, all with the bandwidth of the original runs.

  They are accurate to a quarter of the bandwidth.

  Args:
    sample: the runs.
    index_RS: which of the finite scores each bootstrap sample holds, [R, S].

  Returns:
    The mode of each bootstrap sample, [R].

  Raises:
    ValueError: no run has a finite score.
  """
  width = bandwidth(sample)
  at_G = _coarse_points(sample, width)
  score_D, which_S = np.unique(sample.finite_S, return_inverse=True)
  count_RD = intervals.count_draws(which_S[index_RS], score_D.size)
  kernel_GD = kernel(at_G, score_D, width, sample)
  return at_G[(count_RD @ kernel_GD.T).argmax(axis=1)]


def _coarse_points(sample: Sample, width: float) -> np.ndarray:
  """Every n-th of `points`, chosen so that mirrored scores mirror them."""
  at_G = points(sample, width)
  every = max(1, int(_POINTS * width * at_G.size / np.ptp(at_G)))
  return at_G[(at_G.size - 1) % every // 2 :: every]


def _antimode(sample: Sample) -> float:
  """The antimode of the scores, NaN where there is none."""
  scores_S = np.sort(sample.finite_S)
  num_runs = scores_S.size
  at_G, density_G = density(sample, of_valleys=True)
  weight = _LEAST_WEIGHT * min(1, math.sqrt(_LEAST_WEIGHT_RUNS / num_runs))
  least = max(weight, _LEAST_RUNS / num_runs) - _ROUNDING
  below_G = np.searchsorted(scores_S, at_G) / num_runs
  above_G = 1 - np.searchsorted(scores_S, at_G, side="right") / num_runs
  left_G = np.maximum.accumulate(density_G)
  right_G = np.maximum.accumulate(density_G[::-1])[::-1]
  lower_G = np.minimum(left_G, right_G)
  allowed_G = (below_G >= least) & (above_G >= least)
  depth_G = np.where(allowed_G, lower_G - density_G, 0.0)
  bottom = depth_G.argmax()
  lower, depth = lower_G[bottom], depth_G[bottom]
  if depth <= 0 or depth < _LEAST_DEPTH * lower:
    return math.nan
  # The middle of the flat bottom, which ends at higher points on both sides.
  is_higher_G = density_G > density_G[bottom] + _FLAT * lower
  first = np.flatnonzero(is_higher_G[:bottom]).max(initial=-1) + 1
  higher = bottom + np.flatnonzero(is_higher_G[bottom:])
  last = higher.min(initial=at_G.size) - 1
  return float((at_G[first] + at_G[last]) / 2)


def _second_peak(density_G: np.ndarray) -> float:
  """Height of the second highest peak as a share of the highest; 0 if none."""
  padded_G = np.pad(density_G, 1, constant_values=-np.inf)
  is_peak_G = (density_G > padded_G[:-2]) & (density_G >= padded_G[2:])
  heights = np.sort(density_G[is_peak_G])[::-1]
  return float(heights[1] / heights[0]) if heights.size > 1 else 0.0
