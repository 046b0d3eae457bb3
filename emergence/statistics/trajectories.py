"""How scores of seeds change over scales, and whether seed indices matter."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from emergence.statistics.options import CONFIDENCE, Options
from emergence.statistics.sample import SAME_SCORE, tolerance

# With fewer scales, there are too few changes for a median over them.
MIN_SCALES = 6
_BATCH_VALUES = 1_000_000
# At most this many permutations are made for the best breakthroughness and
# linearity, which take most of the time. The level of a 95 % quantile then has
# a standard error of 1.1 %.
_MOST_FOR_BEST = 400


class Trajectories(NamedTuple):
  """Measures of how the score of each seed changes over scales.

  Attributes:
    improvement_S: largest minus smallest score, negative if the largest comes
      first; NaN for an incomplete trajectory. [S]
    linearity_S: improvement divided by root mean square change; NaN for an
      incomplete or constant trajectory. [S]
    breakthroughness_S: improvement divided by root median square change, or ±∞,
      with the sign of the improvement, if this is 0; NaN likewise. [S]
    linearity_rank_S: 1 for the greatest linearity; 0 for seeds not ranked. [S]
    breakthroughness_rank_S: the same for finite breakthroughness. [S]
    num_infinite: number of seeds with infinite breakthroughness.
    num_constant: number of seeds with the same score at every scale.
    num_incomplete: number of seeds without a finite score at some scale.
    note: why no seed is ranked; empty if seeds are ranked.
  """

  improvement_S: np.ndarray
  linearity_S: np.ndarray
  breakthroughness_S: np.ndarray
  linearity_rank_S: np.ndarray
  breakthroughness_rank_S: np.ndarray
  num_infinite: int
  num_constant: int
  num_incomplete: int
  note: str


class Pairing(NamedTuple):
  """Result of the test of whether runs of one seed index score alike.

  Attributes:
    correlation: mean over pairs of scales of Spearman's rank correlation over
      seeds; NaN where it is undefined.
    least: the least correlation of a pair of scales.
    greatest: the greatest.
    p: p-value of the correlation under permutation of the seeds; at least
      1 / (num_permutations + 1).
    max_breakthroughness: greatest finite breakthroughness of a seed, NaN
      without one.
    max_breakthroughness_null: 95 % quantile of `max_breakthroughness` over at
      most 400 of the permutations.
    max_breakthroughness_p: p-value of `max_breakthroughness` under these
      permutations; NaN where it or its quantile is.
    max_linearity: greatest linearity of a seed, NaN without one.
    max_linearity_null: the same quantile of `max_linearity`.
    max_linearity_p: the same p-value of `max_linearity`.
    num_scales: scales at which seeds differ; the others have no ranks.
    num_seeds: seeds with a finite score at every scale; others are left out.
    shares: what a seed index shares across scales, in the caller's words.
    note: why a value is missing; empty if none is.
    p_adjusted: p after Holm's correction over the groups of the metric; NaN
      until the caller sets it.
    least_p_adjusted: the same correction of `least_p` of all groups.
  """

  correlation: float
  least: float
  greatest: float
  p: float
  max_breakthroughness: float
  max_breakthroughness_null: float
  max_breakthroughness_p: float
  max_linearity: float
  max_linearity_null: float
  max_linearity_p: float
  num_scales: int
  num_seeds: int
  shares: str
  note: str
  p_adjusted: float = math.nan
  least_p_adjusted: float = math.nan

  @property
  def least_p(self) -> float:
    """The least p that scores of so many seeds could have; NaN without p."""
    if math.isnan(self.p):
      return math.nan
    return 1 / math.factorial(self.num_seeds) ** (self.num_scales - 1)


def trajectories(scores_SN: npt.ArrayLike) -> Trajectories:
  """Breakthroughness and linearity of each seed over ordered scales.

  With I = sign(argmax − argmin) · (max − min) and Δ the changes between
  neighbouring scales, linearity is I / sqrt(mean Δ²) and breakthroughness I /
  sqrt(median Δ²): Srivastava et al. (2022), "Beyond the imitation game",
  appendix B. Where the greatest or smallest score is reached more than once,
  its first scale counts. If more than half of the changes are 0, which is
  common with exact match, breakthroughness is infinite: such seeds are counted
  and not ranked. Equal values are ranked by the size of I. Both measures depend
  on how many scales there are and how they are spaced.

  Args:
    scores_SN: the score of each seed at each scale, in the order of the scales,
      [S, N]. Seeds with a score that is not finite have NaN as results.

  Raises:
    ValueError: another shape, no seeds, or fewer than two scales.
  """
  scores_SN = _require_trajectories(scores_SN)
  num_scales = scores_SN.shape[1]
  complete_S = np.isfinite(scores_SN).all(axis=1)
  improvement_S, linearity_S, breakthroughness_S = np.full(
    (3, len(scores_SN)), math.nan
  )
  if complete_S.any():
    measures = _measures(scores_SN[complete_S])
    improvement_S[complete_S] = measures[0]
    linearity_S[complete_S] = measures[1]
    breakthroughness_S[complete_S] = measures[2]
  note = ""
  if num_scales < MIN_SCALES:
    note = f"{num_scales} scales, seeds are not ranked: that needs {MIN_SCALES}"
  return Trajectories(
    improvement_S,
    linearity_S,
    breakthroughness_S,
    _rank(linearity_S, improvement_S, bool(note)),
    _rank(breakthroughness_S, improvement_S, bool(note)),
    int(np.isinf(breakthroughness_S).sum()),
    int((improvement_S == 0).sum()),
    int((~complete_S).sum()),
    note,
  )


def pairing(
  scores_SN: npt.ArrayLike, shares: str, options: Options = Options()
) -> Pairing:
  """Tests whether runs of one seed index score alike at different scales.

  The null hypothesis is that an index means nothing across scales, so seed
  labels are permuted at each scale independently. The statistic is the mean
  over pairs of scales of Spearman's correlation with average ranks for ties
  (Spearman 1904; permutation p of Phipson and Smyth 2010, "Permutation p-values
  should never be zero"). The test is one-sided: seeds that are good at one
  scale are good at others. The same permutations say how high the best
  breakthroughness and linearity of so many seeds are by chance. Only a higher
  value says something about its seed.

  Args:
    scores_SN: the score of each seed at each scale, in the order of the scales,
      [S, N]. Seeds with a score that is not finite are left out.
    shares: what a seed index shares across scales, such as "the data stream",
      or "not known"; given back with the result.
    options: number and seed of the permutations.

  Raises:
    ValueError: another shape, no seeds, or fewer than two scales.
  """
  scores_SN = _require_trajectories(scores_SN)
  complete_S = np.isfinite(scores_SN).all(axis=1)
  kept_SN = scores_SN[complete_S]
  num_seeds, num_scales = kept_SN.shape
  if num_seeds < 3:
    seeds = "1 seed has" if num_seeds == 1 else f"{num_seeds} seeds have"
    note = f"{seeds} a finite score at every scale: a permutation test needs 3"
    measures = dict.fromkeys(Pairing._fields[:10], math.nan)
    return Pairing(
      **measures,
      num_scales=0,
      num_seeds=num_seeds,
      shares=shares,
      note=note,
    )
  differs_N = np.array(
    [np.ptp(scores_S) > tolerance(scores_S) for scores_S in kept_SN.T]
  )
  ranks_SN = _standard_ranks(kept_SN[:, differs_N])
  found = _mean_correlation(ranks_SN[None])[0]
  pair_P = (ranks_SN.T @ ranks_SN)[np.triu_indices(ranks_SN.shape[1], 1)]
  best = _greatest(kept_SN[None])
  num_permutations = options.num_permutations
  rng = np.random.default_rng(options.seed)
  batch = max(1, _BATCH_VALUES // kept_SN.size)
  null_R, best_2R = [], []
  for start in range(0, num_permutations, batch):
    num = min(batch, num_permutations - start)
    # Sorting uniforms permutes each scale of each sample by itself.
    order_RSN = rng.random((num, num_seeds, num_scales)).argsort(axis=1)
    order_of_best_RSN = order_RSN[: max(0, _MOST_FOR_BEST - start)]
    permuted_RSN = np.take_along_axis(kept_SN[None], order_of_best_RSN, axis=1)
    best_2R.append(_greatest(permuted_RSN))
    permuted_RSN = np.take_along_axis(
      ranks_SN[None], order_RSN[:, :, differs_N], axis=1
    )
    null_R.append(_mean_correlation(permuted_RSN))
  null_R, best_2R = np.concatenate(null_R), np.concatenate(best_2R, axis=1)
  notes = []
  if math.isnan(found):
    notes.append(
      "seeds differ at fewer than two scales, so there is no correlation"
    )
  if math.isnan(best[0, 0]):
    notes.append("no seed has a finite breakthroughness")
  # Values that are equal up to rounding count as at least as high.
  at_least = int((null_R >= found - 1e-12).sum())
  return Pairing(
    float(found),
    float(pair_P.min()) if pair_P.size else math.nan,
    float(pair_P.max()) if pair_P.size else math.nan,
    math.nan if math.isnan(found) else (1 + at_least) / (1 + num_permutations),
    float(best[0, 0]),
    _upper(best_2R[0]),
    _p_value(best[0, 0], best_2R[0]),
    float(best[1, 0]),
    _upper(best_2R[1]),
    _p_value(best[1, 0], best_2R[1]),
    int(differs_N.sum()),
    num_seeds,
    shares,
    "; ".join(notes),
  )


def _measures(scores_N: np.ndarray) -> np.ndarray:
  """Improvement, linearity, breakthroughness [3, ...] of scores [..., N]."""
  first = scores_N.argmin(axis=-1)
  last = scores_N.argmax(axis=-1)
  spread = np.ptp(scores_N, axis=-1)
  improvement = np.where(spread > SAME_SCORE, np.sign(last - first) * spread, 0)
  step_N = np.abs(np.diff(scores_N, axis=-1))
  step_N[step_N <= SAME_SCORE] = 0
  mean = np.sqrt((step_N**2).mean(axis=-1))
  # Median of the squares. Of an even number it is not the median, squared.
  num = step_N.shape[-1]
  step_N.partition([(num - 1) // 2, num // 2], axis=-1)
  middle_2 = step_N[..., [(num - 1) // 2, num // 2]]
  median = np.sqrt((middle_2**2).mean(axis=-1))
  with np.errstate(divide="ignore", invalid="ignore"):
    # 0 / 0 of a constant trajectory is NaN, as it should be.
    return np.stack([improvement, improvement / mean, improvement / median])


def _greatest(scores_RSN: np.ndarray) -> np.ndarray:
  """Greatest finite breakthroughness and linearity over seeds, [2, R]."""
  _, linearity_RS, breakthroughness_RS = _measures(scores_RSN)
  best = []
  for measure_RS in (breakthroughness_RS, linearity_RS):
    finite_RS = np.isfinite(measure_RS)
    best_R = measure_RS.max(axis=1, initial=-math.inf, where=finite_RS)
    best.append(np.where(finite_RS.any(axis=1), best_R, math.nan))
  return np.stack(best)


def _upper(null_R: np.ndarray) -> float:
  """The 95 % quantile; permutations without a value count as lowest."""
  if np.isnan(null_R).all():
    return math.nan
  filled_R = np.where(np.isnan(null_R), -math.inf, null_R)
  quantile = float(np.quantile(filled_R, CONFIDENCE, method="higher"))
  return quantile if math.isfinite(quantile) else math.nan


def _p_value(best: float, null_R: np.ndarray) -> float:
  """p of a value; permutations without one count as lowest."""
  if math.isnan(best + _upper(null_R)):
    return math.nan
  # Ties may differ in their last bits, as scores are in single precision.
  at_least = int(((null_R >= best) | np.isclose(null_R, best)).sum())
  return (1 + at_least) / (1 + null_R.size)


def _rank(
  measure_S: np.ndarray, improvement_S: np.ndarray, skip: bool
) -> np.ndarray:
  """Ranks: 1 for the greatest finite measure, ties by |improvement|; else 0."""
  rank_S = np.zeros(measure_S.size, int)
  finite = np.flatnonzero(np.isfinite(measure_S))
  if not skip:
    keys = (-np.abs(improvement_S[finite]), -measure_S[finite])
    rank_S[finite[np.lexsort(keys)]] = np.arange(1, finite.size + 1)
  return rank_S


def _standard_ranks(scores_SN: np.ndarray) -> np.ndarray:
  """Average ranks over seeds, of mean 0 and length 1 at each scale, [S, N]."""
  # Round the scores, so that equal ones are ties in any precision.
  same_N = np.array([tolerance(scores_S) for scores_S in scores_SN.T])
  rank_SN = stats.rankdata(
    np.round(scores_SN / same_N), axis=0, method="average"
  )
  rank_SN -= rank_SN.mean(axis=0)
  return rank_SN / np.linalg.norm(rank_SN, axis=0)


def _mean_correlation(ranks_RSN: np.ndarray) -> np.ndarray:
  """Mean over pairs of scales of the correlation of standard ranks, [R]."""
  num_scales = ranks_RSN.shape[-1]
  if num_scales < 2:
    return np.full(len(ranks_RSN), math.nan)
  # The squared norm of the sum over scales is N + 2 · sum of correlations.
  total_R = (ranks_RSN.sum(axis=-1) ** 2).sum(axis=-1)
  return (total_R - num_scales) / (num_scales * (num_scales - 1))


def _require_trajectories(scores_SN: npt.ArrayLike) -> np.ndarray:
  scores_SN = np.asarray(scores_SN, float)
  if scores_SN.ndim != 2 or not len(scores_SN) or scores_SN.shape[1] < 2:
    raise ValueError(
      "expected scores of shape [S, N], seeds by scales, with two scales or "
      f"more, got {scores_SN.shape}"
    )
  return scores_SN
