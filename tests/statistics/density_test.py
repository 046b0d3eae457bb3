import numpy as np
import pytest
from scipy import integrate, stats

from emergence.statistics import density

RNG = np.random.default_rng(0)
REAL, POSITIVE = (-np.inf, np.inf), (0.0, np.inf)
POPULATIONS = {
  "floor": np.zeros(32),
  "ceiling": np.ones(7),
  "one": np.array([0.3]),
  "two modes": np.concatenate([np.zeros(20), RNG.normal(0.7, 0.05, 12)]),
  "wide": RNG.uniform(0, 1, 100),
}


@pytest.fixture(params=POPULATIONS.values(), ids=POPULATIONS.keys())
def scores_S(request):
  return request.param


def test_the_density_integrates_to_one(scores_S):
  at_G, density_G = density.density(scores_S, step=0)
  assert at_G[0] == 0
  assert at_G[-1] == 1
  assert integrate.trapezoid(density_G, at_G) == pytest.approx(1, abs=2e-3)


def test_on_a_grid_it_integrates_to_one_half_a_step_beyond_the_ends():
  scores_S = RNG.binomial(11, 0.1, 300) / 11
  at_G, density_G = density.density(
    scores_S, at_G=np.linspace(-0.5 / 11, 1 + 0.5 / 11, 801)
  )
  assert integrate.trapezoid(density_G, at_G) == pytest.approx(1, abs=2e-3)


def test_away_from_the_ends_it_is_scipys_density():
  scores_S = RNG.normal(0.5, 0.05, 60)
  at_G, density_G = density.density(scores_S)
  width = density.bandwidth(scores_S)
  kde = stats.gaussian_kde(
    scores_S, bw_method=lambda k: width / np.std(scores_S, ddof=1)
  )
  np.testing.assert_allclose(density_G, kde(at_G), atol=1e-9)


def test_with_one_end_it_is_folded_there_only():
  scores_S = np.abs(RNG.normal(0, 1, 200))
  at_G, density_G = density.density(scores_S, support=POSITIVE, step=0)
  width = density.bandwidth(scores_S, POSITIVE, 0)
  kde = stats.gaussian_kde(
    scores_S, bw_method=lambda k: width / np.std(scores_S, ddof=1)
  )
  assert at_G[0] == 0
  np.testing.assert_allclose(density_G, kde(at_G) + kde(-at_G), atol=1e-9)


def test_the_bandwidth_is_silvermans_rule():
  scores_S = RNG.normal(0.5, 0.08, 200)
  spread = min(np.std(scores_S, ddof=1), stats.iqr(scores_S) / 1.34)
  expected = 0.9 * spread * 200**-0.2
  assert density.bandwidth(scores_S) == pytest.approx(expected)


def test_without_ends_the_bandwidth_is_that_rule_for_an_even_normal_sample():
  scores_S = stats.norm.ppf((np.arange(200) + 0.5) / 200, 15, 2.4)
  expected = 0.9 * 2.4 * 200**-0.2
  found = density.bandwidth(scores_S, REAL)
  assert found == pytest.approx(expected, rel=0.03)
  shifted = density.bandwidth(100 * scores_S - 7, REAL)
  assert shifted == pytest.approx(100 * found)


def test_the_bandwidth_spans_half_a_grid_step():
  scores_S = np.repeat([0, 1, 2, 3, 4], [30, 20, 15, 10, 5]) / 5
  assert density.bandwidth(scores_S) == pytest.approx(0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_tenth_holds_its_lower_end_and_the_last_one_both(dtype):
  ends_S = np.array([i / 10 for i in range(11)], dtype)
  assert density.count_by_tenth(ends_S) == [1] * 9 + [2]
  below_S = np.array([0.0999, 0.2999, 0.6999, 0.9999], dtype)
  assert density.count_by_tenth(below_S) == [1, 0, 1, 0, 0, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("function", [density.density, density.bandwidth])
@pytest.mark.parametrize(
  "scores", [[], [np.nan], [-0.1], [1.1], [[0.1]], [np.inf]]
)
def test_scores_outside_of_the_support_are_refused(scores, function):
  with pytest.raises(ValueError, match=r"each in \[0, 1\]"):
    function(scores)
