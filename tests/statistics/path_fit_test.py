import numpy as np
import ot
import pytest
from scipy import optimize

from emergence.statistics import path_fit

RNG = np.random.default_rng(0)
SPLIT = np.concatenate([np.zeros(14), RNG.normal(0.7, 0.1, 11)])
TRIPLES = {
  "continuous": [RNG.normal(m, 1, 25) for m in (0, 1, 4)],
  "other sizes": [RNG.normal(m, 1, n) for m, n in ((0, 9), (2, 30), (3, 17))],
  "mixture of modes": [RNG.normal(0, 1, 25), SPLIT * 6, RNG.normal(4, 1, 25)],
  "from a floor": [np.zeros(20), SPLIT, RNG.normal(0.7, 0.1, 30)],
  "on a grid": [RNG.integers(low, low + 5, 24) / 11 for low in (0, 3, 7)],
  "zeros and ones": [np.zeros(8), np.repeat([0, 1], [3, 7]), np.ones(5)],
  "beyond the end": [RNG.normal(m, 1, 12) for m in (0, 9, 3)],
  "one law": [RNG.normal(0, 1, 15) for _ in range(3)],
}


@pytest.fixture(params=TRIPLES.values(), ids=TRIPLES.keys())
def triple(request):
  return [np.sort(np.asarray(s, float)) for s in request.param]


def whole(first, last):
  every = [np.arange(s.size)[None] for s in (first, last)]
  return path_fit.draw_ends(first, last, *every)


def squared_to_mixture(share, first, between, last):
  mass = np.repeat(
    [(1 - share) / first.size, share / last.size], [first.size, last.size]
  )
  points = np.concatenate([first, last])
  return float(ot.wasserstein_1d(between, points, None, mass, p=2))


def quantiles(sample, level):
  return np.quantile(sample, level, method="inverted_cdf")


def least(cost):
  """Brute force on a grid, refined about its best point."""
  share_A = np.linspace(0, 1, 201)
  best = share_A[np.argmin([cost(a) for a in share_A])]
  found = optimize.minimize_scalar(
    cost,
    bounds=(max(best - 0.006, 0), min(best + 0.006, 1)),
    method="bounded",
    options={"xatol": 1e-9},
  )
  return min(found.fun, cost(0), cost(1))


def test_the_nearest_mixture_is_that_of_brute_force(triple):
  first, between, last = triple
  cost = lambda a: squared_to_mixture(a, first, between, last)
  (share,), (squared,) = path_fit.fit_mixture(between[None], whole(first, last))
  assert 0 <= share <= 1
  assert squared == pytest.approx(least(cost), rel=1e-6, abs=1e-8)
  assert squared == pytest.approx(cost(share), rel=1e-9, abs=1e-10)


def test_the_nearest_displacement_is_that_of_brute_force(triple):
  first, between, last = triple
  level = (np.arange(91_800) + 0.5) / 91_800  # A multiple of nearly all sizes.
  at = [quantiles(s, level) for s in triple]
  cost = lambda a: np.mean((at[1] - (1 - a) * at[0] - a * at[2]) ** 2)
  (share,), (squared,) = path_fit.fit_displacement(
    between[None], whole(first, last)
  )
  assert 0 <= share <= 1
  assert squared == pytest.approx(least(cost), rel=1e-3, abs=1e-8)
  assert squared == pytest.approx(cost(share), rel=1e-3, abs=1e-8)


def test_points_of_the_paths_are_found_without_a_distance():
  first, last = np.sort(RNG.normal(0, 1, 20)), np.sort(RNG.normal(5, 2, 20))
  ends = whole(first, last)
  moved = 0.7 * first + 0.3 * last
  (share,), (squared,) = path_fit.fit_displacement(moved[None], ends)
  assert share == pytest.approx(0.3)
  assert squared == pytest.approx(0, abs=1e-20)
  mixed = np.sort(np.concatenate([np.repeat(first, 3), last]))
  (share,), (squared,) = path_fit.fit_mixture(mixed[None], ends)
  assert share == pytest.approx(0.25)
  assert squared == pytest.approx(0, abs=1e-12)


def resamples(triple, num):
  first, between, last = triple
  draw = lambda size: np.sort(RNG.integers(size, size=(num, size)))
  samples = between[draw(between.size)]
  indices = draw(first.size), draw(last.size)
  return samples, path_fit.draw_ends(first, last, *indices), indices


def test_many_are_fitted_as_one_by_one(triple):
  first, _, last = triple
  samples_BS, ends, (first_index, last_index) = resamples(triple, 70)
  for fit in (path_fit.fit_mixture, path_fit.fit_displacement):
    share_B, squared_B = fit(samples_BS, ends)
    for b in (0, 63, 64, 69):
      alone = whole(first[first_index[b]], last[last_index[b]])
      share, squared = fit(samples_BS[b : b + 1], alone)
      assert squared_B[b] == pytest.approx(squared[0], rel=1e-9, abs=1e-10)
      if squared_B[b] > 1e-6 and np.ptp(alone.support_K):
        assert share_B[b] == pytest.approx(share[0], abs=1e-3)


def test_ten_steps_come_near_the_minimum(triple):
  samples_BS, ends, _ = resamples(triple, 200)
  _, rough_B = path_fit.fit_mixture(samples_BS, ends, 10)
  _, exact_B = path_fit.fit_mixture(samples_BS, ends, 60)
  assert (rough_B >= exact_B - 1e-10).all()
  np.testing.assert_allclose(rough_B**0.5, exact_B**0.5, rtol=5e-3, atol=1e-6)


def test_shares_count_what_is_drawn():
  first, last = np.array([0.0, 0.0, 1.0]), np.array([1.0, 2.0])
  ends = path_fit.draw_ends(
    first, last, np.array([[0, 1], [1, 2]]), np.array([[0], [1]])
  )
  np.testing.assert_array_equal(ends.support_K, [0, 1, 2])
  np.testing.assert_array_equal(ends.first_BS, [[0, 0], [0, 1]])
  np.testing.assert_array_equal(ends.first_cdf_BK, [[1, 1], [0.5, 1]])
  np.testing.assert_array_equal(ends.last_cdf_BK, [[0, 1], [0, 0]])


def test_squared_distances_are_those_of_pot():
  x_BS, y_BT = np.sort(RNG.normal(0, 1, (3, 12))), np.sort(RNG.random((3, 20)))
  expected = [ot.wasserstein_1d(x, y, p=2) for x, y in zip(x_BS, y_BT)]
  np.testing.assert_allclose(path_fit.squared_distance(x_BS, y_BT), expected)
