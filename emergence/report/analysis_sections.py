"""The sections of a report that show an analysis."""

import json
import math
from collections.abc import Iterator, Sequence

from emergence.analysis import questions, words
from emergence.analysis.output import plain
from emergence.analysis.question import (
  Finding,
  Question,
  Section,
  Table,
  without_name,
)
from emergence.analysis.series import Analysis
from emergence.report import answer
from emergence.statistics.options import MIN_RUNS
from emergence.tables.score_table import Issue

_MOST_ANSWERS = 2
_MOST_GROUPS = 4


def sections(analysis: Analysis) -> list[Section]:
  """Makes the sections of the first screen, then the others by question."""
  found = questions.findings(analysis)
  sections = [
    section
    for question in questions.QUESTIONS
    for section in _of_question(analysis, question, found)
  ]
  first = [section for section in sections if section.is_first]
  # The distribution comes before the summaries.
  first.sort(key=lambda section: section.name == "summaries")
  others = [section for section in sections if not section.is_first]
  # The section on modality explains the first figure.
  others.sort(key=lambda section: section.name != "modality")
  return [*first, _cells(analysis), *others]


def about(analysis: Analysis) -> str:
  """What the scores are, and which of them succeed."""
  first = analysis.series[0]
  name = first.metric_name if first.is_share else first.axis_label
  better = "" if first.metric.higher_is_better else "; lower is better"
  text = f"The score is {name}{better}".rstrip(".") + "."
  if first.threshold is not None:
    text += f" A seed succeeds if its score is {first.threshold_name}."
  num_groups = len({series.group for series in analysis.series})
  if num_groups > analysis.most_groups:
    text += (
      f" Figures show the first {analysis.most_groups} of {num_groups} groups;"
      " --all_figures draws all."
    )
  return f"{text} {condition(analysis)}".strip()


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


def audit_section(analysis: Analysis) -> Section:
  """The anomalies of the scores, with the first rows of each."""
  found = analysis.table.issues
  rows = [list(row) for row in by_kind(found)]
  details = {
    f"{i + 1} {f.kind}": f.rows[: answer.MOST_ROWS]
    for i, f in enumerate(found)
    if f.rows
  }
  said = [
    f"{len(analysis.table.frame):,} scores are analyzed, with"
    f" {words.count(len({f.kind for f in found}), 'kind')} of notes.",
    answer.missing(analysis),
  ]
  return Section(
    "audit",
    "Each line is one kind of note, or the note on the unit of a metric, with"
    " the number of rows that it concerns.",
    "summary.json lists all rows that a note concerns.",
    table=Table(["kind", "what", "rows"], rows) if rows else None,
    code=json.dumps(plain(details), indent=1)[:20_000] if details else "",
    title="Is anything odd about the data?",
    answers=[text for text in said if text],
  )


def by_kind(issues: Sequence[Issue]) -> list[tuple[str, str, str]]:
  """One row per kind: the kind, its first sentence and its number of rows.

  Each note on the unit of a metric has its own row.
  """
  kinds: dict[tuple[str, str], list[Issue]] = {}
  for issue in issues:
    own = issue.sentence if issue.kind == "score_unit" else ""
    kinds.setdefault((issue.kind, own), []).append(issue)
  rows = []
  for (kind, _), (first, *others) in kinds.items():
    sentence = first.sentence
    if others:
      notes = words.count(len(others), "more note")
      sentence += f" summary.json has {notes} of this kind."
    num_rows = sum(len(issue.rows) for issue in (first, *others))
    rows.append((kind.replace("_", " "), sentence, str(num_rows)))
  return rows


def _cells(analysis: Analysis) -> Section:
  first, table = analysis.series[0], answer.table(analysis)
  sentence = f"The score at each value of {first.axis}"
  if first.threshold is not None:
    sentence += f", and the share of seeds at {first.threshold_name}"
  sentence += ", with 95\u00a0% intervals."
  if len(table.rows) > answer.MOST_ROWS:
    sentence += (
      f" The first {answer.MOST_ROWS} of {len(table.rows)} rows are shown;"
      " summary.csv has all."
    )
  return Section(
    "cells",
    sentence,
    "Each interval is for one number, without a correction for the number of"
    " intervals, and covers only the variation between seeds. Diverged seeds"
    " count as failures and are left out of mode and mean. The mode is the peak"
    " of a smoothed density and depends on the smoothing. The threshold of a"
    " success is a convention. “Not shown” is no proof that seeds do not"
    " split.",
    table=table._replace(rows=table.rows[: answer.MOST_ROWS]),
    title="How sure are the numbers?",
    is_first=True,
  )


def _of_question(
  analysis: Analysis,
  question: Question,
  found: Sequence[tuple[Question, Finding]],
) -> Iterator[Section]:
  """The sections of a question, one of them with its findings."""
  first = analysis.series[0].metric.name
  own = [
    finding
    for asked, finding in found
    if asked is question
    and (finding.metric == first or question.kind == "modality")
  ]
  sections = list(question.sections(analysis))
  if own and not sections:
    sections = [Section(question.kind.replace("_", "-"), "")]
  # Findings go to the section that has no title of its own.
  main = min(sections, key=lambda section: bool(section.title), default=None)
  for section in sections:
    if section is not main:
      yield section
      continue
    answers = _answers(analysis, own) or section.answers
    if not answers and not section.title:
      answers = [_unanswered(analysis, question)]
    yield section._replace(
      title=section.title or question.title,
      answers=answers,
      points=[(f.sentence, _numbers(f)) for f in own[: answer.MOST_ROWS]],
    )


def _unanswered(analysis: Analysis, question: Question) -> str:
  sizes = [p.finite_S.size for s in analysis.series for p in s.populations]
  if max(sizes) < MIN_RUNS:
    return f"Fewer than {MIN_RUNS} seeds are too few to answer this question."
  return question.unanswered


def _answers(analysis: Analysis, found: Sequence[Finding]) -> list[str]:
  """The first findings of a single group, or one each of the first groups."""
  series_of = {(s.group, s.metric.name): s for s in analysis.series}
  first = analysis.series[0].metric.name
  said: dict[tuple, list[str]] = {}
  for finding in found:
    if finding.metric != first:
      continue
    series = series_of[finding.group, finding.metric]
    text = without_name(series, finding)
    text = f"{text[0].upper()}{text[1:]}."
    if series.group_name:
      text = f"{series.group_name}: {text}"
    said.setdefault(finding.group, []).append(text)
  if len(said) == 1:
    return next(iter(said.values()))[:_MOST_ANSWERS]
  shown = [texts[0] for texts in said.values()][:_MOST_GROUPS]
  if len(said) > len(shown):
    num = words.count(len(said) - len(shown), "more group")
    shown.append(f"Findings of {num} are listed below.")
  return shown


def _numbers(found: Finding) -> str:
  """Text of the numbers of a finding, with names; arrays are left out."""
  return ", ".join(
    f"{name.replace('_', ' ')} {words.number(float(value))}"
    for name, value in plain(found.numbers).items()
    if isinstance(value, (int, float)) and math.isfinite(value)
  )
