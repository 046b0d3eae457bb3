"""The sections that an analysis adds to a report."""

import json
import math
from collections.abc import Sequence
from typing import Any

from emergence.analysis import charts
from emergence.analysis.findings import (
  Finding,
  group_name,
  metric_name,
)
from emergence.analysis.rows import plain
from emergence.analysis.series import Analysis, Scale, Series
from emergence.report import Section, Table

_MOST_ROWS = 60

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
    found.append(_distribution(analysis, open_ended[0]))
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
  """What all scores have in common, as a sentence."""
  table = analysis.table
  columns = zip(*(s.group for s in analysis.series), strict=True)
  constant = [
    f"{name} {values[0]}"
    for name, values in zip(table.group_columns, columns, strict=True)
    if len(set(values)) == 1
  ]
  text = ", ".join([*constant, *([table.condition] if table.condition else [])])
  return f"{text[:1].upper()}{text[1:]}." if text else ""


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
    f"{len(analysis.table.frame):,} scores. {condition(analysis)}",
    "All findings with all their rows stand in summary.json; nothing was"
    " dropped without one.",
    table=Table(["kind", "what", "rows"], rows) if rows else None,
    code=json.dumps(plain(details), indent=1)[:20_000] if details else "",
  )


def _statements(analysis: Analysis, statements: Sequence[Finding]) -> Section:
  shown = main_statements(analysis, statements)
  first = next(iter(analysis.table.metrics))
  points = [(_KINDS[f.kind], f.sentence) for f in shown[:_MOST_ROWS]]
  sentence = (
    f"{len(shown)} statements about {first.replace('_', ' ')}, and whether the"
    " other metrics have two modes; each is computed from the scores."
  )
  if len(shown) > _MOST_ROWS:
    sentence += f" The first {_MOST_ROWS} are shown."
  return Section(
    "findings",
    "Findings",
    sentence,
    f"{condition(analysis)} Intervals hold with 95 % confidence each,"
    " over seeds of this very setting. summary.json has every statement with"
    " its numbers.",
    points=points,
  )


def _labels(analysis: Analysis) -> Section:
  header = ["group", "metric", analysis.table.scale_name, "seeds", "label"]
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
    f"One label a cell and metric. The p-values are corrected together: Holm"
    f" over {analysis.family_size} tests, all cells × metrics of this table."
  )
  if len(shown) < len(rows):
    sentence += f" The first {len(shown)} of {len(rows)} are shown."
  return Section(
    "modality",
    "One mode or two",
    sentence,
    "“Unimodal” is said only where so many seeds would have shown a minor mode"
    " of 30 % five standard deviations away; else the label is “undecided”."
    " “Lightest seen” is the lightest minor mode that they would have shown."
    " The first bimodal scale is the first detectable one, no more.",
    table=Table(header, shown),
  )


def _label_row(scale: Scale) -> list[str]:
  found = scale.modality
  shape = found.shape
  return [
    scale.population.label,
    str(scale.population.scores_S.size),
    found.label,
    _number(found.p),
    _number(found.p_adjusted),
    "–"
    if shape is None
    else f"{shape.mode:.2f}{'' if shape.mode_stable else ' (unstable)'}",
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
  name = several[0].metric.name
  labels: dict[str, int] = {}
  for series in several:
    for scale in series.scales:
      labels[scale.modality.label] = labels.get(scale.modality.label, 0) + 1
  parts = ", ".join(f"{number} {label}" for label, number in labels.items())
  return Section(
    f"distribution-{_slug(name)}",
    f"The distribution of {name.replace('_', ' ')} over seeds",
    f"One ridge a {analysis.table.scale_name}, with its label: {parts}. Points"
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
  jumps = [
    f"{group_name(analysis, s) or metric_name(s)}: mode"
    f" {s.abruptness.mode:.2f}, mean {s.abruptness.mean:.2f}, success"
    f" probability {s.abruptness.success_probability:.2f}"
    for s in several
    if s.abruptness is not None and not math.isnan(s.abruptness.mode)
  ]
  sentence = "Summaries of the same seeds."
  if jumps:
    sentence = (
      f"Largest step from one {analysis.table.scale_name} to the next, as a"
      f" share of the whole range. {'; '.join(jumps[:6])}."
    )
  return Section(
    "summaries",
    "Summaries by scale",
    sentence,
    "Where seeds form two clusters, the mode jumps when one outgrows the peak"
    " of the other, though no seed improves: the jump itself is arithmetic."
    " Bars are 95 % intervals over seeds; a mode has none, and one that two"
    " peaks compete for is marked unstable in the table above.",
    figure=charts.summaries(analysis, several),
  )


def _survival(analysis: Analysis, several: list[Series]) -> Section:
  return Section(
    "thresholds",
    "Every threshold",
    "The share of seeds at or beyond each threshold. Where a curve is flat, the"
    " choice of threshold does not matter; where it slopes, it makes the"
    " result. The dotted line is the threshold of the other sections.",
    "The band, of the scale nearest to an even split, holds its whole curve"
    " with 95 % confidence; diverged seeds are beyond no threshold.",
    figure=charts.survival(analysis, several),
  )


def _distances(analysis: Analysis, several: list[Series]) -> Section:
  return Section(
    "distances",
    "Distances between neighbouring scales",
    "Points are Wasserstein-2 distances between neighbouring distributions;"
    " the gray bar is what 95 % of permutations stay below if both were one."
    " distances.csv has all pairs, and how much of each is location, spread and"
    " shape.",
    "A distance above its bar says that the two laws differ, not how many modes"
    " they have; a second mode has next to no share in “shape”.",
    figure=charts.distances(analysis, several),
  )


def _paths(analysis: Analysis, several: list[Series]) -> Section:
  rows = [
    [
      group_name(analysis, series),
      scale.population.label,
      found.verdict,
      f"{found.mixture.share:.2f}",
      f"{found.mixture.distance:.3g}",
      f"{found.displacement.distance:.3g}",
      found.reason,
    ]
    for series in several
    for scale, found in zip(series.scales[1:], series.paths, strict=False)
  ]
  header = ["group", analysis.table.scale_name, "verdict", "share moved"]
  header += ["to mixture", "to displacement", "evidence"]
  return Section(
    "paths",
    "Mass that moves, or runs that improve",
    "For each scale between the first and the last: does a share of the runs"
    " pass from one mode to the other (mixture), or does every run go a part of"
    " the way (displacement)?",
    "A steep metric makes a mixture out of a smooth change of what runs can do:"
    " paths.csv has the same for every metric, likelihoods included.",
    table=Table(header, rows[:_MOST_ROWS]),
  )


def _trajectories(analysis: Analysis, several: list[Series]) -> Section:
  pairings = [
    f"{group_name(analysis, s) or metric_name(s)}: p = {s.pairing.p:.2g}"
    for s in several
    if s.pairing is not None and not math.isnan(s.pairing.p)
  ]
  notes = {s.trajectories.note for s in several if s.trajectories is not None}
  sentence = "One line a seed index; the dashed line is the mean."
  if any(notes):
    sentence += f" {'; '.join(sorted(filter(None, notes)))}."
  if pairings:
    sentence += (
      " That seeds of one index do alike at different scales:"
      f" {'; '.join(pairings[:6])}."
    )
  return Section(
    "trajectories",
    "Single seeds over scales",
    sentence,
    f"{analysis.table.seed_meaning.rstrip('.')}. Each point is another model,"
    " and where seeds of one index are not alike, a line joins strangers: the"
    " most abrupt and the straightest of many are then picked from chance.",
    figure=charts.trajectories(analysis, several),
  )


def _width(series: Series) -> float:
  return series.metric.high - series.metric.low


def _number(value: Any) -> str:
  return "–" if math.isnan(value) else f"{value:.2g}"


def _slug(name: str) -> str:
  kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
  return kept.strip("-").lower() or "metric"
