"""All questions of an analysis, in the order of the report, and their answers.

To add a question, write a file in this folder that defines a `QUESTION` and
add its name to `NAMES`.
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
    options: thresholds, chance levels, resampling and level of the tests.
    beside: answers the slow questions in another process meanwhile, if given.
    kinds: kinds of the questions to answer, with those of earlier questions
      whose answers they need; None for all.

  Raises:
    ValueError: a threshold or chance level for a metric that the table lacks; a
      score, threshold or chance level outside of the metric's support; or a
      scale that is not positive, with `log_scale`.
  """
  several = series_of(table, options)
  asked = [q for q in QUESTIONS if kinds is None or q.kind in kinds]
  apart = {}
  if beside is not None:
    scores = [_scores(series) for series in several]
    apart = {
      q.kind: beside.submit(q.compute, scores) for q in asked if q.is_apart
    }
  # Answers of the other process come last, so that no question waits for them.
  for question in sorted(asked, key=lambda q: q.kind in apart):
    pending = apart.get(question.kind)
    found = pending.result() if pending else question.compute(several)
    several = [
      series._replace(answers={**series.answers, question.kind: answer})
      for series, answer in zip(several, found, strict=True)
    ]
  return Analysis(table, options, several)


def _scores(series: Series) -> Series:
  """The series without rows and curves, which are large to send."""
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
