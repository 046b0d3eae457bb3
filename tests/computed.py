"""Analyses of small tables, and the rows that they are of."""

import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd

from emergence.analysis import questions
from emergence.statistics.options import Options
from emergence.tables.score_table import Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)

NLL = Metric("nll", 0.0, math.inf, "nats", False)

FEW = Options(num_resamples=100, num_permutations=100)


def odd_tables():
  """Names, scores and scales of tables that make_table takes."""
  rng = np.random.default_rng(2)
  draw = lambda count: [rng.random(9) for _ in range(count)]
  yield "one seed", {("g", ACCURACY): [[0.3], [0.5], [0.1]]}, None
  yield "equal scores", {("g", ACCURACY): [[0.5] * 9] * 4}, None
  lost = {
    ("g", ACCURACY): [*draw(1), [math.nan] * 9, *draw(1)],
    ("g", NLL): [[math.nan] * 9] * 3,
  }
  yield "all diverged", lost, None
  groups = {(f"g{i}", ACCURACY): draw(3) for i in range(4)}
  yield "four groups", groups, None
  yield "far scales", {("g", ACCURACY): draw(3)}, [1e-300, 1, 1e300]
  open_ended = Metric("x", -math.inf, math.inf, "as given", True)
  huge = [10.0 ** (6 * n) * rng.normal(size=9) for n in range(3)]
  yield "huge scores", {("g", open_ended): huge}, None


def scales(series):
  """What some questions found about each scale of a series."""
  answers, populations = series.answers, series.populations
  successes = answers["success"] or [None] * len(populations)
  return [
    SimpleNamespace(
      population=population,
      modality=modality,
      bootstrap=bootstrap,
      success=success and success.success,
    )
    for population, modality, bootstrap, success in zip(
      populations,
      answers["modality"].by_scale,
      answers["summaries"],
      successes,
      strict=True,
    )
  ]


def holm(p_T):
  """Adjusted p-values in plain Python; those that are NaN do not count."""
  p_T = np.asarray(p_T)
  tested = np.flatnonzero(~np.isnan(p_T))
  adjusted_T, running = np.full(p_T.size, np.nan), 0.0
  for rank, t in enumerate(sorted(tested, key=lambda t: p_T[t])):
    running = max(running, min(1.0, p_T[t] * (tested.size - rank)))
    adjusted_T[t] = running
  return adjusted_T


def analyze_one(make_table, metric, cells, options=FEW, kinds=None, **fields):
  table = make_table({("g", metric): cells}, **fields)
  (found,) = questions.analyze(table, options, kinds=kinds).series
  return found


def statements(analysis):
  """All that is said of it."""
  return [finding for _, finding in questions.findings(analysis)]


def ask(table, *kinds, options=FEW):
  """An analysis that answers some questions only, which is faster."""
  return questions.analyze(table, options, kinds=kinds)


def answers_of(analysis, kind):
  """The sentences and the rows of the first file of one question."""
  (question,) = [q for q in questions.QUESTIONS if q.kind == kind]
  (rows,) = question.files.values()
  found = [
    (dict(zip(series.group_columns, series.group)) | row)
    for series in analysis.series
    for row in rows(series)
  ]
  sentences = [
    f.sentence for series in analysis.series for f in question.findings(series)
  ]
  return sentences, pd.DataFrame(found)


def texts(section):
  """All that a section of a report says."""
  found = [section.title, section.sentence, section.caveat, section.code]
  found += [text for point in section.points for text in point]
  found += [*section.answers, section.alt]
  if section.table:
    found += section.table.header
    found += [text for row in section.table.rows for text in row]
  return found


def panels(figure):
  return [axes for axes in figure.axes if axes.axison]


def read_csv(content):
  return pd.read_csv(io.BytesIO(content))


def strict(content):
  """JSON as the standard has it: without NaN and Infinity."""

  def refuse(name):
    raise AssertionError(f"{name} is no JSON")

  return json.loads(content, parse_constant=refuse)


def of(values, **counts):
  """Scores with so many of each value, such as `of([.1, .9], low=3)`."""
  return np.concatenate(
    [np.full(n, v) for v, n in zip(values, counts.values())]
  )


def low_high(low, high):
  return of([0.05, 0.85], low=low, high=high)
