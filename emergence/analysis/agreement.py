"""Whether seeds that are good in one metric are good in the others."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from emergence.analysis import words
from emergence.analysis.question import (
  Finding,
  Question,
  Section,
  finding,
  first_rows,
)
from emergence.analysis.series import Analysis, Population, Series
from emergence.statistics import agreement, success
from emergence.statistics.agreement import Agreement
from emergence.statistics.modality import Modality
from emergence.statistics.options import MIN_RUNS

_MOST_ROWS = 60


class Pair(NamedTuple):
  """Two metrics at one scale.

  Attributes:
    population: the runs of the scale, with their scores in the first metric.
    other: the series of the second metric.
    antimode: the antimode of the first metric, in its unit.
    other_antimode: the antimode of the second metric; NaN if it has none.
    is_shown: whether the seeds are shown to separate in at least one of them.
    found: the two-way table of the seeds that have a score in both metrics;
      None unless both have an antimode.
  """

  population: Population
  other: Series
  antimode: float
  other_antimode: float
  is_shown: bool
  found: Agreement | None


def compute(several: Sequence[Series]) -> list[list[Pair]]:
  """For each series, compares it with the later metrics of its group.

  There is a `Pair` per later metric and common scale, if the series has an
  antimode there.
  """
  return [
    [
      pair
      for other in several[i + 1 :]
      if other.group == series.group
      for pair in _pairs(series, other)
    ]
    for i, series in enumerate(several)
  ]


def _pairs(series: Series, other: Series) -> Iterator[Pair]:
  others = {p.scale: (p, modality) for p, modality in _modalities(other)}
  for p, modality in _modalities(series):
    if math.isnan(modality.antimode) or p.scale not in others:
      continue
    q, other_modality = others[p.scale]
    found = None
    if not math.isnan(other_modality.antimode):
      first = _sides(series, p, modality.antimode)
      second = _sides(other, q, other_modality.antimode)
      seeds = [seed for seed in first if seed in second]
      found = agreement.agreement(
        [first[seed] for seed in seeds],
        [second[seed] for seed in seeds],
        series.options,
      )
    yield Pair(
      p,
      other,
      modality.antimode,
      other_modality.antimode,
      any(x.label != "not_shown" for x in (modality, other_modality)),
      found,
    )


def _modalities(series: Series) -> list[tuple[Population, Modality]]:
  modalities = series.answers["modality"].by_scale
  return list(zip(series.populations, modalities, strict=True))


def _sides(
  series: Series, population: Population, antimode: float
) -> dict[Any, bool]:
  """Whether each seed with a score is on the better side of the antimode."""
  score_S = series.sign * population.sample.scores_S
  is_upper_S = success.is_success(score_S, series.sign * antimode)
  return {
    seed: bool(is_upper)
    for seed, is_upper, score in zip(
      population.seeds, is_upper_S, score_S, strict=True
    )
    if math.isfinite(score)
  }


def rows(series: Series) -> Iterator[dict[str, Any]]:
  """One row per scale and pair of metrics that both have an antimode."""
  for pair in series.answers["agreement"]:
    if pair.found is not None:
      yield {
        "metric": series.metric.name,
        "other_metric": pair.other.metric.name,
        "scale": pair.population.scale,
        "antimode": pair.antimode,
        "other_antimode": pair.other_antimode,
        **_columns(pair.found),
      }


def _columns(found: Agreement) -> dict[str, Any]:
  return {
    "both_upper": found.both_upper,
    "only_metric_upper": found.only_first,
    "only_other_upper": found.only_second,
    "both_lower": found.both_lower,
    "kappa": found.kappa.value,
    "kappa_low": found.kappa.low,
    "kappa_high": found.kappa.high,
  }


def findings(series: Series) -> Iterator[Finding]:
  """States whether another metric splits the seeds as the table's first does.

  The scale is the one where the first metric splits the seeds most evenly.
  """
  if series.metric.name != next(iter(series.table.metrics)):
    return
  pairs = [
    pair
    for pair in series.answers["agreement"]
    if pair.is_shown
    and pair.population.finite_S.size >= MIN_RUNS
    and (pair.found is None or pair.found.num_runs >= MIN_RUNS)
  ]
  if not pairs:
    return
  # Prefer an unbounded metric: a bounded one is best compared with that.
  other = min(pairs, key=lambda pair: pair.other.metric.has_ends).other
  pairs = [pair for pair in pairs if pair.other is other]
  pair = min(
    [pair for pair in pairs if pair.found is not None] or pairs,
    key=lambda pair: abs(_share_upper(series, pair) - 0.5),
  )
  where = f"at {series.scale_name(pair.population)}"
  if pair.found is None:
    text = (
      f"{where} a valley separates low from high scores; the scores in"
      f" {other.metric_name} have no such valley"
    )
  else:
    text = (
      f"{where} a valley separates good from poor seeds in this metric and in"
      f" {other.metric_name}: {pair.found.num_same} of {pair.found.num_runs}"
      " seeds are on the same side in both"
      f" ({_by_chance(pair.found):.0f} expected by chance)"
    )
  yield finding(
    "agreement",
    series,
    text,
    scale=pair.population.scale,
    other_metric=other.metric.name,
    **(_columns(pair.found) if pair.found else {}),
  )


def _by_chance(found: Agreement) -> float:
  """Seeds expected on the same side in both if the metrics are independent."""
  first = found.both_upper + found.only_first
  second = found.both_upper + found.only_second
  num = found.num_runs
  return (first * second + (num - first) * (num - second)) / num


def _share_upper(series: Series, pair: Pair) -> float:
  sides = _sides(series, pair.population, pair.antimode)
  return float(np.mean(list(sides.values())))


def sections(analysis: Analysis) -> Iterator[Section]:
  header = ["group", analysis.series[0].axis, "metric", "other metric"]
  header += ["both better", "metric only", "other only", "both worse", "kappa"]
  rows = [
    [
      series.group_name,
      pair.population.name,
      series.metric_name,
      pair.other.metric_name,
      *map(str, pair.found[:4]),
      words.with_interval(*pair.found.kappa),
    ]
    for series in analysis.series
    for pair in series.answers["agreement"]
    if pair.found is not None
  ]
  if not rows:
    return
  table, note = first_rows(header, rows, _MOST_ROWS)
  sentence = (
    "Each row counts the seeds of one scale that are on the better side of the"
    " antimode in both of two metrics, in only one of them, and in neither."
    " Scales where a metric has no antimode are left out."
  )
  yield Section(
    "agreement",
    sentence + note,
    "An antimode is a valley of the density. Small samples can have one even if"
    " their distribution has a single mode. Kappa is 1 if every seed is on the"
    " same side in both metrics, and 0 if no more seeds are than expected by"
    " chance. agreement.csv has the numbers.",
    table=table,
  )


QUESTION = Question(
  "agreement",
  "Do other scores pick out the same seeds?",
  compute,
  files={"agreement.csv": rows},
  findings=findings,
  sections=sections,
  unanswered="The first metric has no antimode at a scale where the seeds are"
  " shown to split in two.",
)
