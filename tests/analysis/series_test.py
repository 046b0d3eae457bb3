from emergence.analysis.series import threshold_of
from emergence.statistics.options import Options
from emergence.tables.score_table import Metric
from tests.computed import ACCURACY, NLL


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
