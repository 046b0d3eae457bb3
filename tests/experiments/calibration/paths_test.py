import numpy as np
import pytest

from experiments.calibration import paths

CASES = {f"{c.name}, {c.runs} runs": c for c in paths.cases()}


@pytest.mark.slow
def test_far_modes_are_called_by_their_path():
  names = [n for n, c in CASES.items() if c.is_aim]
  found = {n: paths.rates(CASES[n], 8, 200) for n in names}
  assert np.mean([r.right for r in found.values()]) >= 0.95
  assert np.mean([r.wrong for r in found.values()]) <= 0.03


@pytest.mark.slow
@pytest.mark.parametrize(
  "name",
  [
    "one law, 30 runs",
    "1 sd, displacement 0.5, 200 runs",
    "5 sd, half of the runs half way, 200 runs",
    "binomial(11; 0.05, 0.075, 0.1), 200 runs",
  ],
)
def test_elsewhere_a_twentieth_is_wrong_at_most(name):
  found = paths.rates(CASES[name], 60, 200, seed=1)
  assert found.wrong <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)
