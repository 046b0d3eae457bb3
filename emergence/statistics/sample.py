"""The scores of one population of runs, and the grid that they lie on."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

UNIT, REAL = (0.0, 1.0), (-math.inf, math.inf)
# Scores are stored in single precision; closer ones are one score.
SAME_SCORE = 1e-6
# What two distinct scores say about the grid they are from is at most this.
_COARSEST_GUESS = 0.1
# A grid is read off the most frequent scores that hold so many of the runs, at
# this quantile of the gaps between them: neither the gap between two modes nor
# one between two grids decides.
_ON_GRID, _TYPICAL_GAP = 0.8, 0.75


class Sample(NamedTuple):
  """The scores of one population; make it with `Sample.of`, which checks it.

  Attributes:
    scores_S: one score a run, [S]; NaN where the run diverged.
    support: the least and the largest possible score; either may be infinite.
    step: step of the grid of scores, such as 1 / items; 0 where there is no
      grid, None where it is not known.
  """

  scores_S: np.ndarray
  support: tuple[float, float]
  step: float | None

  @classmethod
  def of(
    cls,
    scores_S: npt.ArrayLike,
    support: tuple[float, float] = UNIT,
    step: float | None = None,
  ) -> "Sample":
    """Checks the scores of a population.

    Args:
      scores_S: one score a run, [S]; not finite where the run diverged.
      support: the least and the largest possible score; either may be infinite.
      step: step of the grid of scores, 0 for none, None where unknown.

    Raises:
      ValueError: another shape, no runs, a finite score outside of the support,
        or a step that is not a number ≥ 0.
    """
    scores_S = np.asarray(scores_S, float)
    if scores_S.ndim != 1 or not scores_S.size:
      raise ValueError(f"expected scores of shape [S], got {scores_S.shape}")
    scores_S = np.where(np.isfinite(scores_S), scores_S, math.nan)
    outside_S = (scores_S < support[0]) | (scores_S > support[1])
    if outside_S.any():
      raise ValueError(
        f"expected scores in [{support[0]:g}, {support[1]:g}], got"
        f" {outside_S.sum()} others of {scores_S.size}, such as"
        f" {scores_S[outside_S][0]:g}"
      )
    if step is not None and not 0 <= step < math.inf:
      raise ValueError(f"the step of a grid is a number ≥ 0, got {step}")
    return cls(scores_S, support, step)

  @property
  def size(self) -> int:
    """Runs, diverged ones included."""
    return self.scores_S.size

  @property
  def finite_S(self) -> np.ndarray:
    """Scores of the runs that did not diverge."""
    return self.scores_S[np.isfinite(self.scores_S)]

  @property
  def num_diverged(self) -> int:
    return self.size - self.finite_S.size

  @property
  def grid_step(self) -> float:
    """The step, inferred by `grid` where it is not known."""
    return grid(self).step if self.step is None else self.step

  def require_finite_S(self) -> np.ndarray:
    """`finite_S`, or ValueError where all runs diverged."""
    finite_S = self.finite_S
    if not finite_S.size:
      raise ValueError("no run has a finite score")
    return finite_S

  def negated(self) -> "Sample":
    """With scores of the other sign, for metrics of which less is better."""
    low, high = self.support
    return Sample(-self.scores_S, (-high, -low), self.step)


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


def grid(sample: Sample) -> Grid:
  """The grid that scores suggest: the gap between the most frequent of them.

  Of the most frequent distinct scores that hold 80 % of the runs, three at
  least, it is the upper quartile of the gaps between neighbours. For scores k/N
  of enough runs that is 1/N, also if a few runs are off the grid. For
  continuous scores it is next to nothing, and still enough to spread an atom.

  Where two scores hold most of the runs, nothing tells a grid from two modes
  (all runs at 0 or 1: one item a run, or a hundred?). With no third one the
  step is at most a tenth of the support, or of the scores' range where that is
  infinite. Whoever knows the number of items should give `Sample.step` instead.

  Raises:
    ValueError: no run has a finite score.
  """
  scores_S = np.sort(sample.require_finite_S())
  tolerance_S = SAME_SCORE * np.maximum(1.0, np.abs(scores_S))
  is_new = np.diff(scores_S) > np.minimum(tolerance_S[1:], tolerance_S[:-1])
  first = np.flatnonzero(np.append(True, is_new))
  score_D = scores_S[first]
  count_D = np.diff(np.append(first, scores_S.size))
  width = sample.support[1] - sample.support[0]
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
