import numpy as np
import pytest

from experiments.calibration import paths

CASES = {f"{c.name}, {c.runs} runs": c for c in paths.cases()}


def test_the_command_prints_a_row_a_case(capsys):
  paths.main(1, 19, 0, "3 sd")
  header, *rows, right = capsys.readouterr().out.strip().splitlines()
  names = [c.name for c in CASES.values() if "3 sd" in c.name]
  assert len(rows) == len(names) == 10
  for name, row in zip(names, rows):
    assert row.startswith(name)
    assert len(row.split(name)[1].split()) >= 7
  assert header.split()[2:] == [*paths.VERDICTS, "right", "wrong"]
  assert right.startswith("far modes")


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
