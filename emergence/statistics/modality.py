"""The shape of a distribution of scores."""

import numpy as np
import numpy.typing as npt

# Below the first no structure is resolved: scores sit on a grid of test items.
# Above the second, two clusters far apart, whose distance Silverman's rule
# takes for spread, would be smeared into each other and into the ends.
_SMALLEST_BANDWIDTH, _LARGEST_BANDWIDTH = 0.02, 0.05
_GRID_POINTS = 501


def bandwidth(scores_S: npt.ArrayLike) -> float:
  """Silverman's rule of thumb, 0.9 · min(sd, IQR / 1.34) · S^(−1/5).

  Silverman (1986), "Density estimation for statistics and data analysis",
  equation 3.31; the standard deviation alone where the IQR is 0. Held within
  [0.02, 0.05]: scores sit on a grid, and the rule is for one mode, where these
  populations may have two.

  Args:
    scores_S: one finite score in [0, 1] a run, [S].
  """
  scores_S = _require_unit_scores(scores_S)
  low, high = np.quantile(scores_S, [0.25, 0.75])
  deviation = np.std(scores_S, ddof=1) if scores_S.size > 1 else 0.0
  spreads = [s for s in (deviation, (high - low) / 1.34) if s > 0]
  width = 0.9 * min(spreads, default=0.0) * scores_S.size**-0.2
  return float(np.clip(width, _SMALLEST_BANDWIDTH, _LARGEST_BANDWIDTH))


def density(
  scores_S: npt.ArrayLike, at_G: npt.ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Gaussian kernel density on [0, 1], reflected at both ends.

  Mass that a kernel would put outside of [0, 1] is folded back, so that the
  density integrates to one and a population at 0 peaks at 0 (Silverman 1986,
  section 2.10).

  Args:
    scores_S: one finite score in [0, 1] a run, [S].
    at_G: points in [0, 1]; 501 even ones where None.

  Returns:
    The points [G] and the density there [G], per unit of score.

  Raises:
    ValueError: no scores, or one that is not in [0, 1].
  """
  scores_S = _require_unit_scores(scores_S)
  at_G = np.linspace(0, 1, _GRID_POINTS) if at_G is None else np.asarray(at_G)
  images = np.concatenate([scores_S, -scores_S, 2 - scores_S])
  width = bandwidth(scores_S)
  z = (at_G[:, None] - images) / width
  total = np.exp(-0.5 * z**2).sum(axis=1)
  return at_G, total / (scores_S.size * width * np.sqrt(2 * np.pi))


def mode(scores_S: npt.ArrayLike) -> float:
  """The score at which `density` is highest, on its 501 points.

  Args:
    scores_S: one finite score in [0, 1] a run, [S].

  Raises:
    ValueError: no scores, or one that is not in [0, 1].
  """
  at_G, density_G = density(scores_S)
  return float(at_G[np.argmax(density_G)])


def count_by_tenth(scores_S: npt.ArrayLike) -> list[int]:
  """Runs with a score in [0, .1), [.1, .2), …, [.9, 1].

  Args:
    scores_S: one finite score in [0, 1] a run, [S].

  Raises:
    ValueError: no scores, or one that is not in [0, 1].
  """
  scores_S = _require_unit_scores(scores_S)
  # Scores are stored in single precision, in which 0.7 is below 0.7.
  tenth_S = np.minimum(np.floor(10 * scores_S + 1e-5), 9).astype(int)
  return np.bincount(tenth_S, minlength=10).tolist()


def _require_unit_scores(scores_S: npt.ArrayLike) -> np.ndarray:
  scores_S = np.asarray(scores_S, float)
  inside = (scores_S >= 0) & (scores_S <= 1)
  if scores_S.ndim != 1 or not scores_S.size or not inside.all():
    raise ValueError("expected scores of shape [S], each in [0, 1]")
  return scores_S
