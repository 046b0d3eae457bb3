"""What a study with few seeds would have seen of a change between scales."""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from emergence.statistics import success
from emergence.statistics.options import DEFAULT_THRESHOLD, Options
from emergence.statistics.sample import Sample, tolerance

NUM_SEEDS = (1, 3, 5, 10)
# A study misses a difference if its estimate is wrong by at least this much, in
# the unit of the statistic.
MARGIN = 0.2
_NUM_DRAWS = 10_000
# Equal shares of successes may differ by this much due to rounding.
_ROUNDING = 1e-9


class SmallStudy(NamedTuple):
  """How studies with few seeds per scale see the change between two scales.

  Attributes:
    statistic: "mean" or "success_probability".
    num_seeds: seeds per scale in such a study.
    difference: second scale minus first, over all seeds.
    reversed: share of studies that see a change of the other sign; NaN where
      the difference is 0.
    unseen: share of studies that see no difference at all.
    missed: share of studies whose difference is wrong by at least `MARGIN`.
  """

  statistic: str
  num_seeds: int
  difference: float
  reversed: float
  unseen: float
  missed: float


def small_studies(
  first: Sample,
  second: Sample,
  threshold: float = DEFAULT_THRESHOLD,
  options: Options = Options(),
) -> list[SmallStudy]:
  """Computes how studies with 1, 3, 5 or 10 seeds would see a change.

  The runs at hand stand for all runs: a study draws its seeds from them with
  replacement, independently at each scale. Shares for the success probability
  are exact, from two independent binomials. Shares for the mean of one seed are
  exact too, from all pairs of runs. Shares for the mean of more seeds are from
  10,000 drawn studies.

  Args:
    first: the runs of the first scale.
    second: the runs of the next scale.
    threshold: the least score of a success, in the unit of the scores.
    options: the seed of the draws.

  Returns:
    For each number of seeds, a row for the mean, unless a scale has no finite
    score, and a row for the success probability.
  """
  finite = [first.finite_S, second.finite_S]
  same = tolerance(np.concatenate(finite))
  probability = [
    success.is_success(s.scores_S, threshold).mean() for s in (first, second)
  ]
  rng = np.random.default_rng(options.seed)
  # A study of three seeds is the first three seeds of a study of ten.
  sums = [
    rng.choice(f, (_NUM_DRAWS, max(NUM_SEEDS))).cumsum(axis=1)
    for f in finite
    if f.size
  ]
  studies = []
  for num in NUM_SEEDS:
    if len(sums) == 2:
      if num == 1:
        seen = (finite[1] - finite[0][:, None]).ravel()
      else:
        seen = (sums[1] - sums[0])[:, num - 1] / num
      truth = float(finite[1].mean() - finite[0].mean())
      weight = np.full(seen.size, 1 / seen.size)
      studies.append(("mean", num, truth, seen, weight, same))
    at = np.arange(num + 1)
    first_N, second_N = (stats.binom.pmf(at, num, p) for p in probability)
    seen = (at[:, None] - at).ravel() / num
    weight = np.outer(second_N, first_N).ravel()
    truth = float(probability[1] - probability[0])
    studies.append(("success_probability", num, truth, seen, weight, _ROUNDING))
  rows = []
  for statistic, num, truth, seen, weight, equal in studies:
    shares = _shares(truth, seen, weight, equal)
    rows.append(
      SmallStudy(
        statistic,
        num,
        truth,
        reversed=shares[0] if abs(truth) > equal else math.nan,
        unseen=shares[1],
        missed=shares[2],
      )
    )
  return rows


def _shares(
  truth: float, seen: np.ndarray, weight: np.ndarray, equal: float
) -> list[float]:
  """Weight of the studies that reverse, do not see, and miss a difference."""
  is_unseen = np.abs(seen) <= equal
  events = [
    ~is_unseen & (np.sign(seen) == -np.sign(truth)),
    is_unseen,
    np.abs(seen - truth) >= MARGIN - equal,
  ]
  return [float(weight[event].sum()) for event in events]
