"""The input of an analysis: the runs of one metric of one group, by scale.

Statistics that depend on which scores are better, such as success, small
studies, best of k and trajectories, are computed on negated scores if lower is
better: see `Series.better_samples` and `Series.sign`. Results are turned back
into the metric's own unit, except in trajectories.csv.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from emergence.analysis import words
from emergence.statistics.modality import holm
from emergence.statistics.options import DEFAULT_THRESHOLD, Options
from emergence.statistics.sample import UNIT, Sample
from emergence.storage import records
from emergence.tables.score_table import ONLY_SCALE, Metric, ScoreTable, quote

# How far rounding may move a score off the grid, in steps: scores are stored in
# single precision, and some are rounded to three decimals.
_OFF_GRID = 0.05


class Population(NamedTuple):
  """The runs of one scale of a series.

  Attributes:
    scale: the scale as a number.
    label: the text of the scale in the table.
    seeds: the seed of each run, S of them.
    sample: scores of the runs; NaN for a diverged run, even if it has one. The
      spacing of the score grid is 1 / num_items where all scores are on it. A
      diverged run counts as a failure in the success probability and is left
      out of everything else.
    diverged_S: whether each run diverged, [S].
    curves: scores at all evaluations; None if the table has only final ones.
  """

  scale: float
  label: str
  seeds: tuple
  sample: Sample
  diverged_S: np.ndarray
  curves: "Curves | None" = None

  @property
  def finite_S(self) -> np.ndarray:
    return self.sample.finite_S

  @property
  def name(self) -> str:
    """The text of the scale for sentences and figures, such as `2`."""
    return words.short(self.label)


class Curves(NamedTuple):
  """The scores of a population at all of its evaluations.

  Attributes:
    steps_E: training steps, increasing, [E].
    scores_SE: score of each run at each evaluation, [S, E]; NaN if it has none.
    diverged_SE: whether the run had diverged by then, [S, E].
  """

  steps_E: np.ndarray
  scores_SE: np.ndarray
  diverged_SE: np.ndarray


class Series(NamedTuple):
  """One metric of one group over its scales, and what is found about it.

  Attributes:
    group: values of the table's group columns.
    group_name: columns and values that differ between groups, such as
      `width 16`; empty if none do.
    group_columns: names of the table's group columns.
    axis: what is scaled, such as `depth`.
    metric: the metric.
    threshold: the score from which (or, where lower is better, up to which) a
      run succeeds, in the metric's unit; None if the metric has no threshold.
    populations: the runs of each of its N scales, in order.
    table: where the scores come from.
    options: options of the statistics.
    answers: the result of each question, by its kind.
  """

  group: tuple
  group_name: str
  group_columns: tuple[str, ...]
  axis: str
  metric: Metric
  threshold: float | None
  populations: list[Population]
  table: ScoreTable
  options: Options
  answers: Mapping[str, Any] = {}

  @property
  def sign(self) -> float:
    """Factor that makes higher scores better: 1, or −1 if lower is better."""
    return 1.0 if self.metric.higher_is_better else -1.0

  @property
  def flipped_threshold(self) -> float | None:
    """`sign` times the threshold, for `better_samples`; None without one."""
    return None if self.threshold is None else self.sign * self.threshold

  @property
  def metric_name(self) -> str:
    """The metric's name in sentences and figures, such as `exact match`."""
    name = self.metric.name
    return words.short(records.TITLES.get(name, name))

  @property
  def axis_label(self) -> str:
    """The metric with its unit, for the axis of a figure."""
    unit = self.metric.unit
    if unit.startswith("share") or not unit:
      return self.metric_name
    return f"{self.metric_name} ({unit})"

  @property
  def threshold_name(self) -> str:
    """Text of the threshold: `≥ 20%`, or `≤ 1.5` where lower is better."""
    assert self.threshold is not None
    value = self.threshold
    text = f"{100 * value:.4g}%" if self.is_share else f"{value:g}"
    return f"{'≥' if self.metric.higher_is_better else '≤'} {text}"

  @property
  def is_share(self) -> bool:
    return is_share(self.metric)

  @property
  def has_same_seeds(self) -> bool:
    """Whether all scales have the same seeds."""
    return len({p.seeds for p in self.populations}) == 1

  @property
  def has_scores(self) -> bool:
    """Whether every scale has a run with a score."""
    return all(p.finite_S.size for p in self.populations)

  @property
  def samples(self) -> list[Sample]:
    """The sample of each scale."""
    return [p.sample for p in self.populations]

  @property
  def better_samples(self) -> list[Sample]:
    """The sample of each scale, negated if lower scores are better."""
    return [sample.oriented() for sample in self.samples]

  def scale_name(self, population: Population) -> str:
    """Text of the axis and the scale, such as `depth 2`."""
    if population.label == ONLY_SCALE:
      return f"the only {self.axis}"
    return f"{self.axis} {population.name}"

  def at(self, populations: "list[Population]") -> str:
    """Names some of the scales, such as `at depth 2 and 4`."""
    if len(populations) == len(self.populations) > 1:
      return "at every scale"
    if len(populations) > words.MOST_LISTED:
      return f"at {len(populations)} of {len(self.populations)} scales"
    if len(populations) == 1:
      return f"at {self.scale_name(populations[0])}"
    return f"at {self.axis} {words.listed([p.name for p in populations])}"


class Analysis(NamedTuple):
  """A table of scores and all that is found about it.

  Attributes:
    table: the scores.
    options: options of the statistics.
    series: the series with their answers, ordered by group, then metric.
    most_groups: figures show at most this many groups, the first ones.
  """

  table: ScoreTable
  options: Options
  series: list[Series]
  most_groups: float = 12

  @property
  def by_metric(self) -> dict[str, list[Series]]:
    """The series that figures show, by metric, in the order of metrics."""
    drawn = list(dict.fromkeys(series.group for series in self.series))
    drawn = {g for i, g in enumerate(drawn) if i < self.most_groups}
    found: dict[str, list[Series]] = {}
    for series in self.series:
      if series.group in drawn:
        found.setdefault(series.metric.name, []).append(series)
    return found

  @property
  def of_first_metric(self) -> list[Series]:
    return next(iter(self.by_metric.values()))


def series_of(table: ScoreTable, options: Options) -> list[Series]:
  """Makes the series of each group and metric of a table, without answers.

  Raises:
    ValueError: a threshold or chance level for a metric that the table lacks,
      or a threshold, chance level or score outside of the metric's range.
  """
  _check_options(table, options)
  columns = list(table.group_columns)
  frame: Any = table.frame
  found = [
    (tuple(group), table.metrics[name], rows)
    for (*group, name), rows in frame.groupby([*columns, "metric"], sort=False)
  ]
  # Not by the first rows: a run may lack a score of the first metric.
  group_order = {
    group: i for i, group in enumerate(dict.fromkeys(x[0] for x in found))
  }
  metric_order = {name: i for i, name in enumerate(table.metrics)}
  found.sort(key=lambda x: (group_order[x[0]], metric_order[x[1].name]))
  values = zip(*(group for group, _, _ in found), strict=True)
  differs = [len(set(column)) > 1 for column in values]

  @functools.cache
  def group_name(group: tuple) -> str:
    shown = zip(columns, group, differs, strict=True)
    return ", ".join(
      f"{words.short(column)} {words.short(value)}"
      for column, value, is_shown in shown
      if is_shown
    )

  several = [
    Series(
      group=group,
      group_name=group_name(group),
      group_columns=tuple(columns),
      axis=words.short(table.scale_name),
      metric=metric,
      threshold=threshold_of(metric, options),
      populations=[
        _population(metric, float(scale), cell, options)
        for scale, cell in rows.groupby("scale")
      ],
      table=table,
      options=options,
    )
    for group, metric, rows in found
  ]
  if table.curves is None:
    return several
  return _with_curves(several, table.curves)


def adjusted_over_groups(
  several: Sequence[Series], p_values: Sequence[float]
) -> list[float]:
  """p-value of each series after Holm's correction over its metric's groups."""
  adjusted = np.full(len(several), math.nan)
  names = np.array([series.metric.name for series in several])
  for name in set(names):
    adjusted[names == name] = holm(np.array(p_values)[names == name])
  return adjusted.tolist()


def threshold_of(metric: Metric, options: Options) -> float | None:
  """The least score of a success (greatest if lower is better), or None."""
  named = dict(options.thresholds)
  if metric.name in named:
    return named[metric.name]
  if not _is_of_answers(metric):
    return None
  if options.threshold is not None:
    return options.threshold
  chance = chance_of(metric, options) or 0.0
  return chance + DEFAULT_THRESHOLD * (1 - chance)


def chance_of(metric: Metric, options: Options) -> float | None:
  """The score of guessing, None where there is none."""
  named = dict(options.chances)
  return named.get(
    metric.name, options.chance if _is_of_answers(metric) else None
  )


def _is_of_answers(metric: Metric) -> bool:
  """Whether scores are of whole answers, not tokens, most of which are easy."""
  return (
    is_share(metric) and metric.higher_is_better and "token" not in metric.unit
  )


def is_share(metric: Metric) -> bool:
  return (metric.low, metric.high) == UNIT


def _check_options(table: ScoreTable, options: Options) -> None:
  for flag, named, value_of in (
    ("--chance", options.chances, chance_of),
    ("--threshold", options.thresholds, threshold_of),
  ):
    unknown = {name for name, _ in named} - set(table.metrics)
    if unknown:
      raise ValueError(
        f"{flag}: there is no metric {quote(sorted(unknown)[0])}; the metrics"
        f" are {', '.join(map(quote, table.metrics))}"
      )
    for metric in table.metrics.values():
      value = value_of(metric, options)
      if value is not None and not metric.low <= value <= metric.high:
        raise ValueError(
          f"{flag}: {value:g} is outside of [{metric.low:g}, {metric.high:g}],"
          f" the range of {quote(metric.name)}; write percents as fractions"
        )

  for flag, given in (
    ("--chance", options.chance),
    ("--threshold", options.threshold),
  ):
    if given is not None and not any(
      map(_is_of_answers, table.metrics.values())
    ):
      name = next(iter(table.metrics))
      raise ValueError(
        f"{flag}={given:g} is for scores from 0 to 1 in which higher is better,"
        " shares of tokens excepted, and no metric has such scores; for a"
        f" single metric give {flag}={name}={given:g}"
      )


def _population(
  metric: Metric, scale: float, cell: Any, options: Options
) -> Population:
  diverged_S = cell["diverged"].to_numpy(bool)
  scores_S = np.where(diverged_S, math.nan, cell["score"].to_numpy(float))
  num_items = _one_value(cell["num_items"].to_numpy(float))
  return Population(
    scale=scale,
    label=str(cell["scale_label"].iloc[0]),
    seeds=tuple(cell["seed"]),
    sample=Sample.of(
      scores_S,
      (metric.low, metric.high),
      _grid_step(metric, scores_S, num_items),
      chance_of(metric, options),
      metric.higher_is_better,
    ),
    diverged_S=diverged_S,
  )


def _with_curves(several: list[Series], rows: Any) -> list[Series]:
  cell = [*several[0].group_columns, "metric", "scale"]
  cells = dict(iter(rows.groupby(cell, sort=False)))

  def with_curves(series: Series, population: Population) -> Population:
    own = cells.get((*series.group, series.metric.name, population.scale))
    if own is None:
      return population
    return population._replace(curves=_curves(population.seeds, own))

  return [
    x._replace(populations=[with_curves(x, p) for p in x.populations])
    for x in several
  ]


def _curves(seed_S: Sequence, rows: Any) -> Curves:
  """The curves of some seeds, from rows of one cell and metric."""
  import pandas as pd

  run = pd.Index(seed_S).get_indexer(rows["seed"])
  rows, run = rows[run >= 0], run[run >= 0]
  steps_E, at = np.unique(rows["step"].to_numpy(), return_inverse=True)
  scores_SE = np.full((len(seed_S), len(steps_E)), math.nan)
  diverged_SE = np.zeros(scores_SE.shape, bool)
  scores_SE[run, at] = rows["score"]
  diverged_SE[run, at] = rows["diverged"]
  return Curves(steps_E, scores_SE, diverged_SE)


def _one_value(numbers: np.ndarray) -> float:
  """The value that all numbers have; NaN if they differ."""
  return float(numbers[0]) if (numbers == numbers[0]).all() else math.nan


def _grid_step(
  metric: Metric, scores_S: np.ndarray, num_items: float
) -> float | None:
  if not num_items >= 1 or not is_share(metric):
    return None
  counts_S = scores_S[np.isfinite(scores_S)] * num_items
  if (np.abs(counts_S - np.round(counts_S)) > _OFF_GRID).any():
    return None
  return 1 / num_items
