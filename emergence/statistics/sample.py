"""The scores of one population of runs, and the grid that they lie on."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

UNIT, REAL = (0.0, 1.0), (-math.inf, math.inf)
# Scores are stored in single precision, so scores closer than this are equal.
# If all are below 1, the limit is this share of the greatest: see `tolerance`.
SAME_SCORE = 1e-6
# The spacing guessed from only two distinct scores is at most this share of the
# support.
_COARSEST_GUESS = 0.1
# The guessed spacing is the `_TYPICAL_GAP` quantile of gaps between the most
# frequent scores that together hold `_ON_GRID` of the runs. So neither the gap
# between two modes nor a gap between two grids decides.
_ON_GRID, _TYPICAL_GAP = 0.8, 0.75
# If scores are on two grids at once, a score of this share of the runs is taken
# to be on the coarser one.
_OFTEN = 0.1
# Two scores may be neighbours on a grid only if the support's width is a whole
# multiple of their distance, with at most this relative error.
_WHOLE = 0.02
NUM_JITTERS = 16


class Sample(NamedTuple):
  """The scores of one population; make it with `Sample.of`, which checks it.

  Attributes:
    scores_S: one score per run, [S]; NaN where the run diverged.
    support: the least and the largest possible score; either may be infinite.
    step: spacing of the grid of scores, such as 1 / items; 0 where there is no
      grid, None where it is not known.
    chance: the score of guessing, which is the floor; if None, the floor is the
      worst possible score.
    higher_is_better: False if the greatest possible score is the worst.
  """

  scores_S: np.ndarray
  support: tuple[float, float]
  step: float | None
  chance: float | None = None
  higher_is_better: bool = True

  @classmethod
  def of(
    cls,
    scores_S: npt.ArrayLike,
    support: tuple[float, float] = UNIT,
    step: float | None = None,
    chance: float | None = None,
    higher_is_better: bool = True,
  ) -> "Sample":
    """Makes a sample of the scores of a population, after checking them.

    Args:
      scores_S: one score per run, [S]; not finite where the run diverged.
      support: the least and the largest possible score; either may be infinite.
      step: spacing of the grid of scores, 0 for no grid, None where unknown.
      chance: the score of guessing, None where there is none.
      higher_is_better: False if the greatest possible score is the worst.

    Raises:
      ValueError: another shape, no runs, a finite score outside of the support,
        or a spacing that is not a number ≥ 0.
    """
    scores_S = np.asarray(scores_S, float)
    if scores_S.ndim != 1 or not scores_S.size:
      raise ValueError(
        "expected one score per run, of shape [S] with S ≥ 1, got shape"
        f" {scores_S.shape}"
      )
    scores_S = np.where(np.isfinite(scores_S), scores_S, math.nan)
    outside_S = (scores_S < support[0]) | (scores_S > support[1])
    if outside_S.any():
      raise ValueError(
        f"expected scores in [{support[0]:g}, {support[1]:g}], but"
        f" {outside_S.sum()} of {scores_S.size} are outside, such as"
        f" {scores_S[outside_S][0]:g}"
      )
    if step is not None and not 0 <= step < math.inf:
      raise ValueError(
        f"expected a step of the score grid that is finite and ≥ 0, got {step}"
      )
    return cls(scores_S, support, step, chance, higher_is_better)

  @property
  def size(self) -> int:
    """Number of runs, diverged ones included."""
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
    """`step`, or if not known the guess of `grid`, which is 0 without ties."""
    return grid(self).step if self.step is None else self.step

  @property
  def is_tied(self) -> bool:
    """Whether two runs have the same score."""
    return bool((_distinct(np.sort(self.finite_S))[1] > 1).any())

  @property
  def is_constant(self) -> bool:
    """Whether all runs have the same score."""
    return _distinct(np.sort(self.finite_S))[0].size <= 1

  @property
  def bin_width(self) -> float:
    """Width of a bin, half of it on either side of a score on the grid.

    It is 0 without a grid, or if the grid is unknown and few runs share scores.
    """
    if self.step is not None:
      return self.step
    found = grid(self)
    return found.step if found.is_shared else 0.0

  def require_finite_S(self) -> np.ndarray:
    """`finite_S`, or ValueError where all runs diverged."""
    finite_S = self.finite_S
    if not finite_S.size:
      raise ValueError("no run has a finite score")
    return finite_S

  def negated(self) -> "Sample":
    """The sample with the signs of scores, support and chance flipped."""
    low, high = self.support
    return Sample(
      -self.scores_S,
      (-high, -low),
      self.step,
      None if self.chance is None else -self.chance,
      not self.higher_is_better,
    )

  def oriented(self) -> "Sample":
    """The sample, negated if needed to make higher scores better."""
    return self if self.higher_is_better else self.negated()

  def jittered(self, seed: int = 0) -> np.ndarray:
    """Sorted scores, each moved at random within its bin.

    Uniform noise of up to half a spacing turns scores on a grid into a
    histogram, which has one mode if the probabilities of the grid points have
    one. Without ties, the only row is the scores without noise. Each row of
    noise comes with its mirror image, so that mirrored scores have mirrored
    jitters.

    Args:
      seed: seed of the noise.

    Returns:
      One row per jitter, [J, S], over the finite scores. Each is increasing
      before the noise is added.

    Raises:
      ValueError: no run has a finite score.
    """
    scores_S = np.sort(self.require_finite_S())
    if not self.is_tied:
      return scores_S[None]
    rng = np.random.default_rng(seed)
    noise_JS = rng.uniform(-0.5, 0.5, (NUM_JITTERS // 2, scores_S.size))
    noise_JS = np.concatenate([noise_JS, -noise_JS[:, ::-1]])
    return scores_S + self.grid_step * noise_JS


class ScoreGrid(NamedTuple):
  """A grid guessed from the scores.

  Attributes:
    step: spacing of the grid, in the unit of the scores; 0 if all scores are
      equal, or if no two are.
    is_shared: whether most runs share their scores with others.
    coarse_step: guess of the coarser spacing, in case the scores are on two
      grids at once. It is the larger of two gaps: the gap at or next above the
      upper quartile, if scores are shared, and the smallest gap between scores
      of at least a tenth of the runs each. It is at most a tenth of the
      support, or of the scores' range if the support is infinite.
    is_open: whether most runs are at two scores, and it cannot be told whether
      these are two modes or neighbours on a grid.
  """

  step: float
  is_shared: bool
  coarse_step: float
  is_open: bool


def grid(sample: Sample) -> ScoreGrid:
  """Guesses the grid of scores from the gaps between frequent scores.

  The spacing is the upper quartile of the gaps between neighbours among the
  most frequent distinct scores that together hold 80 % of the runs, at least
  three of them. For scores k/N of enough runs that is 1/N, also if a few runs
  are off the grid. For continuous scores it is nearly 0, and still enough to
  spread an atom.

  Where two scores hold most of the runs, nothing tells a grid from two modes:
  if all runs are at 0 or 1, there may be one test item or a hundred. If there
  is no third score, the spacing is at most a tenth of the support, or of the
  range of the scores where the support is infinite. If the number of items is
  known, give `Sample.step` instead. Scores without ties show no grid.

  Raises:
    ValueError: no run has a finite score.
  """
  scores_S = np.sort(sample.require_finite_S())
  score_D, count_D = _distinct(scores_S)
  width = sample.support[1] - sample.support[0]
  guess = _COARSEST_GUESS * float(
    width if math.isfinite(width) else np.ptp(scores_S)
  )
  if score_D.size in (1, scores_S.size):
    return ScoreGrid(0.0, False, 0.0, False)
  if score_D.size == 2:
    step = min(float(score_D[1] - score_D[0]), guess)
    return ScoreGrid(
      step, True, step, _may_be_a_step(float(score_D[1] - score_D[0]), width)
    )
  order = np.argsort(-count_D, kind="stable")
  held = count_D[order].cumsum()
  last = max(2, int(np.searchsorted(held, _ON_GRID * scores_S.size)))
  least = count_D[order[last]]
  gap = np.sort(np.diff(score_D[count_D >= least]))
  typical = _TYPICAL_GAP * (gap.size - 1)
  coarse = float(gap[math.ceil(typical)]) if least > 1 else 0.0
  often_D = score_D[count_D >= max(2, _OFTEN * scores_S.size)]
  if often_D.size > 1:
    coarse = max(coarse, float(np.diff(often_D).min()))
  # The second score must outweigh all other scores. As there are others, two
  # scores at the ends of the support are not neighbours.
  elsewhere = scores_S.size - held[1]
  apart = float(abs(score_D[order[1]] - score_D[order[0]]))
  is_open = (
    held[1] >= _ON_GRID * scores_S.size
    and count_D[order[1]] >= 2
    and count_D[order[1]] > elsewhere
    and apart < width - SAME_SCORE
    and _may_be_a_step(apart, width)
  )
  step = float(gap[int(typical)])
  return ScoreGrid(step, bool(least > 1), min(coarse, guess), bool(is_open))


def tolerance(scores: np.ndarray) -> float:
  """Largest difference of scores that count as equal; NaN is ignored."""
  largest = float(np.max(np.abs(scores), initial=0, where=~np.isnan(scores)))
  return SAME_SCORE * min(1.0, largest)


def _may_be_a_step(distance: float, width: float) -> bool:
  """Whether the width is infinite or nearly a whole multiple of a distance."""
  num = width / distance
  return not math.isfinite(num) or abs(num - round(num)) <= _WHOLE * round(num)


def _distinct(scores_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Distinct values of increasing scores, and how many runs have each, [D]."""
  tolerance_S = np.maximum(tolerance(scores_S), SAME_SCORE * np.abs(scores_S))
  is_new = np.diff(scores_S) > np.minimum(tolerance_S[1:], tolerance_S[:-1])
  first = np.flatnonzero(np.append(True, is_new))
  return scores_S[first], np.diff(np.append(first, scores_S.size))
