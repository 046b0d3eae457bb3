"""How much a score varies with the initialization, and with the data order.

For a crossed design: every initialization is trained on every data order.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emergence.statistics import intervals
from emergence.statistics.intervals import Interval
from emergence.statistics.options import Options

# Fewer rows or columns say too little about others for an interval.
MIN_LEVELS = 5


class VarianceComponents(NamedTuple):
  """Shares of the variance of the score of one run; they add up to 1.

  Attributes:
    init: due to the initialization, whatever the data order.
    data: due to the data order, whatever the initialization.
    rest: due to their combination and to anything else; with one run of each
      combination these two cannot be told apart.
    init_p: p-value of no effect of the initialization.
    data_p: p-value of no effect of the data order.
  """

  init: Interval
  data: Interval
  rest: Interval
  init_p: float
  data_p: float


def variance_components(
  scores_ID: npt.ArrayLike, options: Options = Options()
) -> VarianceComponents:
  """Splits the variance of crossed runs in three.

  The model is a two-way random effects model, score = mean + init + data +
  rest. Its variances are estimated by the method of moments (analysis of
  variance; Searle, Casella & McCulloch 1992, "Variance Components", chapter 4).
  A negative estimate counts as 0.

  The intervals resample rows and columns (Owen 2007, "The pigeonhole
  bootstrap", Annals of Applied Statistics 1). Copies of one run in a resample
  are not compared with each other, because that would count their equal rests
  as an effect. The p-value of a factor permutes the scores within each level of
  the other one, so that it needs no normal distribution.

  Args:
    scores_ID: the score of each of I initializations with each of D data
      orders, finite. [I, D]
    options: numbers of resamples and permutations, and their seed.

  Returns:
    The shares and p-values. Shares are NaN if all scores are equal; intervals
    are NaN with fewer than 5 rows or columns.

  Raises:
    ValueError: not a table of at least 2 × 2 finite scores.
  """
  scores_ID = np.asarray(scores_ID, float)
  is_table = scores_ID.ndim == 2 and min(scores_ID.shape) >= 2
  if not is_table or not np.isfinite(scores_ID).all():
    raise ValueError(
      "expected a table of at least 2 × 2 finite scores, got shape"
      f" {scores_ID.shape} with {np.isfinite(scores_ID).sum()} finite ones"
    )
  sizes = scores_ID.shape
  rng = np.random.default_rng(options.seed)
  value_3 = _shares(scores_ID, np.ones((1, sizes[0])), np.ones((1, sizes[1])))[
    0
  ]
  low_3 = high_3 = np.full(3, np.nan)
  if min(sizes) >= MIN_LEVELS and not np.isnan(value_3).any():
    weight_RI, weight_RD = (
      rng.multinomial(size, np.full(size, 1 / size), options.num_resamples)
      for size in sizes
    )
    share_R3 = _shares(scores_ID, weight_RI, weight_RD)
    ends = [
      intervals.percentile_interval(x_R, min(sizes), MIN_LEVELS)
      for x_R in share_R3.T
    ]
    low_3, high_3 = np.array(ends).T
  found = [
    Interval(*map(float, x)) for x in zip(value_3, low_3, high_3, strict=True)
  ]
  return VarianceComponents(
    *found,
    init_p=_permutation_p(scores_ID, options.num_permutations, rng),
    data_p=_permutation_p(scores_ID.T, options.num_permutations, rng),
  )


def _shares(
  scores_ID: np.ndarray, weight_RI: np.ndarray, weight_RD: np.ndarray
) -> np.ndarray:
  """Shares of init, data and rest among weighted rows and columns, [R, 3]."""
  # The estimates are means over pairs of runs without a common row or column.
  # With equal weights they are those of the analysis of variance.
  scores_ID = scores_ID - scores_ID.mean()
  init_R = _products(scores_ID, weight_RI, weight_RD)
  data_R = _products(scores_ID.T, weight_RD, weight_RI)
  all_R = _squares(scores_ID, weight_RI, weight_RD)
  parts_R3 = np.stack([init_R, data_R, all_R - init_R - data_R], axis=1)
  # Variances this small are rounding errors of equal scores.
  parts_R3[parts_R3 < 1e-12 * scores_ID.var()] = 0
  with np.errstate(invalid="ignore"):
    return parts_R3 / parts_R3.sum(axis=1, keepdims=True)


def _products(
  scores_ID: np.ndarray, weight_RI: np.ndarray, weight_RD: np.ndarray
) -> np.ndarray:
  """Variance of rows: sums of (x_ij − x_kj)(x_il − x_kl)/2, j ≠ l, [R]."""
  num_RI = weight_RI.sum(axis=1, keepdims=True)
  sum_RI = weight_RD @ scores_ID.T
  square_R = num_RI[:, 0] * (weight_RI * sum_RI**2).sum(axis=1)
  square_R = square_R - (weight_RI * sum_RI).sum(axis=1) ** 2
  same_RD = num_RI * (weight_RI @ scores_ID**2) - (weight_RI @ scores_ID) ** 2
  return square_R - (weight_RD**2 * same_RD).sum(axis=1)


def _squares(
  scores_ID: np.ndarray, weight_RI: np.ndarray, weight_RD: np.ndarray
) -> np.ndarray:
  """Variance of all entries: sums of (x_ij − x_kl)²/2, i ≠ k and j ≠ l, [R]."""
  other_RI = weight_RI.sum(axis=1, keepdims=True) - weight_RI
  other_RD = weight_RD.sum(axis=1, keepdims=True) - weight_RD
  own_R = np.einsum(
    "ri,id,rd->r", weight_RI * other_RI, scores_ID**2, weight_RD * other_RD
  )
  x_RID = weight_RI[:, :, None] * scores_ID * weight_RD[:, None, :]
  cross_R = x_RID.sum(axis=(1, 2)) ** 2 + (x_RID**2).sum(axis=(1, 2))
  for axis in (1, 2):
    cross_R = cross_R - (x_RID.sum(axis=axis) ** 2).sum(axis=1)
  return own_R - cross_R


def _permutation_p(
  scores_ID: np.ndarray, num_permutations: int, rng: np.random.Generator
) -> float:
  """p-value of no difference between rows, from permutations within columns."""
  observed = scores_ID.mean(axis=1).var()
  count = 0
  for _ in range(num_permutations):
    mean_I = rng.permuted(scores_ID, axis=0).mean(axis=1)
    count += mean_I.var() >= observed * (1 - 1e-9)
  return (1 + count) / (1 + num_permutations)
