import math

import numpy as np
import pytest
from scipy import special

from emergence.statistics.options import Options
from emergence.statistics.variance_components import variance_components


def crossed(seed, init, data, rest, num_init=16, num_data=16):
  """Normal scores with the given standard deviations."""
  rng = np.random.default_rng(seed)
  return (
    init * rng.standard_normal((num_init, 1))
    + data * rng.standard_normal(num_data)
    + rest * rng.standard_normal((num_init, num_data))
  )


def anova(scores_ID):
  """Shares by the mean squares of a textbook's table."""
  num_init, num_data = scores_ID.shape
  mean = scores_ID.mean()
  row_I1 = scores_ID.mean(axis=1, keepdims=True)
  column_D = scores_ID.mean(axis=0)
  rest = ((scores_ID - row_I1 - column_D + mean) ** 2).sum()
  rest /= (num_init - 1) * (num_data - 1)
  init = num_data * ((row_I1 - mean) ** 2).sum() / (num_init - 1)
  data = num_init * ((column_D - mean) ** 2).sum() / (num_data - 1)
  parts = [(init - rest) / num_data, (data - rest) / num_init, rest]
  parts = np.maximum(parts, 0)
  return parts / parts.sum()


@pytest.mark.parametrize(
  ("sizes", "scales"),
  [((16, 16), (1, 1, 1)), ((2, 3), (3, 0.2, 1)), ((7, 4), (0, 0, 1))],
)
def test_the_shares_are_those_of_the_analysis_of_variance(sizes, scales):
  scores_ID = crossed(0, *scales, *sizes)
  found = variance_components(scores_ID, Options(num_resamples=10))
  expected = anova(scores_ID)
  assert [x.value for x in found[:3]] == pytest.approx(expected, abs=1e-9)


def test_the_p_value_of_no_effect_is_uniform():
  options = Options(num_permutations=99, num_resamples=1)
  p = [
    variance_components(crossed(i, 0, 2, 1, 6, 5), options).init_p
    for i in range(200)
  ]
  # Within three standard errors of the level.
  for level in (0.05, 0.2, 0.5):
    error = 3 * math.sqrt(level * (1 - level) / len(p))
    assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=error)


def test_the_intervals_cover_the_shares_of_scores_in_two_groups():
  """The truth is that of a table so large that means are all there is."""
  split = lambda *sizes: special.expit(4 * crossed(*sizes))
  large = split(0, 1.2, 0.5, 1, 1000, 1000)
  main = [large.mean(axis=axis).var() for axis in (1, 0)]
  truth = np.array([*main, large.var() - sum(main)]) / large.var()
  options, hits = Options(num_permutations=1, num_resamples=200), []
  for i in range(1, 101):
    found = variance_components(split(i, 1.2, 0.5, 1), options)
    hits.append(
      [x.low <= t <= x.high for x, t in zip(found[:3], truth, strict=True)]
    )
  covered = np.mean(hits, axis=0)
  # Three standard errors below 95 %.
  assert (covered >= 0.885).all(), covered


def test_equal_scores_have_no_shares_and_small_tables_no_intervals():
  found = variance_components(np.full((6, 6), 0.1))
  assert all(math.isnan(x.value) for x in found[:3])
  assert (found.init_p, found.data_p) == (1, 1)
  found = variance_components(crossed(0, 1, 1, 1, 4, 16))
  assert not math.isnan(found.init.value)
  assert math.isnan(found.init.low)


def test_what_is_no_crossed_table_is_refused():
  with pytest.raises(ValueError, match="finite"):
    variance_components([[1, 2], [3, np.nan]])
