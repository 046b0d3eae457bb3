"""How scores move along an axis of scales, seed by seed and as populations."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from emergence.statistics import intervals, modes, success

# With fewer scales a median over steps is one or two of them.
MIN_SCALES = 6
# Scores are stored in single precision; steps below this are no steps.
_SAME_SCORE = 1e-6
_BATCH_VALUES = 1_000_000

JUMP_NOTE = (
  "With two separate clusters the mode passes from one to the other where "
  "their peaks are equal, at P = 1/2 for clusters of one shape, however slowly "
  "their share changes: that the mode jumps is arithmetic and no evidence of "
  "an abrupt change."
)


class Trajectories(NamedTuple):
  """Shape of the score of each seed over scales.

  Attributes:
    improvement_S: largest minus smallest score, negative if the largest comes
      first; NaN for an incomplete trajectory. [S]
    linearity_S: improvement over root mean square step; NaN where incomplete
      or constant. [S]
    breakthroughness_S: improvement over root median square step; infinite, with
      the sign of the improvement, where that is 0; NaN as above. [S]
    linearity_rank_S: 1 for the greatest linearity; 0 for what is not ranked.
      [S]
    breakthroughness_rank_S: likewise, of finite ones. [S]
    num_infinite: seeds of infinite breakthroughness.
    num_constant: seeds with the same score at every scale.
    num_incomplete: seeds without a finite score at some scale.
    highest_infinite: of the seeds of infinite breakthroughness, the one with
      the largest improvement; None if there is none.
    note: why nothing is ranked; empty if the rest is.
  """

  improvement_S: np.ndarray
  linearity_S: np.ndarray
  breakthroughness_S: np.ndarray
  linearity_rank_S: np.ndarray
  breakthroughness_rank_S: np.ndarray
  num_infinite: int
  num_constant: int
  num_incomplete: int
  highest_infinite: int | None
  note: str


class Pairing(NamedTuple):
  """Whether a seed index says anything from one scale to the next.

  Attributes:
    correlation: mean over pairs of scales of Spearman's rank correlation over
      seeds; NaN where it is undefined.
    correlation_null: its 95 % quantile under permutation.
    p: probability of at least this correlation without pairing; at least
      1 / (num_permutations + 1).
    max_breakthroughness: greatest finite breakthroughness of a seed, NaN
      without one.
    max_breakthroughness_null: its 95 % quantile under permutation.
    max_linearity: greatest linearity of a seed, NaN without one.
    max_linearity_null: its 95 % quantile under permutation.
    num_scales: scales at which seeds differ; the others have no ranks.
    num_seeds: seeds with a finite score at every scale.
    num_incomplete: the others, which are left out.
    shares: what a seed index shares across scales, in the caller's words.
    note: why something is missing; empty if nothing is.
  """

  correlation: float
  correlation_null: float
  p: float
  max_breakthroughness: float
  max_breakthroughness_null: float
  max_linearity: float
  max_linearity_null: float
  num_scales: int
  num_seeds: int
  num_incomplete: int
  shares: str
  note: str


class Abruptness(NamedTuple):
  """Largest step between neighbouring scales, as a share of the whole range.

  Attributes:
    mode: of the mode of the scores; 1 is all in one step, NaN no change.
    mean: of the mean score.
    success_probability: of the success probability.
    mean_given_success: of the mean of successes, over scales that have one.
    difference: `mode` minus `success_probability`.
    difference_low: lower end of its bootstrap interval.
    difference_high: upper end of its bootstrap interval.
    share_undefined: share of resamples in which the difference is undefined;
      they are no part of the interval.
    num_scales: scales.
    num_scales_given_success: scales with enough successes.
    num_diverged: runs without a finite score, over all scales: failures in the
      success probability, left out of mode and mean.
    threshold: a run succeeds if its score is at least this.
    note: how to read the jump of the mode.
  """

  mode: float
  mean: float
  success_probability: float
  mean_given_success: float
  difference: float
  difference_low: float
  difference_high: float
  share_undefined: float
  num_scales: int
  num_scales_given_success: int
  num_diverged: int
  threshold: float
  note: str


def trajectories(scores_SN: npt.ArrayLike) -> Trajectories:
  """Breakthroughness and linearity of each seed over ordered scales.

  With I = sign(argmax − argmin) · (max − min) and Δ the steps between
  neighbouring scales, linearity is I / sqrt(mean Δ²) and breakthroughness
  I / sqrt(median Δ²): Srivastava et al. (2022), "Beyond the imitation game",
  appendix B. Where the greatest or smallest score is reached more than once,
  its first scale counts. More than half of the steps being 0, which is common
  with exact match, breakthroughness is infinite: such seeds are counted and not
  ranked. Equal values are ranked by the size of I. Both measures depend on how
  many scales there are and how they are spaced.

  Args:
    scores_SN: the score of each seed at each scale, in the order of the scales,
      [S, N]. Seeds with a score that is not finite are shown as NaN.

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
  infinite_S = np.isinf(breakthroughness_S)
  highest = None
  if infinite_S.any():
    highest = int(np.where(infinite_S, improvement_S, -math.inf).argmax())
  note = ""
  if num_scales < MIN_SCALES:
    note = f"{num_scales} scales: shown, not ranked; that needs {MIN_SCALES}"
  return Trajectories(
    improvement_S,
    linearity_S,
    breakthroughness_S,
    _rank(linearity_S, improvement_S, bool(note)),
    _rank(breakthroughness_S, improvement_S, bool(note)),
    int(infinite_S.sum()),
    int((improvement_S == 0).sum()),
    int((~complete_S).sum()),
    highest,
    note,
  )


def pairing(
  scores_SN: npt.ArrayLike,
  shares: str,
  num_permutations: int = 1000,
  seed: int = 0,
) -> Pairing:
  """Tests whether seeds of one index do alike at different scales.

  Seed labels are permuted at each scale independently, which is what would be
  if an index meant nothing across scales; the statistic is the mean over pairs
  of scales of Spearman's correlation with average ranks for ties (Spearman
  1904; permutation p of Phipson and Smyth 2010, "Permutation p-values should
  never be zero"). One-sided: seeds that are good at one scale being good at
  others. The same permutations say how high the best breakthroughness and
  linearity of so many seeds are by chance: trajectories picked for them say
  something about single seeds only beyond that.

  Args:
    scores_SN: the score of each seed at each scale, in the order of the scales,
      [S, N]. Seeds with a score that is not finite are left out and counted.
    shares: what a seed index shares across scales, such as "the data stream",
      or "not known"; given back with the result.
    num_permutations: permutations.
    seed: of the permutations.

  Raises:
    ValueError: another shape, no seeds, or fewer than two scales.
  """
  scores_SN = _require_trajectories(scores_SN)
  complete_S = np.isfinite(scores_SN).all(axis=1)
  kept_SN = scores_SN[complete_S]
  num_seeds, num_scales = kept_SN.shape
  num_incomplete = len(scores_SN) - num_seeds
  if num_seeds < 3:
    note = f"{num_seeds} seeds at every scale: too few to permute"
    nan = math.nan
    return Pairing(
      nan,
      nan,
      nan,
      nan,
      nan,
      nan,
      nan,
      0,
      num_seeds,
      num_incomplete,
      shares,
      note,
    )
  # Rounding at 1e-6, so that equal scores are ties in any precision.
  differs_N = np.ptp(kept_SN, axis=0) > _SAME_SCORE
  ranks_SN = _standard_ranks(kept_SN[:, differs_N])
  found = _mean_correlation(ranks_SN[None])[0]
  best = _greatest(kept_SN[None])
  rng = np.random.default_rng(seed)
  batch = max(1, _BATCH_VALUES // kept_SN.size)
  null_R, best_2R = [], []
  for start in range(0, num_permutations, batch):
    num = min(batch, num_permutations - start)
    # Sorting uniforms permutes each scale of each sample by itself.
    order_RSN = rng.random((num, num_seeds, num_scales)).argsort(axis=1)
    permuted_RSN = np.take_along_axis(kept_SN[None], order_RSN, axis=1)
    best_2R.append(_greatest(permuted_RSN))
    permuted_RSN = np.take_along_axis(
      ranks_SN[None], order_RSN[:, :, differs_N], axis=1
    )
    null_R.append(_mean_correlation(permuted_RSN))
  null_R, best_2R = np.concatenate(null_R), np.concatenate(best_2R, axis=1)
  notes = []
  if math.isnan(found):
    notes.append("seeds differ at fewer than two scales: nothing to correlate")
  if math.isnan(best[0, 0]):
    notes.append("no seed has a finite breakthroughness")
  # Equal up to rounding counts as at least as high.
  at_least = int((null_R >= found - 1e-12).sum())
  return Pairing(
    float(found),
    _upper(null_R),
    math.nan if math.isnan(found) else (1 + at_least) / (1 + num_permutations),
    float(best[0, 0]),
    _upper(best_2R[0]),
    float(best[1, 0]),
    _upper(best_2R[1]),
    int(differs_N.sum()),
    num_seeds,
    num_incomplete,
    shares,
    "; ".join(notes),
  )


def jump(value_N: npt.ArrayLike) -> np.ndarray:
  """Largest step between neighbouring scales over the range of all values.

  1 where everything happens in one step, 1 / (N − 1) on a straight line; the
  number of scales decides what is small. Noise in the values raises it.

  Args:
    value_N: values over ordered scales, [..., N]; NaN where there is none.
      Steps are then those between neighbours that both have a value.

  Returns:
    The share, [...]; NaN where no value changes or no neighbours have values.
  """
  value_N = np.asarray(value_N, float)
  step_N = np.abs(np.diff(value_N, axis=-1))
  largest = np.max(step_N, axis=-1, initial=-math.inf, where=~np.isnan(step_N))
  has_N = ~np.isnan(value_N)
  high = np.max(value_N, axis=-1, initial=-math.inf, where=has_N)
  low = np.min(value_N, axis=-1, initial=math.inf, where=has_N)
  spread = np.where(has_N.any(axis=-1), high - low, 0)
  defined = (spread > _SAME_SCORE) & (largest >= 0)
  return np.divide(
    largest, spread, out=np.full(largest.shape, math.nan), where=defined
  )


def abruptness(
  scores: Sequence[npt.ArrayLike],
  threshold: float = success.DEFAULT_THRESHOLD,
  paired: bool = False,
  num_resamples: int = intervals.NUM_RESAMPLES,
  confidence: float = 0.95,
  seed: int = 0,
  find_modes: modes.FindModes = modes.resampled_modes,
) -> Abruptness:
  """Whether the mode jumps while mean and success probability move gradually.

  `jump` of each of the four summaries over scales, and the difference of the
  first and the third with a bootstrap interval over seeds. For two clusters a
  jump of the mode is arithmetic at a success probability of one half, so a
  positive difference tells two clusters from one that moves, and not an abrupt
  change from a gradual one.

  Args:
    scores: one score a run at each scale, in the order of the scales: N arrays
      [S], of any lengths. Not finite where the run diverged.
    threshold: the least score of a success, in the unit of the scores.
    paired: whether the same position is the same seed at every scale, which is
      then resampled as one.
    num_resamples: bootstrap samples.
    confidence: coverage of the interval, in (0, 1).
    seed: of the resampling.
    find_modes: from finite scores [S] and the runs of each resample, [R, S], to
      modes [R]. The default takes scores in [0, 1].

  Raises:
    ValueError: fewer than two scales, a scale without finite scores, or
      `paired` with scales of different lengths.
  """
  scores = [np.asarray(scores_S, float) for scores_S in scores]
  sizes = {scores_S.size for scores_S in scores}
  finite = [scores_S[np.isfinite(scores_S)] for scores_S in scores]
  if len(scores) < 2 or not all(finite_S.size for finite_S in finite):
    raise ValueError("expected two scales or more, each with finite scores")
  if paired and len(sizes) > 1:
    raise ValueError(f"expected as many runs at each scale, got {sizes}")
  mode_RN = np.empty((num_resamples + 1, len(scores)))
  probability_RN = np.empty_like(mode_RN)
  for n, scores_S in enumerate(scores):
    index_RS = intervals.resample_indices(
      scores_S.size, num_resamples, [seed, 0 if paired else n]
    )
    # The first row is the scale itself.
    index_RS = np.vstack([np.arange(scores_S.size), index_RS])
    success_S = success.is_success(scores_S, threshold)
    probability_RN[:, n] = success_S[index_RS].mean(axis=1)
    mode_RN[:, n] = _modes(scores_S, index_RS, find_modes)
  jump_2R = jump(np.stack([mode_RN, probability_RN]))
  difference_R = jump_2R[0] - jump_2R[1]
  # Noise adds to the largest step, and resamples have it twice. Between the two
  # ends that this makes, of the percentile and of the basic interval, is both
  # the one that does not overstate the difference and that which allows for it.
  low, high = intervals.percentile_interval(
    difference_R[1:], min(sizes), confidence
  )
  low, high = (
    min(low, 2 * difference_R[0] - high),
    max(high, 2 * difference_R[0] - low),
  )
  given = [success.mean_given_success(s, threshold).value for s in scores]
  return Abruptness(
    float(jump_2R[0, 0]),
    float(jump([finite_S.mean() for finite_S in finite])),
    float(jump_2R[1, 0]),
    float(jump(given)),
    float(difference_R[0]),
    float(max(low, -1.0)),
    float(min(high, 1.0)),
    float(np.isnan(difference_R[1:]).mean()),
    len(scores),
    int(np.isfinite(given).sum()),
    sum(s.size - f.size for s, f in zip(scores, finite, strict=True)),
    threshold,
    JUMP_NOTE,
  )


def _measures(scores_N: np.ndarray) -> np.ndarray:
  """Improvement, linearity and breakthroughness of [..., N], [3, ...]."""
  first = scores_N.argmin(axis=-1)
  last = scores_N.argmax(axis=-1)
  spread = np.ptp(scores_N, axis=-1)
  improvement = np.where(
    spread > _SAME_SCORE, np.sign(last - first) * spread, 0
  )
  step_N = np.abs(np.diff(scores_N, axis=-1))
  step_N[step_N <= _SAME_SCORE] = 0
  mean = np.sqrt((step_N**2).mean(axis=-1))
  # The median of squares, not the square of the median of an even number.
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
  quantile = float(np.quantile(filled_R, 0.95, method="higher"))
  return quantile if math.isfinite(quantile) else math.nan


def _rank(
  measure_S: np.ndarray, improvement_S: np.ndarray, skip: bool
) -> np.ndarray:
  """1 for the greatest finite measure, ties by size of improvement; else 0."""
  rank_S = np.zeros(measure_S.size, int)
  finite = np.flatnonzero(np.isfinite(measure_S))
  if not skip:
    keys = (-np.abs(improvement_S[finite]), -measure_S[finite])
    rank_S[finite[np.lexsort(keys)]] = np.arange(1, finite.size + 1)
  return rank_S


def _standard_ranks(scores_SN: np.ndarray) -> np.ndarray:
  """Average ranks over seeds, of mean 0 and length 1 at each scale, [S, N]."""
  rank_SN = stats.rankdata(
    np.round(scores_SN / _SAME_SCORE), axis=0, method="average"
  )
  rank_SN -= rank_SN.mean(axis=0)
  return rank_SN / np.linalg.norm(rank_SN, axis=0)


def _mean_correlation(ranks_RSN: np.ndarray) -> np.ndarray:
  """Mean over pairs of scales of the correlation of standard ranks, [R]."""
  num_scales = ranks_RSN.shape[-1]
  if num_scales < 2:
    return np.full(len(ranks_RSN), math.nan)
  # The squared sum over scales is N plus twice the sum over pairs.
  total_R = (ranks_RSN.sum(axis=-1) ** 2).sum(axis=-1)
  return (total_R - num_scales) / (num_scales * (num_scales - 1))


def _modes(
  scores_S: np.ndarray, index_RS: np.ndarray, find_modes: modes.FindModes
) -> np.ndarray:
  """Mode of the finite scores; draws of diverged runs are drawn again."""
  finite = np.flatnonzero(np.isfinite(scores_S))
  position_S = np.full(scores_S.size, -1)
  position_S[finite] = np.arange(finite.size)
  drawn_RS = position_S[index_RS]
  again = drawn_RS < 0
  rng = np.random.default_rng(scores_S.size)
  drawn_RS[again] = rng.integers(finite.size, size=int(again.sum()))
  drawn_RS = drawn_RS[:, : finite.size]
  drawn_RS[0] = np.arange(finite.size)
  return find_modes(scores_S[finite], drawn_RS)


def _require_trajectories(scores_SN: npt.ArrayLike) -> np.ndarray:
  scores_SN = np.asarray(scores_SN, float)
  if scores_SN.ndim != 2 or not len(scores_SN) or scores_SN.shape[1] < 2:
    raise ValueError(
      "expected scores of shape [S, N], seeds by scales, with two scales or "
      f"more, got {scores_SN.shape}"
    )
  return scores_SN
