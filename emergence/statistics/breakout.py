"""Tests whether a few runs break out of a floor, or fall from a ceiling.

Higher scores must be better: pass `Sample.oriented()`.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from emergence.statistics.composition import clopper_pearson, floor_edge
from emergence.statistics.options import Options
from emergence.statistics.sample import SAME_SCORE, Sample

# With fewer runs outside of the zone there is no test.
MIN_OUTSIDE = 3
# The zone is a floor only if it holds at least this share of all seeds, with
# one-sided confidence of 0.95.
LEAST_INSIDE, CONFIDENCE = 0.3, 0.95


class Breakout(NamedTuple):
  """Result of the test of one end of the support, floor or ceiling.

  Attributes:
    num_inside: runs in the zone at that end.
    num_outside: the other runs with a score.
    edge: the score at which the zone ends.
    p: p-value under the hypothesis that the runs only thin out away from the
      end; NaN where not tested.
  """

  num_inside: int
  num_outside: int
  edge: float
  p: float


def breakout(
  sample: Sample,
  threshold: float | None = None,
  options: Options = Options(),
) -> Breakout | None:
  """Tests whether the density of runs rises somewhere above the floor zone.

  The test is made if at least 3 runs are outside of the zone (see
  `composition.floor_edge`), and the one-sided lower 95 % bound of Clopper and
  Pearson on the share inside is at least 0.3. The null hypothesis is that the
  density of the runs outside does not rise anywhere above the zone's edge. Its
  least favourable case is the uniform distribution from the edge to the
  support's end plus half a bin. The statistic is Smirnov's one-sided distance,
  the largest excess of the uniform distribution function over that of the runs.
  Its p-value is exact: Birnbaum and Tingey (1951), "One-sided confidence
  contours for probability distribution functions", Annals of Mathematical
  Statistics 22. Equal scores are first spread over their bins, see
  `Sample.jittered`; the distance is the mean over the jitters.

  Args:
    sample: oriented so that higher is better; diverged runs are left out.
    threshold: the least score of a success; the zone ends below it.
    options: seed of the jitter.

  Returns:
    The result; None if the support is infinite or no run has a finite score.
  """
  low, high = sample.support
  scores_S = np.sort(sample.finite_S)
  if not scores_S.size or not math.isfinite(high - low):
    return None
  edge = floor_edge(sample, threshold)
  num_inside = int((scores_S <= edge + SAME_SCORE / 2).sum())
  found = Breakout(num_inside, scores_S.size - num_inside, edge, math.nan)
  inside, _ = clopper_pearson(num_inside, scores_S.size, 2 * CONFIDENCE - 1)
  if found.num_outside < MIN_OUTSIDE or inside < LEAST_INSIDE:
    return found
  end = high + sample.bin_width / 2
  above_JM = sample.jittered(options.seed)[:, num_inside:]
  uniform_JM = np.clip((np.sort(above_JM) - edge) / (end - edge), 0, 1)
  # Just below a run's score, the runs' distribution function is the share of
  # runs with lower scores.
  below_M = np.arange(found.num_outside) / found.num_outside
  distance = (uniform_JM - below_M).max(axis=1).mean()
  p = special.smirnov(found.num_outside, distance)
  return found._replace(p=float(p))


def falloff(sample: Sample, options: Options = Options()) -> Breakout | None:
  """Tests the ceiling: `breakout` of the scores with their sign flipped.

  Args:
    sample: oriented so that higher is better; diverged runs are left out.
    options: seed of the jitter.

  Returns:
    As `breakout`, with `edge` in the scores of `sample`.
  """
  found = breakout(sample.negated()._replace(chance=None), options=options)
  return found and found._replace(edge=-found.edge)
