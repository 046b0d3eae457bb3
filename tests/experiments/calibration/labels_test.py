import numpy as np
import pytest

from experiments.calibration import labels

ONE = [n for n, f in labels.families().items() if f.target == "one"]
TWO = [n for n, f in labels.families().items() if f.target == "two"]


def test_the_command_prints_a_row_a_family_whose_labels_sum_to_one(capsys):
  labels.main(2, 30, 0)
  _, _, *rows = capsys.readouterr().out.strip().splitlines()
  assert len(rows) == len(labels.families())
  for name, row in zip(labels.families(), rows):
    assert row.startswith(name)
  shares = labels.shares(labels.families()["beta(2, 2)"], 10, 60, 0)
  assert sum(shares.values()) - shares["bimodal of 96"] == pytest.approx(1)


@pytest.mark.parametrize(
  "name",
  [
    "binomial(11, 0.05)/11, 1% off",
    "10% of 22 items, else 11, 0.05",
    "10% of 12 items, else 10, 0.05",
    "50% of 12 items, else 10, 0.05",
    "binomial(3, 0.05)/3",
    "binomial(5, 0.05)/5",
  ],
)
def test_a_grid_that_some_runs_are_off_is_not_taken_for_modes(name):
  assert labels.shares(labels.families()[name], 60, 100, 2)["bimodal"] < 0.1


def test_a_family_is_reproducible():
  for family in labels.families().values():
    first, second = (
      family.sample(np.random.default_rng(7), 3, 20) for _ in range(2)
    )
    assert first.shape == (3, 20)
    np.testing.assert_array_equal(first, second)
    assert (first >= family.support[0]).all()
    assert (first <= family.support[1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE)
def test_one_mode_is_called_bimodal_in_at_most_a_twentieth(name):
  share = labels.shares(labels.families()[name], 400, 100, 1)["bimodal"]
  assert share <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.slow
@pytest.mark.parametrize("name", TWO)
def test_two_modes_are_called_bimodal_in_nineteen_of_twenty(name):
  share = labels.shares(labels.families()[name], 400, 100, 1)["bimodal"]
  assert share >= 0.95
