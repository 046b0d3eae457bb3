"""All questions of an analysis, in the order of the report, and their answers.

A new question is a file beside this one that defines a `QUESTION`, and its name
in the list below.
"""

import importlib
from collections.abc import Collection
from concurrent.futures import Executor

from emergence.analysis.question import Finding, Question
from emergence.analysis.series import Analysis, Series, series_of
from emergence.statistics.options import Options
from emergence.tables.score_table import ScoreTable

NAMES = (
  "summaries",
  "success",
  "composition",
  "scale_curve",
  "decomposition",
  "modality",
  "agreement",
  "distance",
  "path",
  "abruptness",
  "trajectories",
  "pairing",
  "variance_components",
  "small_studies",
  "best_of",
  "time_to_success",
  "threshold",
  "divergence",
)


QUESTIONS: tuple[Question, ...] = tuple(
  importlib.import_module(f"emergence.analysis.{name}").QUESTION
  for name in NAMES
)


def analyze(
  table: ScoreTable,
  options: Options = Options(),
  beside: Executor | None = None,
  kinds: Collection[str] | None = None,
) -> Analysis:
  """Answers the questions about a table.

  Args:
    table: as `emergence.tables.read` returns it.
    options: threshold, resampling and level.
    beside: answers some of the questions in another process, meanwhile.
    kinds: of the questions, some of which need answers of others before them;
      None for all.

  Raises:
    ValueError: a threshold for a metric that the table lacks, or a score or
      threshold that the metric's support does not hold.
  """
  several = series_of(table, options)
  asked = [q for q in QUESTIONS if kinds is None or q.kind in kinds]
  apart = {}
  if beside is not None:
    scores = [_scores(series) for series in several]
    apart = {
      q.kind: beside.submit(q.compute, scores) for q in asked if q.is_apart
    }
  # Questions do not wait for answers from the other process: these come last.
  for question in sorted(asked, key=lambda q: q.kind in apart):
    pending = apart.get(question.kind)
    found = pending.result() if pending else question.compute(several)
    several = [
      series._replace(answers={**series.answers, question.kind: answer})
      for series, answer in zip(several, found, strict=True)
    ]
  return Analysis(table, options, several)


def _scores(series: Series) -> Series:
  """The series without what is large: its table and curves."""
  return series._replace(
    table=series.table._replace(frame=None, curves=None, issues=[]),
    populations=[p._replace(curves=None) for p in series.populations],
  )


def findings(analysis: Analysis) -> list[tuple[Question, Finding]]:
  """All statements with their questions, in the order of questions."""
  return [
    (question, statement)
    for question in QUESTIONS
    for series in analysis.series
    for statement in question.findings(series)
  ]
