import numpy as np
import pytest
from scipy import stats

from emergence.statistics import success

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
  ("hits", "num"), [(0, 10), (3, 10), (16, 32), (32, 32), (1, 1), (200, 250)]
)
def test_the_interval_is_wilsons_closed_form(hits, num):
  scores_S = [0.9] * hits + [0.0] * (num - hits)
  found = success.success_probability(scores_S)
  z = 1.959963984540054
  p = hits / num
  centre = (p + z**2 / (2 * num)) / (1 + z**2 / num)
  half = z / (1 + z**2 / num) * np.sqrt(p * (1 - p) / num + z**2 / (4 * num**2))
  assert found.num_successes == hits
  assert found.probability == p
  assert found.low == pytest.approx(max(centre - half, 0), abs=1e-12)
  assert found.high == pytest.approx(min(centre + half, 1), abs=1e-12)


def test_a_score_at_the_threshold_succeeds_in_any_precision():
  for dtype in (np.float32, np.float64):
    scores_S = np.array([0.7, 0.69, 0.71], dtype)
    assert success.success_probability(scores_S, 0.7).num_successes == 2


def test_a_run_without_a_score_has_failed():
  found = success.success_probability([np.nan, 1.0])
  assert (found.num_successes, found.num_runs) == (1, 2)


@pytest.mark.parametrize("scores", [[], [[0.1, 0.2]]])
def test_scores_of_another_shape_are_refused(scores):
  with pytest.raises(ValueError, match=r"shape \[S\]"):
    success.success_probability(scores)


@pytest.mark.parametrize("worst", [np.nan, np.inf, -np.inf])
def test_diverged_runs_fail_in_one_probability_and_are_left_out_of_the_other(
  worst,
):
  scores_S = [worst, 0.0, 0.9, 0.9, worst]
  found = success.success_and_divergence(scores_S)
  assert found.num_diverged == 2
  assert found.diverged_fail.probability == 2 / 5
  assert found.diverged_left_out == success.success_probability(scores_S[1:4])


def test_a_population_that_diverged_has_no_probability_without_those_runs():
  found = success.success_and_divergence([np.nan, np.nan])
  assert found.diverged_fail.num_successes == 0
  assert found.diverged_left_out is None


def test_the_mean_given_success_is_that_of_the_runs_at_the_threshold():
  scores_S = np.array([0.0, np.nan, 0.1] + [0.2] * 4 + [0.7] * 6)
  found = success.mean_given_success(scores_S)
  assert found.value == pytest.approx((4 * 0.2 + 6 * 0.7) / 10)
  assert (found.num_successes, found.threshold) == (10, 0.2)
  assert found.reason == ""


def test_the_mean_of_few_successes_is_blank_and_says_why():
  found = success.mean_given_success([0.0, np.nan] + [0.9] * 9, 0.5)
  assert np.isnan(found.value)
  assert found.reason == "9 of 11 runs reach 0.5; a mean of successes needs 10"
  assert success.mean_given_success([0.9], min_successes=1).value == 0.9
  assert np.isnan(success.mean_given_success([0.1], min_successes=0).value)


def test_the_survival_function_counts_runs_at_each_threshold():
  scores_S = np.append(RNG.integers(0, 12, 60) / 11, [np.nan, np.nan])
  threshold_T = np.arange(12) / 11
  found = success.survival(scores_S, threshold_T)
  expected = [
    success.success_probability(scores_S, t).probability for t in threshold_T
  ]
  np.testing.assert_allclose(found.probability_T, expected)
  assert found.num_diverged == 2


def test_survival_is_one_minus_scipys_empirical_distribution_function():
  scores_S = RNG.uniform(size=80)
  found = success.survival(scores_S)
  expected = stats.ecdf(scores_S).sf.evaluate(found.threshold_T)
  np.testing.assert_allclose(found.probability_T, expected, atol=1e-12)


def test_the_band_has_massarts_width_and_holds_the_law_as_often_as_it_says():
  num, samples = 40, 2000
  half = np.sqrt(np.log(2 / 0.05) / (2 * num))
  at_T = np.linspace(0, 1, 201)
  held = 0
  for scores_S in RNG.uniform(size=(samples, num)):
    found = success.survival(scores_S, at_T)
    assert found.half_width == pytest.approx(half)
    law_T = 1 - at_T
    held += bool(((found.low_T <= law_T) & (law_T <= found.high_T)).all())
  # Kolmogorov's exact law says how often the deviation stays below the band.
  exact = stats.kstwo.cdf(half, num)
  error = np.sqrt(exact * (1 - exact) / samples)
  assert held / samples >= exact - 4 * error
  # Looking at 201 points instead of all of them can only help, by a little.
  assert held / samples <= exact + 4 * error + 0.02


def test_the_statement_changes_where_the_curve_leaves_the_interval():
  # 10 of 20 at 0.2 or more, of them 8 at 0.5 or more and 2 from 0.8 on.
  scores_S = [0.0] * 9 + [0.1] + [0.3] * 2 + [0.6] * 6 + [0.9] * 2
  found = success.survival(scores_S, np.arange(11) / 10)
  assert found.reference == success.success_probability(scores_S)
  assert (found.reference.low, found.reference.high) == pytest.approx(
    (0.299, 0.701), abs=1e-3
  )
  assert found.changes_T.tolist() == [True] + [False] * 6 + [True] * 4
  assert (found.same_from, found.same_to) == pytest.approx((0.1, 0.6))


def test_thresholds_have_to_increase():
  with pytest.raises(ValueError, match="increasing thresholds"):
    success.survival([0.1], [0.2, 0.2])


def two_clusters(num, share_high, rng):
  high_S = rng.random(num) < share_high
  return np.where(
    high_S, rng.normal(0.7, 0.05, num), rng.normal(0.2, 0.05, num)
  )


def halfway(scores_S):
  """An antimode that moves with the sample: the middle of its range."""
  return (scores_S.min() + scores_S.max()) / 2


def test_success_beyond_the_antimode_is_the_weight_of_the_upper_cluster():
  scores_S = two_clusters(200, 0.3, RNG)
  found = success.success_beyond_antimode(scores_S, halfway)
  assert found.antimode == halfway(scores_S)
  assert found.antimode_low < found.antimode < found.antimode_high
  assert found.probability == (scores_S > 0.45).mean()
  # Where no run is near the antimode, the resampled count is binomial.
  low, high = stats.binom.ppf([0.025, 0.975], 200, found.probability) / 200
  assert (found.low, found.high) == pytest.approx((low, high), abs=0.015)
  assert (found.share_without, found.reason) == (0, "")


def test_the_antimode_is_found_again_in_each_resample():
  scores_S = RNG.uniform(size=60)
  fixed = success.success_beyond_antimode(scores_S, lambda _: 0.5)
  moving = success.success_beyond_antimode(scores_S, np.median)
  # At least the median is one half of any sample, whatever the median.
  assert moving.high - moving.low < 0.5 * (fixed.high - fixed.low)
  assert moving.antimode_low < moving.antimode_high
  assert fixed.antimode_low == fixed.antimode_high == 0.5


def test_all_resamples_at_once_give_the_same_as_one_by_one():
  scores_S = two_clusters(50, 0.5, RNG)
  one_by_one = success.success_beyond_antimode(scores_S, np.mean, seed=3)

  def find_resampled(scores_S, index_RS):
    return scores_S[index_RS].mean(axis=1)

  at_once = success.success_beyond_antimode(
    scores_S, np.mean, seed=3, find_resampled=find_resampled
  )
  assert at_once == one_by_one
  other = success.success_beyond_antimode(scores_S, np.mean, seed=4)
  assert other.antimode_low != one_by_one.antimode_low


def test_diverged_runs_fail_beyond_the_antimode_as_well():
  scores_S = np.append(two_clusters(60, 0.5, RNG), [np.nan] * 60)
  found = success.success_beyond_antimode(scores_S, lambda _: 0.45)
  assert found.probability == np.nansum(scores_S > 0.45) / 120
  assert found.num_diverged == 60
  low, high = stats.binom.ppf([0.025, 0.975], 120, found.probability) / 120
  assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)


def test_without_an_antimode_there_is_no_success_beyond_it():
  found = success.success_beyond_antimode([0.1, 0.2], lambda _: np.nan)
  assert np.isnan(found.probability)
  assert found.reason == "these scores have no antimode"
  assert np.isnan(success.success_beyond_antimode([np.nan], halfway).low)


def test_resamples_without_an_antimode_are_counted_and_named():
  scores_S = two_clusters(40, 0.1, RNG)
  calls = iter(range(10_000))

  def every_other(scores_S):
    return np.nan if next(calls) % 2 else 0.45

  found = success.success_beyond_antimode(scores_S, every_other)
  assert found.share_without == 0.5
  assert "50% of the resamples" in found.reason
  assert np.isfinite([found.low, found.high]).all()
