"""Which scores there can be: those between two ends, on a grid."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

UNIT = (0.0, 1.0)
# Scores are stored in single precision; closer ones are one score.
SAME_SCORE = 1e-6
# What two distinct scores say about the grid they are from is at most this.
_COARSEST_GUESS = 0.1
# A grid is read off the most frequent scores that hold so many of the runs, at
# this quantile of the gaps between them: neither the gap between two modes nor
# one between two grids decides.
_ON_GRID, _TYPICAL_GAP = 0.8, 0.75


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
  tolerance_S = SAME_SCORE * np.maximum(1.0, np.abs(scores_S))
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
    and abs(score_D[order[1]] - score_D[order[0]]) < width - SAME_SCORE
  )
  return Grid(float(gap[int(typical)]), coarse, bool(is_open))


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


def require_possible(
  scores: npt.ArrayLike, support: tuple[float, float]
) -> np.ndarray:
  """Scores of which some may have diverged, or an error that names the fault.

  Args:
    scores: one score a run of each cell, [C, S], or a result a run and item,
      [S, N]; those that are not finite are let through.
    support: the least and the largest score that are possible; either may be
      infinite.

  Returns:
    The scores as a float array.

  Raises:
    ValueError: another number of axes, an empty one, or a finite score that is
      not in the support.
  """
  scores = np.asarray(scores, float)
  if scores.ndim != 2 or not scores.size:
    raise ValueError(
      f"expected scores of two axes, none empty, got shape {scores.shape}"
    )
  finite = scores[np.isfinite(scores)]
  if ((finite < support[0]) | (finite > support[1])).any():
    raise ValueError(
      f"expected scores in [{support[0]:g}, {support[1]:g}], got "
      f"{finite.min():g} to {finite.max():g}"
    )
  return scores
