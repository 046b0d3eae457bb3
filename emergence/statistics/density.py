"""Kernel density of the scores of a population."""

import math

import numpy as np

from emergence.statistics.sample import SAME_SCORE, Sample, tolerance

# Limits of the bandwidth for a finite support. The smallest is relative to the
# shortest interval with `_MOST` of the runs: smaller structure is not resolved.
# The largest is relative to the support's width: otherwise Silverman's rule
# would take the distance of two clusters for spread, and smear them into each
# other and into the ends.
_SMALLEST_BANDWIDTH, _LARGEST_BANDWIDTH, _MOST = 0.02, 0.05, 0.95
# For an infinite support, both limits are relative to the shortest interval
# with `_BULK` of the runs, which outliers do not affect.
_SMALLEST_OF_BULK, _LARGEST_OF_BULK, _BULK = 0.03, 0.15, 0.75
# For infinite supports and antimodes, the spread within the larger of two modes
# is estimated from the shortest interval with `_MODE_SHARE` of the runs. In a
# normal distribution it is `_MODE_SDS` standard deviations long.
_MODE_SHARE, _MODE_SDS = 0.4, 1.0488
_GRID_POINTS = 501
# Farther than this from all scores, in bandwidths, the density is nearly 0.
_REACH = 5
# Farther than this from an end, in bandwidths, a score's mirror image adds 0.
_NO_IMAGE = 12
# Smaller densities become 0, as products of almost denormal floats are slow.
_SMALLEST = 1e-30


def bandwidth(sample: Sample, of_valleys: bool = False) -> float:
  """Bandwidth by Silverman's rule, 0.9 · min(sd, IQR / 1.34) · S^(−1/5).

  Silverman (1986), "Density estimation for statistics and data analysis",
  equation 3.31; the standard deviation alone where the IQR is 0. The rule is
  for one mode. These populations may have two, so the result has limits.
  Where the support is finite, the bandwidth is at least 0.02 of the shortest
  interval that holds 95 % of the runs, and at most 0.05 of the support's width.
  Where the support is infinite, it is between 0.03 and 0.15 of the shortest
  interval that holds three quarters of the runs. There, the rule's minimum has
  a third term: the length of the shortest interval that holds two fifths of the
  runs, divided by 1.05, which is one standard deviation in a normal
  distribution. So neither the runs farthest out nor the distance of two modes
  matter. Finally, the bandwidth is at least half a spacing of the grid, so that
  no grid point is a mode of its own.

  Args:
    sample: the runs.
    of_valleys: use the third term also if the support is finite and no grid is
      known: a wide tail must not fill the valley between two clusters.

  Returns:
    Standard deviation of the kernel, in the unit of the scores.

  Raises:
    ValueError: no run has a finite score.
  """
  scores_S = sample.require_finite_S()
  low, high = np.quantile(scores_S, [0.25, 0.75])
  deviation = np.std(scores_S, ddof=1) if scores_S.size > 1 else 0.0
  spreads = [deviation, (high - low) / 1.34]
  width = sample.support[1] - sample.support[0]
  if math.isfinite(width):
    most = _shortest(np.sort(scores_S), _MOST) or float(np.ptp(scores_S))
    smallest = _SMALLEST_BANDWIDTH * (most or width)
    largest = _LARGEST_BANDWIDTH * width
  else:
    bulk = _bulk(scores_S)
    smallest, largest = _SMALLEST_OF_BULK * bulk, _LARGEST_OF_BULK * bulk
  if math.isinf(width) or (of_valleys and not sample.step):
    spreads.append(_shortest(np.sort(scores_S), _MODE_SHARE) / _MODE_SDS)
  spread = min((s for s in spreads if s > 0), default=0.0)
  rule = 0.9 * spread * scores_S.size**-0.2
  rule = np.clip(rule, smallest, largest)
  return float(max(rule, sample.grid_step / 2))


def density(
  sample: Sample, of_valleys: bool = False
) -> tuple[np.ndarray, np.ndarray]:
  """Gaussian kernel density of the finite scores, reflected at the ends.

  Mass that a kernel would put outside of the support is reflected, so that a
  population at 0 peaks at 0 (Silverman 1986, section 2.10). On a grid, a score
  stands for half a spacing on either side of it. The density is then reflected
  half a spacing beyond the ends, and integrates to one in between. If it were
  reflected at 0 itself, a run at 0 would add twice as much density there as a
  run at the next grid point adds at that point.

  Args:
    sample: the runs.
    of_valleys: as in `bandwidth`.

  Returns:
    Scores [G], from `points`, and the density at each [G], per unit of score.

  Raises:
    ValueError: no run has a finite score.
  """
  width = bandwidth(sample, of_valleys)
  at_G = points(sample, width)
  score_D, count_D = np.unique(sample.finite_S, return_counts=True)
  return at_G, kernel(at_G, score_D, width, sample) @ (
    count_D / sample.finite_S.size
  )


def points(sample: Sample, width: float) -> np.ndarray:
  """Points at which the density of scores is computed.

  Args:
    sample: the runs, at least one with a finite score.
    width: standard deviation of the kernel, in the unit of the scores.

  Returns:
    Increasing points, [G]: 501 evenly spaced ones over the support. If the
    support is infinite or these would be more than half a bandwidth apart: 501
    evenly spaced ones over the stretches within five bandwidths of a score, the
    ends of the stretches, the middles between, and up to 501 of the scores.
  """
  low, high = sample.support
  if high - low <= width / 2 * (_GRID_POINTS - 1):
    return np.linspace(low, high, _GRID_POINTS)
  score_D = np.unique(sample.finite_S)
  low_D = np.maximum(score_D - _REACH * width, low)
  high_D = np.minimum(score_D + _REACH * width, high)
  # Evenly spaced points on the stretches that are within reach of a score.
  starts = np.append(True, low_D[1:] > high_D[:-1])
  low, high = low_D[starts], high_D[np.append(starts[1:], True)]
  end = np.cumsum(high - low)
  along_G = np.linspace(0, end[-1], _GRID_POINTS)
  which_G = np.minimum(np.searchsorted(end, along_G), end.size - 1)
  even_G = high[which_G] - (end[which_G] - along_G)
  # Add scores: these points may miss a narrow cluster if many runs are far out.
  scores_S = np.sort(sample.finite_S)
  num = min(scores_S.size, _GRID_POINTS)
  some = scores_S[np.rint(np.linspace(0, scores_S.size - 1, num)).astype(int)]
  middle = (high[:-1] + low[1:]) / 2
  return np.unique(np.concatenate([even_G, low, high, middle, some]))


def kernel(
  at_G: np.ndarray, score_D: np.ndarray, width: float, sample: Sample
) -> np.ndarray:
  """Density at each point of a kernel at each score.

  Its sum over scores, weighted by the share of runs at each, is `density`.

  Args:
    at_G: the points, [G].
    score_D: the scores, [D].
    width: standard deviation of the kernel, in the unit of the scores.
    sample: its support and grid decide where the kernel is reflected.

  Returns:
    The density, per unit of score, [G, D].
  """
  half = sample.grid_step / 2
  ends = (sample.support[0] - half, sample.support[1] + half)
  total_GD = np.exp(-0.5 * ((at_G[:, None] - score_D) / width) ** 2)
  for end in filter(np.isfinite, ends):
    near_D = np.abs(score_D - end) < _NO_IMAGE * width
    image_D = 2 * end - score_D[near_D]
    total_GD[:, near_D] += np.exp(
      -0.5 * ((at_G[:, None] - image_D) / width) ** 2
    )
  total_GD[total_GD < _SMALLEST] = 0
  return total_GD / (width * math.sqrt(2 * math.pi))


def _bulk(scores_S: np.ndarray) -> float:
  """Length of the shortest interval with 3/4 of the runs; never 0."""
  middle = SAME_SCORE * float(np.median(np.abs(scores_S)))
  smallest = max(tolerance(scores_S), middle) or SAME_SCORE
  length = _shortest(np.sort(scores_S), _BULK)
  if length < smallest:  # These runs have one score: use the distinct scores.
    length = _shortest(np.unique(scores_S), _BULK)
  return max(length, smallest)


def _shortest(values: np.ndarray, share: float) -> float:
  """Length of the shortest interval with that share of increasing values."""
  held = math.ceil(share * values.size)
  return float((values[held - 1 :] - values[: values.size - held + 1]).min())
