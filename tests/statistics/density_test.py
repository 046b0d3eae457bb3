import numpy as np
import pytest
from scipy import integrate, stats

from emergence.statistics import density
from emergence.statistics.sample import Sample

RNG = np.random.default_rng(0)
POSITIVE = (0.0, np.inf)
POPULATIONS = {
  "floor": np.zeros(32),
  "one": np.array([0.3]),
  "two modes": np.concatenate([np.zeros(20), RNG.normal(0.7, 0.05, 12)]),
  "wide": RNG.uniform(0, 1, 100),
}


@pytest.fixture(params=POPULATIONS.values(), ids=POPULATIONS.keys())
def scores_S(request):
  return request.param


def test_the_density_integrates_to_one(scores_S):
  at_G, density_G = density.density(Sample.of(scores_S, step=0))
  assert at_G[0] == 0
  assert at_G[-1] == 1
  assert integrate.trapezoid(density_G, at_G) == pytest.approx(1, abs=2e-3)


def test_on_a_grid_it_integrates_to_one_half_a_step_beyond_the_ends():
  scores_S = RNG.binomial(11, 0.1, 300) / 11
  sample, at_G = Sample.of(scores_S), np.linspace(-0.5 / 11, 1 + 0.5 / 11, 801)
  width = density.bandwidth(sample)
  density_G = density.kernel(at_G, scores_S, width, sample).mean(axis=1)
  assert integrate.trapezoid(density_G, at_G) == pytest.approx(1, abs=2e-3)


def test_with_one_end_it_is_folded_there_only():
  scores_S = np.abs(RNG.normal(0, 1, 200))
  sample = Sample.of(scores_S, POSITIVE, 0)
  at_G, density_G = density.density(sample)
  width = density.bandwidth(sample)
  kde = stats.gaussian_kde(
    scores_S, bw_method=lambda k: width / np.std(scores_S, ddof=1)
  )
  assert at_G[0] == 0
  np.testing.assert_allclose(density_G, kde(at_G) + kde(-at_G), atol=1e-9)


def test_the_bandwidth_is_silvermans_rule():
  scores_S = RNG.normal(0.5, 0.08, 200)
  spread = min(np.std(scores_S, ddof=1), stats.iqr(scores_S) / 1.34)
  expected = 0.9 * spread * 200**-0.2
  assert density.bandwidth(Sample.of(scores_S)) == pytest.approx(expected)


def test_the_bandwidth_spans_half_a_grid_step():
  scores_S = np.repeat([0, 1, 2, 3, 4], [30, 20, 15, 10, 5]) / 5
  assert density.bandwidth(Sample.of(scores_S)) == pytest.approx(0.1)
