"""What the caller of the statistics can choose, and constants they share."""

from typing import NamedTuple

# Zhao et al. (2025) call a run successful from 20 % exact match on. This is a
# convention, so every output names the threshold.
DEFAULT_THRESHOLD = 0.2
# Coverage of every interval and band, and the quantile that is given of every
# null distribution.
CONFIDENCE = 0.95
# Fewer runs have no interval of a mean or median: it would cover too rarely or
# be as wide as the scale. Shares of fewer runs are written as "k of n".
MIN_RUNS = 10


class Options(NamedTuple):
  """What the caller of the statistics can choose.

  Attributes:
    threshold: the least score of a success, for metrics in [0, 1] in which
      higher is better and which are no share of tokens. Other metrics have no
      success probability unless `thresholds` names them. None means
      chance + 0.2 (1 − chance).
    thresholds: pairs of a metric and its threshold, in the metric's unit.
    chance: the score of guessing, for the same metrics as `threshold`; None
      where it is 0.
    chances: pairs of a metric and its chance level, in the metric's unit.
    correct_over: families of the tests of modality in Holm's correction.
      `scales`: the scales of each series of the first metric are a family, all
      cells of the other metrics are another. `table`: the table is one family.
    log_scale: fit the curve of the success probability on the logarithm of the
      scale instead of its rank.
    num_resamples: number of bootstrap samples.
    num_permutations: number of permutations of each null.
    alpha: level of the tests of modality.
    seed: seed of everything that is drawn at random.
  """

  threshold: float | None = None
  thresholds: tuple[tuple[str, float], ...] = ()
  chance: float | None = None
  chances: tuple[tuple[str, float], ...] = ()
  correct_over: str = "scales"
  log_scale: bool = False
  num_resamples: int = 1000
  num_permutations: int = 1000
  alpha: float = 0.05
  seed: int = 0
