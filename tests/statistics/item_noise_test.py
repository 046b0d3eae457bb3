import numpy as np
import pytest
from scipy import stats

from emergence.statistics.item_noise import item_noise
from emergence.statistics.sample import REAL, Sample


def test_item_noise_is_the_binomial_part_of_the_variance():
  # Beta-binomial scores: the variance is known, and its binomial part.
  num_items, a, b = 20, 4.0, 6.0
  right_S = stats.betabinom.rvs(
    num_items, a, b, size=40_000, random_state=np.random.default_rng(0)
  )
  found = item_noise(Sample.of(right_S / num_items), num_items)
  total = stats.betabinom.var(num_items, a, b) / num_items**2
  between = stats.beta.var(a, b)
  assert found == pytest.approx(1 - between / total, rel=0.03)


def test_where_the_variance_over_items_is_known_it_takes_the_binomials_place():
  sample = Sample.of([1.0, 3.0, np.nan], REAL)
  assert item_noise(sample, item_variance=0.5) == 0.25


def test_item_noise_without_spread_or_runs_is_undefined():
  for scores in ([0.5, 0.5], [0.5, np.nan], [np.nan]):
    assert np.isnan(item_noise(Sample.of(scores), 10))
  with pytest.raises(ValueError, match="two items"):
    item_noise(Sample.of([0.5, 0.6]), 1)
