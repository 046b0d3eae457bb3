"""Whether the runs of a scale fall into two groups."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from emergence.analysis import words
from emergence.analysis.question import (
  Finding,
  Question,
  Section,
  Table,
  finding,
)
from emergence.analysis.series import Analysis, Population, Series
from emergence.plotting import ridges
from emergence.plotting.ridges import Ridge
from emergence.statistics import modality, modes, success
from emergence.statistics.intervals import Interval
from emergence.statistics.modality import Modality
from emergence.statistics.modes import ModeShares

_MOST_ROWS = 120
_MOST_LETTERS = 60  # In the name of a section.


class Modalities(NamedTuple):
  """Of one series.

  Attributes:
    labels: of each scale.
    mode_shares: on which side of the antimode the mode of resamples is; None
      for scales without a score.
    beyond: success beyond the antimode; None for scales that are not bimodal.
    first: index of the first scale with two detectable modes, None without.
  """

  labels: list[Modality]
  mode_shares: list[ModeShares | None]
  beyond: list[Interval | None]
  first: int | None


def compute(several: Sequence[Series]) -> list[Modalities]:
  """Labels of all scales of all series, corrected for their number."""
  if not several:
    return []
  samples = [sample for series in several for sample in series.samples]
  labels = iter(modality.label_family(samples, several[0].options))
  return [_of_series(s, [next(labels) for _ in s.populations]) for s in several]


def _of_series(series: Series, labels: list[Modality]) -> Modalities:
  return Modalities(
    labels,
    [
      modes.mode_shares(sample, label.antimode, series.options)
      if sample.finite_S.size
      else None
      for sample, label in zip(series.samples, labels, strict=True)
    ],
    [
      success.success_beyond_antimode(sample, series.options)
      if label.label == "bimodal"
      else None
      for sample, label in zip(series.better_samples, labels, strict=True)
    ],
    modality.first_detectable(labels),
  )


def values(series: Series) -> Iterator[dict[str, Any]]:
  found = series.answers["modality"]
  for label, beyond in zip(found.labels, found.beyond, strict=True):
    yield {
      "dip": label.dip,
      "dip_p": label.p,
      "dip_p_adjusted": label.p_adjusted,
      "modality": label.label,
      "antimode": label.antimode,
      "smallest_weight": label.smallest_weight,
      "evidence": label.evidence,
      "success_beyond_antimode": beyond and beyond.value,
      "success_beyond_antimode_low": beyond and beyond.low,
      "success_beyond_antimode_high": beyond and beyond.high,
    }


def entry(series: Series) -> dict[str, Any]:
  first = series.answers["modality"].first
  return {
    "first_detectable_bimodal_scale": None
    if first is None
    else series.populations[first].scale
  }


def findings(series: Series) -> Iterator[Finding]:
  """The first scale with two detectable modes, or the labels there are."""
  found = series.answers["modality"]
  if found.first is not None:
    yield _first_detectable(series, found)
    return
  scales: dict[str, list[Population]] = {}
  for population, label in zip(series.populations, found.labels, strict=True):
    scales.setdefault(label.label, []).append(population)
  parts = [f"{name} {series.at(where)}" for name, where in scales.items()]
  text = f"two modes are detected at no {series.axis}; {'; '.join(parts)}"
  tested = [label for label in found.labels if not math.isnan(label.p)]
  if tested:
    lowest = min(tested, key=lambda label: label.p)
    p = words.p_value(lowest.p, lowest.p_adjusted, lowest.family_size, "tests")
    text += f". The lowest p of the dip test: {p.removeprefix('p = ')}"
  if "undecided" in scales:
    text += ". Undecided is not unimodal: the evidence of each says why"
  yield finding(
    "modality",
    series,
    text,
    labels={name: len(where) for name, where in scales.items()},
  )


def _first_detectable(series: Series, found: Modalities) -> Finding:
  first = found.first
  assert first is not None
  population, label = series.populations[first], found.labels[first]
  beyond, share = found.beyond[first], math.nan
  text = (
    f"the first {series.axis} with two detectable modes is"
    f" {population.name}, {label.evidence.removeprefix('two modes, ')}"
  )
  others = [
    p
    for p, x in zip(series.populations, found.labels, strict=True)
    if x.label == "bimodal" and p is not population
  ]
  if others:
    text += f". Two modes too {series.at(others)}"
  if beyond is not None and not math.isnan(beyond.value):
    share = beyond.value
    text += (
      f". On the better side of the antimode of {population.name} are"
      f" {share:.2f}{words.interval(beyond.low, beyond.high)} of all its seeds,"
      " whatever the threshold"
    )
  if first:
    missed = [x.smallest_weight_adjusted for x in found.labels[:first]]
    lighter = " of any weight"
    if not np.isnan(missed).any():
      lighter = f" lighter than {max(missed):.2g}"
    text += f". Before it a minor mode{lighter} may have gone unseen"
  return finding(
    "modality",
    series,
    text,
    scale=population.scale,
    dip=label.dip,
    p=label.p,
    p_adjusted=label.p_adjusted,
    antimode=label.antimode,
    beyond_antimode=share,
  )


def sections(analysis: Analysis) -> Iterator[Section]:
  first, *others = analysis.by_metric.values()
  sections = [_distribution(first)]
  # A metric without ends beside one with them: is a split there in both?
  open_ended = [s for s in others if math.isinf(_width(s[0]))]
  if math.isfinite(_width(first[0])) and open_ended:
    other = _distribution(open_ended[0])
    if other.name == sections[0].name:
      other = other._replace(name=f"{other.name}-2")
    sections.append(other)
  yield from sections
  yield _labels(analysis)


def _distribution(several: list[Series]) -> Section:
  first = several[0]
  labels: dict[str, int] = {}
  for series in several:
    for label in series.answers["modality"].labels:
      labels[label.label] = labels.get(label.label, 0) + 1
  parts = ", ".join(f"{number} {label}" for label, number in labels.items())
  sentence = (
    f"One ridge for each {first.axis}, with its label: {parts}. Points are"
    " seeds"
  )
  if first.threshold is not None:
    sentence += "; the number on the right is the share beyond the threshold"
  return Section(
    f"distribution-{_slug(first.metric.name)}",
    f"The distribution of {first.metric_name} over seeds",
    f"{sentence}.",
    "Each ridge is smoothed and scaled to its own peak: compare shapes, not"
    " heights. Two humps are two modes only where the label says so.",
    figure=draw(several),
  )


def draw(several: Sequence[Series]) -> Figure:
  """Ridgelines of all scales, a column a group.

  Args:
    several: the series of one metric.
  """
  first = several[0]
  columns = [
    (
      series.group_name,
      [
        Ridge(f"{series.scale_name(p)}\n{label.label}", p.finite_S)
        for p, label in zip(
          series.populations, series.answers["modality"].labels, strict=True
        )
      ],
    )
    for series in several
  ]
  return ridges.draw(
    columns,
    first.axis_label,
    (first.metric.low, first.metric.high),
    first.threshold,
    first.metric.higher_is_better,
  )


def _labels(analysis: Analysis) -> Section:
  header = ["group", "metric", analysis.series[0].axis, "seeds", "label"]
  header += ["p", "after Holm", "mode", "antimode", "lightest seen", "evidence"]
  rows = [
    [
      series.group_name,
      series.metric_name,
      population.name,
      str(population.sample.size),
      label.label,
      words.number(label.p, 2),
      words.number(label.p_adjusted, 2),
      _mode(label),
      words.number(label.antimode, 2),
      words.number(label.smallest_weight, 2),
      label.evidence,
    ]
    for series in analysis.series
    for population, label in zip(
      series.populations, series.answers["modality"].labels, strict=True
    )
  ]
  family = analysis.series[0].answers["modality"].labels[0].family_size
  sentence = (
    "One label for each cell and metric. p is that of the dip test, then"
    f" corrected after Holm over {words.count(family, 'test')}: all cells ×"
    " metrics of this table."
  )
  if len(rows) > _MOST_ROWS:
    sentence += f" The first {_MOST_ROWS} of {len(rows)} are shown."
  if not any(series.group_name for series in analysis.series):
    header, rows = header[1:], [row[1:] for row in rows]
  return Section(
    "modality",
    "One mode or two",
    sentence,
    "“Unimodal” is said only where so many seeds would have shown a minor mode"
    " of 30 %, five standard deviations away, with power 0.8; else the label is"
    " “undecided”. “Lightest seen” is the weight of the lightest such mode that"
    " a test of the cell alone would have shown; the correction for many tests"
    " asks for more. The first bimodal scale is the first detectable one.",
    table=Table(header, rows[:_MOST_ROWS]),
  )


def _mode(label: Modality) -> str:
  if label.shape is None:
    return "–"
  stable = "" if label.shape.mode_stable else " (unstable)"
  return f"{words.number(label.shape.mode, 2)}{stable}"


def _width(series: Series) -> float:
  return series.metric.high - series.metric.low


def _slug(name: str) -> str:
  """For anchors and file names: letters, digits and dashes, not too many."""
  kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
  return kept[:_MOST_LETTERS].strip("-").lower() or "metric"


QUESTION = Question(
  "modality",
  "Whether there are two modes",
  compute,
  columns={
    "dip": "Hartigan's dip",
    "dip_p": "its p-value",
    "dip_p_adjusted": "the same after Holm over all cells × metrics",
    "modality": "floor, ceiling, unimodal, bimodal or undecided",
    "antimode": "score between the two highest peaks, if a valley separates"
    " them",
    "smallest_weight": "lightest minor mode that a test of this cell alone"
    " finds",
    "evidence": "the reason for the label",
    "success_beyond_antimode": "share of runs beyond the antimode, if bimodal",
    "success_beyond_antimode_low": "lower end of its 95 % bootstrap interval",
    "success_beyond_antimode_high": "upper end",
  },
  values=values,
  entry=entry,
  findings=findings,
  sections=sections,
)
