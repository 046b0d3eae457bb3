"""What the statistics leave to their reader."""

from typing import NamedTuple

# The paper calls a run successful from 20 % exact match on; a convention, so
# every output names it.
DEFAULT_THRESHOLD = 0.2
# Coverage of every interval and band, and the quantile of every null.
CONFIDENCE = 0.95
# Fewer runs have no interval of a mean or median: it would cover too rarely or
# be as wide as the scale. Shares of fewer are said as "k of n".
MIN_RUNS = 10


class Options(NamedTuple):
  """What the statistics leave to their reader.

  Attributes:
    threshold: the least score of a success, for metrics in [0, 1] in which
      higher is better and which are no share of tokens. Other metrics have no
      success probability unless `thresholds` names them. None is 0.2 of
      the way from the chance level to 1.
    thresholds: thresholds of single metrics, in their own unit.
    chance: the score of guessing, for the same metrics; None where it is 0.
    chances: chance levels of single metrics, in their own unit.
    correct_over: whether tests of modality are corrected over the `scales` of
      one series of the first metric, and over all of the other metrics, or over
      the whole `table`.
    log_scale: fit the curve of the success probability on the logarithm of the
      scale instead of its rank.
    num_resamples: bootstrap samples.
    num_permutations: permutations of each null.
    alpha: level of the tests of modality.
    seed: of all resampling.
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
