import math

from experiments.calibration import scale_curves


def test_the_interval_covers_the_crossing_of_a_logistic_curve():
  row = scale_curves.crossing_row(scale_curves.CROSSING["steep"], 32, 60)
  assert row.given > 0.9
  assert row.coverage > 0.95 - 3 * math.sqrt(0.05 * 0.95 / 60)
  assert row.wrong_bracket == 0
