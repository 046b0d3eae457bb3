import numpy as np
import pytest
from scipy import stats

from emergence.statistics import dip
from emergence.statistics.options import Options
from emergence.statistics.sample import Sample


@pytest.mark.parametrize("num", [5, 235])
def test_p_values_agree_with_fresh_samples(num):
  rng = np.random.default_rng(100)
  found_R = np.sort(dip.dips(rng.random((20_000, num))))[::-1]
  for rank in (20, 200, 2000, 10_000, 19_000):
    expected = (found_R >= found_R[rank - 1] - 1e-9).mean()
    error = np.sqrt(expected * (1 - expected) / found_R.size)
    p = dip.p_value(found_R[rank - 1] - 1e-9, num)
    # Between tabulated sizes it is interpolated: up to a few per cent off.
    assert abs(p - expected) <= 4.5 * error + 0.06 * expected


@pytest.mark.parametrize("num", [4, 100_000])
def test_p_values_fall_with_the_dip_from_one_and_are_never_zero(num):
  p = np.array([dip.p_value(d, num) for d in np.linspace(0, 0.3, 400)])
  assert p[0] == 1
  assert (np.diff(p) <= 0).all()
  assert p[-1] == pytest.approx(1e-6, rel=1e-4)


@pytest.mark.parametrize("num_items", [5, 20])
def test_one_mode_on_a_grid_is_not_rejected_though_its_plain_dip_is(num_items):
  scores_S = stats.binom.ppf((np.arange(200) + 0.5) / 200, num_items, 0.6)
  scores_S /= num_items
  assert dip.dip_test(Sample.of(scores_S, step=0)).p < 1e-3
  assert dip.dip_test(Sample.of(scores_S)).p > 0.5


def test_jitter_is_reproducible_and_blind_to_the_order_of_runs():
  rng = np.random.default_rng(1)
  scores_S = rng.binomial(11, 0.4, 80) / 11
  sample, shuffled = Sample.of(scores_S), Sample.of(rng.permutation(scores_S))
  test = dip.dip_test(sample, Options(seed=3))
  assert dip.dip_test(sample, Options(seed=3)) == test
  assert dip.dip_test(shuffled, Options(seed=3)) == test
  assert dip.dip_test(sample, Options(seed=4)) != test


def test_the_lightest_detectable_mode_is_found_four_times_in_five():
  num = 350
  rng = np.random.default_rng(4)
  weight = dip.detectable_weight(num, 0.05)
  lighter = weight - 0.051
  for share, check in [(weight, np.greater), (lighter, np.less)]:
    upper_RS = rng.random((1000, num)) < share
    samples_RS = rng.normal(size=upper_RS.shape) + 5 * upper_RS
    p_R = np.array([dip.p_value(d, num) for d in dip.dips(samples_RS)])
    margin = 3 * np.sqrt(0.8 * 0.2 / 1000) * (1 if check is np.less else -1)
    assert check((p_R <= 0.05).mean(), 0.8 + margin)


def test_an_atom_at_an_end_of_an_even_rest_keeps_the_level():
  """Without the factor, 0.3 at 0 is rejected at 5 % in 0.15 of samples."""
  rng = np.random.default_rng(6)
  p = []
  for _ in range(400):
    x = np.where(rng.random(64) < 0.3, 0, rng.random(64))
    p.append(dip.dip_test(Sample.of(x)).p)
  assert (np.array(p) <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_the_factor_is_that_of_the_fuller_end():
  x = np.repeat([0, 0.5, 1], [28, 53, 19])[None]
  # Beyond a tenth there are 0.2 and 0.1 of the other runs.
  assert dip.end_factor(x) == pytest.approx(1.8**0.5)
  assert dip.end_factor(-3 * x) == pytest.approx(1.8**0.5)
  assert dip.end_factor(np.linspace(0, 1, 101)[None]) == 1
  # Two standard deviations of a tenth of 100 runs are 0.06.
  assert dip.end_factor(np.repeat([0, 0.5, 1], [16, 70, 14])[None]) == 1
