import itertools

import numpy as np
import pytest

from emergence.statistics import small_studies
from emergence.statistics.options import Options
from emergence.statistics.sample import REAL, Sample

FIRST_S = np.array([0.0, 0.1, 0.1, 0.9])
SECOND_S = np.array([0.0, 0.4, 0.8])


def rows(first, second, seed=0):
  found = small_studies.small_studies(
    Sample.of(first, REAL), Sample.of(second, REAL), 0.2, Options(seed=seed)
  )
  return {(row.statistic, row.num_seeds): row for row in found}


def enumerated(first_S, second_S, num, statistic, margin=0.2):
  """Every study there is, one by one."""
  truth = statistic(second_S) - statistic(first_S)
  seen = np.array(
    [
      statistic(np.array(b)) - statistic(np.array(a))
      for a in itertools.product(first_S, repeat=num)
      for b in itertools.product(second_S, repeat=num)
    ]
  )
  return (
    np.mean(seen * np.sign(truth) < -1e-9),
    np.mean(np.abs(seen) < 1e-9),
    np.mean(np.abs(seen - truth) >= margin - 1e-9),
  )


def success_share(scores_S):
  return np.mean(scores_S >= 0.2)


@pytest.mark.parametrize("num", [1, 3])
def test_the_success_probability_is_that_of_all_studies(num):
  found = rows(FIRST_S, SECOND_S)["success_probability", num]
  assert found.difference == pytest.approx(2 / 3 - 1 / 4)
  assert (found.reversed, found.unseen, found.missed) == pytest.approx(
    enumerated(FIRST_S, SECOND_S, num, success_share)
  )


def test_the_mean_of_more_seeds_is_within_its_standard_errors():
  found = rows(FIRST_S, SECOND_S)["mean", 3]
  for name, exact in zip(
    ("reversed", "unseen", "missed"),
    enumerated(FIRST_S, SECOND_S, 3, np.mean),
  ):
    error = np.sqrt(exact * (1 - exact) / 10_000)
    assert abs(getattr(found, name) - exact) < 4 * error


def test_a_margin_met_exactly_is_missed():
  # One seed a scale sees 0 or 0.4 where the truth is 0.2.
  found = rows([0.0], [0.0, 0.4])
  assert found["mean", 1].missed == 1


def test_diverged_runs_fail_and_are_left_out_of_the_mean():
  found = rows([0.0, np.nan], [0.5, 0.5, np.inf, np.nan])
  assert found["mean", 1].difference == 0.5
  assert found["success_probability", 1].difference == 0.5
  assert {key[0] for key in rows([np.nan], [0.5])} == {"success_probability"}


def test_means_that_differ_by_single_precision_are_no_change():
  first_S, second_S = np.array([0.1, 0.5]), np.array([0.3])
  low = rows(np.float32(first_S), np.float32(second_S))
  for key, found in rows(first_S, second_S).items():
    assert np.isnan(low[key].reversed) == (key[0] == "mean")
    assert low[key][3:] == pytest.approx(found[3:], nan_ok=True)
  assert low["mean", 10].unseen > 0.2
