"""The sections that an analysis adds to a report."""

import itertools
import json
import math
from collections.abc import Collection, Sequence

from emergence.analysis import charts
from emergence.analysis.finding import Finding
from emergence.analysis.rows import plain
from emergence.analysis.series import Analysis, Scale, Series
from emergence.analysis.words import (
  axis_name,
  group_name,
  label_name,
  metric_name,
  short,
  signed,
)
from emergence.report.page import Section, Table

_MOST_ROWS = 60
_MOST_LETTERS = 60  # In the name of a section.

_KINDS = {
  "success": "How the share of successes changes",
  "difference": "Where distributions differ",
  "modality": "Whether there are two modes",
  "metrics": "Whether another metric agrees",
  "path": "How one distribution becomes another",
  "abruptness": "What jumps",
  "trajectories": "Single seeds over scales",
  "pairing": "Whether a seed index means anything",
  "small_studies": "What few seeds would have told",
  "threshold": "What the threshold decides",
  "items": "What the test items decide",
  "divergence": "Diverged runs",
}


def sections(
  analysis: Analysis, statements: Sequence[Finding]
) -> list[Section]:
  """Findings, the table of labels and the figures.

  Args:
    analysis: the analysis.
    statements: what `findings.findings` says of it.
  """
  found = [_statements(analysis, statements), _labels(analysis)]
  by_metric: dict[str, list[Series]] = {}
  for series in analysis.series:
    by_metric.setdefault(series.metric.name, []).append(series)
  first, *others = by_metric.values()
  found += _of_metric(analysis, first)
  # A metric without ends beside one with them: is a split there in both?
  open_ended = [s for s in others if math.isinf(_width(s[0]))]
  if math.isfinite(_width(first[0])) and open_ended:
    other = _distribution(analysis, open_ended[0])
    taken = {section.name for section in found}
    found.append(other._replace(name=_distinct(other.name, taken)))
  return found


def main_statements(
  analysis: Analysis, statements: Sequence[Finding]
) -> list[Finding]:
  """Those about the first metric, by kind, and the modality of the others."""
  order = list(_KINDS)
  ranked = sorted(statements, key=lambda f: order.index(f.kind))
  first = next(iter(analysis.table.metrics))
  return [f for f in ranked if f.metric in ("", first)] + [
    f for f in ranked if f.kind == "modality" and f.metric not in ("", first)
  ]


def condition(analysis: Analysis) -> str:
  """What all scores have in common, as a sentence; empty if nothing is."""
  table = analysis.table
  columns = zip(*(s.group for s in analysis.series), strict=True)
  constant = [
    f"{short(name)} {short(values[0])}"
    for name, values in zip(table.group_columns, columns, strict=True)
    if len(set(values)) == 1
  ]
  parts = [*constant, *([table.condition] if table.condition else [])]
  return f"All of it is of {', '.join(parts)}." if parts else ""


def audit(analysis: Analysis) -> Section:
  """What was odd about the scores, with the first rows of each."""
  found = analysis.table.findings
  rows = [
    [f.kind.replace("_", " "), f.sentence, str(len(f.rows))] for f in found
  ]
  details = {
    f"{i + 1} {f.kind}": f.rows[:_MOST_ROWS]
    for i, f in enumerate(found)
    if f.rows
  }
  return Section(
    "audit",
    "What was read, and what is odd about it",
    f"{len(analysis.table.frame):,} scores. {condition(analysis)}".strip(),
    "What is odd stands in summary.json with all its rows; nothing was left out"
    " without being named.",
    table=Table(["kind", "what", "rows"], rows) if rows else None,
    code=json.dumps(plain(details), indent=1)[:20_000] if details else "",
  )


def _statements(analysis: Analysis, statements: Sequence[Finding]) -> Section:
  shown = main_statements(analysis, statements)
  name = metric_name(analysis.series[0])
  points = [(_KINDS[f.kind], f.sentence) for f in shown[:_MOST_ROWS]]
  sentence = f"{len(shown)} statements about {name}"
  if len(analysis.table.metrics) > 1:
    sentence += ", and whether the other metrics have two modes"
  sentence += "; each is computed from the scores."
  if len(shown) > _MOST_ROWS:
    sentence += f" The first {_MOST_ROWS} are shown."
  return Section(
    "findings",
    "Findings",
    sentence,
    f"{condition(analysis)} Intervals aim at 95 % confidence, each by itself,"
    " and are about other seeds of the same setting. summary.json has every"
    " statement with its numbers.".strip(),
    points=points,
  )


def _labels(analysis: Analysis) -> Section:
  header = ["group", "metric", axis_name(analysis), "seeds", "label"]
  header += ["p", "after Holm", "mode", "antimode", "lightest seen", "evidence"]
  has_groups = any(group_name(analysis, s) for s in analysis.series)
  header = header if has_groups else header[1:]
  rows = []
  for series in analysis.series:
    for scale in series.scales:
      row = [
        group_name(analysis, series),
        metric_name(series),
        *_label_row(scale),
      ]
      rows.append(row if has_groups else row[1:])
  shown = rows[: 2 * _MOST_ROWS]
  sentence = (
    "One label for each cell and metric. p is that of the dip test, then"
    f" corrected after Holm over {analysis.family_size}"
    f" {'test' if analysis.family_size == 1 else 'tests'}: all cells × metrics"
    " of this table."
  )
  if len(shown) < len(rows):
    sentence += f" The first {len(shown)} of {len(rows)} are shown."
  return Section(
    "modality",
    "One mode or two",
    sentence,
    "“Unimodal” is said only where so many seeds would have shown a minor mode"
    " of 30 %, five standard deviations away, with power 0.8; else the label is"
    " “undecided”. “Lightest seen” is the weight of the lightest such mode that"
    " a test of the cell alone would have shown; the correction for many tests"
    " asks for more. The first bimodal scale is the first detectable one.",
    table=Table(header, shown),
  )


def _label_row(scale: Scale) -> list[str]:
  found = scale.modality
  shape = found.shape
  return [
    label_name(scale),
    str(scale.population.scores_S.size),
    found.label,
    _number(found.p),
    _number(found.p_adjusted),
    "–"
    if shape is None
    else f"{_number(shape.mode)}{'' if shape.mode_stable else ' (unstable)'}",
    _number(found.antimode),
    _number(found.smallest_weight),
    found.evidence,
  ]


def _of_metric(analysis: Analysis, several: list[Series]) -> list[Section]:
  """All figures of one metric."""
  found = [_distribution(analysis, several), _summaries(analysis, several)]
  if several[0].threshold is not None:
    found.append(_survival(analysis, several))
  longer = [s for s in several if len(s.scales) > 1]
  with_distances = [s for s in longer if s.distances is not None]
  if with_distances:
    found.append(_distances(analysis, with_distances))
  with_paths = [s for s in longer if s.paths]
  if with_paths:
    found.append(_paths(analysis, with_paths))
  with_seeds = [s for s in longer if s.trajectories is not None]
  if with_seeds:
    found.append(_trajectories(analysis, with_seeds))
  return found


def _distribution(analysis: Analysis, several: list[Series]) -> Section:
  name = metric_name(several[0])
  labels: dict[str, int] = {}
  for series in several:
    for scale in series.scales:
      labels[scale.modality.label] = labels.get(scale.modality.label, 0) + 1
  parts = ", ".join(f"{number} {label}" for label, number in labels.items())
  return Section(
    f"distribution-{_slug(several[0].metric.name)}",
    f"The distribution of {name} over seeds",
    f"One ridge for each {axis_name(analysis)}, with its label: {parts}. Points"
    " are seeds"
    + (
      "; the number on the right is the share beyond the threshold."
      if several[0].threshold is not None
      else "."
    ),
    "Each ridge is smoothed and scaled to its own peak: compare shapes, not"
    " heights. Two humps are two modes only where the label says so.",
    figure=charts.distributions(analysis, several),
  )


def _summaries(analysis: Analysis, several: list[Series]) -> Section:
  # Of two scales the largest step is the whole range.
  known = [
    (s, s.abruptness)
    for s in several
    if s.abruptness is not None
    and s.abruptness.num_scales > 2
    and not math.isnan(s.abruptness.difference)
  ]
  jumps = [
    f"{group_name(analysis, s) or metric_name(s)}: mode {found.mode:.2f}, mean"
    f" {_two(found.mean)}, success probability {found.success_probability:.2f}"
    for s, found in known
  ]
  sentence = "Summaries of the same seeds."
  if jumps:
    sentence = (
      f"Largest step from one {axis_name(analysis)} to the next, as a share of"
      f" the range over all. {'; '.join(jumps[:6])}"
      f"{'; …' if len(jumps) > 6 else '.'}"
    )
  return Section(
    "summaries",
    "Summaries by scale",
    sentence,
    "Where seeds form two clusters, the mode jumps when the peak of one"
    " outgrows that of the other, however slowly their share changes: the jump"
    " itself is arithmetic. Bars are 95 % intervals over seeds; a mode has"
    " none, and one that two peaks compete for is marked unstable in the table"
    " above.",
    figure=charts.summaries(analysis, several),
  )


def _survival(analysis: Analysis, several: list[Series]) -> Section:
  return Section(
    "thresholds",
    "Every threshold",
    "The share of seeds at or beyond each threshold. Where a curve is flat, the"
    " choice of the threshold does not matter; where it slopes, the choice"
    " makes the result. The dotted line is the threshold of the other"
    " sections.",
    "The gray band is that of the scale nearest to an even split: it holds the"
    " whole curve with 95 % confidence. Diverged seeds are beyond no"
    " threshold.",
    figure=charts.survival(analysis, several),
  )


def _distances(analysis: Analysis, several: list[Series]) -> Section:
  return Section(
    "distances",
    "Distances between neighbouring scales",
    "Points are Wasserstein-2 distances between neighbouring distributions;"
    " the gray bar is what 95 % of permutations, under which both are one, do"
    " not pass."
    " distances.csv has all pairs, and how much of each is location, spread and"
    " shape.",
    "A distance above its bar is evidence that the two laws differ, not of how"
    " many modes they have; a second mode may have next to no share in"
    " “shape”. Bars are not corrected for the number of pairs.",
    figure=charts.distances(analysis, several),
  )


def _paths(analysis: Analysis, several: list[Series]) -> Section:
  has_groups = any(group_name(analysis, series) for series in several)
  rows = [
    [
      *([group_name(analysis, series)] if has_groups else []),
      label_name(scale),
      found.verdict,
      _two(found.mixture.share),
      f"{found.mixture.distance:.3g}",
      f"{found.displacement.distance:.3g}",
      found.reason,
    ]
    for series in several
    for scale, found in zip(series.scales[1:], series.paths, strict=False)
  ]
  header = [*(["group"] if has_groups else []), axis_name(analysis), "verdict"]
  header += ["share moved", "to mixture", "to displacement", "evidence"]
  sentence = (
    "Each scale between the first and the last: is its distribution a mixture"
    " of theirs, as if a share of runs changed over, or theirs joined quantile"
    " by quantile (displacement), as if every run went a part of the way?"
  )
  if len(rows) > _MOST_ROWS:
    sentence += f" The first {_MOST_ROWS} of {len(rows)} are shown."
  return Section(
    "paths",
    "Mass that moves, or runs that improve",
    sentence,
    "Both are about distributions: runs at two scales are different models. A"
    " steep metric makes a mixture out of a smooth change of what runs can do:"
    " paths.csv has the same for every metric, likelihoods included. Distances"
    " to both paths are Wasserstein-2, in the unit of the scores.",
    table=Table(header, rows[:_MOST_ROWS]),
  )


def _trajectories(analysis: Analysis, several: list[Series]) -> Section:
  pairings = [
    f"{group_name(analysis, s) or metric_name(s)}: p = {s.pairing.p:.2g}"
    for s in several
    if s.pairing is not None and not math.isnan(s.pairing.p)
  ]
  notes = {s.trajectories.note for s in several if s.trajectories is not None}
  sentence = "One line for each seed index; the dashed line is the mean."
  if any(notes):
    sentence += f" With {'; '.join(sorted(filter(None, notes)))}."
  if pairings:
    sentence += (
      " Test of whether seeds of one index do alike at different scales:"
      f" {'; '.join(pairings[:6])}{'; …' if len(pairings) > 6 else '.'}"
    )
  return Section(
    "trajectories",
    "Single seeds over scales",
    sentence,
    f"{analysis.table.seed_meaning.rstrip('.')}. Each point of a line is"
    " another model. Where seeds of one index do not do alike, a line joins"
    " strangers, and the most abrupt and the straightest of many are what"
    " chance would make of them.",
    figure=charts.trajectories(analysis, several),
  )


def _width(series: Series) -> float:
  return series.metric.high - series.metric.low


def _number(value: float) -> str:
  return "–" if math.isnan(value) else f"{value:.2g}".replace("-", "−")


def _two(value: float) -> str:
  return "–" if math.isnan(value) else signed(value)


def _slug(name: str) -> str:
  """For anchors and file names: letters, digits and dashes, not too many."""
  kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
  return kept[:_MOST_LETTERS].strip("-").lower() or "metric"


def _distinct(name: str, taken: Collection[str]) -> str:
  """The name, with a number where it is taken."""
  names = itertools.chain([name], (f"{name}-{i}" for i in itertools.count(2)))
  return next(name for name in names if name not in taken)
