"""Whether the seeds of a scale are shown to separate."""

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
from emergence.statistics import dip, modes, success
from emergence.statistics import modality as modality_lib
from emergence.statistics.intervals import Interval
from emergence.statistics.modality import Modality
from emergence.statistics.modes import ModeShares
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.sample import Sample, grid

_MOST_ROWS, _MOST_ANSWERS = 120, 2
_MOST_LETTERS = 60  # In the name of a section.
_FEW = f"two modes are tested with {modality_lib.MIN_RUNS} seeds or more"


class Modalities(NamedTuple):
  """Of one series.

  Attributes:
    family: what its tests are corrected over.
    by_scale: label and tests of each scale.
    mode_shares: on which side of the antimode the mode of resamples is; None
      for scales without a score.
    beyond: success beyond the antimode; None for scales without two modes.
    first: index of the first scale that is shown to separate, None without.
  """

  family: str
  by_scale: list[Modality]
  mode_shares: list[ModeShares | None]
  beyond: list[Interval | None]
  first: int | None


def compute(several: Sequence[Series]) -> list[Modalities]:
  """Labels of all scales of all series, each family corrected by itself."""
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
    yield (
      i,
      _of_series(series, name, [next(modalities) for _ in series.samples]),
    )


def _of_series(
  series: Series, family: str, modalities: list[Modality]
) -> Modalities:
  return Modalities(
    family,
    modalities,
    [
      modes.mode_shares(sample, modality.antimode, series.options)
      if sample.finite_S.size
      else None
      for sample, modality in zip(series.samples, modalities, strict=True)
    ],
    [
      success.success_beyond_antimode(sample, series.options)
      if modality.label == "two_modes"
      else None
      for sample, modality in zip(
        series.better_samples, modalities, strict=True
      )
    ],
    modality_lib.first_separated(modalities),
  )


def values(series: Series) -> Iterator[dict[str, Any]]:
  found = series.answers["modality"]
  for modality, beyond in zip(found.by_scale, found.beyond, strict=True):
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
      "evidence": modality.evidence,
      "success_beyond_antimode": beyond and beyond.value,
      "success_beyond_antimode_low": beyond and beyond.low,
      "success_beyond_antimode_high": beyond and beyond.high,
    }


def entry(series: Series) -> dict[str, Any]:
  first = series.answers["modality"].first
  return {
    "first_separated_scale": None
    if first is None
    else series.populations[first].scale
  }


def findings(series: Series) -> Iterator[Finding]:
  """The first scale at which seeds separate, or what would have been seen."""
  found: Modalities = series.answers["modality"]
  labels: dict[str, int] = {}
  for modality in found.by_scale:
    labels[modality.label] = labels.get(modality.label, 0) + 1
  if found.first is None:
    for text in _nothing_shown(series):
      yield finding("modality", series, text, labels=labels)
    return
  population = series.populations[found.first]
  modality = found.by_scale[found.first]
  others = sum(labels.values()) - labels.get("not_shown", 0) - 1
  text = f"a split is {'first ' if others else ''}shown at"
  text += f" {series.scale_name(population)}: {_how(series, modality)}"
  if others:
    verb = "shows" if others == 1 else "show"
    text += f"; {words.count(others, 'more scale')} {verb} one"
  yield finding(
    "modality",
    series,
    text,
    scale=population.scale,
    p=modality.p,
    p_adjusted=modality.p_adjusted,
    antimode=modality.antimode,
    labels=labels,
  )


def _how(series: Series, modality: Modality) -> str:
  """How the seeds of one scale separate."""
  if modality.label == "two_modes":
    assert modality.peaks
    above = modality.peaks.weight_above
    better = above if series.metric.higher_is_better else 1 - above
    return (
      f"two modes, parted at {words.number(modality.antimode)}, with"
      f" {words.percent(better)} of {modality.num_runs} seeds on the better"
      " side"
    )
  name = "floor" if modality.label == "breakout" else "ceiling"
  test = modality.breakout if name == "floor" else modality.falloff
  assert test
  return (
    f"{test.num_inside} of {modality.num_runs} are at the {name}, the others do"
    " not thin out away from it"
  )


def _nothing_shown(series: Series) -> Iterator[str]:
  """What would have been seen, and at which scales nothing could be."""
  judged: list[Population] = []
  weights: list[float] = []
  silent: dict[str, list[Population]] = {}
  modalities = series.answers["modality"].by_scale
  for population, modality in zip(series.populations, modalities, strict=True):
    if reason := _why_silent(population.sample, modality, series.options.alpha):
      silent.setdefault(reason, []).append(population)
      continue
    judged.append(population)
    # Of fewer runs only the floor and the ceiling were tested.
    is_dip_tested = modality.num_runs >= modality_lib.MIN_RUNS
    weights.append(
      modality.smallest_weight_adjusted if is_dip_tested else math.nan
    )
  text, where = "no split is shown", ""
  most = max(modality.num_runs for modality in modalities)
  is_alone = len(series.populations) == 1
  anywhere = "" if is_alone else f" at any {series.axis}"
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
    yield f"{text}; {where}so few seeds would often not show two modes"
  else:
    yield (
      f"{text}; {where}a second group, as narrow, of"
      f" {words.percent(max(weights))} of the seeds or more,"
      f" {dip.MODE_DISTANCE:g} sd away, would be detected four times in five"
    )
  for reason, populations in silent.items():
    yield f"{series.at(populations)} {reason}"


def _why_silent(sample: Sample, modality: Modality, alpha: float) -> str:
  """Why a cell without a label tells nothing of a second mode, if so."""
  if modality.num_runs < modality_lib.MIN_RUNS:
    return _FEW if math.isnan(modality.p) else ""
  if math.isnan(modality.dip_p):
    if sample.is_constant:
      return "all scores are equal, so nothing could be tested"
    return "scores are of one item and can show no modes"
  is_open = sample.step is None and grid(sample).is_open
  if modality.p_adjusted > alpha and not is_open:
    return ""
  if math.isnan(modality.antimode) and not is_open:
    return "scores are not of one mode, but no valley parts them in two"
  return (
    "the two groups may be two points of the score grid; the number of test"
    " items would tell"
  )


def sections(analysis: Analysis) -> Iterator[Section]:
  first, *others = analysis.by_metric.values()
  distribution = _distribution(first)._replace(
    title="Where do the seeds end?", is_first=True
  )
  yield distribution
  yield _labels(analysis)
  # A metric without ends beside one with them: is a split there in both?
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
    " heights. Two humps are shown to be two groups only where “two modes”"
    " stands beside the ridge.",
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
          p.finite_S,
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
  header += ["p", "after Holm", "mode", "antimode", "lightest seen", "evidence"]
  rows = [
    [
      series.group_name,
      series.metric_name,
      population.name,
      str(population.sample.size),
      _words(modality),
      words.number(modality.p, 2),
      words.number(modality.p_adjusted, 2),
      _mode(modality),
      words.number(modality.antimode, 2),
      words.number(modality.smallest_weight, 2),
      modality.evidence,
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
    "One label for each cell and metric. p combines three tests: of two modes,"
    " of a breakout from the floor, of a fall from the ceiling. “After Holm” it"
    " is corrected for the other cells that could be tested"
    f"{families and f' ({families})'}."
  )
  table, note = first_rows(header, rows, _MOST_ROWS)
  is_told = any(
    not math.isnan(modality.smallest_weight_adjusted)
    for series in analysis.series
    for modality in series.answers["modality"].by_scale
  )
  power = "the evidence says which second mode would have been seen with power"
  return Section(
    "modality",
    sentence + note,
    "“Not shown” is no proof of one mode"
    f"{f': {power} 0.8' if is_told else ''}. A breakout is a share of seeds"
    " above the floor that does not thin out away from it; a falloff is its"
    " mirror image at the ceiling. “Lightest seen” is the smallest share"
    " that a second group, 5 sd away, could have and be detected with power"
    " 0.8, before the correction. A mode is unstable where another peak is"
    " nearly as high; an antimode is given only where the valley between two"
    " peaks is deep.",
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
  """For anchors and file names: letters, digits and dashes, not too many."""
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
