import math

import numpy as np
import pytest

from emergence.statistics import intervals
from emergence.statistics.agreement import agreement
from emergence.statistics.options import Options


def sides(both, first, second, neither):
  counts = both, first, second, neither
  return (
    np.repeat([True, True, False, False], counts),
    np.repeat([True, False, True, False], counts),
  )


@pytest.mark.parametrize(
  ("table", "kappa"),
  [
    # The example of Wikipedia's page on Cohen's kappa: (.7 − .5) / (1 − .5).
    ((20, 5, 10, 15), 0.4),
    # As many on the same side as by chance, all, and none.
    ((16, 16, 4, 4), 0.0),
    ((12, 0, 0, 20), 1.0),
    ((0, 16, 16, 0), -1.0),
    ((32, 0, 0, 0), math.nan),
  ],
)
def test_kappa_of_hand_worked_tables(table, kappa):
  found = agreement(*sides(*table))
  assert found[:4] == table
  assert found.num_same == table[0] + table[3]
  assert found.num_runs == sum(table)
  assert found.kappa.value == pytest.approx(kappa, nan_ok=True)


def test_the_interval_is_that_of_resampled_runs():
  first_S, second_S = sides(20, 5, 10, 15)
  rng = np.random.default_rng(0)
  kappa_R = []
  for _ in range(4000):
    index_S = rng.integers(50, size=50)
    a_S, b_S = first_S[index_S], second_S[index_S]
    same, share_a, share_b = (a_S == b_S).mean(), a_S.mean(), b_S.mean()
    chance = share_a * share_b + (1 - share_a) * (1 - share_b)
    kappa_R.append((same - chance) / (1 - chance))
  kappa = agreement(first_S, second_S, Options(num_resamples=4000)).kappa
  expected = intervals.percentile_interval(kappa_R, 50)
  assert kappa[1:] == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("table", [(4, 0, 1, 4), (10, 0, 0, 10)])
def test_few_runs_and_runs_that_all_agree_have_no_interval(table):
  kappa = agreement(*sides(*table)).kappa
  assert math.isnan(kappa.low)
  assert math.isnan(kappa.high)
