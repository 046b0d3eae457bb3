"""Shares of the runs at the floor, between, successful and at the ceiling.

Samples must be oriented so that higher scores are better: `Sample.oriented`.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from emergence.statistics.options import CONFIDENCE
from emergence.statistics.sample import SAME_SCORE, Sample

CLASSES = ("floor", "between", "successes", "ceiling")
# This share of the support's width above its floor counts as the floor.
ZONE = 0.05
# A class is named where its share is shown to be at least this.
NAMED_SHARE = 0.1
# A class is called "few" where its share is shown to be less than this.
FEW_SHARE = 0.25


class Composition(NamedTuple):
  """Counts and shares of the runs in four classes that exclude each other.

  Attributes:
    num_runs: runs with a finite score; the shares are of these.
    count_C: runs in each of `CLASSES`; NaN where there is no such class: floor
      and ceiling of an infinite support, successes without a threshold.
    share_C: share of the runs in each class.
    low_C: lower ends of the two-sided 95 % intervals of `share_C`.
    high_C: upper ends of these intervals.
    name: the classes in words, such as `floor and successes, some between`.
  """

  num_runs: int
  count_C: np.ndarray
  share_C: np.ndarray
  low_C: np.ndarray
  high_C: np.ndarray
  name: str


def clopper_pearson(
  count: npt.ArrayLike, total: npt.ArrayLike, confidence: float = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray]:
  """Exact two-sided interval of a share.

  Clopper and Pearson (1934), "The use of confidence or fiducial limits",
  Biometrika 26. Each end by itself is a one-sided bound with confidence
  (1 + confidence) / 2.

  Args:
    count: how many of `total` are counted, of any shape; NaN gives NaN.
    total: above 0; its shape broadcasts with that of `count`.
    confidence: the least probability that the interval holds the true share.

  Returns:
    Lower ends and upper ends, each of the broadcast shape.
  """
  count, total = np.asarray(count, float), np.asarray(total, float)
  tail = (1 - confidence) / 2
  low = special.betaincinv(np.maximum(count, 1), total - count + 1, tail)
  high = special.betaincinv(count + 1, np.maximum(total - count, 1), 1 - tail)
  return np.where(count == 0, 0.0, low), np.where(count == total, 1.0, high)


def floor_edge(sample: Sample, threshold: float | None = None) -> float:
  """The score up to which runs are at the floor.

  This edge is 5 % of the support's width above the chance level, or above the
  support's lower end without a chance level. On a grid it is moved to the
  nearest edge between two bins, the lower of two that are equally near. If
  successes begin below that, it is lowered to where they begin.

  Args:
    sample: oriented, with a finite support.
    threshold: the least score of a success, None for none.
  """
  low, high = sample.support
  step = sample.bin_width
  floor = low if sample.chance is None else max(sample.chance, low)
  edge = floor + ZONE * (high - low)
  if step:
    cells = math.ceil((edge - low) / step - 1 - SAME_SCORE)
    edge = low + step * (max(cells, 0) + 0.5)
  if threshold is not None and step:
    # Grid index of the lowest score that is a success.
    least = math.ceil((threshold - low) / step - SAME_SCORE)
    edge = min(edge, low + step * (least - 0.5))
  elif threshold is not None:
    edge = min(edge, threshold - SAME_SCORE)
  return edge


def end_zones(
  sample: Sample, threshold: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Finds the runs in the floor zone, and the runs in the ceiling zone.

  The ceiling zone is the mirror image of the floor zone, but ignores chance and
  threshold. A run in both zones counts as floor only.

  Args:
    sample: oriented, with a finite support.
    threshold: as in `floor_edge`.

  Returns:
    Booleans of the runs with a finite score, [S] for either zone.
  """
  scores_S = sample.finite_S
  floor_S = scores_S <= floor_edge(sample, threshold) + SAME_SCORE / 2
  mirrored = sample.negated()._replace(chance=None)
  ceiling_S = scores_S >= -floor_edge(mirrored) - SAME_SCORE / 2
  return floor_S, ceiling_S & ~floor_S


def composition(
  sample: Sample, threshold: float | None = None
) -> Composition | None:
  """Counts the four classes, with exact intervals of their shares.

  Floor: scores up to `floor_edge`. Ceiling: scores in the mirror image of that
  zone that are successes, if there is a threshold. Successes: other scores at
  or above the threshold. Between: all else. The name joins all classes whose
  interval has a lower end of at least 0.1. Other classes that hold runs follow,
  as "few" if their upper end is below 0.25, else as "some".

  Args:
    sample: oriented so that higher is better; diverged runs are left out.
    threshold: the least score of a success, None where the metric has none.

  Returns:
    The composition; None if no run has a finite score.
  """
  scores_S = sample.finite_S
  if not scores_S.size:
    return None
  success_S = scores_S >= (math.inf if threshold is None else threshold) - (
    SAME_SCORE
  )
  floor_S = ceiling_S = np.zeros(scores_S.size, bool)
  is_bounded = math.isfinite(sample.support[1] - sample.support[0])
  if is_bounded:
    floor_S, ceiling_S = end_zones(sample, threshold)
    ceiling_S &= success_S | (threshold is None)
  success_S &= ~ceiling_S
  between_S = ~(floor_S | success_S | ceiling_S)
  is_class = (is_bounded, True, threshold is not None, is_bounded)
  count_C = np.array(
    [
      class_S.sum() if is_there else math.nan
      for class_S, is_there in zip(
        (floor_S, between_S, success_S, ceiling_S), is_class, strict=True
      )
    ]
  )
  low_C, high_C = clopper_pearson(count_C, scores_S.size)
  share_C = count_C / scores_S.size
  return Composition(
    scores_S.size,
    count_C,
    share_C,
    low_C,
    high_C,
    _name(count_C, low_C, high_C),
  )


def _name(count_C: np.ndarray, low_C: np.ndarray, high_C: np.ndarray) -> str:
  named = [
    name for name, low in zip(CLASSES, low_C, strict=True) if low >= NAMED_SHARE
  ]
  others = [
    f"{'few' if high < FEW_SHARE else 'some'} {name}"
    for name, count, high in zip(CLASSES, count_C, high_C, strict=True)
    if count > 0 and name not in named
  ]
  if not named:
    return "too few runs"
  *first, last = named
  text = f"{', '.join(first)} and {last}" if first else last
  return ", ".join([text, *others])
