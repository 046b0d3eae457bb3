"""What a study with few seeds would have told about the step between scales."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from emergence.statistics import success

# Sums of a few scores differ by this much where they are equal.
_ROUNDING = 1e-9


class SmallStudy(NamedTuple):
  """How studies with a few seeds a scale see the step between two scales.

  Attributes:
    statistic: "mean" or "success_probability".
    num_seeds: seeds a scale of such a study.
    difference: second scale minus first, over all seeds.
    reversed: share of studies that see a step of the other sign; NaN where the
      difference is 0.
    unseen: share of studies that see no difference at all.
    missed: share of studies whose difference is off by at least `margin`.
    reversed_error: Monte-Carlo standard error of `reversed`, 0 where exact.
    unseen_error: likewise.
    missed_error: likewise.
    margin: in the unit of the statistic.
    threshold: a run succeeds if its score is at least this.
    num_diverged: runs without a finite score at either scale: failures in the
      success probability, left out of the mean.
  """

  statistic: str
  num_seeds: int
  difference: float
  reversed: float
  unseen: float
  missed: float
  reversed_error: float
  unseen_error: float
  missed_error: float
  margin: float
  threshold: float
  num_diverged: int


def small_studies(
  first_S: npt.ArrayLike,
  second_S: npt.ArrayLike,
  num_seeds: Sequence[int] = (1, 3, 5, 10),
  margin: float = 0.2,
  threshold: float = success.DEFAULT_THRESHOLD,
  num_draws: int = 10_000,
  seed: int = 0,
) -> list[SmallStudy]:
  """What studies with few of these seeds would have said of one step.

  The runs at hand stand for the law of all runs: a study draws its seeds from
  them with replacement, at each scale by itself. Success probabilities are two
  independent binomials, so their row is exact, and so is the mean of one seed,
  over all pairs of runs. The mean of more seeds is by simulation.

  Args:
    first_S: one score a run at the first scale, [S1].
    second_S: one score a run at the next scale, [S2].
    num_seeds: seeds a scale of the studies.
    margin: a study misses the difference if it is off by at least this much.
    threshold: the least score of a success, in the unit of the scores.
    num_draws: simulated studies.
    seed: of the simulation.

  Returns:
    For each number of seeds, the row of the mean and that of the success
    probability. The mean's is left out where a scale has no finite score.

  Raises:
    ValueError: no scores at a scale, or a study of fewer than one seed.
  """
  scores = [np.asarray(s, float) for s in (first_S, second_S)]
  if any(s.ndim != 1 or not s.size for s in scores) or min(num_seeds) < 1:
    raise ValueError(
      "expected scores of shape [S] at both scales and at least one seed, got "
      f"shapes {scores[0].shape}, {scores[1].shape} and {tuple(num_seeds)}"
    )
  finite = [s[np.isfinite(s)] for s in scores]
  num_diverged = sum(
    s.size - f.size for s, f in zip(scores, finite, strict=True)
  )
  probability = [success.is_success(s, threshold).mean() for s in scores]
  rng = np.random.default_rng(seed)
  # A study of three seeds is the first three of one of ten.
  most = max(num_seeds)
  sums = [
    rng.choice(f, (num_draws, most)).cumsum(axis=1) for f in finite if f.size
  ]
  studies = []
  for num in num_seeds:
    if len(sums) == 2:
      first, second = finite
      if num == 1:
        seen, draws = (second - first[:, None]).ravel(), math.inf
      else:
        seen, draws = (sums[1] - sums[0])[:, num - 1] / num, num_draws
      truth = float(second.mean() - first.mean())
      weight = np.full(seen.size, 1 / seen.size)
      studies.append(("mean", num, truth, seen, weight, draws))
    at = np.arange(num + 1)
    first, second = (stats.binom.pmf(at, num, p) for p in probability)
    seen, weight = (at[:, None] - at).ravel() / num, np.outer(second, first)
    truth = float(probability[1] - probability[0])
    studies.append(
      ("success_probability", num, truth, seen, weight.ravel(), math.inf)
    )
  rows = []
  for statistic, num, truth, seen, weight, draws in studies:
    shares = _shares(truth, seen, weight, margin)
    errors = [math.sqrt(max(s * (1 - s), 0.0) / draws) for s in shares]
    rows.append(
      SmallStudy(
        statistic,
        num,
        truth,
        reversed=shares[0] if abs(truth) >= _ROUNDING else math.nan,
        unseen=shares[1],
        missed=shares[2],
        reversed_error=errors[0],
        unseen_error=errors[1],
        missed_error=errors[2],
        margin=margin,
        threshold=threshold,
        num_diverged=num_diverged,
      )
    )
  return rows


def _shares(
  truth: float, seen: np.ndarray, weight: np.ndarray, margin: float
) -> list[float]:
  """Weight of the studies that reverse, do not see, and miss a difference."""
  is_unseen = np.abs(seen) < _ROUNDING
  events = [
    ~is_unseen & (np.sign(seen) == -np.sign(truth)),
    is_unseen,
    np.abs(seen - truth) > margin - _ROUNDING,
  ]
  return [float(weight[event].sum()) for event in events]
