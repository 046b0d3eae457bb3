"""Mode and antimode: where most runs are, what parts them, how sure that is."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emergence.statistics import intervals
from emergence.statistics.density import bandwidth, density, kernel, points
from emergence.statistics.score_grid import UNIT, grid_step, require_scores

# A valley is an antimode if it is a fifth lower than the lower of the peaks
# beside it, and has a twentieth of 100 runs on each side. Of more runs that
# share falls with the root of their number, as the weights that a dip test
# detects do.
_LEAST_DEPTH, _LEAST_WEIGHT, _LEAST_WEIGHT_RUNS = 0.2, 0.05, 100
# The bottom of a valley is where the density is this close to its lowest.
_FLAT = 0.01
# A mode is stable if the next highest peak is lower than this share of it.
_CLOSE_PEAK = 0.8


class Shape(NamedTuple):
  """Mode and antimode of a population, and how they hang on the bandwidth.

  Attributes:
    mode: the score at which the density is highest.
    mode_stable: False if the second highest peak is within 20 % of the highest;
      True without a second one.
    second_mode: the score of the second highest peak, NaN without one.
    second_height: its height as a share of the highest, 0 without one.
    antimode: the score that separates two peaks, NaN where none does.
    weight_above: share of runs at or above the antimode, NaN without one.
    bandwidth: standard deviation of the kernel, in the unit of the scores.
    mode_range: least and greatest mode at half, once and twice the bandwidth.
    antimode_range: likewise of the antimode, NaN if one of them has none.
  """

  mode: float
  mode_stable: bool
  second_mode: float
  second_height: float
  antimode: float
  weight_above: float
  bandwidth: float
  mode_range: tuple[float, float]
  antimode_range: tuple[float, float]


class ModeShares(NamedTuple):
  """Which cluster is the most populous one, and how sure that is.

  Attributes:
    below: share of resamples whose mode is below the antimode.
    above: share of resamples whose mode is at or above it; NaN where there is
      one cluster, of which `below` is then 1.
  """

  below: float
  above: float


def mode(
  scores_S: npt.ArrayLike,
  support: tuple[float, float] = UNIT,
  step: float | None = None,
) -> float:
  """The score at which `density` is highest, on its points.

  Args:
    scores_S: one finite score a run, [S].
    support: the least and the largest score that are possible; either may be
      infinite.
    step: step of the grid of scores; `grid_step(scores_S, support)` where None.

  Raises:
    ValueError: no scores, or one that is not finite or not in the support.
  """
  at_G, density_G = density(scores_S, support=support, step=step)
  return float(at_G[np.argmax(density_G)])


def antimode(
  scores_S: npt.ArrayLike,
  support: tuple[float, float] = UNIT,
  step: float | None = None,
) -> float:
  """The score at the bottom of the deepest valley of `density`.

  How deep a valley is: how far it lies below the lower of the highest peaks on
  its two sides. It is an antimode if that is at least a fifth of that peak, and
  each side has at least a twentieth of the runs, or a half over the root of
  their number where there are more than 100. So an atom at an end of the
  support has an antimode beside it only if the density rises again beyond. The
  valley's middle is taken where its bottom is flat. Whether the two modes are
  more than chance is for the dip test to say.

  Args:
    scores_S: one finite score a run, [S].
    support: the least and the largest score that are possible; either may be
      infinite.
    step: step of the grid of scores; `grid_step(scores_S, support)` where None.

  Returns:
    The antimode, NaN where there is none.

  Raises:
    ValueError: no scores, or one that is not finite or not in the support.
  """
  scores_S = require_scores(scores_S, support)
  at_G, density_G = density(scores_S, support=support, step=step)
  below_G = np.searchsorted(np.sort(scores_S), at_G) / scores_S.size
  return float(
    _antimodes(at_G, density_G[None], below_G[None], scores_S.size)[0]
  )


def shape(
  scores_S: npt.ArrayLike,
  support: tuple[float, float] = UNIT,
  step: float | None = None,
) -> Shape:
  """Mode, antimode and how both change with the bandwidth.

  Args:
    scores_S: one finite score a run, [S].
    support: the least and the largest score that are possible; either may be
      infinite.
    step: step of the grid of scores; `grid_step(scores_S, support)` where None.

  Raises:
    ValueError: no scores, or one that is not finite or not in the support.
  """
  scores_S = require_scores(scores_S, support)
  step = grid_step(scores_S, support) if step is None else step
  width = bandwidth(scores_S, support, step)
  at_G = points(scores_S, width, support)
  score_D, count_D = np.unique(scores_S, return_counts=True)
  share_D = count_D / scores_S.size
  density_WG = np.stack(
    [
      kernel(at_G, score_D, factor * width, support, step) @ share_D
      for factor in (1.0, 0.5, 2.0)
    ]
  )
  below_G = np.searchsorted(np.sort(scores_S), at_G) / scores_S.size
  mode_W = at_G[density_WG.argmax(axis=1)]
  antimode_W = _antimodes(
    at_G,
    density_WG,
    np.broadcast_to(below_G, density_WG.shape),
    scores_S.size,
  )
  second, height = _second_peak(at_G, density_WG[0])
  return Shape(
    mode=float(mode_W[0]),
    mode_stable=height < _CLOSE_PEAK,
    second_mode=second,
    second_height=height,
    antimode=float(antimode_W[0]),
    weight_above=(
      math.nan
      if math.isnan(antimode_W[0])
      else float((scores_S >= antimode_W[0]).mean())
    ),
    bandwidth=width,
    mode_range=(float(mode_W.min()), float(mode_W.max())),
    antimode_range=(float(antimode_W.min()), float(antimode_W.max())),
  )


def resampled(
  scores_S: npt.ArrayLike,
  index_RS: npt.ArrayLike,
  support: tuple[float, float] = UNIT,
  step: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Mode and antimode of bootstrap samples, all at the bandwidth of the scores.

  `resampled_modes` takes half the time where the antimode is not needed.

  Args:
    scores_S: one finite score a run, [S].
    index_RS: which runs each sample holds, integers below S, [R, S].
    support: the least and the largest score that are possible; either may be
      infinite.
    step: step of the grid of scores; `grid_step(scores_S, support)` where None.

  Returns:
    The mode [R] and the antimode [R], NaN where there is none.

  Raises:
    ValueError: no scores, or one that is not finite or not in the support.
  """
  at_G, density_RG, score_D, share_RD = _resampled_density(
    scores_S, index_RS, support, step
  )
  below_RD = np.pad(share_RD.cumsum(axis=1), ((0, 0), (1, 0)))
  below_RG = below_RD[:, np.searchsorted(score_D, at_G)]
  return (
    at_G[density_RG.argmax(axis=1)],
    _antimodes(at_G, density_RG, below_RG, np.shape(index_RS)[1]),
  )


def resampled_modes(
  scores_S: npt.ArrayLike,
  index_RS: npt.ArrayLike,
  support: tuple[float, float] = UNIT,
  step: float | None = None,
) -> np.ndarray:
  """The modes of `resampled`, [R]; arguments and errors are the same."""
  at_G, density_RG, *_ = _resampled_density(scores_S, index_RS, support, step)
  return at_G[density_RG.argmax(axis=1)]


def mode_shares(
  scores_S: npt.ArrayLike,
  antimode: float,
  support: tuple[float, float] = UNIT,
  step: float | None = None,
  num_resamples: int = intervals.NUM_RESAMPLES,
  seed: int = 0,
) -> ModeShares:
  """How often the mode of a resample is in each of two clusters.

  A percentile interval of the mode of two clusters would span the gap where no
  run is, so the mode carries these shares instead.

  Args:
    scores_S: one finite score a run, [S].
    antimode: the score that separates the clusters, NaN where there is one.
    support: the least and the largest score that are possible; either may be
      infinite.
    step: step of the grid of scores; `grid_step(scores_S, support)` where None.
    num_resamples: bootstrap samples.
    seed: of the resampling.

  Raises:
    ValueError: no scores, or one that is not finite or not in the support.
  """
  scores_S = require_scores(scores_S, support)
  if math.isnan(antimode):
    return ModeShares(1.0, math.nan)
  index_RS = intervals.resample_indices(scores_S.size, num_resamples, seed)
  mode_R = resampled_modes(scores_S, index_RS, support, step)
  above = float((mode_R >= antimode).mean())
  return ModeShares(1 - above, above)


def _resampled_density(
  scores_S: npt.ArrayLike,
  index_RS: npt.ArrayLike,
  support: tuple[float, float],
  step: float | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """Points [G], density [R, G], distinct scores [D], their shares [R, D]."""
  scores_S = require_scores(scores_S, support)
  index_RS = np.asarray(index_RS)
  step = grid_step(scores_S, support) if step is None else step
  width = bandwidth(scores_S, support, step)
  at_G = points(scores_S, width, support)
  score_D, which_S = np.unique(scores_S, return_inverse=True)
  num, distinct = len(index_RS), score_D.size
  flat = which_S[index_RS] + distinct * np.arange(num)[:, None]
  count_RD = np.bincount(flat.ravel(), minlength=num * distinct)
  share_RD = count_RD.reshape(num, distinct) / index_RS.shape[1]
  kernel_GD = kernel(at_G, score_D, width, support, step)
  return at_G, share_RD @ kernel_GD.T, score_D, share_RD


def _antimodes(
  at_G: np.ndarray,
  density_RG: np.ndarray,
  below_RG: np.ndarray,
  num_runs: int,
) -> np.ndarray:
  """Antimode of each density, given the share of runs below each point, [R]."""
  weight = _LEAST_WEIGHT * min(1, math.sqrt(_LEAST_WEIGHT_RUNS / num_runs))
  left_RG = np.maximum.accumulate(density_RG, axis=1)
  right_RG = np.maximum.accumulate(density_RG[:, ::-1], axis=1)[:, ::-1]
  lower_RG = np.minimum(left_RG, right_RG)
  allowed_RG = (below_RG >= weight) & (below_RG <= 1 - weight)
  depth_RG = np.where(allowed_RG, lower_RG - density_RG, 0.0)
  bottom_R = depth_RG.argmax(axis=1)
  row_R = np.arange(len(density_RG))
  lower_R = lower_RG[row_R, bottom_R]
  limit_R = density_RG[row_R, bottom_R] + _FLAT * lower_R
  index_G = np.arange(at_G.size)
  above_RG = density_RG > limit_R[:, None]
  first_R = np.where(above_RG & (index_G < bottom_R[:, None]), index_G, -1)
  last_R = np.where(
    above_RG & (index_G > bottom_R[:, None]), index_G, at_G.size
  )
  first_R = np.minimum(first_R.max(axis=1) + 1, at_G.size - 1)
  last_R = np.maximum(last_R.min(axis=1) - 1, 0)
  middle_R = (at_G[first_R] + at_G[last_R]) / 2
  is_deep_R = depth_RG[row_R, bottom_R] >= _LEAST_DEPTH * lower_R
  return np.where(is_deep_R, middle_R, np.nan)


def _second_peak(
  at_G: np.ndarray, density_G: np.ndarray
) -> tuple[float, float]:
  """Score of the second highest peak, and its share of the highest."""
  padded_G = np.pad(density_G, 1, constant_values=-np.inf)
  is_peak_G = (density_G > padded_G[:-2]) & (density_G >= padded_G[2:])
  peaks = np.flatnonzero(is_peak_G)
  peaks = peaks[np.argsort(density_G[peaks])[::-1]]
  if peaks.size < 2:
    return math.nan, 0.0
  return float(at_G[peaks[1]]), float(density_G[peaks[1]] / density_G[peaks[0]])
