"""Distances between distributions of scores, and how much of them is chance."""

import functools
import itertools
import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from emergence.statistics.options import CONFIDENCE, Options
from emergence.statistics.sample import Sample


class Parts(NamedTuple):
  """Squared Wasserstein-2 distance in three parts, in squared score units.

  Attributes:
    location: from the difference of the means.
    spread: from the difference of the standard deviations.
    shape: what remains once both are accounted for.
  """

  location: float
  spread: float
  shape: float


class PermutationTest(NamedTuple):
  """Result of the permutation test of all pairs of K scales.

  Attributes:
    distance_KK: Wasserstein-2 distance, in units of the score.
    null_KK: 95 % quantile of the distance if both scales had one distribution.
    p_KK: p-value of the hypothesis that both scales have one distribution; at
      least 1 / (permutations + 1).
  """

  distance_KK: np.ndarray
  null_KK: np.ndarray
  p_KK: np.ndarray


def distances(samples: Sequence[Sample]) -> np.ndarray:
  """Exact Wasserstein-2 distances between all pairs of samples.

  The distance is (∫₀¹ (F⁻¹(u) − G⁻¹(u))² du)^½ for empirical quantile functions
  F⁻¹ and G⁻¹, from OTT's one-dimensional solver in double precision. Shorter
  samples are padded with points of mass 0, so that one compiled program solves
  all pairs.

  Two samples of one distribution have a distance above 0 too, of about 1/√S:
  compare it with the null of `permutation_test`.

  Peyré and Cuturi (2019), "Computational optimal transport", section 2.6.

  Args:
    samples: the runs of K scales; diverged ones are left out.

  Returns:
    Symmetric [K, K] with a diagonal of 0, in units of the score.

  Raises:
    ValueError: a sample without a finite score.
  """
  scores = [sample.require_finite_S() for sample in samples]
  size = max(map(len, scores))
  even = all(len(s) == size for s in scores)
  # Relative to the scores' range: sums of masses carry rounding errors, which
  # the solver multiplies with differences of scores.
  low, high = min(map(np.min, scores)), max(map(np.max, scores))
  span = high - low or 1.0
  scores_KS = np.stack(
    [np.pad((s - low) / span, (0, size - len(s)), "edge") for s in scores]
  )
  mass_KS = np.stack(
    [np.pad(np.full(len(s), 1 / len(s)), (0, size - len(s))) for s in scores]
  )
  result_KK = np.zeros((len(scores), len(scores)))
  i_P, j_P = np.triu_indices(len(scores), 1)
  if i_P.size:
    import jax

    solve = _solver()
    mass = (None, None) if even else (mass_KS[i_P], mass_KS[j_P])
    with jax.enable_x64(True):
      cost_P = solve(scores_KS[i_P], scores_KS[j_P], *mass)
    result_KK[i_P, j_P] = span * np.sqrt(np.maximum(cost_P, 0))
  return result_KK + result_KK.T


def decompose(first: Sample, second: Sample) -> Parts:
  """Splits a squared Wasserstein-2 distance in location, spread and shape.

  W₂² = (μ₁ − μ₂)² + (σ₁ − σ₂)² + 2 σ₁ σ₂ (1 − ρ), with ρ the correlation of the
  two quantile functions and σ with ddof = 0; the shape is 0 where one σ is 0.
  Irpino and Verde (2015), "Basic statistics for distributional symbolic
  variables: a new metric-based approach", equation 12.

  This is a description, not a test. A population which goes from all runs at a
  floor to half of them changes mainly in location and spread, so a small share
  of shape does not speak against a second mode.

  Args:
    first: the runs of a scale; diverged ones are left out.
    second: the runs of another scale; their number may differ.

  Raises:
    ValueError: a sample without a finite score.
  """
  scores = [np.sort(sample.require_finite_S()) for sample in (first, second)]
  mass_L, (i_L, j_L) = couple([s.size for s in scores])
  x_L, y_L = scores[0][i_L], scores[1][j_L]
  mean_x, mean_y = mass_L @ x_L, mass_L @ y_L
  x_L, y_L = x_L - mean_x, y_L - mean_y
  # Rounding leaves a spread where there is none.
  sd_x = np.sqrt(mass_L @ x_L**2) if np.ptp(scores[0]) else 0.0
  sd_y = np.sqrt(mass_L @ y_L**2) if np.ptp(scores[1]) else 0.0
  shape = 0.0
  if sd_x and sd_y:
    shape = max(0.0, 2 * (sd_x * sd_y - mass_L @ (x_L * y_L)))
  return Parts(
    float((mean_x - mean_y) ** 2), float((sd_x - sd_y) ** 2), float(shape)
  )


def permutation_test(
  samples: Sequence[Sample], options: Options = Options()
) -> PermutationTest:
  """Tests for each pair of scales whether they have the same distribution.

  The scores of both scales are pooled and assigned to the scales at random,
  which shows how far apart two samples of one distribution are by chance. The
  test is for any difference of the two distributions and says nothing about the
  number of modes. Pitman (1937), "Significance tests which may be applied to
  samples from any populations"; the p-value is
  (1 + #{null ≥ observed}) / (1 + permutations) of Phipson and Smyth (2010),
  "Permutation p-values should never be zero". If there are no more possible
  assignments than permutations, each is used once and the p-value is exact.

  The distances equal those of `distances`. They are sums over merged quantile
  levels in numpy, because many permutations can share these levels. Pairs of
  scales with the same two sizes share their permutations.

  Args:
    samples: the runs of K scales; diverged ones are left out.
    options: number and seed of the permutations.

  Raises:
    ValueError: a sample without a finite score.
  """
  scores = [sample.require_finite_S() for sample in samples]
  sizes = [len(s) for s in scores]
  num_permutations = options.num_permutations
  rng = np.random.default_rng(options.seed)
  if 2 ** sizes[0] > num_permutations:
    # Earlier versions drew this; without it, p-values would change.
    rng.random((num_permutations, sizes[0]))
  deals = {}
  shape = (len(scores), len(scores))
  distance_KK, null_KK, p_KK = np.zeros(shape), np.zeros(shape), np.ones(shape)
  for i, j in itertools.combinations(range(len(scores)), 2):
    # Put the smaller size first: both orders then share their permutations.
    if sizes[i] > sizes[j]:
      i, j = j, i
    pooled_N = np.concatenate([scores[i], scores[j]])
    order_N = np.argsort(pooled_N, kind="stable")
    pooled_N = pooled_N[order_N]
    key = sizes[i], sizes[j]
    observed_N = order_N < sizes[i]
    is_exact = math.comb(sum(key), sizes[i]) <= num_permutations
    if key not in deals:
      if is_exact:
        chosen = itertools.combinations(range(sum(key)), sizes[i])
        first_RN = np.array(
          [np.isin(np.arange(sum(key)), places) for places in chosen]
        )
      else:
        first_N = np.arange(sum(key)) < sizes[i]
        first_RN = np.tile(first_N, (num_permutations, 1))
        first_RN = rng.permuted(first_RN, axis=1)
      deals[key] = _deal(first_RN, sizes[i])
    distance = _dealt_distance(pooled_N, _deal(observed_N[None], sizes[i]))[0]
    null_R = _dealt_distance(pooled_N, deals[key])
    # Equal distances, common on a score grid, may differ by the order of
    # summation.
    slack = 1e-9 * (pooled_N[-1] - pooled_N[0])
    num_above = (null_R >= distance - slack).sum()
    for row, column in ((i, j), (j, i)):
      distance_KK[row, column] = distance
      null_KK[row, column] = np.quantile(null_R, CONFIDENCE)
      p_KK[row, column] = (
        num_above / len(null_R)
        if is_exact
        else (1 + num_above) / (1 + num_permutations)
      )
  return PermutationTest(distance_KK, null_KK, p_KK)


def least_p(first_runs: int, second_runs: int) -> float:
  """The least p-value of `permutation_test` that so many runs can have.

  It is 1 / (number of assignments of runs to scales). For equal sizes it is
  twice that, because the mirror image of the most extreme assignment is as
  extreme: 3 runs against 3 cannot go below 2/20.
  """
  num_deals = math.comb(first_runs + second_runs, first_runs)
  return (2 if first_runs == second_runs else 1) / num_deals


def couple(sizes: Sequence[int]) -> tuple[np.ndarray, list[np.ndarray]]:
  """Cuts [0, 1] where any of several quantile functions steps.

  Args:
    sizes: number of scores in each sample.

  Returns:
    The lengths of the L pieces, [L], and for each sample the index, among its
    ascending scores, of its quantile on each piece, [L].
  """
  # Division is correctly rounded, so equal fractions are equal floats.
  ends = [np.arange(1, size + 1) / size for size in sizes]
  level_L = np.unique(np.concatenate(ends))
  return np.diff(level_L, prepend=0), [
    np.searchsorted(end, level_L) for end in ends
  ]


@functools.cache
def _solver():
  """OTT's solver, compiled: costs [P] of pairs of scores and masses [P, S]."""
  import jax

  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # OTT's imports warn; they take seconds.
    from ott.geometry import costs, pointcloud
    from ott.solvers import linear

  def cost(x_S, y_S, mass_x_S, mass_y_S):
    # Not SqEuclidean, which subtracts squares and so loses small distances.
    points = pointcloud.PointCloud(
      x_S[:, None], y_S[:, None], cost_fn=costs.EuclideanP(2.0)
    )
    return linear.solve_univariate(points, mass_x_S, mass_y_S).ot_costs[0]

  return jax.jit(jax.vmap(cost))


def _deal(first_RN, size):
  """Mass of quantile pieces [L], pooled index of either sample there [R, L]."""
  num, total = first_RN.shape
  start_R1 = total * np.arange(num)[:, None]
  rank_RS = np.flatnonzero(first_RN).reshape(num, size) - start_R1
  rank_RT = np.flatnonzero(~first_RN).reshape(num, total - size) - start_R1
  if 2 * size == total:  # The levels are the ranks.
    return np.full(size, 1 / size), rank_RS, rank_RT
  mass_L, (i_L, j_L) = couple([size, total - size])
  return mass_L, rank_RS[:, i_L], rank_RT[:, j_L]


def _dealt_distance(pooled_N, deal):
  mass_L, i_RL, j_RL = deal
  return np.sqrt((pooled_N[i_RL] - pooled_N[j_RL]) ** 2 @ mass_L)
