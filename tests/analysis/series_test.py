import math

import numpy as np
import pytest

from emergence.analysis import series as series_lib
from emergence.analysis.series import Options, Population
from emergence.tables.score_table import Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)
NLL = Metric("nll", 0.0, math.inf, "nats", False)


def test_the_threshold_is_for_whole_answers_unless_a_metric_is_named():
  tokens = Metric("token_accuracy", 0.0, 1.0, "share of answer tokens", True)
  error = Metric("error", 0.0, 1.0, "fraction", False)
  for metric, expected in (
    (ACCURACY, 0.2),
    (NLL, None),
    (tokens, None),
    (error, None),
  ):
    assert series_lib.threshold_of(metric, Options()) == expected
    named = Options(thresholds=((metric.name, 0.5),))
    assert series_lib.threshold_of(metric, named) == 0.5
  assert series_lib.threshold_of(ACCURACY, Options(threshold=0.7)) == 0.7


def test_finite_scores_are_those_of_the_runs_that_have_one():
  scores_S = np.array([0.5, math.nan, 0.25, math.inf])
  diverged_S = np.array([False, True, False, False])
  population = Population(
    1.0, "1", (3, 1, 2, 0), scores_S, diverged_S, math.nan, math.nan
  )
  assert population.finite_S.tolist() == [0.5, 0.25]


def test_the_sign_takes_better_is_more_into_the_unit_and_back(two_groups):
  for series in two_groups.series:
    mean = series.sign * series.scales[0].bootstrap.mean.value
    assert mean == pytest.approx(series.scales[0].population.finite_S.mean())
