import numpy as np
import pytest
from scipy import stats

from emergence.statistics import success
from emergence.statistics.sample import REAL, Sample

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("hits", "num"), [(0, 10), (32, 32), (200, 250)])
def test_the_interval_is_wilsons_closed_form(hits, num):
  scores_S = [0.9] * hits + [0.0] * (num - hits)
  found = success.success_probability(Sample.of(scores_S))
  z = 1.959963984540054
  p = hits / num
  centre = (p + z**2 / (2 * num)) / (1 + z**2 / num)
  half = z / (1 + z**2 / num) * np.sqrt(p * (1 - p) / num + z**2 / (4 * num**2))
  assert found.num_successes == hits
  assert found.probability == p
  assert found.low == pytest.approx(max(centre - half, 0), abs=1e-12)
  assert found.high == pytest.approx(min(centre + half, 1), abs=1e-12)


@pytest.mark.parametrize(("hits", "num"), [(0, 1), (2, 7), (9, 9)])
def test_below_ten_runs_the_interval_is_clopper_pearsons(hits, num):
  found = success.success_probability(
    Sample.of([0.9] * hits + [0.0] * (num - hits))
  )
  # At its ends as many successes, or as few, have a probability of 2.5 %.
  if hits:
    assert stats.binom.sf(hits - 1, num, found.low) == pytest.approx(0.025)
  if hits < num:
    assert stats.binom.cdf(hits, num, found.high) == pytest.approx(0.025)
  assert found.low <= hits / num <= found.high


def test_diverged_runs_fail_in_one_probability_and_are_left_out_of_the_other():
  scores_S = [np.inf, 0.0, 0.9, 0.9, np.nan]
  found = success.success_and_divergence(Sample.of(scores_S))
  assert found.diverged_fail.probability == 2 / 5
  assert found.diverged_left_out == success.success_probability(
    Sample.of(scores_S[1:4])
  )


def test_the_threshold_curve_counts_runs_at_each_threshold():
  scores_S = np.append(RNG.integers(0, 12, 60) / 11, [np.nan, np.nan])
  sample = Sample.of(scores_S)
  found = success.threshold_curve(sample, 0.5)
  assert (found.threshold_T[0], found.threshold_T[-1]) == (0, 1)
  # A score is at a threshold in any precision; diverged runs are at none.
  expected = [np.mean(scores_S >= t - 1e-6) for t in found.threshold_T]
  np.testing.assert_allclose(found.probability_T, expected)
  assert found.reference == success.success_probability(sample, 0.5)


def test_thresholds_span_the_scores_where_the_support_does_not_end():
  sample = Sample.of([-3, 2, np.nan], REAL)
  for threshold, high in (0, 2), (5, 5):
    found = success.threshold_curve(sample, threshold).threshold_T
    assert found[[0, -1]].tolist() == [-3, high]
  equal = success.threshold_curve(Sample.of([1, 1], REAL), 1)
  assert len(equal.threshold_T) == 101


def test_the_band_has_massarts_width():
  """sqrt(log(2 / 0.05) / 2 S), which holds the whole law of any scores."""
  found = success.threshold_curve(Sample.of(RNG.uniform(size=40)))
  half = np.sqrt(np.log(2 / 0.05) / (2 * 40))
  assert (found.high_T - found.probability_T).max() == pytest.approx(half)
  assert (found.probability_T - found.low_T).max() == pytest.approx(half)
