import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from scipy import stats

from emergence.analysis import threshold
from tests.computed import ACCURACY, FEW, NLL, low_high, panels, scales


def test_threshold_curves_are_shares_at_or_beyond_each_threshold(two_groups):
  left, _ = panels(threshold.draw(two_groups.of_first_metric))
  lines = [line for line in left.lines if line.get_label().startswith("size")]
  assert len(lines) == 7
  score_S = scales(two_groups.series[0])[3].population.sample.scores_S
  x, y = lines[3].get_data()
  np.testing.assert_allclose(y, (score_S >= x[:, None] - 1e-6).mean(axis=1))
  (band,) = [c for c in left.collections if isinstance(c, PolyCollection)]
  low, high = band.get_paths()[0].get_extents().get_points()[:, 1]
  assert (low, high) == (0, 1)
  assert 0.2 in [line.get_xdata()[0] for line in left.lines]


def test_thresholds_that_say_the_same_are_named(say):
  cells = [low_high(15, 15), low_high(0, 30)]
  (text,) = say(cells, "threshold")
  low, high = stats.binomtest(15, 30).proportion_ci(method="wilson")
  # Half of the seeds are at 0.05, the others at 0.85.
  assert text == (
    "at size 1 any threshold from 0.0501 to 0.85 gives a share inside the 95%"
    f" interval at ≥ 20% ({low:.2f}–{high:.2f})."
  )


def test_a_threshold_just_above_the_floor_is_no_number_of_a_tolerance(say):
  (text,) = say([[0.0] * 15 + [0.85] * 15, low_high(0, 30)], "threshold")
  assert text.startswith("at size 1 any threshold above 0 up to 0.85 gives")


@pytest.mark.parametrize(
  ("metric", "cell", "text"),
  [
    (ACCURACY, low_high(0, 30), "30 of 30 seeds {} up to 0.85."),
    # Rounded inwards: at 0.837 the worst seed fails, at 0.14 the best succeeds.
    (ACCURACY, [0.836679] * 20, "20 of 20 seeds {} up to 0.836."),
    (ACCURACY, [0.1402] * 20, "0 of 20 seeds {} above 0.141."),
    (ACCURACY, low_high(30, 0), "0 of 30 seeds {} above 0.05."),
    (ACCURACY, low_high(4, 5), "5 of 9 seeds {} between 0.05 and 0.85."),
    (NLL, [2.0, 1.0], "1 of 2 seeds {} between 1 and 2."),
    (NLL, [1.0], "1 of 1 seed {} from 1 on."),
    (NLL, [2.0], "0 of 1 seed {} below 2."),
  ],
)
def test_few_seeds_and_all_or_none_have_the_thresholds_that_change_nothing(
  metric, cell, text, say
):
  options = FEW._replace(thresholds=(("nll", 1.5),) * (metric is NLL))
  (said,) = say({("g", metric): [cell]}, "threshold", options)
  verb = "succeeds" if len(cell) == 1 else "succeed"
  assert said == text.format(f"at size 1 {verb} at any threshold")
