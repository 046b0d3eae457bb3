import numpy as np
import pytest
from scipy import stats

from emergence.statistics import intervals, resampling, success
from emergence.statistics.options import Options
from emergence.statistics.sample import UNIT, Sample

RNG = np.random.default_rng(0)


def two_clusters(shape, share_high, rng=RNG, low=0.2, high=0.7, spread=0.05):
  high_S = rng.random(shape) < share_high
  return np.where(
    high_S, rng.normal(high, spread, shape), rng.normal(low, spread, shape)
  )


def with_diverged(scores_S, num):
  scores_S = scores_S.copy()
  scores_S[:num] = [np.nan, np.inf, -np.inf][:num]
  return scores_S


def bootstrap(scores, threshold=0.2, support=UNIT, **options):
  """Of one population."""
  (found,) = resampling.bootstrap(
    [Sample.of(scores, support)], threshold, Options(**options)
  )
  return found


POPULATIONS = {
  "two clusters": two_clusters(40, 0.5),
  "odd": two_clusters(35, 0.6),
  "grid": RNG.integers(0, 12, 50) / 11,
  "diverged": with_diverged(two_clusters(41, 0.7), 3),
}


@pytest.fixture(params=POPULATIONS.values(), ids=POPULATIONS.keys())
def scores_S(request):
  return request.param


def one_by_one(scores_S, index_RS, statistic):
  return np.array([statistic(scores_S[index_S]) for index_S in index_RS])


def finite(statistic):
  return lambda scores_S: statistic(scores_S[np.isfinite(scores_S)])


STATISTICS = {
  "mean": finite(np.mean),
  "median": finite(np.median),
  "success_probability": lambda s: np.mean(np.isfinite(s) & (s >= 0.2)),
  "mean_given_success": finite(lambda s: np.mean(s[s >= 0.2])),
}


@pytest.mark.parametrize("name", ["mean", "median", "mean_given_success"])
def test_intervals_are_quantiles_of_the_statistic_of_each_resample(
  scores_S, name
):
  found = getattr(bootstrap(scores_S, seed=5), name)
  index_RS = intervals.resample_indices(scores_S.size, 1000, seed=5)
  statistic = STATISTICS[name]
  used_S = np.isfinite(scores_S)
  if name == "mean_given_success":
    used_S &= scores_S >= 0.2
  num_runs = used_S.sum()
  t = stats.t.ppf(0.025, num_runs - 1)
  level = stats.norm.cdf(t * np.sqrt(num_runs / (num_runs - 1)))
  low, high = np.quantile(
    one_by_one(scores_S, index_RS, statistic), [level, 1 - level]
  )
  assert found.value == pytest.approx(statistic(scores_S))
  assert (found.low, found.high) == pytest.approx((low, high))


def test_the_interval_of_the_success_probability_is_scipys_bca(scores_S):
  found = bootstrap(scores_S, 0.3, num_resamples=9999)
  success_S = success.is_success(scores_S, 0.3)
  expected = stats.bootstrap(
    (success_S,), np.mean, method="BCa", rng=np.random.default_rng(1)
  ).confidence_interval
  assert found.success_probability.value == success_S.mean()
  assert found.success_probability[1:3] == pytest.approx(
    tuple(expected),
    abs=1.01 / scores_S.size,  # Resamples move in such steps.
  )


def test_cells_of_one_call_are_what_each_is_alone():
  samples = [Sample.of(s) for s in two_clusters((3, 30), 0.5)]
  together = resampling.bootstrap(samples, 0.2, Options(seed=2))
  for sample, found in zip(samples, together):
    alone = bootstrap(sample.scores_S, seed=2)
    np.testing.assert_allclose(found, alone, atol=1e-12)
  assert together != resampling.bootstrap(samples, 0.2, Options(seed=3))


def test_equal_scores_do_not_make_an_interval_without_width():
  found = bootstrap(np.full(50, 0.3, np.float32))
  # With this weight on other scores, 50 equal ones are a 2.5 % event.
  weight = 1 - 0.025 ** (1 / 50)
  assert (1 - weight) ** 50 == pytest.approx(0.025)
  assert found.mean.low == pytest.approx(0.3 * (1 - weight))
  assert found.mean.high == pytest.approx(0.3 + 0.7 * weight)
  wilson = success.success_probability(Sample.of([0.3] * 50))
  assert found.success_probability == (1, wilson.low, 1)
  assert found.mean_given_success.low == pytest.approx(0.3 - 0.1 * weight)
  assert found.mean_given_success.high == found.mean.high
  assert found.median.low == found.median.high == np.float32(0.3)


def test_equal_scores_without_bounds_have_no_interval():
  found = bootstrap(np.full(30, -2.0), threshold=-3, support=(-np.inf, 0))
  np.testing.assert_equal(found.mean, (-2, np.nan, np.nan))


def test_below_ten_runs_a_mean_and_a_median_have_no_interval():
  rng = np.random.default_rng(0)
  for scores_S in (rng.random(9), np.zeros(9)):
    found = bootstrap(np.append(scores_S, np.nan))
    ends = [(x.low, x.high) for x in (found.mean, found.median)]
    assert np.isnan(ends).all()
  assert np.isfinite([*bootstrap(rng.random(10))[:2]]).all()


def test_without_enough_runs_or_successes_there_is_no_interval():
  found = bootstrap(np.append(np.zeros(21), [0.9] * 9))
  assert np.isnan(found.mean_given_success).all()
  assert np.isfinite(found.mean).all()
  found = bootstrap([0.4, np.nan])
  np.testing.assert_equal(found.mean, (0.4, np.nan, np.nan))
  found = bootstrap([np.nan] * 20)
  assert np.isnan([found.mean, found.median]).all()
  assert found.success_probability.value == 0
  assert 0 < found.success_probability.high < 0.2


def crossed(num_runs, num_items, rng, run_spread=0.1, item_spread=0.2):
  """Right answers whose probability has effects of run and of item."""
  run_S1 = rng.normal(0, run_spread, (num_runs, 1))
  item_N = rng.normal(0, item_spread, num_items)
  chance_SN = np.clip(0.5 + run_S1 + item_N, 0, 1)
  return (rng.random((num_runs, num_items)) < chance_SN).astype(float)


def test_crossed_resamples_hold_runs_and_items():
  results_SN = crossed(12, 9, RNG)
  results_SN[3] = np.nan
  found = resampling.crossed_bootstrap(results_SN, 0.5, options=Options(seed=4))
  index_RS = intervals.resample_indices(12, 1000, seed=4)
  item_RN = np.random.default_rng([4, 1]).integers(9, size=(1000, 9))
  for interval, statistic in zip(found[:2], (np.nanmean, np.nanmedian)):
    value_R = [
      statistic(results_SN[np.ix_(index_S, item_N)].mean(axis=1))
      for index_S, item_N in zip(index_RS, item_RN)
    ]
    expected = intervals.percentile_interval(value_R, 11)
    assert (interval.low, interval.high) == pytest.approx(expected)
  share_R = [
    (results_SN[np.ix_(index_S, item_N)].mean(axis=1) > 0.5 - 1e-9).mean()
    for index_S, item_N in zip(index_RS, item_RN)
  ]
  share = found.success_probability.value
  skew = (1 - 2 * share) / (6 * np.sqrt(12 * share * (1 - share)))
  expected = intervals.bca_interval(share_R, share, skew)
  assert found.success_probability[1:3] == pytest.approx(expected)
  assert found.mean.value == pytest.approx(np.nanmean(results_SN))


def test_without_item_noise_crossing_changes_nothing():
  scores_S = two_clusters(40, 0.5)
  found = resampling.crossed_bootstrap(np.tile(scores_S[:, None], (1, 5)))
  np.testing.assert_allclose(found, bootstrap(scores_S), atol=1e-9)


def test_the_crossed_interval_has_the_variance_of_runs_and_items():
  # Owen (2007): run and item variances add, and the rest counts three times.
  results_SN = crossed(200, 60, RNG, item_spread=0.3)
  found = resampling.crossed_bootstrap(
    results_SN, options=Options(num_resamples=4000)
  )
  seeds = bootstrap(results_SN.mean(axis=1))
  mean_S, mean_N = results_SN.mean(axis=1), results_SN.mean(axis=0)
  rest_SN = results_SN - mean_S[:, None] - mean_N + results_SN.mean()
  variance = (
    mean_S.var() / 200 + mean_N.var() / 60 + (rest_SN**2).mean() / 200 / 60
  )
  half = (found.mean.high - found.mean.low) / 2
  assert half == pytest.approx(1.96 * np.sqrt(variance), rel=0.08)
  assert half > 2 * (seeds.mean.high - seeds.mean.low) / 2


def test_results_of_another_shape_or_outside_of_the_support_are_refused():
  for results, message in (
    ([0.1], r"results \[S, N\]"),
    ([[2, 3]], "scores in"),
  ):
    with pytest.raises(ValueError, match=message):
      resampling.crossed_bootstrap(results)
