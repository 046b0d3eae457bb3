"""How much of the spread over seeds is the choice of test items."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emergence.statistics.score_grid import UNIT, require_possible


class ItemNoise(NamedTuple):
  """How much of the spread over seeds is due to the choice of test items.

  Attributes:
    share: item variance over variance between seeds; may pass 1 by chance, NaN
      where it is undefined.
    item_variance: mean over runs of the binomial variance of their score.
    seed_variance: variance of the score over runs, item noise included.
    note: why there is no share, empty if there is one.
  """

  share: float
  item_variance: float
  seed_variance: float
  note: str


def item_noise(scores_S: npt.ArrayLike, num_items: int) -> ItemNoise:
  """Share of the variance between seeds that the sample of items makes.

  A run that answers a share p of all items scores a binomial share of N of
  them, of variance p (1 − p) / N; its unbiased estimate from the score x is
  x (1 − x) / (N − 1). This is for exact match, where only scores are known; it
  supposes that each item is drawn anew. Runs that share their items also share
  part of that noise, which no spread over seeds can show. Where every item that
  exists is tested there is no such noise.

  Args:
    scores_S: share of items answered right, one a run, [S]; runs without a
      finite score are left out.
    num_items: items that a score is the mean of, N.

  Raises:
    ValueError: another shape, no runs, fewer than two items, or a score that is
      not in [0, 1].
  """
  scores_S = np.asarray(scores_S, float)
  if scores_S.ndim != 1 or not scores_S.size:
    raise ValueError(f"expected scores of shape [S], got {scores_S.shape}")
  require_possible(scores_S[None], UNIT)
  if num_items < 2:
    raise ValueError(f"expected at least two items, got {num_items}")
  finite_S = scores_S[np.isfinite(scores_S)]
  if finite_S.size < 2:
    note = "fewer than two runs with a score"
    return ItemNoise(math.nan, math.nan, math.nan, note)
  item = float((finite_S * (1 - finite_S)).mean()) / (num_items - 1)
  between = float(finite_S.var(ddof=1))
  if not np.ptp(finite_S):
    return ItemNoise(math.nan, item, between, "all scores are equal")
  return ItemNoise(item / between, item, between, "")
