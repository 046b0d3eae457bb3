"""All statistics of a table of scores, group by group and metric by metric."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from emergence.analysis.series import (
  Analysis,
  Distances,
  Population,
  Scale,
  Series,
  sign_of,
  threshold_of,
)
from emergence.statistics import (
  abruptness,
  item_noise,
  modality,
  modes,
  path,
  resampling,
  small_studies,
  success,
  transport,
  trends,
)
from emergence.statistics.modality import Modality
from emergence.statistics.options import Options
from emergence.statistics.sample import Sample
from emergence.tables.score_table import Metric, ScoreTable, quote

# Scores are stored in single precision, and some are rounded to three decimals.
_OFF_GRID = 0.05


def analyze(table: ScoreTable, options: Options = Options()) -> Analysis:
  """Computes all statistics of a table.

  Args:
    table: as `emergence.tables.read` returns it.
    options: threshold, resampling and level.

  Raises:
    ValueError: a threshold for a metric that the table lacks, or a score or
      threshold that the metric's support does not hold.
  """
  unknown = {name for name, _ in options.thresholds} - set(table.metrics)
  if unknown:
    raise ValueError(
      f"--threshold: there is no metric {quote(sorted(unknown)[0])}; there are"
      f" {', '.join(map(quote, table.metrics))}"
    )
  for metric in table.metrics.values():
    threshold = threshold_of(metric, options)
    if threshold is not None and not metric.low <= threshold <= metric.high:
      raise ValueError(
        f"--threshold: {threshold:g} is outside of [{metric.low:g},"
        f" {metric.high:g}], where {quote(metric.name)} is once percents are"
        " divided by 100"
      )
  found = _populations(table)
  labels = modality.label_family(
    [_sample(metric, p) for _, metric, ps in found for p in ps], options
  )
  label_of = iter(labels)
  series = [
    _series(table, group, metric, ps, [next(label_of) for _ in ps], options)
    for group, metric, ps in found
  ]
  return Analysis(table, options, series, len(labels))


def _one_value(numbers: np.ndarray) -> float:
  """The value of all of them, NaN if they differ."""
  return float(numbers[0]) if (numbers == numbers[0]).all() else math.nan


def _populations(
  table: ScoreTable,
) -> list[tuple[tuple, Metric, list[Population]]]:
  """Group, metric and populations of each series."""
  groups = list(table.group_columns)
  frame: Any = table.frame
  keys = (
    frame.groupby([*groups, "metric"], sort=False)
    if groups
    else (frame.groupby(["metric"], sort=False))
  )
  found = []
  for (*group, name), rows in keys:
    metric = table.metrics[name]
    populations = []
    for scale, cell in rows.groupby("scale"):
      diverged_S = cell["diverged"].to_numpy(bool)
      scores_S = cell["score"].to_numpy(float)
      scores_S = np.where(diverged_S, math.nan, scores_S)
      item_variance = cell["item_stderr"].to_numpy(float)[~diverged_S] ** 2
      populations.append(
        Population(
          float(scale),
          str(cell["scale_label"].iloc[0]),
          tuple(cell["seed"]),
          scores_S,
          diverged_S,
          _one_value(cell["num_items"].to_numpy(float)),
          float(item_variance.mean()) if item_variance.size else math.nan,
        )
      )
    found.append((tuple(group), metric, populations))
  return found


def _grid_step(metric: Metric, population: Population) -> float | None:
  """1 / items where all scores are shares of that many items, else None."""
  if not population.num_items >= 1 or (metric.low, metric.high) != (0.0, 1.0):
    return None
  counts_S = population.finite_S * population.num_items
  if (np.abs(counts_S - np.round(counts_S)) > _OFF_GRID).any():
    return None
  return 1 / population.num_items


def _sample(metric: Metric, population: Population) -> Sample:
  return Sample.of(
    population.scores_S,
    (metric.low, metric.high),
    _grid_step(metric, population),
  )


def _series(
  table: ScoreTable,
  group: tuple,
  metric: Metric,
  populations: list[Population],
  labels: Sequence[Modality],
  options: Options,
) -> Series:
  sign, threshold = sign_of(metric), threshold_of(metric, options)
  flipped = None if threshold is None else sign * threshold
  samples = [_sample(metric, p) for p in populations]
  better = [s if metric.higher_is_better else s.negated() for s in samples]
  seeds, better_SN = _matrix(populations, [s.scores_S for s in better])
  has_trend = len(populations) > 1 and len(seeds) > 0
  return Series(
    group,
    metric,
    threshold,
    _scales(
      table, metric, populations, samples, better, labels, flipped, options
    ),
    _distances(populations, samples, options),
    _paths(samples, options),
    seeds,
    trends.trajectories(better_SN) if has_trend else None,
    trends.pairing(better_SN, table.seed_meaning, options)
    if has_trend
    else None,
    _abruptness(populations, better, flipped, options),
    [
      small_studies.small_studies(a, b, flipped, options)
      for a, b in itertools.pairwise(better)
    ]
    if flipped is not None
    else [],
    modality.first_detectable(labels),
  )


def _distances(
  populations: Sequence[Population],
  samples: Sequence[Sample],
  options: Options,
) -> Distances | None:
  if not all(sample.finite_S.size for sample in samples):
    return None
  within_seed = (
    options.within_seed
    and len({p.seeds for p in populations}) == 1
    and not any(sample.num_diverged for sample in samples)
  )
  pairs = itertools.combinations(range(len(samples)), 2)
  return Distances(
    transport.distances(samples, order=1),
    transport.distances(samples, order=2),
    transport.permutation_test(samples, within_seed, options),
    {(i, j): transport.decompose(samples[i], samples[j]) for i, j in pairs},
    within_seed,
  )


def _paths(samples: Sequence[Sample], options: Options) -> list[path.Path]:
  if len(samples) < 3 or not all(sample.finite_S.size for sample in samples):
    return []
  return path.compare_paths(samples, options)


def _matrix(
  populations: Sequence[Population], scores: Sequence[np.ndarray]
) -> tuple[tuple, np.ndarray]:
  """Seeds that stand at every scale, and their scores, [S, N]."""
  common = set(populations[0].seeds).intersection(
    *(p.seeds for p in populations[1:])
  )
  seeds = tuple(seed for seed in populations[0].seeds if seed in common)
  columns = []
  for population, scores_S in zip(populations, scores, strict=True):
    at = {seed: i for i, seed in enumerate(population.seeds)}
    columns.append(scores_S[[at[seed] for seed in seeds]])
  return seeds, np.stack(columns, axis=1)


def _scales(
  table: ScoreTable,
  metric: Metric,
  populations: Sequence[Population],
  samples: Sequence[Sample],
  better: Sequence[Sample],
  labels: Sequence[Modality],
  flipped: float | None,
  options: Options,
) -> list[Scale]:
  # Cells of one size share their resamples and are computed together.
  bootstraps: dict[int, resampling.Bootstrap] = {}
  for size in {sample.size for sample in better}:
    where = [i for i, sample in enumerate(better) if sample.size == size]
    found = resampling.bootstrap(
      [better[i] for i in where],
      # Without a threshold nothing succeeds, and nothing is said of it.
      math.inf if flipped is None else flipped,
      options,
    )
    bootstraps |= dict(zip(where, found, strict=True))
  return [
    Scale(
      population,
      label,
      bootstraps[i],
      modes.mode_shares(samples[i], label.antimode, options)
      if samples[i].finite_S.size
      else None,
      None
      if flipped is None
      else success.success_and_divergence(better[i], flipped),
      None
      if flipped is None
      else success.mean_given_success(better[i], flipped),
      None if flipped is None else success.survival(better[i], flipped),
      success.success_beyond_antimode(better[i], options)
      if label.label == "bimodal"
      else None,
      _item_noise(table, population, samples[i]),
    )
    for i, (population, label) in enumerate(
      zip(populations, labels, strict=True)
    )
  ]


def _item_noise(
  table: ScoreTable, population: Population, sample: Sample
) -> item_noise.ItemNoise | None:
  if table.items_enumerated:
    return None
  if not math.isnan(population.item_variance) and sample.finite_S.size > 1:
    return item_noise.item_noise(sample, item_variance=population.item_variance)
  if sample.step is not None and population.num_items >= 2:
    return item_noise.item_noise(sample, int(population.num_items))
  return None


def _abruptness(
  populations: Sequence[Population],
  better: Sequence[Sample],
  flipped: float | None,
  options: Options,
) -> abruptness.Abruptness | None:
  has_scores = all(sample.finite_S.size for sample in better)
  if flipped is None or len(populations) < 2 or not has_scores:
    return None
  paired = len({p.seeds for p in populations}) == 1
  return abruptness.abruptness(better, flipped, paired, options)
