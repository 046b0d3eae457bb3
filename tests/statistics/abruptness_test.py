import numpy as np
import pytest

from emergence.statistics import abruptness as abruptness_lib
from emergence.statistics import intervals, modes
from emergence.statistics.abruptness import jump
from emergence.statistics.options import Options
from emergence.statistics.sample import Sample

RNG = np.random.default_rng(0)


def abruptness(scores, paired=False, **options):
  samples = [Sample.of(s) for s in scores]
  options = Options(num_resamples=200)._replace(**options)
  return abruptness_lib.abruptness(samples, 0.2, paired, options)


def mode(scores_S):
  return modes.mode_and_antimode(Sample.of(scores_S)).mode


@pytest.mark.parametrize(
  ("values", "expected"),
  [
    ([0, 0.25, 0.5, 0.75, 1], 0.25),
    ([1, 0.5, 0.5], 1),
    ([0, 0.6, 0.2, 1], 0.8),
    ([np.nan, 0.2, 0.4, 0.7], 0.6),
    ([0, np.nan, 1], np.nan),
    ([0.3, 0.3], np.nan),
  ],
)
def test_a_jump_is_the_largest_step_over_the_range(values, expected):
  np.testing.assert_allclose(jump(values), expected)
  np.testing.assert_allclose(jump([[0.0] * len(values), values])[1], expected)


def two_clusters(share_high_N, num, rng=RNG):
  """Half-way mode jumps, while the success probability follows the shares."""
  scores = []
  for share in share_high_N:
    centre_S = np.where(np.arange(num) < round(share * num), 0.7, 0.1)
    scores.append(rng.permutation(rng.normal(centre_S, 0.02)))
  return scores


def test_the_mode_of_two_clusters_jumps_where_the_probability_is_a_line():
  scores = two_clusters(np.linspace(0.1, 0.9, 9), 100)
  found = abruptness(scores)
  assert found.mode == pytest.approx(jump([mode(s) for s in scores]), abs=0.01)
  assert found.mode > 0.9
  assert found.success_probability == pytest.approx(1 / 8)
  assert found.mean == pytest.approx(1 / 8, abs=0.02)
  assert found.difference == found.mode - found.success_probability
  assert 0.5 < found.difference_low < found.difference < found.difference_high
  assert found.difference_high <= 1
  assert found.mean_given_success == jump([s[s >= 0.2].mean() for s in scores])
  assert found.num_scales == 9


def test_the_interval_is_of_the_jumps_of_resampled_scales():
  scores = two_clusters([0.2, 0.4, 0.7, 0.8], 30)
  found = abruptness(scores, num_resamples=100, seed=7)
  drawn = [
    s[intervals.resample_indices(30, 100, [7, n])] for n, s in enumerate(scores)
  ]
  difference_R = np.array(
    [
      jump([mode(d[r]) for d in drawn])
      - jump([(d[r] >= 0.2).mean() for d in drawn])
      for r in range(100)
    ]
  )
  low, high = intervals.percentile_interval(difference_R, 30)
  assert found.difference_low == pytest.approx(
    min(low, 2 * found.difference - high), abs=0.01
  )
  assert found.difference_high == pytest.approx(
    max(high, 2 * found.difference - low), abs=0.01
  )
  not_above = 1 + (difference_R <= 0).sum()
  assert found.difference_p == pytest.approx(2 * not_above / 101, abs=0.01)


def test_paired_seeds_are_resampled_together():
  scores_S = two_clusters([0.5], 40)[0]
  # The same scores twice: together they never differ, apart they do.
  together = abruptness([scores_S, scores_S], paired=True)
  apart = abruptness([scores_S, scores_S])
  assert np.isnan(together.difference_low)
  assert np.isfinite(apart.difference_low)


def test_for_a_diverged_run_one_with_a_score_is_drawn():
  scores_S = np.repeat([0.1, np.nan, 0.9], 10)
  # Resamples of a diverged run alone.
  index_RS = np.full((50, 30), 15)
  drawn_RS = abruptness_lib._of_finite(scores_S, index_RS, [0])
  assert drawn_RS.shape == (50, 20)
  assert np.unique(drawn_RS).tolist() == list(range(20))
