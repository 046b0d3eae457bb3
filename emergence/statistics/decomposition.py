"""Whether a mean changes because more runs succeed or because runs are better.

Higher scores are better throughout; see `Sample.negated`.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from emergence.statistics import intervals, success
from emergence.statistics.intervals import Interval
from emergence.statistics.options import DEFAULT_THRESHOLD, MIN_RUNS, Options
from emergence.statistics.sample import SAME_SCORE, Sample, tolerance


class Decomposition(NamedTuple):
  """The change of the mean from one scale to the next, in three parts.

  Attributes:
    num_from: runs with a finite score at the first scale.
    num_to: likewise at the second.
    share_from: share of these runs that succeed at the first scale.
    share_to: likewise at the second.
    change: change of the mean; the sum of the three parts below.
    by_share: part due to the change of the share of successes.
    by_successes: part due to the change of the mean of the successes.
    by_others: part due to the change of the mean of the other runs.
    p: two-sided p-value of the hypothesis that the mean does not change; NaN if
      all scores are equal or a scale has a single score.
  """

  num_from: int
  num_to: int
  share_from: float
  share_to: float
  change: Interval
  by_share: Interval
  by_successes: Interval
  by_others: Interval
  p: float


def decompositions(
  samples: Sequence[Sample],
  threshold: float = DEFAULT_THRESHOLD,
  options: Options = Options(),
) -> list[Decomposition | None]:
  """Splits the change of the mean between neighbouring scales in three parts.

  With P the share of successes, m₁ their mean and m₀ the mean of the other
  runs, mean = P·m₁ + (1 − P)·m₀ at each scale. Its change is the sum of

    ΔP · avg(m₁ − m₀),  avg(P) · Δm₁,  avg(1 − P) · Δm₀,

  where avg is the average over both scales: Kitagawa (1955), "Components of a
  difference between two rates", JASA 50. If P is 0 at one scale, m₁ is
  undefined there and takes the other scale's value. If P is 0 at both, m₁ is in
  no term. The same holds for m₀ where P is 1. So the parts sum to the change,
  also in every bootstrap sample.

  The p-value is that of Welch (1947), "The generalization of 'Student's'
  problem when several different population variances are involved", Biometrika
  34.

  Diverged runs are left out, as in every mean: P is the share among the runs
  with a finite score.

  The intervals are those of `intervals.percentile_interval`, with the number of
  runs of the smaller scale. The runs of each scale are resampled independently.
  An interval is NaN if either scale has fewer than `MIN_RUNS` runs, or if the
  part is equal in all resamples. In simulated mixtures of 12, 32 and 100 runs,
  the intervals of the change and of the part by share cover the truth in 0.92
  to 0.97 of samples. Those of the other two parts cover it in 0.78 to 0.90 if
  fewer than about five runs are in a mean, else in 0.92 to 0.97.

  Args:
    samples: the runs of N scales, in the order of the scales.
    threshold: the least score of a success, in the unit of the scores.
    options: number and seed of the resamples.

  Returns:
    N − 1 decompositions; None where either scale has no finite score.
  """
  scores = [sample.finite_S for sample in samples]
  counts: dict[tuple[int, int], np.ndarray] = {}
  summaries = []
  for n, score_S in enumerate(scores):
    # Only neighbouring scales are compared, so two sets of draws are enough.
    key = score_S.size, n % 2
    if key not in counts:
      counts[key] = _counts(score_S.size, n % 2, options)
    summaries.append(_summaries(score_S, threshold, counts[key]))
  return [
    _decomposition(a, b, from_S, to_S) if from_S.size and to_S.size else None
    for (a, b), (from_S, to_S) in zip(
      itertools.pairwise(summaries), itertools.pairwise(scores), strict=True
    )
  ]


def parts(from_R3: np.ndarray, to_R3: np.ndarray) -> np.ndarray:
  """The three parts of a change of P·m₁ + (1 − P)·m₀, as in `decompositions`.

  Args:
    from_R3: P, m₁ and m₀ before, [..., 3]; NaN where a mean is undefined.
    to_R3: the same after.

  Returns:
    The parts due to P, to m₁ and to m₀, [..., 3].
  """
  from_R3 = np.where(np.isnan(from_R3), to_R3, from_R3)
  to_R3 = np.where(np.isnan(to_R3), from_R3, to_R3)
  # A mean that is undefined at both scales has weight 0, so any value will do.
  p, m1, m0 = np.moveaxis(np.nan_to_num((from_R3 + to_R3) / 2), -1, 0)
  dp, dm1, dm0 = np.moveaxis(np.nan_to_num(to_R3 - from_R3), -1, 0)
  return np.stack([dp * (m1 - m0), p * dm1, (1 - p) * dm0], axis=-1)


def _counts(num_runs: int, which: int, options: Options) -> np.ndarray:
  """How often each run is in the sample (row 0) and resamples, [1 + R, S]."""
  num = options.num_resamples if num_runs >= MIN_RUNS else 0
  index_RS = intervals.resample_indices(num_runs, num, [options.seed, which])
  count_RS = intervals.count_draws(index_RS, num_runs)
  return np.vstack([np.ones(num_runs), count_RS])


def _summaries(
  score_S: np.ndarray, threshold: float, count_RS: np.ndarray
) -> np.ndarray:
  """P, m₁ and m₀ of the runs and of each resample, [1 + R, 3]."""
  success_S = success.is_success(score_S, threshold)
  columns = [success_S, success_S * score_S, ~success_S, ~success_S * score_S]
  num1_R, sum1_R, num0_R, sum0_R = (count_RS @ np.stack(columns, axis=1)).T
  with np.errstate(invalid="ignore"):  # A mean of no runs is NaN.
    return np.stack(
      [num1_R / (num1_R + num0_R), sum1_R / num1_R, sum0_R / num0_R], axis=1
    )


def _decomposition(
  from_R3: np.ndarray, to_R3: np.ndarray, from_S: np.ndarray, to_S: np.ndarray
) -> Decomposition:
  fewest = min(from_S.size, to_S.size)
  if fewest < MIN_RUNS:
    from_R3, to_R3 = from_R3[:1], to_R3[:1]
  parts_R3 = parts(from_R3, to_R3)

  def interval(value_R: np.ndarray) -> Interval:
    value, low, high = float(value_R[0]), math.nan, math.nan
    if value_R.size > 1 and np.ptp(value_R[1:]) > SAME_SCORE:
      low, high = intervals.percentile_interval(value_R[1:], fewest)
    return Interval(value, low, high)

  return Decomposition(
    from_S.size,
    to_S.size,
    float(from_R3[0, 0]),
    float(to_R3[0, 0]),
    interval(parts_R3.sum(axis=1)),
    *(interval(part_R) for part_R in parts_R3.T),
    p=_welch(from_S, to_S),
  )


def _welch(from_S: np.ndarray, to_S: np.ndarray) -> float:
  if min(from_S.size, to_S.size) < 2:
    return math.nan
  first, second = (
    (
      x_S.mean(),
      x_S.std(ddof=1) if np.ptp(x_S) > tolerance(x_S) else 0.0,
      x_S.size,
    )
    for x_S in (from_S, to_S)
  )
  found = stats.ttest_ind_from_stats(*first, *second, equal_var=False)
  return float(found.pvalue)
