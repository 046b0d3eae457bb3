import math

import numpy as np
import pytest
from scipy import stats

from emergence.statistics import intervals
from emergence.statistics.decomposition import decompositions, parts
from emergence.statistics.options import Options
from emergence.statistics.sample import REAL, Sample

FEW = Options(num_resamples=200)


def one(*scores, threshold=0.5, options=FEW):
  (found,) = decompositions([Sample.of(x) for x in scores], threshold, options)
  return found


def values(found):
  parts_ = found.by_share, found.by_successes, found.by_others
  return [part.value for part in parts_]


def test_a_hand_worked_case():
  """From 1 of 4 at .6 and others at .2 to 3 of 4 at .8 and the other at .4."""
  found = one([0.6, 0.2, 0.2, 0.2], [0.8, 0.8, 0.8, 0.4])
  assert (found.share_from, found.share_to) == (0.25, 0.75)
  assert found.change.value == pytest.approx(0.7 - 0.3)
  # .5 · (.4 + .4) / 2, .5 · .2 and .5 · .2.
  assert values(found) == pytest.approx([0.2, 0.1, 0.1])


@pytest.mark.parametrize(
  ("scores", "expected"),
  [
    # No success at first: the gap is that of the second scale.
    (([0.1, 0.1], [0.3, 0.9]), [0.5 * (0.9 - 0.2), 0, 0.75 * 0.2]),
    # Only successes at last.
    (([0.1, 0.7], [0.9, 0.9]), [0.5 * (0.8 - 0.1), 0.75 * 0.2, 0]),
    # From none to all nothing but the share changes.
    (([0.1, 0.3], [0.8, 1.0]), [0.7, 0, 0]),
    # No success at either, and nothing else.
    (([0.6, 0.6], [0.7, 0.9]), [0, 0.2, 0]),
  ],
)
def test_a_mean_that_is_undefined_at_one_scale_is_that_of_the_other(
  scores, expected
):
  assert values(one(*scores)) == pytest.approx(expected)


def test_intervals_are_those_of_a_plain_bootstrap():
  rng = np.random.default_rng(1)
  a_S = np.where(rng.random(60) < 0.3, 0.8, 0.1) + rng.normal(0, 0.05, 60)
  b_S = np.where(rng.random(40) < 0.6, 0.9, 0.1) + rng.normal(0, 0.05, 40)
  samples = [Sample.of(x, REAL) for x in (a_S, b_S)]
  (found,) = decompositions(samples, 0.5, Options(num_resamples=4000))
  draws = []
  for _ in range(4000):
    summary = []
    for x_S in (a_S, b_S):
      x_S = rng.choice(x_S, x_S.size)
      high = x_S >= 0.5
      summary.append((high.mean(), x_S[high].mean(), x_S[~high].mean()))
    (p, m1, m0), (q, n1, n0) = summary
    draws.append(
      (
        (q - p) * (m1 + n1 - m0 - n0) / 2,
        (p + q) / 2 * (n1 - m1),
        (2 - p - q) / 2 * (n0 - m0),
      )
    )
  spread = np.std(draws, axis=0)
  for part, draws_R, sd in zip(found[5:8], np.transpose(draws), spread):
    low, high = intervals.percentile_interval(draws_R, 40)
    # Shares move in steps of a fortieth, a quarter of a standard error.
    assert part.low == pytest.approx(low, abs=0.3 * sd)
    assert part.high == pytest.approx(high, abs=0.3 * sd)


def test_the_p_value_of_the_change_is_welchs():
  rng = np.random.default_rng(5)
  a_S, b_S = 0.5 * rng.random(30), rng.random(12)
  expected = stats.ttest_ind(a_S, b_S, equal_var=False).pvalue
  assert one(a_S, b_S).p == pytest.approx(expected)
  assert one([0.1] * 3, [0.3] * 3).p == 0
  assert math.isnan(one([0.1] * 3, [0.1] * 3).p)
  assert math.isnan(one([0.1] * 3, [0.3]).p)


def test_a_part_that_no_resample_moves_has_no_interval():
  found = one([0.1] * 20, [0.1] * 10 + [0.9] * 10)
  assert found.by_share.low < 0.4 < found.by_share.high
  assert math.isnan(found.by_successes.low)
  assert math.isnan(found.by_others.low)


def test_parts_sum_to_the_change_whatever_is_undefined():
  rng = np.random.default_rng(0)
  p_2R = rng.random((2, 500))
  p_2R[rng.random((2, 500)) < 0.2] = 0
  p_2R[rng.random((2, 500)) < 0.2] = 1
  m_22R = rng.normal(size=(2, 2, 500))
  mean_2R = p_2R * m_22R[0] + (1 - p_2R) * m_22R[1]
  m1_2R = np.where(p_2R > 0, m_22R[0], np.nan)
  m0_2R = np.where(p_2R < 1, m_22R[1], np.nan)
  found_R3 = parts(*np.stack([p_2R, m1_2R, m0_2R], axis=-1))
  np.testing.assert_allclose(
    found_R3.sum(axis=1), mean_2R[1] - mean_2R[0], atol=1e-14
  )
