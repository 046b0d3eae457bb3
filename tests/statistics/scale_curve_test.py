import itertools
import math

import numpy as np
import pytest
from scipy import optimize, special, stats

from emergence.statistics import scale_curve

RISE = [0, 1, 5, 20, 28, 31]


def curve(successes, num=32, position=None):
  """The curve of equally many runs at each scale, by default by rank."""
  ranks = range(len(successes)) if position is None else position
  return scale_curve.scale_curve(successes, [num] * len(successes), ranks)


def log_likelihood(intercept, slope, successes, num):
  """Of runs one by one, at ranks."""
  p_N = special.expit(intercept + slope * np.arange(len(successes)))
  hits = np.concatenate([np.arange(num) < k for k in successes])
  p = np.repeat(p_N, num)
  return np.log(np.where(hits, p, 1 - p)).sum()


@pytest.mark.parametrize("successes", [RISE, [30, 20, 10, 3, 0]])
def test_the_logistic_curve_has_the_largest_likelihood(successes):
  found = curve(successes).logistic
  best = optimize.minimize(
    lambda x: -log_likelihood(x[0], x[1], successes, 32),
    [0, 0],
    method="Nelder-Mead",
    options={"xatol": 1e-9, "fatol": 1e-12},
  )
  assert (found.intercept, found.slope) == pytest.approx(best.x, abs=1e-5)
  assert found.log_likelihood == pytest.approx(-best.fun)
  expected_N = 32 * found.at(np.arange(len(successes)))
  assert found.misfit_p == pytest.approx(
    stats.power_divergence(
      [*successes, *(32 - np.array(successes))],
      [*expected_N, *(32 - expected_N)],
      ddof=len(successes) + 1,
      lambda_="log-likelihood",
    ).pvalue
  )


@pytest.mark.parametrize(
  ("successes", "is_separated"),
  [
    ([0, 0, 4, 4], True),
    ([4, 2, 0], True),
    ([0, 1, 0, 4], False),
    ([0, 0, 0], False),
    ([2], False),
  ],
)
def test_separated_outcomes_have_no_curve_and_say_so(successes, is_separated):
  found = curve(successes, num=4).logistic
  assert found.separated == is_separated
  has_curve = not is_separated and 0 < sum(successes) < 4 * len(successes)
  assert math.isnan(found.slope) == (not has_curve or len(successes) == 1)


def test_isotonic_values_pool_neighbours_in_the_wrong_order_by_their_runs():
  found = scale_curve.fit_isotonic(np.array([2, 1, 3]), np.array([4, 8, 4]))
  np.testing.assert_allclose(found, [3 / 12, 3 / 12, 3 / 4])
  # A curve that falls is fitted by values that never rise.
  np.testing.assert_allclose(
    curve([8, 2, 4, 0], num=8).isotonic_N, [1, 3 / 8, 3 / 8, 0]
  )


def test_the_trend_is_that_of_a_textbook():
  """Agresti (2007), Introduction to Categorical Data Analysis, section 2.5.

  Malformations of infants by drinks a day of the mother.
  """
  present_N = np.array([48, 38, 5, 1, 1])
  absent_N = np.array([17066, 14464, 788, 126, 37])
  found = scale_curve.trend(
    present_N, present_N + absent_N, np.array([0, 0.5, 1.5, 4, 7])
  )
  assert found.z**2 == pytest.approx(6.57, abs=0.005)
  # With one malformation at 38 mothers the normal p, 0.0104, is too small.
  rng = np.random.default_rng(0)
  total_N, drinks_N = present_N + absent_N, [0, 0.5, 1.5, 4, 7]
  mean = 93 * (total_N @ drinks_N) / total_N.sum()
  null_R = rng.multivariate_hypergeometric(total_N, 93, 2000) @ drinks_N
  observed = present_N @ drinks_N
  as_far = np.abs(null_R - mean) >= abs(observed - mean) - 1e-9
  assert found.p == pytest.approx(as_far.mean(), abs=0.01)
  assert found.p > 0.0104


@pytest.mark.parametrize(
  ("successes", "num"), [([0, 1], [100, 10]), ([7, 2], [9, 40])]
)
def test_unequal_scales_of_few_successes_have_the_exact_p(successes, num):
  """Of 0 in 100 and 1 in 10 the normal p is 0.0015, and the exact 10/110."""
  found = scale_curve.trend(np.array(successes), np.array(num), np.arange(2.0))
  table = np.array([successes, np.subtract(num, successes)])
  # Where one tail is all that is as far, Fisher's p is that too.
  assert found.p == pytest.approx(stats.fisher_exact(table).pvalue)


def test_the_trend_is_the_correlation_of_outcome_and_position():
  k_N, n_N = np.array([9, 11, 8, 14]), np.array([20, 30, 16, 18])
  x_N = np.array([1.0, 2, 4, 8])
  found = scale_curve.trend(k_N, n_N, x_N)
  hits = np.concatenate([np.arange(n) < k for k, n in zip(k_N, n_N)])
  r = np.corrcoef(hits, np.repeat(x_N, n_N))[0, 1]
  assert found.z == pytest.approx(r * math.sqrt(n_N.sum()))
  # Of two scales it is Pearson's test of a table.
  two = scale_curve.trend(k_N[:2], n_N[:2], x_N[:2])
  table = [k_N[:2], (n_N - k_N)[:2]]
  expected = stats.chi2_contingency(table, correction=False)
  assert (two.z**2, two.p) == pytest.approx(expected[:2])


@pytest.mark.parametrize(
  ("successes", "num", "p", "least_p"),
  [
    # Of 20 ways to give 3 of 6 runs a success, 2 are as clear.
    ([0, 3], 3, 2 / 20, 2 / 20),
    ([1, 3], 4, 34 / 70, 2 / 70),
    ([0] * 3, 9, math.nan, math.nan),
    ([1], 9, math.nan, math.nan),
  ],
)
def test_few_runs_are_tested_by_permutation(successes, num, p, least_p):
  found = curve(successes, num).trend
  assert found.p == pytest.approx(p, abs=0.015, nan_ok=True)
  assert found.least_p == pytest.approx(least_p, nan_ok=True)


def brute_force(successes, num, step=0.02):
  """Interval of the crossing from a grid of positions and slopes.

  Ends are infinite where curves that cross at an end of the scales are not
  rejected.
  """
  at_X = np.arange(0, len(successes) - 1 + step / 2, step)
  slope_B = np.geomspace(1e-4, 1e4, 401)[:, None, None]
  if successes[-1] < successes[0]:
    slope_B = -slope_B
  logit_BXN = slope_B * (np.arange(len(successes)) - at_X[:, None])
  k_N = np.array(successes)
  value_BX = -(
    np.logaddexp(0, -logit_BXN) @ k_N + np.logaddexp(0, logit_BXN) @ (num - k_N)
  )
  inside = at_X[value_BX.max(axis=0) >= value_BX.max() - 3.841459 / 2]
  low = inside[0] if inside[0] > 0 else -math.inf
  high = inside[-1] if inside[-1] < at_X[-1] else math.inf
  return low, high


@pytest.mark.parametrize(
  ("successes", "num"),
  [
    (RISE, 32),
    ([7, 5, 4, 1, 0], 8),
    ([3, 5, 4, 4, 5], 8),
    ([0, 0, 0, 0, 1, 1, 1, 1], 1),
    ([3, 3, 3, 1, 0], 3),
  ],
)
def test_the_interval_of_the_crossing_is_that_of_all_likely_curves(
  successes, num
):
  found = curve(successes, num).crossing
  low, high = brute_force(successes, num)
  assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)
  assert found.low <= found.position <= found.high


@pytest.mark.parametrize(
  ("successes", "expected"),
  [
    ([0, 1, 2, 3, 5], (math.inf,) * 3),
    ([28, 30, 30, 31, 32], (-math.inf,) * 3),
    # Four scales; a plateau, which no logistic curve has.
    ([0, 9, 20, 32], (math.nan,) * 3),
    ([0, 20, 20, 20, 20, 20, 20], (math.nan,) * 3),
  ],
)
def test_a_crossing_beyond_the_scales_or_of_no_curve_has_no_place(
  successes, expected
):
  assert curve(successes).crossing == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
  ("successes", "brackets"),
  [
    ([0, 3, 16, 29, 32], ((1, 3),)),
    ([2, 30, 16, 1], ((0, 1), (1, 3))),
    ([16, 18, 30], ()),
  ],
)
def test_a_bracket_joins_scales_that_are_surely_on_both_sides(
  successes, brackets
):
  assert curve(successes).brackets == brackets


def test_a_scale_is_on_one_side_if_its_clopper_pearson_interval_is():
  for num, num_scales in (3, 2), (9, 2), (16, 24):
    n_N = np.array([num] + [100] * (num_scales - 1))
    for k in range(num + 1):
      interval = stats.binomtest(k, num).proportion_ci(1 - 0.05 / num_scales)
      # Of the other scales no run succeeds, then all of them do.
      is_above, is_below = interval.low > 0.5, interval.high < 0.5
      for others, is_bracket in (0, is_above), (100, is_below):
        k_N = np.array([k] + [others] * (num_scales - 1))
        assert bool(scale_curve.half_brackets(k_N, n_N)) == is_bracket


def test_falls_are_fishers_tests_of_all_pairs_after_holm():
  k_N, n_N = np.array([2, 28, 30, 20, 6]), np.array([32, 30, 31, 32, 20])
  p = {
    (i, j): stats.fisher_exact(
      [[k_N[i], n_N[i] - k_N[i]], [k_N[j], n_N[j] - k_N[j]]], "greater"
    )[1]
    for i, j in itertools.combinations(range(5), 2)
  }
  found = scale_curve.falls(k_N, n_N)
  pair = min(p, key=lambda pair: p[pair])
  assert (found.first, found.second) == pair
  assert found.p == pytest.approx(p[pair])
  assert found.p_adjusted == pytest.approx(10 * p[pair])
  ordered = np.sort(list(p.values()))
  rejected = ordered * np.arange(10, 0, -1) < 0.05
  assert found.num_found == rejected.argmin() == 4
  assert found.num_pairs == 10


@pytest.mark.parametrize(
  ("successes", "num", "num_found", "can_show"),
  [
    ([3, 0], 3, 0, False),
    ([4, 0], 4, 1, True),
    ([0, 4], 4, 0, True),
    ([1], 9, 0, False),
  ],
)
def test_so_few_runs_that_no_fall_could_be_shown_say_so(
  successes, num, num_found, can_show
):
  found = curve(successes, num).falls
  assert (found.num_found, found.can_show) == (num_found, can_show)
  assert (found.first < 0) == (successes[-1] >= successes[0])
