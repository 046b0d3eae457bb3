"""What an analysis is, as data: what was asked for, and what was found.

A *series* is one metric of one group over its scales. Success, trends and
trajectories are about better and worse, so there a metric of which less is
better has its sign flipped; everything else is in the metric's own unit.
"""

from typing import NamedTuple

import numpy as np

from emergence.statistics import (
  abruptness,
  item_noise,
  modes,
  path,
  resampling,
  small_studies,
  transport,
  trends,
)
from emergence.statistics.intervals import Interval
from emergence.statistics.modality import Modality
from emergence.statistics.options import Options
from emergence.statistics.success import (
  MeanGivenSuccess,
  SuccessAndDivergence,
  Survival,
)
from emergence.tables.score_table import Metric, ScoreTable


class Population(NamedTuple):
  """The runs of one scale of a series.

  Attributes:
    scale: its number.
    label: its text.
    seeds: the seed of each run, S of them.
    scores_S: their scores, [S]; NaN where a run diverged, whatever score it
      has. Such runs fail, and are left out of all but the success probability.
    diverged_S: whether they diverged, [S].
    num_items: test items that a score is the mean of; NaN where unknown.
    item_variance: mean variance of a score over test items; NaN where unknown.
  """

  scale: float
  label: str
  seeds: tuple
  scores_S: np.ndarray
  diverged_S: np.ndarray
  num_items: float
  item_variance: float

  @property
  def finite_S(self) -> np.ndarray:
    return self.scores_S[np.isfinite(self.scores_S)]


class Scale(NamedTuple):
  """What is said of one population.

  Attributes:
    population: its runs.
    modality: its label.
    bootstrap: intervals over seeds, of better is more.
    mode_shares: which cluster the mode is in; None without a finite score.
    success: success probability; None without a threshold.
    given: mean of successes; None without a threshold.
    survival: success probability at every threshold; None without one.
    beyond: success beyond the antimode, where the label is bimodal; else None.
    item_noise: of scores from drawn items; None where it does not apply.
  """

  population: Population
  modality: Modality
  bootstrap: resampling.Bootstrap
  mode_shares: modes.ModeShares | None
  success: SuccessAndDivergence | None
  given: MeanGivenSuccess | None
  survival: Survival | None
  beyond: Interval | None
  item_noise: item_noise.ItemNoise | None


class Distances(NamedTuple):
  """Between all pairs of N scales, of runs with a score.

  Attributes:
    w1_NN: Wasserstein-1 distances, [N, N].
    w2_NN: Wasserstein-2 distances, [N, N].
    test: permutation test of the latter.
    parts: of the squared Wasserstein-2 distance, by pair of indices.
    within_seed: whether scales were permuted within seeds.
  """

  w1_NN: np.ndarray
  w2_NN: np.ndarray
  test: transport.PermutationTest
  parts: dict[tuple[int, int], transport.Parts]
  within_seed: bool


class Series(NamedTuple):
  """What is said of one metric of one group.

  Attributes:
    group: values of the table's group columns.
    metric: the metric.
    threshold: of a success, in the metric's unit; None where it has none.
    scales: the N scales, in order.
    distances: between scales; None where a scale has no run with a score.
    paths: of the scales between the first and the last; empty where there are
      none, or where a scale has no run with a score.
    seeds: seeds with a row at every scale, in order; rows of `trajectories`.
    trajectories: of those seeds; None with fewer than two scales or no seed.
    pairing: whether a seed index says anything over scales; likewise.
    abruptness: of mode, mean and success probability; None without a threshold
      or with fewer than two scales.
    studies: by pair of neighbours, what small studies would have told.
    first_detectable: index of the first scale with two detectable modes.
  """

  group: tuple
  metric: Metric
  threshold: float | None
  scales: list[Scale]
  distances: Distances | None
  paths: list[path.Path]
  seeds: tuple
  trajectories: trends.Trajectories | None
  pairing: trends.Pairing | None
  abruptness: abruptness.Abruptness | None
  studies: list[list[small_studies.SmallStudy]]
  first_detectable: int | None

  @property
  def sign(self) -> float:
    """What turns scores, thresholds and means of better is more into the unit
    of the metric, and back."""
    return sign_of(self.metric)


class Analysis(NamedTuple):
  """What is said of a table.

  Attributes:
    table: the scores.
    options: what was asked for.
    series: by group, then metric.
    family_size: tests of modality that were corrected for together: all cells
      × metrics of the table.
  """

  table: ScoreTable
  options: Options
  series: list[Series]
  family_size: int


def threshold_of(metric: Metric, options: Options) -> float | None:
  """The least score of a success; the greatest where less is better."""
  named = dict(options.thresholds)
  if metric.name in named:
    return named[metric.name]
  is_share = (metric.low, metric.high) == (0.0, 1.0)
  # The threshold is one for whole answers; most of their tokens are easy.
  if is_share and metric.higher_is_better and "token" not in metric.unit:
    return options.threshold
  return None


def sign_of(metric: Metric) -> float:
  """1 where more is better, −1 where less is."""
  return 1.0 if metric.higher_is_better else -1.0
