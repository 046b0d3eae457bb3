"""All statistics of a table of scores, group by group and metric by metric."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from emergence.analysis.series import (
  Analysis,
  Distances,
  Options,
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
from emergence.statistics.success import (
  MeanGivenSuccess,
  SuccessAndDivergence,
  SuccessBeyondAntimode,
  Survival,
)
from emergence.tables.score_table import Metric, ScoreTable, quote

# Scores are stored in single precision, and some are rounded to three decimals.
_OFF_GRID = 0.05


def analyze(table: ScoreTable, options: Options = Options()) -> Analysis:  # noqa: B008
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
    [p.scores_S for _, metric, ps in found for p in ps],
    [(metric.low, metric.high) for _, metric, ps in found for _ in ps],
    [_grid_step(metric, p) for _, metric, ps in found for p in ps],
    options.alpha,
    options.seed,
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
  better = [sign * p.scores_S for p in populations]
  seeds, better_SN = _matrix(populations, better)
  has_trend = len(populations) > 1 and len(seeds) > 0
  return Series(
    group,
    metric,
    threshold,
    _scales(table, metric, populations, labels, flipped, options),
    _distances(populations, options),
    _paths(metric, populations, options),
    seeds,
    trends.trajectories(better_SN) if has_trend else None,
    trends.pairing(
      better_SN,
      table.seed_meaning,
      options.num_permutations,
      seed=options.seed,
    )
    if has_trend
    else None,
    _abruptness(metric, populations, better, flipped, options),
    [
      small_studies.small_studies(a, b, threshold=flipped, seed=options.seed)
      for a, b in itertools.pairwise(better)
    ]
    if flipped is not None
    else [],
    modality.first_detectable(labels),
  )


def _distances(
  populations: Sequence[Population], options: Options
) -> Distances | None:
  samples = [p.finite_S for p in populations]
  if not all(sample_S.size for sample_S in samples):
    return None
  within_seed = (
    options.within_seed
    and len({p.seeds for p in populations}) == 1
    and all(p.finite_S.size == p.scores_S.size for p in populations)
  )
  pairs = itertools.combinations(range(len(samples)), 2)
  return Distances(
    transport.distances(samples, order=1),
    transport.distances(samples, order=2),
    transport.permutation_test(
      samples,
      within_seed=within_seed,
      num_permutations=options.num_permutations,
      seed=options.seed,
    ),
    {(i, j): transport.decompose(samples[i], samples[j]) for i, j in pairs},
    within_seed,
  )


def _paths(
  metric: Metric, populations: Sequence[Population], options: Options
) -> list[path.Path]:
  samples = [p.finite_S for p in populations]
  if len(samples) < 3 or not all(sample_S.size for sample_S in samples):
    return []
  steps = [_grid_step(metric, p) for p in populations]
  known = [step for step in steps if step is not None]
  return path.compare_paths(
    samples,
    # Whatever lies on finer grids as well is spread over the coarsest.
    max(known) if len(known) == len(steps) else None,
    num_resamples=options.num_resamples,
    seed=options.seed,
  )


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


def _support(metric: Metric) -> tuple[float, float]:
  """Least and largest score, of better is more."""
  if metric.higher_is_better:
    return metric.low, metric.high
  return -metric.high, -metric.low


def _scales(
  table: ScoreTable,
  metric: Metric,
  populations: Sequence[Population],
  labels: Sequence[Modality],
  flipped: float | None,
  options: Options,
) -> list[Scale]:
  sign = sign_of(metric)
  support = _support(metric)
  # Cells of one size share their resamples and are computed together.
  bootstraps: dict[int, resampling.Bootstrap] = {}
  for size in {p.scores_S.size for p in populations}:
    where = [i for i, p in enumerate(populations) if p.scores_S.size == size]
    found = resampling.bootstrap(
      sign * np.stack([populations[i].scores_S for i in where]),
      # Without a threshold nothing succeeds, and nothing is said of it.
      math.inf if flipped is None else flipped,
      support,
      options.num_resamples,
      seed=options.seed,
    )
    bootstraps |= dict(zip(where, found, strict=True))
  scales = []
  for i, (population, label) in enumerate(
    zip(populations, labels, strict=True)
  ):
    better_S = sign * population.scores_S
    finite_S = population.finite_S
    step = _grid_step(metric, population)
    scales.append(
      Scale(
        population,
        label,
        bootstraps[i],
        modes.mode_shares(
          finite_S,
          label.antimode,
          (metric.low, metric.high),
          step,
          options.num_resamples,
          options.seed,
        )
        if finite_S.size
        else None,
        *_success(better_S, flipped, support),
        _beyond(better_S, support, step, label, options),
        _item_noise(table, metric, population),
      )
    )
  return scales


def _success(
  better_S: np.ndarray, flipped: float | None, support: tuple[float, float]
) -> tuple[
  SuccessAndDivergence | None,
  MeanGivenSuccess | None,
  Survival | None,
]:
  if flipped is None:
    return None, None, None
  thresholds_T = None
  if support != (0.0, 1.0):
    finite_S = better_S[np.isfinite(better_S)]
    ends = (finite_S.min(), finite_S.max()) if finite_S.size else (0.0, 1.0)
    low, high = min(flipped, ends[0]), max(flipped, ends[1])
    thresholds_T = np.linspace(low, max(high, low + 1e-6), 101)
  return (
    success.success_and_divergence(better_S, flipped),
    success.mean_given_success(better_S, flipped),
    success.survival(better_S, thresholds_T, flipped),
  )


def _beyond(
  better_S: np.ndarray,
  support: tuple[float, float],
  step: float | None,
  label: Modality,
  options: Options,
) -> SuccessBeyondAntimode | None:
  if label.label != "bimodal":
    return None
  return success.success_beyond_antimode(
    better_S,
    lambda scores_S: modes.antimode(scores_S, support, step),
    options.num_resamples,
    seed=options.seed,
    find_resampled=lambda scores_S, index_RS: modes.resampled(
      scores_S, index_RS, support, step
    )[1],
  )


def _item_noise(
  table: ScoreTable, metric: Metric, population: Population
) -> item_noise.ItemNoise | None:
  if table.items_enumerated:
    return None
  finite_S = population.finite_S
  if not math.isnan(population.item_variance) and finite_S.size > 1:
    between = float(finite_S.var(ddof=1))
    item = population.item_variance
    share = item / between if between else math.nan
    return item_noise.ItemNoise(share, item, between, "")
  is_share = _grid_step(metric, population) is not None
  if is_share and population.num_items >= 2:
    return item_noise.item_noise(population.scores_S, int(population.num_items))
  return None


def _abruptness(
  metric: Metric,
  populations: Sequence[Population],
  better: Sequence[np.ndarray],
  flipped: float | None,
  options: Options,
) -> abruptness.Abruptness | None:
  has_scores = all(np.isfinite(better_S).any() for better_S in better)
  if flipped is None or len(populations) < 2 or not has_scores:
    return None
  return abruptness.abruptness(
    better,
    flipped,
    paired=len({p.seeds for p in populations}) == 1,
    num_resamples=options.num_resamples,
    seed=options.seed,
    support=_support(metric),
    steps=[_grid_step(metric, p) for p in populations],
  )
