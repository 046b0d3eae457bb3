import math

import numpy as np
import pytest

from emergence.statistics.scale_curve import Crossing
from experiments.calibration import scale_curves


def test_a_small_study_has_a_line_for_each_curve_and_number_of_runs(capsys):
  scale_curves.main(2)
  lines = capsys.readouterr().out.splitlines()
  for name in scale_curves.CROSSING:
    assert sum(line.startswith(name) for line in lines) == 3
  for name in scale_curves.NO_FALL:
    assert sum(line.startswith(name) for line in lines) == 4


def test_the_interval_covers_the_crossing_of_a_logistic_curve():
  row = scale_curves.crossing_row(scale_curves.CROSSING["steep"], 32, 60)
  assert row.given > 0.9
  assert row.coverage > 0.95 - 3 * math.sqrt(0.05 * 0.95 / 60)
  assert row.wrong_bracket == 0


@pytest.mark.parametrize(
  ("truth", "holds"),
  [(2.5, True), (3.1, False), (9.0, True), (-2.0, False)],
)
def test_an_infinite_end_holds_what_is_beyond_the_scales(truth, holds):
  ends = (2.0, 3.0) if abs(truth - 2.5) < 2 else (2.0, math.inf)
  found = Crossing(2.5, *ends)
  assert scale_curves._holds(found, truth, np.arange(5)) == holds
