import numpy as np
import pytest
from scipy import stats

from emergence.statistics import intervals, resampling
from emergence.statistics.options import Options
from emergence.statistics.sample import UNIT, Sample

RNG = np.random.default_rng(0)


def two_clusters(shape, share_high):
  centre = np.where(RNG.random(shape) < share_high, 0.7, 0.2)
  return RNG.normal(centre, 0.05)


def bootstrap(scores, threshold=0.2, support=UNIT, **options):
  """Of one population."""
  (found,) = resampling.bootstrap(
    [Sample.of(scores, support)], threshold, Options(**options)
  )
  return found


@pytest.mark.parametrize(
  ("name", "statistic"),
  [
    ("mean", np.nanmean),
    ("median", np.nanmedian),
    ("mean_given_success", lambda s: np.mean(s[s >= 0.2])),
  ],
)
def test_intervals_are_quantiles_of_the_statistic_of_each_resample(
  name, statistic
):
  """Of which some hold diverged runs."""
  scores_S = two_clusters(41, 0.7)
  scores_S[:3] = np.nan
  found = getattr(bootstrap(scores_S, seed=5), name)
  index_RS = intervals.resample_indices(scores_S.size, 1000, seed=5)
  used_S = np.isfinite(scores_S)
  if name == "mean_given_success":
    used_S &= scores_S >= 0.2
  num_runs = used_S.sum()
  t = stats.t.ppf(0.025, num_runs - 1)
  level = stats.norm.cdf(t * np.sqrt(num_runs / (num_runs - 1)))
  value_R = [statistic(scores_S[index_S]) for index_S in index_RS]
  assert found.value == pytest.approx(statistic(scores_S))
  assert (found.low, found.high) == pytest.approx(
    np.quantile(value_R, [level, 1 - level])
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
