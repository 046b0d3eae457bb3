import pytest

from emergence.analysis.series import series_of, threshold_of
from emergence.statistics.options import Options
from emergence.tables.score_table import Metric
from tests.computed import ACCURACY, FEW, NLL


def test_the_threshold_is_for_whole_answers_unless_a_metric_is_named():
  tokens = Metric("token_accuracy", 0.0, 1.0, "share of answer tokens", True)
  error = Metric("error", 0.0, 1.0, "fraction", False)
  for metric, expected in (
    (ACCURACY, 0.2),
    (NLL, None),
    (tokens, None),
    (error, None),
  ):
    assert threshold_of(metric, Options()) == expected
    named = Options(thresholds=((metric.name, 0.5),))
    assert threshold_of(metric, named) == 0.5
  assert threshold_of(ACCURACY, Options(threshold=0.7)) == 0.7


def test_scales_have_the_same_seeds_where_their_names_are_the_same(make_table):
  table = make_table({("g", ACCURACY): [[0.1, 0.2]] * 2})
  (series,) = series_of(table, FEW)
  assert series.has_same_seeds
  table.frame.loc[table.frame["scale"] == 2, "seed"] += 10
  (series,) = series_of(table, FEW)
  assert not series.has_same_seeds


@pytest.mark.parametrize(
  ("scores", "step"), [([0.1, 0.3], 0.1), ([0.1, 0.25], None)]
)
def test_scores_off_the_grid_of_their_items_have_no_grid(
  make_table, scores, step
):
  table = make_table({("g", ACCURACY): [scores]}, num_items=10)
  (series,) = series_of(table, FEW)
  assert series.samples[0].step == step


def test_metrics_are_in_the_order_of_the_table_whatever_a_run_lacks(make_table):
  scores = {("g", metric): [[0.1, 0.2]] * 2 for metric in (ACCURACY, NLL)}
  table = make_table(scores)
  lacks_it = (table.frame["seed"] == 0) & (
    table.frame["metric"] == ACCURACY.name
  )
  rows = table.frame[~lacks_it].sort_values(["scale", "seed"])
  assert rows["metric"].iloc[0] == NLL.name
  found = series_of(table._replace(frame=rows), FEW)
  assert [series.metric for series in found] == [ACCURACY, NLL]
