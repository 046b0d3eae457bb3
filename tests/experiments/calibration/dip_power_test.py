import numpy as np
import pytest

from emergence.statistics import dip
from experiments.calibration import dip_power


def test_the_table_of_the_package_is_that_of_this_program():
  num_runs_N, weight_W, p_NW = dip.power_table()
  np.testing.assert_array_equal(num_runs_N, dip_power.SIZES)
  np.testing.assert_array_equal(weight_W, dip_power.WEIGHTS)
  row = dip_power.SIZES.index(100)
  again = dip_power.power_cell(100, 0.5, 5000, seed=0)
  assert f"{again:.3g}" == f"{p_NW[row, -1]:.3g}"


def test_minor_modes_have_their_weight_and_distance():
  rng = np.random.default_rng(0)
  sample_RS = dip_power.minor_mode(rng, 10, 2000, 0.3, 9.0)
  upper_RS = sample_RS > 4.5
  assert upper_RS.mean() == pytest.approx(0.3, abs=0.01)
  distance = sample_RS[upper_RS].mean() - sample_RS[~upper_RS].mean()
  assert distance == pytest.approx(9, abs=0.05)
