"""Whether the seeds of a scale are shown to separate."""

import collections
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
  finding,
  first_rows,
)
from emergence.analysis.series import Analysis, Population, Series
from emergence.plotting import ridges
from emergence.plotting.ridges import Ridge
from emergence.statistics import dip
from emergence.statistics import modality as modality_lib
from emergence.statistics.modality import Modality
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.sample import Sample, grid
from emergence.tables.score_table import ONLY_SCALE

_MOST_ROWS, _MOST_ANSWERS = 120, 2
_MOST_LETTERS = 60  # In the name of a section.
# If at least _OUTER of the seeds are below 0.1 or above 0.9, and at least
# _OUTER_END on each side, the finding counts these, not the sides of a valley.
_OUTER, _OUTER_END = 2 / 3, 0.1
_FEW = (
  f"fewer than {modality_lib.MIN_RUNS} seeds have a score, too few to test for"
  " two modes"
)


class Modalities(NamedTuple):
  """The labels of one series.

  Attributes:
    family: name of the family of tests that its tests are corrected over.
    by_scale: label and tests of each scale.
    first: index of the first scale that is shown to separate; None if none is.
  """

  family: str
  by_scale: list[Modality]
  first: int | None


def compute(several: Sequence[Series]) -> list[Modalities]:
  """Labels all scales of each series, with a correction per family of tests."""
  return [
    modalities
    for _, modalities in sorted(
      (
        (position, found)
        for name, positions in _families(several)
        for position, found in _of_family(several, name, positions)
      ),
      key=lambda pair: pair[0],
    )
  ]


def _families(several: Sequence[Series]) -> list[tuple[str, list[int]]]:
  """Name of each family of tests, and which series are in it."""
  if not several:
    return []
  if several[0].options.correct_over == "table":
    return [("the whole table", list(range(len(several))))]
  headline = next(iter(several[0].table.metrics))
  own = [i for i, s in enumerate(several) if s.metric.name == headline]
  others = [i for i in range(len(several)) if i not in own]
  found = [("the scales of one series", [i]) for i in own]
  return found + [("the other metrics", others)] * bool(others)


def _of_family(
  several: Sequence[Series], name: str, positions: list[int]
) -> Iterator[tuple[int, Modalities]]:
  members = [several[i] for i in positions]
  modalities = iter(
    modality_lib.label_family(
      [sample for series in members for sample in series.samples],
      members[0].options,
      [series.flipped_threshold for series in members for _ in series.samples],
    )
  )
  for i, series in zip(positions, members, strict=True):
    labelled = [next(modalities) for _ in series.samples]
    first = modality_lib.first_separated(labelled)
    yield i, Modalities(name, labelled, first)


def values(series: Series) -> Iterator[dict[str, Any]]:
  found = series.answers["modality"]
  for modality in found.by_scale:
    yield {
      "dip": modality.dip,
      "dip_p": modality.dip_p,
      "dip_p_adjusted": modality.dip_p_adjusted,
      "breakout_p": modality.breakout and modality.breakout.p,
      "falloff_p": modality.falloff and modality.falloff.p,
      "modality_p": modality.p,
      "modality_p_adjusted": modality.p_adjusted,
      "test_family": found.family,
      "modality": modality.label,
      "antimode": modality.antimode,
      "smallest_weight": modality.smallest_weight,
    }


def entry(series: Series) -> dict[str, Any]:
  first = series.answers["modality"].first
  return {
    "first_separated_scale": None
    if first is None
    else series.populations[first].scale
  }


def findings(series: Series) -> Iterator[Finding]:
  """States where seeds split most evenly, or what split would be detected."""
  modalities: list[Modality] = series.answers["modality"].by_scale
  labels = dict(collections.Counter(x.label for x in modalities))
  shown = [
    (population, modality)
    for population, modality in zip(series.populations, modalities, strict=True)
    if modality.label != "not_shown"
  ]
  if not shown:
    for text in _nothing_shown(series):
      yield finding("modality", series, text, labels=labels)
    return
  population, modality = min(shown, key=lambda pair: _unevenness(pair[1]))
  yield finding(
    "modality",
    series,
    _at(series, population) + _split(series, population, modality),
    scale=population.scale,
    p=modality.p,
    p_adjusted=modality.p_adjusted,
    p_of_label=modality.p_of_label,
    antimode=modality.antimode,
    labels=labels,
  )
  others = [other for other, _ in shown if other is not population]
  if others:
    is_all = len(others) == len(series.populations) - 1 > 1
    where = f"at every other {series.axis}" if is_all else series.at(others)
    yield finding("modality", series, f"a split is also shown {where}")


def _at(series: Series, population: Population) -> str:
  """Text such as `at depth 2 `; empty if the table has no scale column."""
  is_only = population.label == ONLY_SCALE
  return "" if is_only else f"{series.at([population])} "


def _unevenness(modality: Modality) -> float:
  """0 for two modes of equal weight, up to 1; 1 for a breakout or falloff."""
  if modality.label != "two_modes":
    return 1.0
  assert modality.peaks
  return abs(2 * modality.peaks.weight_above - 1)


def _split(series: Series, population: Population, modality: Modality) -> str:
  """Says how many seeds are on either side of the split."""
  score_S, num = population.finite_S, modality.num_runs
  num_diverged = population.sample.size - num
  diverged = f", {num_diverged} diverged" if num_diverged else ""
  if modality.label == "two_modes":
    low, high = int((score_S < 0.1).sum()), int((score_S > 0.9).sum())
    is_outer = low + high >= _OUTER * num and min(low, high) >= _OUTER_END * num
    if series.is_share and is_outer:
      sides = f"{low} of {num} below 0.1, {high} above 0.9"
    else:
      low = int((score_S < modality.antimode).sum())
      at = words.number(modality.antimode, 2)
      sides = f"{low} of {num} below {at}, {num - low} above"
    return f"the seeds split in two: {sides}{diverged}"
  is_floor = modality.label == "breakout"
  test = modality.breakout if is_floor else modality.falloff
  assert test
  # Runs outside the floor are the best, runs outside the ceiling the worst.
  better_S, num_others = np.sort(series.sign * score_S), test.num_outside
  others_S = better_S[-num_others:] if is_floor else better_S[:num_others]
  middle = series.sign * float(np.median(others_S))
  leave = "break out of" if is_floor else "fall off"
  end = "the floor" if is_floor else "the ceiling"
  return (
    f"some seeds {leave} {end}: {test.num_inside} of {num} are at {end}, and"
    f" half of the other {num_others} score {words.number(middle, 2)} or"
    f" {'better' if is_floor else 'worse'}{diverged}"
  )


def _nothing_shown(series: Series) -> Iterator[str]:
  """Says what second mode would be detected, and which scales cannot tell."""
  judged: list[Population] = []
  weights: list[float] = []
  silent: dict[str, list[Population]] = {}
  modalities = series.answers["modality"].by_scale
  for population, modality in zip(series.populations, modalities, strict=True):
    if reason := _why_silent(population.sample, modality, series.options.alpha):
      silent.setdefault(reason, []).append(population)
      continue
    judged.append(population)
    # With fewer runs, only the floor and the ceiling were tested.
    is_dip_tested = modality.num_runs >= modality_lib.MIN_RUNS
    weights.append(
      modality.smallest_weight_adjusted if is_dip_tested else math.nan
    )
  text, where = "no split is shown", ""
  most = max(modality.num_runs for modality in modalities)
  anywhere = f" at any {series.axis}"
  if len(series.populations) == 1:
    anywhere = f" {_at(series, series.populations[0])}".rstrip()
  if most < modality_lib.MIN_RUNS:
    yield f"{text}{anywhere}: {_FEW}"
    return
  if silent and judged:
    where = f"{series.at(judged)} "
  else:
    text += anywhere
  if not judged and len(silent) == 1:
    yield f"{text}: {next(iter(silent))}"
    return
  if not judged:
    yield text
  elif np.isnan(weights).any():
    yield f"{text}; {where}two modes would often be missed with so few seeds"
  else:
    yield (
      f"{text}; {where}a second mode of the same width with"
      f" {words.percent(max(weights))} of the seeds or more,"
      f" {dip.MODE_DISTANCE:g} sd away, would be detected four times in five"
    )
  for reason, populations in silent.items():
    yield f"{series.at(populations)} {reason}"


def _why_silent(sample: Sample, modality: Modality, alpha: float) -> str:
  """Why a cell labelled not_shown cannot tell of a second mode, or ''."""
  if modality.num_runs < modality_lib.MIN_RUNS:
    return _FEW if math.isnan(modality.p) else ""
  if math.isnan(modality.dip_p):
    if sample.is_constant:
      return "all scores are equal, so nothing could be tested"
    return "each score is of a single test item and so cannot show modes"
  is_open = sample.step is None and grid(sample).is_open
  if modality.p_adjusted > alpha and not is_open:
    return ""
  if math.isnan(modality.antimode) and not is_open:
    return (
      "scores do not have a single mode, but no valley separates two groups"
    )
  return (
    "the two groups may be two neighbouring points of the score grid; this"
    " cannot be decided without the number of test items"
  )


def sections(analysis: Analysis) -> Iterator[Section]:
  first, *others = analysis.by_metric.values()
  distribution = _distribution(first)._replace(
    title="Where do the seeds end?", is_first=True
  )
  yield distribution
  yield _labels(analysis)
  # Show an unbounded metric next to a bounded one: do both split?
  open_ended = [s for s in others if not s[0].metric.has_ends]
  if first[0].metric.has_ends and open_ended:
    other = _distribution(open_ended[0])
    if other.name == distribution.name:
      other = other._replace(name=f"{other.name}-2")
    said = [f.sentence for s in open_ended[0] for f in findings(s)]
    yield other._replace(answers=said[:_MOST_ANSWERS])


def _distribution(several: list[Series]) -> Section:
  first = several[0]
  sentence = f"Each ridge is one value of {first.axis}, each dot is one seed."
  if all(len(series.populations) == 1 for series in several):
    sentence = "A ridge is the density of the seeds, each dot is one seed."
  if first.threshold is not None:
    sentence += f" At the right: the share of seeds at {first.threshold_name}."
  columns = _columns(several)
  shapes = [
    f"{title and f'{title}, '}{ridge.name}: {ridge.note or 'no split shown'}"
    for title, ridges in columns
    for ridge in ridges
  ]
  return Section(
    f"distribution-{_slug(first.metric.name)}",
    sentence,
    "Each ridge is smoothed and scaled to its own peak: compare shapes, not"
    " heights. Two humps are shown to be two groups only if “two modes” is"
    " written beside the ridge.",
    figure=draw(several),
    title=f"Does {first.metric_name} split in two as well?",
    alt=f"Distribution of {first.metric_name}: {'; '.join(shapes)}.",
  )


def draw(several: Sequence[Series]) -> Figure:
  """Ridgelines of all scales, one column per group.

  Args:
    several: the series of one metric.
  """
  first = several[0]
  return ridges.draw(
    _columns(several),
    first.axis_label,
    (first.metric.low, first.metric.high),
    first.threshold,
    first.metric.higher_is_better,
  )


def _columns(several: Sequence[Series]) -> list[tuple[str, list[Ridge]]]:
  return [
    (
      series.group_name,
      [
        Ridge(
          series.scale_name(p),
          p.sample.scores_S,
          "" if modality.label == "not_shown" else _words(modality),
          p.sample.step,
        )
        for p, modality in zip(
          series.populations, series.answers["modality"].by_scale, strict=True
        )
      ],
    )
    for series in several
  ]


def _labels(analysis: Analysis) -> Section:
  header = ["group", "metric", analysis.series[0].axis, "seeds", "label"]
  header += ["p of two modes", "of a breakout", "of a falloff", "p"]
  header += ["after Holm", "mode", "antimode", "lightest seen"]
  rows = [
    [
      series.group_name,
      series.metric_name,
      population.name,
      str(population.sample.size),
      _words(modality),
      words.number(modality.dip_p, 2)
      if modality.num_runs >= modality_lib.MIN_RUNS
      else "–",
      *(
        words.number(test.p, 2) if test else "–"
        for test in (modality.breakout, modality.falloff)
      ),
      words.number(modality.p, 2),
      words.number(modality.p_adjusted, 2),
      _mode(modality),
      words.number(modality.antimode, 2),
      words.number(modality.smallest_weight_adjusted, 2),
    ]
    for series in analysis.series
    for population, modality in zip(
      series.populations, series.answers["modality"].by_scale, strict=True
    )
  ]
  sizes: dict[str, int] = {}
  for found in (s.answers["modality"] for s in analysis.series):
    size = found.by_scale[0].family_size
    sizes[found.family] = max(sizes.get(found.family, 0), size)
  families = "; ".join(
    f"{family}: at most {words.count(size, 'cell')}"
    for family, size in sorted(sizes.items())
    if size
  )
  sentence = (
    "Each row is one cell and metric, with its label. p combines three tests:"
    f" of two modes (with {modality_lib.MIN_RUNS} seeds or more), of a breakout"
    " from the floor, and of a falloff from the ceiling. “After Holm” is p"
    " after Holm's correction for the other cells that could be tested"
    f"{families and f' ({families})'}."
  )
  table, note = first_rows(header, rows, _MOST_ROWS)
  return Section(
    "modality",
    sentence + note,
    "“Not shown” is no proof of one mode. “Lightest seen” is the smallest share"
    " of the seeds in a second mode, 5 sd away, that would be detected with"
    " power 0.8 after the correction; it is “–” if even a mode with half of the"
    " seeds would not be. In a breakout, the seeds above the floor do not"
    " simply become fewer with distance from the floor; a falloff is the mirror"
    " image at the ceiling. A mode is unstable if another peak is nearly as"
    " high. An antimode is given only if the valley between two peaks is deep.",
    table=table,
  )


def _words(modality: Modality) -> str:
  """The label in words, such as `two modes`."""
  return modality.label.replace("_", " ")


def _mode(modality: Modality) -> str:
  if modality.peaks is None or modality.num_runs < MIN_RUNS:
    return "–"
  stable = "" if modality.peaks.mode_stable else " (unstable)"
  return f"{words.number(modality.peaks.mode, 2)}{stable}"


def _slug(name: str) -> str:
  """The name for anchors and files: at most 60 letters, digits and dashes."""
  kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
  return kept[:_MOST_LETTERS].strip("-").lower() or "metric"


QUESTION = Question(
  "modality",
  "Does the score split in two?",
  compute,
  values=values,
  entry=entry,
  findings=findings,
  sections=sections,
)
