"""The sections that an analysis adds to a report."""

import json
from collections.abc import Sequence

from emergence.analysis import questions, words
from emergence.analysis.output import plain
from emergence.analysis.question import Finding, Question, Section, Table
from emergence.analysis.series import Analysis

_MOST_ROWS = 60


def sections(analysis: Analysis) -> list[Section]:
  """The findings, then the sections of each question."""
  found = [_findings(analysis)]
  for question in questions.QUESTIONS:
    found += question.sections(analysis)
  return found


def main_findings(analysis: Analysis) -> list[tuple[Question, Finding]]:
  """Those about the first metric, and the modality of the others."""
  found = questions.findings(analysis)
  first = next(iter(analysis.table.metrics))
  return [x for x in found if x[1].metric in ("", first)] + [
    x
    for x in found
    if x[1].kind == "modality" and x[1].metric not in ("", first)
  ]


def condition(analysis: Analysis) -> str:
  """What all scores have in common, as a sentence; empty if nothing is."""
  table = analysis.table
  columns = zip(*(s.group for s in analysis.series), strict=True)
  constant = [
    f"{words.short(name)} {words.short(values[0])}"
    for name, values in zip(table.group_columns, columns, strict=True)
    if len(set(values)) == 1
  ]
  parts = [*constant, *([table.condition] if table.condition else [])]
  return f"All of it is of {', '.join(parts)}." if parts else ""


def audit(analysis: Analysis) -> Section:
  """What was odd about the scores, with the first rows of each."""
  found = analysis.table.issues
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


def _findings(analysis: Analysis) -> Section:
  found: Sequence[tuple[Question, Finding]] = main_findings(analysis)
  sentence = f"{len(found)} statements about {analysis.series[0].metric_name}"
  if len(analysis.table.metrics) > 1:
    sentence += ", and whether seeds separate in the other metrics"
  sentence += "; each is computed from the scores."
  if len(found) > _MOST_ROWS:
    sentence += f" The first {_MOST_ROWS} are shown."
  return Section(
    "findings",
    "Findings",
    sentence,
    f"{condition(analysis)} Intervals aim at 95 % confidence, each by itself,"
    " and are about other seeds of the same setting. summary.json has every"
    " statement with its numbers.".strip(),
    points=[(q.title, finding.sentence) for q, finding in found[:_MOST_ROWS]],
  )
