import numpy as np
import pytest
from scipy import integrate, stats

from emergence.statistics import modality

RNG = np.random.default_rng(0)
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
  at_G, density_G = modality.density(scores_S)
  assert at_G[0] == 0
  assert at_G[-1] == 1
  assert integrate.trapezoid(density_G, at_G) == pytest.approx(1, abs=2e-3)


def test_away_from_the_ends_it_is_scipys_density():
  scores_S = RNG.normal(0.5, 0.05, 60)
  at_G, density_G = modality.density(scores_S)
  width = modality.bandwidth(scores_S)
  kde = stats.gaussian_kde(
    scores_S, bw_method=lambda k: width / np.std(scores_S, ddof=1)
  )
  np.testing.assert_allclose(density_G, kde(at_G), atol=1e-9)


def test_the_bandwidth_is_silvermans_rule():
  scores_S = RNG.normal(0.5, 0.08, 200)
  spread = min(np.std(scores_S, ddof=1), stats.iqr(scores_S) / 1.34)
  expected = 0.9 * spread * 200**-0.2
  assert modality.bandwidth(scores_S) == pytest.approx(expected)


@pytest.mark.parametrize(
  ("scores", "expected", "tolerance"),
  [
    (np.zeros(5), 0, 0),
    (np.ones(5), 1, 0),
    (POPULATIONS["two modes"], 0, 0.01),
    (np.concatenate([np.zeros(8), RNG.normal(0.7, 0.05, 24)]), 0.7, 0.05),
    (RNG.normal(0.4, 0.05, 400), 0.4, 0.03),
  ],
)
def test_the_mode_is_where_most_seeds_are(scores, expected, tolerance):
  assert abs(modality.mode(scores) - expected) <= tolerance


@pytest.mark.parametrize("minor", [0.25, 0.4, 0.5])
@pytest.mark.parametrize("high", [0.6, 0.8, 0.88])
@pytest.mark.parametrize("low", [0.1, 0.15, 0.3])
def test_the_mode_of_two_clusters_lies_within_one_of_them(low, high, minor):
  rng = np.random.default_rng(1)
  for num_high in (round(32 * minor), round(32 * (1 - minor))):
    centres_S = np.repeat([low, high], [32 - num_high, num_high])
    scores_S = rng.normal(centres_S, 0.02)
    at = modality.mode(scores_S)
    assert np.abs(scores_S - at).min() < 0.02
    assert low - 0.06 < at < high + 0.06


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_tenth_holds_its_lower_end_and_the_last_one_both(dtype):
  ends_S = np.array([i / 10 for i in range(11)], dtype)
  assert modality.count_by_tenth(ends_S) == [1] * 9 + [2]
  below_S = np.array([0.0999, 0.2999, 0.6999, 0.9999], dtype)
  assert modality.count_by_tenth(below_S) == [1, 0, 1, 0, 0, 0, 1, 0, 0, 1]


@pytest.mark.parametrize(
  "scores", [[], [np.nan], [-0.1], [1.1], [[0.1]], [np.inf]]
)
def test_scores_outside_of_the_unit_interval_are_refused(scores):
  with pytest.raises(ValueError, match=r"each in \[0, 1\]"):
    modality.mode(scores)
