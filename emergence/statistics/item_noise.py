"""How much of the spread over seeds is the choice of test items."""

import math

import numpy as np

from emergence.statistics.sample import UNIT, Sample


def item_noise(
  sample: Sample, num_items: int = 0, item_variance: float | None = None
) -> float:
  """Share of the variance between seeds that the sample of items makes.

  A run that answers a share p of all items scores a binomial share of N of
  them, of variance p (1 − p) / N; its unbiased estimate from the score x is
  x (1 − x) / (N − 1). This is for exact match, where only scores are known; it
  supposes that each item is drawn anew. Runs that share their items also share
  part of that noise, which no spread over seeds can show. Where every item that
  exists is tested there is no such noise.

  Args:
    sample: the runs; shares of items answered right, unless `item_variance` is
      given. Diverged runs are left out.
    num_items: items that a score is the mean of, N ≥ 2.
    item_variance: mean variance of a score over items, where it is known
      otherwise; the binomial one if None.

  Returns:
    The mean over runs of the variance of their score over items, divided by the
    variance of the score over runs. It may exceed 1 by chance; NaN for fewer
    than two runs or equal scores.

  Raises:
    ValueError: fewer than two items, or scores whose support is not [0, 1].
  """
  finite_S = sample.finite_S
  is_binomial = item_variance is None
  if is_binomial and (num_items < 2 or sample.support != UNIT):
    raise ValueError(
      "expected shares of at least two items, got scores in"
      f" {sample.support} of {num_items}"
    )
  if finite_S.size < 2 or not np.ptp(finite_S):
    return math.nan
  if item_variance is None:
    item_variance = float((finite_S * (1 - finite_S)).mean()) / (num_items - 1)
  return item_variance / float(finite_S.var(ddof=1))
