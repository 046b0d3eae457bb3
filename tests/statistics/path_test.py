import numpy as np
import ot
import pytest
from scipy import optimize

from emergence.statistics import path
from emergence.statistics.options import Options
from emergence.statistics.sample import REAL, Sample

FEW = Options(num_resamples=300)


def compare_paths(samples, step=None, **options):
  samples = [Sample.of(s, REAL, step) for s in samples]
  return path.compare_paths(samples, FEW._replace(**options))


def mixture(rng, size, share, low=0.0, high=5.0, sd=1.0):
  return rng.normal(np.where(rng.random(size) < share, high, low), sd)


def scales(kind, size=200, seed=0, shares=(0.0, 0.4, 1.0)):
  """Modes five standard deviations apart."""
  rng = np.random.default_rng(seed)
  if kind == "mixture":
    return [mixture(rng, size, share) for share in shares]
  return [rng.normal(5 * share, 1, size) for share in shares]


@pytest.mark.parametrize("kind", ["mixture", "displacement"])
def test_a_point_of_a_path_is_told_from_the_other(kind):
  shares = (0, 0.2, 0.5, 0.8, 1)
  results = compare_paths(scales(kind, 200, shares=shares))
  assert [r.verdict for r in results] == [kind] * 3
  for result, share in zip(results, shares[1:-1]):
    near, far = getattr(result, kind), result.displacement
    far = result.mixture if kind == "displacement" else far
    assert near.share == pytest.approx(share, abs=0.1)
    assert 0 < near.share_low < near.share < near.share_high < 1
    assert near.p > 0.01
    assert far.p < 0.01
    assert far.distance > far.null > 0
    assert result.low < result.difference < result.high
    assert result.difference == pytest.approx(
      result.displacement.distance**2 - result.mixture.distance**2
    )
    assert "excludes 0" in result.reason


def test_what_is_far_from_both_paths_is_neither():
  """Half of the runs went half of the way."""
  rng = np.random.default_rng(1)
  first, last = rng.normal(0, 1, 200), rng.normal(5, 1, 200)
  between = mixture(rng, 200, 0.5, 0, 2.5)
  (result,) = compare_paths([first, between, last])
  assert result.verdict == "neither"
  assert max(result.mixture.p, result.displacement.p) < 0.01


@pytest.mark.parametrize(
  ("between", "reason"),
  [(0, "the first scale"), (1, "the last scale")],
)
def test_an_end_point_lies_on_both_paths(between, reason):
  (result,) = compare_paths(scales("mixture", shares=(0, between, 1), seed=2))
  assert result.verdict == "undecided"
  assert reason in result.reason


def test_without_a_way_from_first_to_last_nothing_is_decided():
  rng = np.random.default_rng(3)
  (result,) = compare_paths(rng.normal(0, 1, (3, 100)))
  assert result.verdict == "undecided"
  (result,) = compare_paths(np.zeros((3, 100)))
  assert result.verdict == "undecided"
  assert np.isnan([result.mixture.share, result.displacement.share]).all()
  assert (result.difference, result.low, result.high) == (0, 0, 0)
  assert (result.mixture.distance, result.mixture.p) == (0, 1)
  (result,) = compare_paths([np.zeros(100), np.ones(100), np.zeros(100)])
  assert result.verdict == "neither"


def test_a_few_runs_decide_nothing():
  for size in (1, path.MIN_RUNS_FOR_VERDICT - 1):
    (result,) = compare_paths(scales("mixture", size))
    assert result.verdict == "undecided"
    assert f"{size} run" in result.reason
    assert np.isnan([result.low, result.mixture.share_low]).all() == (size < 10)
  unequal = scales("mixture", 100)
  unequal[2] = unequal[2][:7]
  assert "7 runs" in compare_paths(unequal)[0].reason


def test_scales_of_other_sizes_and_order_are_compared():
  samples = scales("displacement", 300)
  samples = [samples[0][:150], samples[1][:220], samples[2]]
  (result,) = compare_paths(samples)
  (back,) = compare_paths(samples[::-1])
  assert result.verdict == back.verdict == "displacement"
  for name in ("mixture", "displacement"):
    one, other = getattr(result, name), getattr(back, name)
    assert one.share == pytest.approx(1 - other.share, abs=1e-6)
    assert one.distance == pytest.approx(other.distance, abs=1e-6)
  assert result.difference == pytest.approx(back.difference)


def test_scores_may_have_any_unit_and_direction():
  samples = scales("mixture", 100)
  (result,) = compare_paths(samples)
  (other,) = compare_paths([70 - 3 * s for s in samples])
  assert other.verdict == result.verdict
  assert other.mixture.share == pytest.approx(result.mixture.share)
  assert other.difference == pytest.approx(9 * result.difference)


def squared_to_mixture(share, first, between, last):
  mass = np.repeat(
    [(1 - share) / first.size, share / last.size], [first.size, last.size]
  )
  points = np.concatenate([first, last])
  return float(ot.wasserstein_1d(between, points, None, mass, p=2))


def fitted_difference(*samples):
  """With as many runs at every scale."""
  first, between, last = np.sort(samples)
  ends = whole(first, last)
  _, (to_mixture,) = path.fit_mixture(between[None], ends)
  _, (to_displacement,) = path.fit_displacement(between[None], ends)
  return to_displacement - to_mixture


def test_the_interval_is_that_of_a_plain_bootstrap():
  samples = scales("mixture", 25, seed=7)
  rng = np.random.default_rng(8)
  naive = [
    fitted_difference(*[rng.choice(s, s.size - 1) for s in samples])
    for _ in range(200)
  ]
  (result,) = compare_paths(samples, num_resamples=2000)
  difference = fitted_difference(*samples)
  assert result.difference == pytest.approx(difference, rel=1e-4)
  spread = np.ptp(np.quantile(naive, [0.025, 0.975]))
  for end, level in ((result.low, 0.025), (result.high, 0.975)):
    assert end == pytest.approx(np.quantile(naive, level), abs=0.15 * spread)


def test_nulls_are_those_of_runs_on_the_path():
  """Against samples from the fitted path, drawn and fitted one by one."""
  samples = [np.sort(s) for s in scales("displacement", 30, seed=9)]
  (result,) = compare_paths(samples, num_resamples=4000)
  share = result.displacement.share
  path_S = (1 - share) * samples[0] + share * samples[2]
  rng = np.random.default_rng(10)
  null = []
  for _ in range(4000):
    first, between, last = (
      np.sort(rng.choice(s, 29)) for s in (samples[0], path_S, samples[2])
    )
    way = last - first
    at = np.clip((between - first) @ way / (way @ way), 0, 1)
    null.append(np.sqrt(np.mean((between - first - at * way) ** 2)))
  observed = result.displacement.distance
  p = np.mean(np.array(null) >= observed)
  assert result.displacement.null == pytest.approx(
    np.quantile(null, 0.95), rel=0.03
  )
  assert result.displacement.p == pytest.approx(p, abs=0.04)


def test_diverged_runs_are_left_out_and_the_coarsest_grid_counts():
  samples = [np.rint(20 * s) / 20 for s in scales("mixture", 40)]
  expected = compare_paths(samples, step=1 / 20)
  mixed = [
    Sample.of(np.append(s, np.nan), REAL, step)
    for s, step in zip(samples, (1 / 20, 1 / 40, 1 / 20))
  ]
  assert path.compare_paths(mixed, FEW) == expected
  with pytest.raises(ValueError, match="three scales or more, got 2"):
    path.compare_paths(mixed[:2])


def test_distances_are_those_of_the_scores_whatever_grid_is_guessed():
  first, last = np.zeros(20), np.ones(20)
  between = np.repeat([0.0, 0.2, 1.0], [9, 2, 9])
  (guessed,) = compare_paths([first, between, last])
  (known,) = compare_paths([first, between, last], step=1 / 8192)
  for found in (guessed, known):
    # The nearest mixture has 9 of 20 at 1, and the two at 0.2 are at 0 there.
    assert found.mixture.share == pytest.approx(9 / 20)
    assert found.mixture.distance == pytest.approx(np.sqrt(2 * 0.2**2 / 20))


RNG = np.random.default_rng(0)
SPLIT = np.concatenate([np.zeros(14), RNG.normal(0.7, 0.1, 11)])
TRIPLES = {
  "other sizes": [RNG.normal(m, 1, n) for m, n in ((0, 9), (2, 30), (3, 17))],
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
  return path.draw_ends(first, last, *every)


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
  (share,), (squared,) = path.fit_mixture(between[None], whole(first, last))
  assert 0 <= share <= 1
  assert squared == pytest.approx(least(cost), rel=1e-6, abs=1e-8)
  assert squared == pytest.approx(cost(share), rel=1e-9, abs=1e-10)


def test_the_nearest_displacement_is_that_of_brute_force(triple):
  first, between, last = triple
  level = (np.arange(91_800) + 0.5) / 91_800  # A multiple of nearly all sizes.
  at = [np.quantile(s, level, method="inverted_cdf") for s in triple]
  cost = lambda a: np.mean((at[1] - (1 - a) * at[0] - a * at[2]) ** 2)
  (share,), (squared,) = path.fit_displacement(
    between[None], whole(first, last)
  )
  assert 0 <= share <= 1
  assert squared == pytest.approx(least(cost), rel=1e-3, abs=1e-8)
  assert squared == pytest.approx(cost(share), rel=1e-3, abs=1e-8)


def test_many_are_fitted_as_one_by_one(triple):
  first, between, last = triple
  draw = lambda size: np.sort(RNG.integers(size, size=(70, size)))
  samples_BS = between[draw(between.size)]
  first_index, last_index = draw(first.size), draw(last.size)
  ends = path.draw_ends(first, last, first_index, last_index)
  for fit in (path.fit_mixture, path.fit_displacement):
    share_B, squared_B = fit(samples_BS, ends)
    for b in (0, 63, 64, 69):
      alone = whole(first[first_index[b]], last[last_index[b]])
      share, squared = fit(samples_BS[b : b + 1], alone)
      assert squared_B[b] == pytest.approx(squared[0], rel=1e-9, abs=1e-10)
      if squared_B[b] > 1e-6 and np.ptp(alone.support_K):
        assert share_B[b] == pytest.approx(share[0], abs=1e-3)
