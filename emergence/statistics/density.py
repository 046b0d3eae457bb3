"""Where the runs of a population are: density, mode and antimode."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

UNIT = (0.0, 1.0)

# Of the support's width. Below the first no structure is resolved: scores sit
# on a grid of test items. Above the second, two clusters far apart, whose
# distance Silverman's rule takes for spread, would be smeared into each other
# and into the ends.
_SMALLEST_BANDWIDTH, _LARGEST_BANDWIDTH = 0.02, 0.05
# Without two ends: of the shortest interval with so many of the runs, on which
# less than a quarter far out has no say.
_SMALLEST_OF_BULK, _LARGEST_OF_BULK, _BULK = 0.03, 0.15, 0.75
# There the shortest interval with so many of the runs, this many standard
# deviations of a normal law, is the spread within the larger of two modes.
_MODE_SHARE, _MODE_SDS = 0.4, 1.0488
_GRID_POINTS = 501
# Further from all scores, in bandwidths, a density is next to nothing.
_REACH = 5
# Scores are stored in single precision; closer ones are one score.
_SAME_SCORE = 1e-6
# What two distinct scores say about the grid they are from is at most this.
_COARSEST_GUESS = 0.1
# A grid is read off the most frequent scores that hold so many of the runs, at
# this quantile of the gaps between them: neither the gap between two modes nor
# one between two grids decides.
_ON_GRID, _TYPICAL_GAP = 0.8, 0.75
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


class Grid(NamedTuple):
  """The grid that scores suggest they are on.

  Attributes:
    step: its step in the unit of the scores; 0 if all are equal.
    coarse_step: a step at which two grids at once would look like one: the
      larger neighbour of the quartile, a tenth of the support at most; 0 unless
      most runs share their scores with others.
    is_open: whether two scores hold so many of the runs that these may as well
      be neighbours on a grid as two modes.
  """

  step: float
  coarse_step: float
  is_open: bool


def bandwidth(
  scores_S: npt.ArrayLike,
  support: tuple[float, float] = UNIT,
  step: float | None = None,
) -> float:
  """Silverman's rule of thumb, 0.9 · min(sd, IQR / 1.34) · S^(−1/5).

  Silverman (1986), "Density estimation for statistics and data analysis",
  equation 3.31; the standard deviation alone where the IQR is 0. Held within
  0.02 and 0.05 of the support's width, because the rule is for one mode, where
  these populations may have two. Where the support is infinite, within 0.03 and
  0.15 of the shortest interval that holds three quarters of the runs, and with
  the shortest that holds two fifths (over 1.05, as of a normal law) as a third
  spread beside sd and IQR, so that neither the scores of the runs farthest out
  nor the distance of two modes matter. At least half a grid step, so that no
  grid point is a mode of its own.

  Args:
    scores_S: one finite score a run, [S].
    support: the least and the largest score that are possible; either may be
      infinite.
    step: step of the grid of scores; `grid_step(scores_S, support)` where None.

  Returns:
    Standard deviation of the kernel, in the unit of the scores.

  Raises:
    ValueError: no scores, or one that is not finite or not in the support.
  """
  scores_S = require_scores(scores_S, support)
  step = grid_step(scores_S, support) if step is None else step
  low, high = np.quantile(scores_S, [0.25, 0.75])
  deviation = np.std(scores_S, ddof=1) if scores_S.size > 1 else 0.0
  spreads = [deviation, (high - low) / 1.34]
  width = support[1] - support[0]
  smallest, largest = _SMALLEST_BANDWIDTH, _LARGEST_BANDWIDTH
  if math.isinf(width):
    width = _bulk(scores_S)
    smallest, largest = _SMALLEST_OF_BULK, _LARGEST_OF_BULK
    spreads.append(_shortest(np.sort(scores_S), _MODE_SHARE) / _MODE_SDS)
  spread = min((s for s in spreads if s > 0), default=0.0)
  rule = 0.9 * spread * scores_S.size**-0.2
  rule = np.clip(rule, smallest * width, largest * width)
  return float(max(rule, step / 2))


def density(
  scores_S: npt.ArrayLike,
  at_G: npt.ArrayLike | None = None,
  support: tuple[float, float] = UNIT,
  step: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Gaussian kernel density, reflected at the ends of the support.

  Mass that a kernel would put outside is folded back, so that a population at 0
  peaks at 0 (Silverman 1986, section 2.10). On a grid, a score stands for half
  a step on either side of it, and the density is folded, and integrates to one,
  half a step beyond the ends: folded at 0 itself, the runs at 0 would count
  twice as much as those at the next grid point.

  Args:
    scores_S: one finite score a run, [S].
    at_G: points in the support. Where None, 501 even ones over it; without two
      finite ends, over all that is within five bandwidths of a score, and up
      to 501 of the scores themselves.
    support: the least and the largest score that are possible; either may be
      infinite.
    step: step of the grid of scores; `grid_step(scores_S, support)` where None.

  Returns:
    The points [G] and the density there [G], per unit of score.

  Raises:
    ValueError: no scores, or one that is not finite or not in the support.
  """
  scores_S = require_scores(scores_S, support)
  step = grid_step(scores_S, support) if step is None else step
  width = bandwidth(scores_S, support, step)
  at_G = _points(scores_S, width, support) if at_G is None else np.asarray(at_G)
  score_D, count_D = np.unique(scores_S, return_counts=True)
  return at_G, _kernel(at_G, score_D, width, support, step) @ (
    count_D / scores_S.size
  )


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
  at_G = _points(scores_S, width, support)
  score_D, count_D = np.unique(scores_S, return_counts=True)
  share_D = count_D / scores_S.size
  density_WG = np.stack(
    [
      _kernel(at_G, score_D, factor * width, support, step) @ share_D
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


def grid_step(
  scores_S: npt.ArrayLike, support: tuple[float, float] = UNIT
) -> float:
  """The step of the grid that scores suggest, see `grid`.

  Args:
    scores_S: one finite score a run, [S].
    support: the least and the largest score that are possible; the range of
      the scores stands for the width of an infinite one.

  Returns:
    The step in the unit of the scores; 0 if all are equal.

  Raises:
    ValueError: no scores, or one that is not finite or not in the support.
  """
  return grid(scores_S, support).step


def grid(scores_S: npt.ArrayLike, support: tuple[float, float] = UNIT) -> Grid:
  """The grid that scores suggest: the gap between the most frequent of them.

  These are the most frequent distinct scores that hold four fifths of the runs,
  three at least, so that a few runs off the grid, or with another number of
  test items, do not count. Of the gaps between neighbours among them it is the
  upper quartile. For scores k/N of enough runs that is 1/N. For continuous ones
  it is next to nothing, and still enough to spread an atom.

  Where two scores hold most of the runs, nothing tells a grid from two modes
  (all runs at 0 or 1: one item a run, or a hundred?). With no third one the
  step is at most a tenth of the support. A caller that knows the number of
  items should say so instead.

  Args:
    scores_S: one finite score a run, [S].
    support: the least and the largest score that are possible; the range of
      the scores stands for the width of an infinite one.

  Raises:
    ValueError: no scores, or one that is not finite or not in the support.
  """
  scores_S = np.sort(require_scores(scores_S, support))
  tolerance_S = _SAME_SCORE * np.maximum(1.0, np.abs(scores_S))
  is_new = np.diff(scores_S) > np.minimum(tolerance_S[1:], tolerance_S[:-1])
  first = np.flatnonzero(np.append(True, is_new))
  score_D = scores_S[first]
  count_D = np.diff(np.append(first, scores_S.size))
  width = support[1] - support[0]
  guess = _COARSEST_GUESS * float(
    width if math.isfinite(width) else np.ptp(scores_S)
  )
  if score_D.size < 2:
    return Grid(0.0, 0.0, False)
  if score_D.size == 2:
    step = min(float(score_D[1] - score_D[0]), guess)
    return Grid(step, step, True)
  order = np.argsort(-count_D, kind="stable")
  held = count_D[order].cumsum()
  last = max(2, int(np.searchsorted(held, _ON_GRID * scores_S.size)))
  least = count_D[order[last]]
  gap = np.sort(np.diff(score_D[count_D >= least]))
  typical = _TYPICAL_GAP * (gap.size - 1)
  coarse = min(float(gap[math.ceil(typical)]), guess) if least > 1 else 0.0
  # The second score outweighs all that is elsewhere, which also shows that
  # scores between the ends are possible.
  elsewhere = scores_S.size - held[1]
  is_open = (
    held[1] >= _ON_GRID * scores_S.size
    and count_D[order[1]] >= max(2, elsewhere)
    and abs(score_D[order[1]] - score_D[order[0]]) < width - _SAME_SCORE
  )
  return Grid(float(gap[int(typical)]), coarse, bool(is_open))


def count_by_tenth(scores_S: npt.ArrayLike) -> list[int]:
  """Runs with a score in [0, .1), [.1, .2), …, [.9, 1].

  Args:
    scores_S: one finite score in [0, 1] a run, [S].

  Returns:
    Ten counts, which add up to S.

  Raises:
    ValueError: no scores, or one that is not in [0, 1].
  """
  scores_S = require_scores(scores_S, UNIT)
  # Scores are stored in single precision, in which 0.7 is below 0.7.
  tenth_S = np.minimum(np.floor(10 * scores_S + 1e-5), 9).astype(int)
  return np.bincount(tenth_S, minlength=10).tolist()


def require_scores(
  scores_S: npt.ArrayLike, support: tuple[float, float]
) -> np.ndarray:
  """The scores as a float array [S], or an error that names the faults.

  Args:
    scores_S: one score a run, [S].
    support: the least and the largest score that are possible; either may be
      infinite.

  Raises:
    ValueError: another shape, no scores, or one that is not finite or not in
      the support.
  """
  scores_S = np.asarray(scores_S, float)
  if scores_S.ndim != 1 or not scores_S.size:
    raise ValueError(
      f"expected scores of shape [S], each in [{support[0]:g}, "
      f"{support[1]:g}], got shape {scores_S.shape}"
    )
  outside_S = ~np.isfinite(scores_S)
  outside_S |= (scores_S < support[0]) | (scores_S > support[1])
  if outside_S.any():
    raise ValueError(
      f"expected finite scores, each in [{support[0]:g}, {support[1]:g}], got "
      f"{outside_S.sum()} others of {scores_S.size}, such as "
      f"{scores_S[outside_S][0]:g}"
    )
  return scores_S


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
  at_G = _points(scores_S, width, support)
  score_D, which_S = np.unique(scores_S, return_inverse=True)
  num, distinct = len(index_RS), score_D.size
  flat = which_S[index_RS] + distinct * np.arange(num)[:, None]
  count_RD = np.bincount(flat.ravel(), minlength=num * distinct)
  share_RD = count_RD.reshape(num, distinct) / index_RS.shape[1]
  kernel_GD = _kernel(at_G, score_D, width, support, step)
  return at_G, share_RD @ kernel_GD.T, score_D, share_RD


def _points(
  scores_S: np.ndarray, width: float, support: tuple[float, float]
) -> np.ndarray:
  """Where a density is looked at, [G]."""
  if math.isfinite(support[1] - support[0]):
    return np.linspace(*support, _GRID_POINTS)
  score_D = np.unique(scores_S)
  low_D = np.maximum(score_D - _REACH * width, support[0])
  high_D = np.minimum(score_D + _REACH * width, support[1])
  # Even points on the stretches that are within reach of a score.
  starts = np.append(True, low_D[1:] > high_D[:-1])
  low, high = low_D[starts], high_D[np.append(starts[1:], True)]
  end = np.cumsum(high - low)
  along_G = np.linspace(0, end[-1], _GRID_POINTS)
  which_G = np.minimum(np.searchsorted(end, along_G), end.size - 1)
  even_G = high[which_G] - (end[which_G] - along_G)
  # They may miss a narrow cluster when many runs are far out.
  some = np.sort(scores_S)[:: math.ceil(scores_S.size / _GRID_POINTS)]
  middle = (high[:-1] + low[1:]) / 2
  return np.unique(np.concatenate([even_G, low, high, middle, some]))


def _kernel(
  at_G: np.ndarray,
  score_D: np.ndarray,
  width: float,
  support: tuple[float, float],
  step: float,
) -> np.ndarray:
  """Density that a run at each score adds at each point, [G, D]."""
  ends = (support[0] - step / 2, support[1] + step / 2)
  images = [score_D, *(2 * end - score_D for end in ends if np.isfinite(end))]
  total_GD = sum(
    np.exp(-0.5 * ((at_G[:, None] - image_D) / width) ** 2)
    for image_D in images
  )
  return np.asarray(total_GD) / (width * math.sqrt(2 * math.pi))


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


def _bulk(scores_S: np.ndarray) -> float:
  """Length of the shortest interval with three quarters of the runs; never 0.

  Where they are at one score, of the distinct scores.
  """
  smallest = _SAME_SCORE * max(1.0, float(np.median(np.abs(scores_S))))
  length = _shortest(np.sort(scores_S), _BULK)
  if length < smallest:
    length = _shortest(np.unique(scores_S), _BULK)
  return max(length, smallest)


def _shortest(values: np.ndarray, share: float) -> float:
  """Length of the shortest interval with that share of increasing values."""
  held = math.ceil(share * values.size)
  return float((values[held - 1 :] - values[: values.size - held + 1]).min())
