import numpy as np
import pytest

from experiments.calibration import coverage


def test_wilsons_exact_coverage_is_that_of_simulated_samples():
  rng = np.random.default_rng(0)
  row = coverage.wilson_coverage(20)
  probability_P = rng.uniform(0.05, 0.95, 20_000)
  hits_P = rng.binomial(20, probability_P)
  z, num = 1.959963984540054, 20
  # Wilson's interval is where the score test does not reject.
  score_P = np.abs(hits_P / num - probability_P)
  held_P = score_P <= z * np.sqrt(probability_P * (1 - probability_P) / num)
  assert row.coverage == pytest.approx(held_P.mean(), abs=4 * 0.0016)
  assert 0.94 < row.coverage < 0.96


@pytest.mark.slow
def test_all_aims_are_met_or_missed_on_the_safe_side():
  sizes = (20, 100)
  for row in coverage.with_aims(400, 500, sizes):
    # Of so many rows some are below by chance.
    assert row.coverage + 3 * row.error >= row.aim[0], row
  # Nothing is expected of the others, so a few samples do.
  aims = {row.aim for row in coverage.without_aims(5, 50, sizes)}
  assert aims == {coverage.NO_AIM}
