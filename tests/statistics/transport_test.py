import itertools

import jax
import jax.numpy as jnp
import numpy as np
import ot
import pytest

from emergence.statistics import transport
from emergence.statistics.options import Options
from emergence.statistics.sample import REAL, Sample

RNG = np.random.default_rng(0)
# Scores on a grid, in single precision, far from zero, of one value, alone.
SAMPLES = [
  RNG.normal(0.5, 0.2, 40),
  RNG.uniform(0, 1, 25),
  RNG.integers(0, 12, 60) / 11,
  (RNG.integers(0, 21, 40) / 20).astype(np.float32),
  np.zeros(31),
  np.array([0.7]),
  RNG.normal(0.6, 0.1, 40) * (RNG.random(40) < 0.5),
]


def distances(samples):
  return transport.distances([Sample.of(s, REAL) for s in samples])


def decompose(first, second):
  return transport.decompose(Sample.of(first, REAL), Sample.of(second, REAL))


def permutation_test(samples, **options):
  return transport.permutation_test(
    [Sample.of(s, REAL) for s in samples], Options(**options)
  )


def potential_distance(x, y):
  x, y = np.asarray(x, float), np.asarray(y, float)
  return float(ot.wasserstein_1d(x, y, p=2)) ** 0.5


def test_distances_are_those_of_pot():
  found_KK = distances(SAMPLES)
  for i, j in itertools.product(range(len(SAMPLES)), repeat=2):
    expected = potential_distance(SAMPLES[i], SAMPLES[j])
    assert found_KK[i, j] == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("size", [40, 33])
def test_a_small_shift_far_from_zero_is_the_distance(size):
  x = np.sort(RNG.normal(0, 1, 40)) + 1e6
  y = x[:size] + 1e-3
  expected = potential_distance(x - 1e6, y - 1e6)
  found_KK = distances([x, y])
  np.testing.assert_allclose(found_KK[0, 1], expected, rtol=1e-5)
  np.testing.assert_array_equal(found_KK, found_KK.T)


def test_the_precision_of_other_programs_stays():
  distances(SAMPLES[:2])
  assert not jax.config.jax_enable_x64
  assert jnp.ones(2).dtype == jnp.float32


def test_the_parts_are_means_deviations_and_what_is_left():
  x, y = RNG.normal(0, 1, 50), RNG.gamma(2, 1, 50)
  parts = decompose(x, y)
  correlation = np.corrcoef(np.sort(x), np.sort(y))[0, 1]
  assert parts.location == pytest.approx((x.mean() - y.mean()) ** 2)
  assert parts.spread == pytest.approx((x.std() - y.std()) ** 2)
  assert parts.shape == pytest.approx(2 * x.std() * y.std() * (1 - correlation))


def test_without_a_spread_there_is_no_shape():
  for constant in (np.full(7, 0.1), np.zeros(3), np.array([0.3])):
    assert decompose(constant, SAMPLES[0]).shape == 0
    assert decompose(SAMPLES[0], constant).shape == 0
    assert decompose(constant, constant) == (0, 0, 0)


def test_both_computations_of_the_distance_agree():
  for samples in (SAMPLES, [np.resize(s, 30) for s in SAMPLES]):
    found_KK = permutation_test(samples, num_permutations=2).distance_KK
    expected_KK = distances(samples)
    np.testing.assert_allclose(found_KK, expected_KK, rtol=1e-5, atol=1e-7)


def all_divisions(x, y):
  """Distances of all ways to deal the runs out; share of those as far apart."""
  pooled = np.concatenate([x, y])
  null = []
  for chosen in itertools.combinations(range(len(pooled)), len(x)):
    first = np.isin(np.arange(len(pooled)), chosen)
    null.append(potential_distance(pooled[first], pooled[~first]))
  return null, np.mean(np.array(null) >= potential_distance(x, y) - 1e-9)


def test_the_pooled_p_value_is_the_share_of_all_divisions():
  """Of which fewer are drawn than there are."""
  x, y = RNG.normal(0, 1, 5), RNG.normal(0.8, 1, 7)
  null, exact = all_divisions(x, y)
  found = permutation_test([x, y], num_permutations=780)
  # Within four standard errors.
  assert found.p_KK[0, 1] == pytest.approx(exact, abs=0.07)
  level = np.mean(np.array(null) <= found.null_KK[0, 1] + 1e-9)
  assert level == pytest.approx(0.95, abs=0.035)
  assert found.p_KK[0, 1] == found.p_KK[1, 0]
  np.testing.assert_array_equal(np.diag(found.p_KK), 1)


def test_the_p_value_is_never_zero_and_equal_samples_have_one():
  far = [np.zeros(20), np.ones(20)]
  assert permutation_test(far).p_KK[0, 1] == 1 / 1001
  grid = [np.arange(20) / 20] * 2
  assert permutation_test(grid).p_KK[0, 1] == 1
  floors = [np.zeros(20), np.zeros(9)]
  assert permutation_test(floors).p_KK[0, 1] == 1


@pytest.mark.parametrize("sizes", [(3, 3), (2, 4), (1, 5)])
def test_no_scores_have_a_p_value_below_the_least(sizes):
  """Of all deals of the clearest scores, how many are as far apart."""
  first, second = np.arange(sizes[0]), 100 + np.arange(sizes[1])
  _, share = all_divisions(first, second)
  assert transport.least_p(*sizes) == pytest.approx(share)


def test_few_runs_have_an_exact_p_value_whatever_the_seed():
  rng = np.random.default_rng(3)
  x, y = rng.random(5), rng.random(5) ** 0.5
  _, exact = all_divisions(x, y)
  for seed in range(2):
    found = permutation_test([x, y], seed=seed)
    assert found.p_KK[0, 1] == pytest.approx(exact)
