import math

import numpy as np
import pytest
from scipy import stats

from emergence.statistics import intervals


def test_resamples_are_uniform_draws_with_replacement():
  index_RS = intervals.resample_indices(7, 20_000, seed=3)
  assert index_RS.shape == (20_000, 7)
  counts = np.bincount(index_RS.ravel(), minlength=7)
  assert stats.chisquare(counts).pvalue > 1e-4
  # A run is missing from a resample with probability (1 − 1/7)^7.
  missing = (index_RS != 0).all(axis=1).mean()
  assert missing == pytest.approx((6 / 7) ** 7, abs=0.015)
  again = intervals.resample_indices(7, 20_000, seed=3)
  np.testing.assert_array_equal(index_RS, again)


def test_the_expanded_interval_of_a_mean_is_students():
  """For normal scores the bootstrap of the mean is normal, and the expansion
  turns its interval into that of the t-test."""
  rng = np.random.default_rng(1)
  scores_S = rng.normal(size=12)
  # The bootstrap law of the mean: sd with ddof = 0 over the root of S.
  spread = scores_S.std() / math.sqrt(12)
  grid = (np.arange(200_000) + 0.5) / 200_000
  value_R = scores_S.mean() + spread * stats.norm.ppf(grid)
  low, high = intervals.percentile_interval(value_R, 12)
  expected = stats.ttest_1samp(scores_S, 0).confidence_interval()
  assert (low, high) == pytest.approx((expected.low, expected.high), abs=2e-3)


def test_undefined_resamples_are_left_out_and_few_runs_have_no_interval():
  value_R = np.array([1.0, 2.0, 3.0, np.nan])
  low, high = intervals.percentile_interval(value_R, 10)
  assert (low, high) == intervals.percentile_interval(value_R[:3], 10)
  assert 1 <= low < high <= 3
  assert all(map(math.isnan, intervals.percentile_interval(value_R, 9)))
  assert all(map(math.isnan, intervals.percentile_interval([np.nan], 10)))
