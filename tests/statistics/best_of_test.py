import itertools
import math

import numpy as np
import pytest

from emergence.statistics.best_of import best_of
from emergence.statistics.options import Options
from emergence.statistics.sample import REAL, Sample

FEW = Options(num_resamples=200)


def test_it_is_the_mean_over_all_subsets_of_their_largest_score():
  scores_S = np.random.default_rng(0).normal(size=11)
  found = best_of(Sample.of(scores_S, REAL), FEW)
  assert [row.num_seeds for row in found] == [1, 2, 3, 5]
  for row in found:
    subsets = itertools.combinations(scores_S, row.num_seeds)
    assert row.best.value == pytest.approx(np.mean([max(s) for s in subsets]))


def test_a_thousand_runs_do_not_overflow():
  found = best_of(Sample.of(np.linspace(0, 1, 1000)), FEW)
  assert found[-1].num_seeds == 100
  # Of 1000 evenly spaced scores: k · (S + 1) / (k + 1), less one, over S − 1.
  assert found[-1].best.value == pytest.approx((100 * 1001 / 101 - 1) / 999)


def test_values_end_at_half_of_the_finite_runs_and_intervals_at_a_quarter():
  scores_S = np.append(np.random.default_rng(2).random(30), [math.nan] * 9)
  found = best_of(Sample.of(scores_S), FEW)
  assert [row.num_seeds for row in found] == [1, 2, 3, 5, 10]
  missing = [math.isnan(row.best.low) for row in found]
  assert missing == [False, False, False, False, True]
  for row in found[:4]:
    assert row.best.low <= row.best.value <= row.best.high
  assert best_of(Sample.of([0.3]), FEW) == []
  for row in best_of(Sample.of([1.0] * 50), FEW):
    assert row.best.value == pytest.approx(1, abs=1e-15)
    assert math.isnan(row.best.low)
  assert best_of(Sample.of([math.nan] * 5), FEW) == []


def test_intervals_cover_what_they_aim_at_where_seeds_split():
  rng = np.random.default_rng(3)
  truth, hits = 0.05 + 0.8 * (1 - 0.5**5), 0
  for seed in range(200):
    scores_S = np.where(rng.random(50) < 0.5, 0.85, 0.05)
    rows = best_of(Sample.of(scores_S), FEW._replace(seed=seed))
    (five,) = [row.best for row in rows if row.num_seeds == 5]
    hits += five.low <= truth <= five.high
  assert 0.85 <= hits / 200 <= 0.99
