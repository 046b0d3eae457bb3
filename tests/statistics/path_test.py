import numpy as np
import ot
import pytest
from scipy import optimize

from emergence.statistics import path
from emergence.statistics.path import compare_paths


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
    assert "leaves out 0" in result.reason


@pytest.mark.parametrize(
  "between",
  [
    lambda rng: rng.normal(9, 1, 200),
    lambda rng: mixture(rng, 200, 0.5, 0, 2.5),
    lambda rng: rng.normal(2.5, 0.1, 200),
  ],
  ids=["beyond the last", "half of them half way", "all half way"],
)
def test_what_is_far_from_both_paths_is_neither(between):
  rng = np.random.default_rng(1)
  ends = rng.normal(0, 1, 200), rng.normal(5, 1, 200)
  (result,) = compare_paths([ends[0], between(rng), ends[1]])
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
  for size in (1, 2, 3, path.MIN_RUNS - 1):
    (result,) = compare_paths(scales("mixture", size))
    assert result.verdict == "undecided"
    assert f"{size} runs" in result.reason
    assert np.isfinite(result[2:7]).all()
  unequal = scales("mixture", 100)
  unequal[2] = unequal[2][:7]
  assert "7 runs" in compare_paths(unequal)[0].reason


def test_zeros_and_ones_are_a_mixture_without_a_distance():
  middle = np.repeat([0.0, 1.0], [70, 30])
  (result,) = compare_paths([np.zeros(100), middle, np.ones(100)])
  assert result.verdict == "mixture"
  assert result.mixture.share == pytest.approx(0.3)
  # But for the width of a cell of the grid.
  assert result.mixture.distance < 0.01
  assert result.mixture.p > 0.1
  (result,) = compare_paths([np.zeros(100), middle, np.ones(100)], step=0)
  assert result.mixture.distance == pytest.approx(0, abs=1e-6)
  assert result.mixture.p == 1


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
  (other,) = compare_paths([70 + 3 * s for s in samples])
  assert other.verdict == result.verdict
  assert other.mixture.share == pytest.approx(result.mixture.share)
  assert other.mixture.null == pytest.approx(3 * result.mixture.null)
  assert other.high == pytest.approx(9 * result.high)
  (other,) = compare_paths([-s for s in samples])
  assert other.verdict == result.verdict
  assert other.mixture.share == pytest.approx(result.mixture.share)
  assert other.difference == pytest.approx(result.difference)


def test_results_are_those_of_their_seed():
  samples = scales("mixture", 60)
  assert compare_paths(samples, seed=5) == compare_paths(samples, seed=5)
  assert compare_paths(samples, seed=5) != compare_paths(samples, seed=6)


def test_a_steep_metric_makes_a_mixture_of_a_displacement():
  samples = scales("displacement", 200, shares=(0, 0.5, 1))
  steep = [(s > 2.5).astype(float) for s in samples]
  assert compare_paths(samples)[0].verdict == "displacement"
  assert compare_paths(steep)[0].verdict == "mixture"


def count_verdicts(draw, verdict, **options):
  return sum(
    compare_paths(draw(rng), num_resamples=200, seed=k, **options)[0].verdict
    == verdict
    for k, rng in enumerate(map(np.random.default_rng, range(20)))
  )


def test_rounding_does_not_take_runs_off_the_displacement_path():
  draw = lambda rng: [
    np.rint(11 * rng.normal(0.2 + 0.5 * a, 0.06 + 0.04 * a, 200)) / 11
    for a in (0, 0.4, 1)
  ]
  assert count_verdicts(draw, "displacement") >= 19
  assert count_verdicts(draw, "displacement", step=0) < 15


def test_on_a_grid_a_small_change_is_no_mixture():
  chances = (0.05, 0.075, 0.1)
  draw = lambda rng: [rng.binomial(11, p, 200) / 11 for p in chances]
  assert count_verdicts(draw, "mixture") <= 1
  assert count_verdicts(draw, "mixture", step=0) >= 3


def naive_difference(first, between, last):
  """By POT and a scalar search, with as many runs at every scale."""
  first, between, last = np.sort(first), np.sort(between), np.sort(last)
  points = np.concatenate([first, last])

  def to_mixture(share):
    mass = np.repeat([(1 - share) / first.size, share / last.size], first.size)
    return float(ot.wasserstein_1d(between, points, None, mass, p=2))

  def to_displacement(share):
    return np.mean((between - (1 - share) * first - share * last) ** 2)

  squares = [
    optimize.minimize_scalar(
      cost, bounds=(0, 1), method="bounded", options={"xatol": 1e-4}
    ).fun
    for cost in (to_mixture, to_displacement)
  ]
  return squares[1] - squares[0]


@pytest.mark.parametrize("kind", ["mixture", "displacement"])
def test_the_interval_is_that_of_a_plain_bootstrap(kind):
  samples = scales(kind, 25, seed=7)
  rng = np.random.default_rng(8)
  naive = [
    naive_difference(*[rng.choice(s, s.size - 1) for s in samples])
    for _ in range(400)
  ]
  (result,) = compare_paths(samples, num_resamples=4000)
  assert result.difference == pytest.approx(
    naive_difference(*samples), rel=1e-3
  )
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


def test_faults_of_the_scores_are_named():
  with pytest.raises(ValueError, match="three scales or more, got 2"):
    compare_paths(scales("mixture")[:2])
  samples = scales("mixture", 30)
  samples[1][3] = np.nan
  with pytest.raises(ValueError, match="1 of 30 scores in sample 1"):
    compare_paths(samples)
  with pytest.raises(ValueError, match=r"shape \[S\]"):
    compare_paths([[], [0.1], [0.2]])
