import itertools

import numpy as np
import pytest
from scipy import stats

from emergence.statistics import trajectories
from emergence.statistics.options import Options

RNG = np.random.default_rng(0)
BREAKTHROUGH = [0.0, 0.01, 0.02, 0.03, 0.9, 0.91]
LINE = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
FLOOR_THEN_JUMP = [0.0, 0.0, 0.0, 0.0, 0.0, 0.8]


def plain(scores_N):
  """Srivastava et al. (2022) in plain Python, for scores without ties."""
  steps = [b - a for a, b in itertools.pairwise(scores_N)]
  squares = sorted(step**2 for step in steps)
  num = len(squares)
  median = (squares[(num - 1) // 2] + squares[num // 2]) / 2
  sign = np.sign(scores_N.index(max(scores_N)) - scores_N.index(min(scores_N)))
  improvement = sign * (max(scores_N) - min(scores_N))
  linearity = improvement / (sum(squares) / num) ** 0.5
  return improvement, linearity, improvement / median**0.5


@pytest.mark.parametrize("num_scales", [2, 7])
def test_the_measures_are_those_of_the_formulas(num_scales):
  scores_SN = RNG.uniform(size=(20, num_scales))
  found = trajectories.trajectories(scores_SN)
  expected_S3 = np.array([plain(scores_N.tolist()) for scores_N in scores_SN])
  np.testing.assert_allclose(found.improvement_S, expected_S3[:, 0])
  np.testing.assert_allclose(found.linearity_S, expected_S3[:, 1])
  np.testing.assert_allclose(found.breakthroughness_S, expected_S3[:, 2])


def test_most_steps_being_zero_is_infinite_counted_and_not_ranked():
  found = trajectories.trajectories(
    [FLOOR_THEN_JUMP, LINE, FLOOR_THEN_JUMP[:5] + [0.9], [0.5] + [0.0] * 5]
  )
  assert found.breakthroughness_S[[0, 2, 3]].tolist() == [
    np.inf,
    np.inf,
    -np.inf,
  ]
  assert found.breakthroughness_rank_S.tolist() == [0, 1, 0, 0]
  assert found.num_infinite == 3
  assert (found.linearity_rank_S > 0).all()


def test_equal_measures_are_ranked_by_the_size_of_the_improvement():
  # Halving every score changes neither linearity nor breakthroughness.
  scores_SN = np.array([LINE, BREAKTHROUGH])[[0, 1, 0, 1]]
  scores_SN *= np.array([[0.5], [0.5], [1], [1]])
  found = trajectories.trajectories(scores_SN)
  assert found.breakthroughness_S[1] == found.breakthroughness_S[3]
  assert found.breakthroughness_rank_S.tolist() == [4, 2, 3, 1]
  assert found.linearity_rank_S.tolist() == [2, 4, 1, 3]


def test_incomplete_and_constant_trajectories_are_counted_and_not_ranked():
  scores_SN = np.array([LINE, BREAKTHROUGH, [0.3] * 6, LINE])
  scores_SN[1, 2] = np.nan
  scores_SN[3, 0] = -np.inf
  found = trajectories.trajectories(scores_SN)
  assert (found.num_incomplete, found.num_constant) == (2, 1)
  assert found.num_infinite == 0
  assert np.isnan(found.breakthroughness_S).tolist() == [False] + [True] * 3
  assert np.isnan(found.improvement_S).tolist() == [False, True, False, True]
  assert found.improvement_S[2] == 0
  assert found.breakthroughness_rank_S.tolist() == [1, 0, 0, 0]
  assert np.isnan(trajectories.trajectories([[np.nan] * 6]).linearity_S).all()


def test_single_precision_has_the_ties_of_double_precision():
  scores_SN = np.array([[0.1, 0.7, 0.7, 0.7, 0.7, 0.9]])
  low = scores_SN.astype(np.float32).astype(float)
  low[0, 2] = np.nextafter(np.float32(0.7), np.float32(1))
  assert trajectories.trajectories(scores_SN).num_infinite == 1
  assert trajectories.trajectories(low).num_infinite == 1


def spearman(scores_SN):
  """Mean over pairs of scales, by scipy."""
  pairs = itertools.combinations(scores_SN.T, 2)
  return np.mean([stats.spearmanr(a, b).statistic for a, b in pairs])


def test_the_statistic_is_the_mean_of_scipys_tie_corrected_correlations():
  scores_SN = RNG.integers(0, 5, (30, 4)) / 4  # Many ties.
  constant_SN = np.insert(scores_SN, 2, 0.5, axis=1)
  found = trajectories.pairing(constant_SN, "the data stream")
  assert found.correlation == pytest.approx(spearman(scores_SN))
  assert (found.num_scales, found.num_seeds) == (4, 30)
  assert found.shares == "the data stream"


def test_the_null_is_that_of_all_permutations():
  scores_SN = np.array(
    [[0.1, 0.3, 0.2], [0.2, 0.1, 0.2], [0.5, 0.3, 0.9], [0.6, 0.7, 0.8]]
  )
  first_N, *others = scores_SN.T
  exact = np.array(
    [
      spearman(np.stack([first_N, b, c], axis=1))
      for b in itertools.permutations(others[0])
      for c in itertools.permutations(others[1])
    ]
  )
  observed = spearman(scores_SN)
  p = np.mean(exact >= observed - 1e-9)
  found = trajectories.pairing(
    scores_SN, "nothing", Options(num_permutations=4000)
  )
  assert found.p == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 4000))


def test_the_best_of_many_seeds_by_chance_is_the_maximum_of_permuted_ones():
  scores_SN = RNG.uniform(size=(15, 7))
  found = trajectories.pairing(
    scores_SN, "nothing", Options(num_permutations=2000)
  )
  observed = trajectories.trajectories(scores_SN)
  assert found.max_breakthroughness == observed.breakthroughness_S.max()
  assert found.max_linearity == observed.linearity_S.max()
  rng = np.random.default_rng(1)
  permuted = [
    trajectories.trajectories(rng.permuted(scores_SN, axis=0))
    for _ in range(2000)
  ]
  for value, null, p, best in (
    (
      found.max_breakthroughness,
      found.max_breakthroughness_null,
      found.max_breakthroughness_p,
      [p.breakthroughness_S.max() for p in permuted],
    ),
    (
      found.max_linearity,
      found.max_linearity_null,
      found.max_linearity_p,
      [p.linearity_S.max() for p in permuted],
    ),
  ):
    assert np.mean(np.array(best) <= null) == pytest.approx(0.95, abs=0.02)
    # 400 permutations against 2000, by three standard errors.
    assert np.mean(np.array(best) >= value) == pytest.approx(p, abs=0.083)


def test_incomplete_seeds_are_left_out_of_the_pairing():
  scores_SN = RNG.uniform(size=(12, 6))
  holes_SN = np.insert(scores_SN, [0, 5], np.nan, axis=0)
  holes_SN[6, 1:] = 0.5
  found = trajectories.pairing(holes_SN, "nothing")
  assert found == trajectories.pairing(scores_SN, "nothing")
