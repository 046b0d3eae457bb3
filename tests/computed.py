"""Analyses of small tables, and the rows that they are of."""

import math

from emergence.analysis import compute
from emergence.analysis.series import Options
from emergence.tables.score_table import Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)

NLL = Metric("nll", 0.0, math.inf, "nats", False)

FEW = Options(num_resamples=100, num_permutations=100)


def raw(series, analysis, column="score"):
  """Rows of a series as the table has them: scale -> column by seed."""
  frame = analysis.table.frame
  own = frame[
    (frame["group"] == series.group[0])
    & (frame["metric"] == series.metric.name)
  ]
  return {
    scale: cell.set_index("seed")[column]
    for scale, cell in own.groupby("scale")
  }


def each_scale(analysis):
  for series in analysis.series:
    scores, diverged = raw(series, analysis), raw(series, analysis, "diverged")
    for scale in series.scales:
      at = scale.population.scale
      yield series, scale, scores[at].to_numpy(), diverged[at].to_numpy(bool)


def analyze_one(make_table, metric, cells, options=FEW, **fields):
  (found,) = compute.analyze(
    make_table({("g", metric): cells}, **fields), options
  ).series
  return found
