import numpy as np
import pytest
from scipy import stats

from emergence.statistics import breakout
from emergence.statistics.sample import REAL, Sample


def p(scores_S, **fields):
  return breakout.breakout(Sample.of(scores_S, **fields)).p


def floor_and(others_M, num=30):
  return np.append(np.linspace(0, 0.04, num), others_M)


def test_p_is_that_of_scipys_one_sided_test_against_the_uniform():
  rng = np.random.default_rng(0)
  for others_M in (
    rng.random(12) * 0.9 + 0.06,
    rng.normal(0.7, 0.05, 8),
    np.array([0.9, 0.95, 0.99]),
  ):
    expected = stats.kstest(
      others_M, "uniform", (0.05, 0.95), alternative="less", method="exact"
    )
    assert p(floor_and(others_M), step=0) == pytest.approx(expected.pvalue)


def test_three_runs_at_one_score_have_the_closed_form():
  # F is 0 until then: P(all three beyond x) = (1 - x)^3.
  others_M = np.array([0.9, 0.9 + 1e-5, 0.9 + 2e-5])
  expected = (1 - (0.9 - 0.05) / 0.95) ** 3
  assert p(floor_and(others_M), step=0) == pytest.approx(expected, rel=1e-3)
  # On 20 items they are anywhere in their cell, from .875 to .925, and the law
  # reaches from the edge of the first cell, .025, to 1.025.
  found = p(np.append(np.zeros(30), [0.9] * 3), step=0.05)
  assert (1 - 0.9) ** 3 < found < (1 - 0.85) ** 3


def test_what_is_not_tested():
  found = breakout.breakout(Sample.of(floor_and([0.9, 0.95]), step=0.01))
  assert (found.num_inside, found.num_outside) == (30, 2)
  assert np.isnan(found.p)
  # Of 16 runs 8 inside have a lower bound of .279, 9 one of .333.
  others = np.linspace(0.7, 0.9, 8)
  assert np.isnan(p(floor_and(others, 8), step=0))
  assert p(floor_and(others[:7], 9), step=0) < 0.01
  for num in (8, 9):
    bound = stats.binomtest(num, 16, alternative="greater").proportion_ci(0.95)
    assert (bound.low >= breakout.LEAST_INSIDE) == (num == 9)
  assert breakout.breakout(Sample.of([0.1, 5], REAL)) is None
  assert breakout.falloff(Sample.of([0.1, 5], REAL)) is None
  assert breakout.breakout(Sample.of([np.nan])) is None


def test_chance_is_the_floor():
  rng = np.random.default_rng(2)
  guessed = rng.uniform(0.2, 0.3, 30)
  x = np.append(guessed, rng.uniform(0.8, 0.9, 5))
  assert np.isnan(p(x, step=0))
  assert p(x, step=0, chance=0.25) < 0.002


def test_a_threshold_in_the_zone_ends_it():
  x = np.append(np.zeros(30), [0.03, 0.9, 0.92])
  sample = Sample.of(x, step=0)
  assert breakout.breakout(sample).num_outside == 2
  found = breakout.breakout(sample, 0.02)
  assert (found.num_outside, found.edge) == (3, pytest.approx(0.02, abs=2e-6))


def test_on_a_grid_the_jitter_keeps_the_level():
  rng = np.random.default_rng(4)
  rejected = 0
  for _ in range(300):
    x = np.append(np.zeros(40), np.rint(rng.random(25) * 20) / 20)
    rejected += p(x, step=1 / 20) <= 0.05
  assert rejected / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
