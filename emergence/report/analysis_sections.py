"""The sections of a report that show an analysis."""

import json
from collections.abc import Sequence

from emergence.analysis import questions, words
from emergence.analysis.output import plain
from emergence.analysis.question import Finding, Question, Section, Table
from emergence.analysis.series import Analysis
from emergence.tables.score_table import Issue

_MOST_ROWS = 60


def sections(analysis: Analysis) -> list[Section]:
  """The findings, then the sections of each question."""
  found = [_findings(analysis)]
  for question in questions.QUESTIONS:
    found += question.sections(analysis)
  return found


def main_findings(analysis: Analysis) -> list[tuple[Question, Finding]]:
  """The findings about the first metric, and the modality of the others."""
  found = questions.findings(analysis)
  first = next(iter(analysis.table.metrics))
  own = [x for x in found if x[1].metric in ("", first)]
  others = [
    x
    for x in found
    if x[1].kind == "modality" and x[1].metric not in ("", first)
  ]
  return questions.merged(analysis, [*own, *others])


def condition(analysis: Analysis) -> str:
  """The condition that all scores share, as a sentence, or ''."""
  table = analysis.table
  columns = zip(*(s.group for s in analysis.series), strict=True)
  constant = [
    f"{words.short(name)} {words.short(values[0])}"
    for name, values in zip(table.group_columns, columns, strict=True)
    if len(set(values)) == 1
  ]
  parts = [*constant, *([table.condition] if table.condition else [])]
  return f"All scores are of {', '.join(parts)}." if parts else ""


def audit(analysis: Analysis) -> Section:
  """The anomalies of the scores, with the first rows of each."""
  found = analysis.table.issues
  rows = [list(row) for row in by_kind(found)]
  details = {
    f"{i + 1} {f.kind}": f.rows[:_MOST_ROWS]
    for i, f in enumerate(found)
    if f.rows
  }
  return Section(
    "audit",
    "The data, and its anomalies",
    f"{len(analysis.table.frame):,} scores. {condition(analysis)}".strip(),
    "summary.json has all rows of each anomaly. Nothing was left out silently.",
    table=Table(["kind", "what", "rows"], rows) if rows else None,
    code=json.dumps(plain(details), indent=1)[:20_000] if details else "",
  )


def by_kind(issues: Sequence[Issue]) -> list[tuple[str, str, str]]:
  """Kind, sentence and number of rows: the first of each kind for all of it."""
  kinds: dict[str, list[Issue]] = {}
  for issue in issues:
    kinds.setdefault(issue.kind, []).append(issue)
  rows = []
  for kind, (first, *others) in kinds.items():
    sentence = first.sentence
    if others:
      sentence += f" {len(others)} more of this kind in summary.json."
    num_rows = sum(len(issue.rows) for issue in (first, *others))
    rows.append((kind.replace("_", " "), sentence, str(num_rows)))
  return rows


def _findings(analysis: Analysis) -> Section:
  found: Sequence[tuple[Question, Finding]] = main_findings(analysis)
  num = words.count(len(found), "statement")
  sentence = f"{num} about {analysis.series[0].metric_name}"
  if len(analysis.table.metrics) > 1:
    sentence += ", and whether seeds separate in the other metrics"
  sentence += "; each is computed from the scores."
  if len(found) > _MOST_ROWS:
    sentence += f" The first {_MOST_ROWS} are shown."
  num_groups = len({series.group for series in analysis.series})
  if num_groups > analysis.most_groups:
    sentence += (
      f" Figures show the first {analysis.most_groups} of {num_groups} groups;"
      " --all_figures draws all."
    )
  return Section(
    "findings",
    "Findings",
    sentence,
    f"{condition(analysis)} Intervals aim at 95 % confidence, each by itself,"
    " and are about other seeds of the same setting. summary.json has every"
    " statement with its numbers.".strip(),
    points=[(q.title, finding.sentence) for q, finding in found[:_MOST_ROWS]],
  )
