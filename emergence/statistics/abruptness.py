"""How abruptly summaries of populations move along an axis of scales."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emergence.statistics import intervals, modes, success
from emergence.statistics.options import DEFAULT_THRESHOLD, Options
from emergence.statistics.sample import SAME_SCORE, Sample


class Abruptness(NamedTuple):
  """The `jump` of four summaries of the scores over scales.

  Attributes:
    mode: jump of the mode of the scores; 1 if the mode changes only between two
      scales, NaN if it never changes.
    mean: jump of the mean score.
    success_probability: jump of the success probability.
    mean_given_success: jump of the mean score of successes, over the scales
      with enough successes for a mean.
    difference: `mode` minus `success_probability`.
    difference_low: lower end of the bootstrap interval of `difference`, from
      the resamples in which it is defined.
    difference_high: upper end of this interval.
    difference_p: p-value: twice the share of resamples in which `difference` is
      undefined or at most 0, counting the sample as one of them; at most 1.
    num_scales: number of scales.
  """

  mode: float
  mean: float
  success_probability: float
  mean_given_success: float
  difference: float
  difference_low: float
  difference_high: float
  difference_p: float
  num_scales: int


def jump(value_N: npt.ArrayLike) -> np.ndarray:
  """Divides the largest change between neighbours by the range of all values.

  The result is 1 if the values change only between two scales, and 1 / (N − 1)
  if they lie on a straight line, so what is small depends on N. Noise in the
  values raises it.

  Args:
    value_N: one value per scale, in the order of the scales, [..., N]; NaN for
      none. Only changes between neighbours that both have a value count.

  Returns:
    The share, [...]; NaN if no value changes or no two neighbours have values.
  """
  value_N = np.asarray(value_N, float)
  step_N = np.abs(np.diff(value_N, axis=-1))
  largest = np.max(step_N, axis=-1, initial=-math.inf, where=~np.isnan(step_N))
  has_N = ~np.isnan(value_N)
  high = np.max(value_N, axis=-1, initial=-math.inf, where=has_N)
  low = np.min(value_N, axis=-1, initial=math.inf, where=has_N)
  spread = np.where(has_N.any(axis=-1), high - low, 0)
  defined = (spread > SAME_SCORE) & (largest >= 0)
  return np.divide(
    largest, spread, out=np.full(largest.shape, math.nan), where=defined
  )


def abruptness(
  samples: Sequence[Sample],
  threshold: float = DEFAULT_THRESHOLD,
  paired: bool = False,
  options: Options = Options(),
) -> Abruptness:
  """Tests whether the mode jumps more than the success probability does.

  Computes `jump` of mode, mean, success probability and mean given success over
  the scales, and the mode's jump minus that of the success probability, with a
  bootstrap interval over seeds. If scores form two clusters, the mode jumps
  where the success probability crosses one half, however slowly this
  probability changes. So a positive difference is evidence of two clusters
  rather than of one that moves. It is no evidence that the change is abrupt.

  Args:
    samples: the runs of N scales, in the order of the scales.
    threshold: the least score of a success, in the unit of the scores.
    paired: whether entry s of every sample is the same seed. The scores of a
      seed are then resampled together.
    options: seed and number of the resamples; `modes.MOST_RESAMPLES` at most.

  Raises:
    ValueError: fewer than two scales, a scale without a finite score, or
      `paired` with different numbers of runs at the scales.
  """
  finite = [sample.finite_S for sample in samples]
  sizes = {sample.size for sample in samples}
  if len(samples) < 2 or not all(finite_S.size for finite_S in finite):
    raise ValueError(
      "expected two scales or more, each with a finite score, got numbers of"
      f" finite scores {[finite_S.size for finite_S in finite]}"
    )
  if paired and len(sizes) > 1:
    raise ValueError(
      "paired scales need the same number of runs at each scale, got"
      f" {sorted(sizes)}"
    )
  num = min(options.num_resamples, modes.MOST_RESAMPLES)
  # Row 0 is of the samples themselves, the others are of resamples.
  mode_RN = np.empty((num + 1, len(samples)))
  probability_RN = np.empty_like(mode_RN)
  for n, sample in enumerate(samples):
    key = [options.seed, 0 if paired else n]
    index_RS = intervals.resample_indices(sample.size, num, key)
    success_S = success.is_success(sample.scores_S, threshold)
    probability_RN[0, n] = success_S.mean()
    probability_RN[1:, n] = success_S[index_RS].mean(axis=1)
    mode_RN[0, n] = modes.mode_and_antimode(sample).mode
    index_RS = _of_finite(sample.scores_S, index_RS, [*key, 1])
    mode_RN[1:, n] = modes.resampled_modes(sample, index_RS)
  jump_2R = jump(np.stack([mode_RN, probability_RN]))
  difference_R = jump_2R[0] - jump_2R[1]
  # Noise inflates the largest step, and resamples contain noise twice. The
  # percentile and the basic interval then err in opposite directions, so take
  # the outer ends of both.
  low, high = intervals.percentile_interval(difference_R[1:], min(sizes))
  low, high = (
    min(low, 2 * difference_R[0] - high),
    max(high, 2 * difference_R[0] - low),
  )
  not_above = int((~(difference_R[1:] > 0)).sum())
  given = [success.mean_given_success(s, threshold).value for s in samples]
  return Abruptness(
    float(jump_2R[0, 0]),
    float(jump([finite_S.mean() for finite_S in finite])),
    float(jump_2R[1, 0]),
    float(jump(given)),
    float(difference_R[0]),
    float(max(low, -1.0)),
    float(min(high, 1.0)),
    min(1.0, 2 * (1 + not_above) / difference_R.size),
    len(samples),
  )


def _of_finite(
  scores_S: np.ndarray, index_RS: np.ndarray, seed: Sequence[int]
) -> np.ndarray:
  """Resamples of the finite scores: diverged runs are replaced by others."""
  finite = np.flatnonzero(np.isfinite(scores_S))
  position_S = np.full(scores_S.size, -1)
  position_S[finite] = np.arange(finite.size)
  drawn_RS = position_S[index_RS]
  again = drawn_RS < 0
  rng = np.random.default_rng(seed)
  drawn_RS[again] = rng.integers(finite.size, size=int(again.sum()))
  return drawn_RS[:, : finite.size]
