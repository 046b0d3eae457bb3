"""Does mass move between two modes, or does every run improve a little?

Two paths lead from the distribution P₀ of the first scale to P₁ of the last:

- the mixture path (1 − α)P₀ + αP₁: a share α of the runs has moved to P₁;
- the displacement path with quantiles (1 − α)F₀⁻¹ + αF₁⁻¹: every run has gone
  a share α of its way. It is the Wasserstein-2 geodesic (McCann 1997, "A
  convexity principle for interacting gases").

A steep metric puts most runs at one end or the other. A smooth change of
ability then looks like a mixture, or like neither path: repeat the test with
the log-likelihood of the answer.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from emergence.statistics import intervals, transport
from emergence.statistics.options import CONFIDENCE, MIN_RUNS, Options
from emergence.statistics.sample import REAL, Sample, grid

Verdict = Literal["mixture", "displacement", "neither", "undecided"]

# With fewer runs, resamples differ too little, above all in their tails.
MIN_RUNS_FOR_VERDICT = 30
# Level at which a path is rejected. At 5 %, one in twenty exact mixtures would
# be called neither.
REJECTION = 0.01
# A guessed grid step below this share of the scores' range makes no difference.
_FINEST_STEP = 1e-3
# Search steps of `fit_mixture`, for the scores and for each resample.
_FIT_STEPS, _RESAMPLE_STEPS = 60, 10
# Samples fitted together: their arrays then stay in the processor's cache.
_BLOCK = 64


class Fit(NamedTuple):
  """The point of a path which is nearest to a distribution.

  Attributes:
    share: α of that point, in [0, 1]; NaN if P₀ and P₁ have the same quantiles.
    share_low: lower end of the bootstrap interval of `share`.
    share_high: upper end.
    distance: Wasserstein-2 distance from the scores, not spread over bins, to
      that point, in units of the score.
    null: 95 % quantile of that distance for runs on the path.
    p: p-value of the hypothesis that the distribution is on the path.
  """

  share: float
  share_low: float
  share_high: float
  distance: float
  null: float
  p: float


class Path(NamedTuple):
  """How one distribution lies between two others.

  Attributes:
    mixture: nearest point of the mixture path.
    displacement: nearest point of the displacement path.
    difference: squared distance to the displacement path minus that to the
      mixture path; positive where the mixture path is nearer. Squared, because
      resampling adds the same to both squares, to a first approximation.
    low: lower end of the bootstrap interval of `difference`.
    high: upper end.
    mixture_p: p-value: how often runs on the mixture path have a difference at
      most this high.
    displacement_p: p-value: how often runs on the displacement path have a
      difference at least this high.
    verdict: mixture, displacement, neither or undecided.
    reason: the evidence for the verdict in words.
  """

  mixture: Fit
  displacement: Fit
  difference: float
  low: float
  high: float
  mixture_p: float
  displacement_p: float
  verdict: Verdict
  reason: str


def compare_paths(
  samples: Sequence[Sample], options: Options = Options()
) -> list[Path]:
  """Compares every scale between the first and the last with both paths.

  The nearest points are exact. Their uncertainty comes from resampling the
  scale and both end points. Intervals are from a percentile bootstrap of the
  scores (Efron 1979, "Bootstrap methods"). Nulls and p-values are from a
  parametric bootstrap, in which the scale's runs are drawn from the fitted
  point of the path; for the difference, this is the test of separate families
  of Cox (1961), "Tests of separate families of hypotheses". S − 1 of S runs are
  drawn, which makes the variance of a resample unbiased (Rao and Wu 1988,
  "Resampling inference with complex survey data"). Scales are taken to be
  independent; if they share seeds, the intervals are too wide.

  Verdicts:
    neither: both distances are rejected on their path, p ≤ 0.01.
    mixture, displacement: this path is nearer, its distance is not rejected,
      the interval of its share leaves out 0 and 1, where the paths meet, and
      either the interval of the difference leaves out 0, or the difference is
      rejected on the other path and not on this one.
    undecided: everything else, and always with fewer than 30 runs at a scale.

  Between two distributions on a grid, the displacement path leaves the grid, so
  the mixture path would seem nearer. For intervals, p-values and verdicts,
  equal scores are therefore spread evenly over their bin. Runs drawn from the
  displacement path are rounded to the grid and spread at random over their bin.
  The grid is the coarsest one of the samples; it is guessed from all scores if
  a sample has no known spacing.

  Error rates: `python -m experiments.calibration.paths`. Distributions beyond
  an end point (a U-shaped axis) are near neither path. The verdict is about the
  scores as they are; see the top of this module about steep metrics.

  Args:
    samples: the runs of three scales or more, in the order of the scales. Lower
      may be better. Diverged runs are left out.
    options: number and seed of the resamples.

  Returns:
    One `Path` for each scale between the first and the last.

  Raises:
    ValueError: fewer than three scales, or a scale without a finite score.
  """
  scores = [sample.require_finite_S() for sample in samples]
  if len(scores) < 3:
    raise ValueError(f"a path needs three scales or more, got {len(scores)}")
  step = _common_step(samples)
  # Sums of squares lose less precision near zero.
  origin = min(s.min() for s in scores)
  plain = [np.sort(s - origin) for s in scores]
  scores = [_spread(s, step) for s in plain]
  rng = np.random.default_rng(options.seed)
  first_S, last_S = scores[0], scores[-1]
  observed, plain_ends = (
    draw_ends(a, b, np.arange(a.size)[None], np.arange(b.size)[None])
    for a, b in ((first_S, last_S), (plain[0], plain[-1]))
  )
  first_BD, last_BD = (
    _indices(_uniforms(rng, options.num_resamples, s.size), s.size)
    for s in (first_S, last_S)
  )
  resampled = draw_ends(first_S, last_S, first_BD, last_BD)
  several = []
  for sample_S, plain_S in zip(scores[1:-1], plain[1:-1], strict=True):
    found = _compare(sample_S, rng, observed, resampled, step)
    for name, fit in (
      ("mixture", fit_mixture(plain_S[None], plain_ends, _FIT_STEPS)),
      ("displacement", fit_displacement(plain_S[None], plain_ends)),
    ):
      share, squared = (float(x[0]) for x in fit)
      old: Fit = getattr(found, name)
      new = old._replace(
        share=math.nan if math.isnan(old.share) else share,
        distance=math.sqrt(squared),
      )
      found = found._replace(**{name: new})
    several.append(found)
  return several


class Ends(NamedTuple):
  """End points P₀ and P₁ of B pairs of paths.

  Attributes:
    first_BS: ascending scores of P₀.
    last_BT: ascending scores of P₁.
    first_cdf_BK: share of P₀ up to each point of `support_K` but the last, so
      [B, K − 1].
    last_cdf_BK: the same of P₁.
    support_K: all scores that P₀ or P₁ may have, ascending.
  """

  first_BS: np.ndarray
  last_BT: np.ndarray
  first_cdf_BK: np.ndarray
  last_cdf_BK: np.ndarray
  support_K: np.ndarray


def draw_ends(
  first_S: np.ndarray,
  last_T: np.ndarray,
  first_index_BS: np.ndarray,
  last_index_BT: np.ndarray,
) -> Ends:
  """Builds end points P₀ and P₁ from drawn scores.

  Args:
    first_S: ascending scores of the first distribution, [S].
    last_T: ascending scores of the last, in the same unit, [T].
    first_index_BS: indices in `first_S` of the scores drawn for each of B pairs
      of paths, ascending; their number need not be that of `first_S`.
    last_index_BT: the same for `last_T`.
  """
  support_K = np.union1d(first_S, last_T)
  first_cdf_BK = _shares(first_S, first_index_BS, support_K)
  last_cdf_BK = _shares(last_T, last_index_BT, support_K)
  return Ends(
    first_S[first_index_BS],
    last_T[last_index_BT],
    first_cdf_BK,
    last_cdf_BK,
    support_K,
  )


def fit_displacement(
  samples_BS: np.ndarray, ends: Ends
) -> tuple[np.ndarray, np.ndarray]:
  """Finds the point of its displacement path that is nearest to each sample.

  The path is a straight line of quantile functions, so this is the projection
  on that line, with α clipped to [0, 1].

  Args:
    samples_BS: ascending scores of B samples, [B, S].
    ends: end points of B paths, one for each sample.

  Returns:
    Shares α in [0, 1], [B], and squared Wasserstein-2 distances in squared
    units of the score, [B].
  """
  mass_L, (x_BL, first_BL, last_BL) = _quantiles(
    samples_BS, ends.first_BS, ends.last_BT
  )
  way_BL, gone_BL = last_BL - first_BL, x_BL - first_BL
  length_B = way_BL**2 @ mass_L
  along_B = (gone_BL * way_BL) @ mass_L
  share_B = np.clip(along_B / np.where(length_B > 0, length_B, 1), 0, 1)
  return share_B, (gone_BL - share_B[:, None] * way_BL) ** 2 @ mass_L


def fit_mixture(
  samples_BS: np.ndarray, ends: Ends, steps: int = 60
) -> tuple[np.ndarray, np.ndarray]:
  """Finds the point of its mixture path that is nearest to each sample.

  The squared distance is convex and piecewise linear in α. The zero of its
  slope is bracketed and searched by false position (the Illinois rule: Dowell
  and Jarratt 1971). Every third step goes to where the tangents at both ends
  cross, which is the minimum once a single kink is left between them.

  Args:
    samples_BS: ascending scores of B samples, [B, S].
    ends: end points of B paths, one for each sample.
    steps: search steps; 60 reach the minimum, 10 come within 0.2 % of the
      distance.

  Returns:
    Shares α in [0, 1], [B], and squared Wasserstein-2 distances in squared
    units of the score, [B].
  """
  blocks = []
  for start in range(0, len(samples_BS), _BLOCK):
    rows = slice(start, start + _BLOCK)
    cost = _mixture_cost(
      samples_BS[rows],
      ends.first_cdf_BK[rows],
      ends.last_cdf_BK[rows],
      ends.support_K,
    )
    blocks.append(_minimize(cost, len(samples_BS[rows]), steps))
  shares, squares = zip(*blocks, strict=True)
  return np.concatenate(shares), np.concatenate(squares)


def squared_distance(first_BS: np.ndarray, second_BT: np.ndarray) -> np.ndarray:
  """Squared Wasserstein-2 distances of B pairs of samples.

  Each is the mean squared difference of quantiles, as in `transport.distances`.

  Args:
    first_BS: ascending scores, [B, S].
    second_BT: ascending scores in the same unit, [B, T].

  Returns:
    The squares, in squared units of the score, [B].
  """
  mass_L, (first_BL, second_BL) = _quantiles(first_BS, second_BT)
  return (first_BL - second_BL) ** 2 @ mass_L


def _common_step(samples):
  """Spacing of the coarsest grid, guessed if one is not known; 0 for none."""
  if all(sample.step is not None for sample in samples):
    return max(sample.step for sample in samples)
  pooled = np.concatenate([sample.finite_S for sample in samples])
  step = grid(Sample(pooled, REAL, None)).step
  return step if step > _FINEST_STEP * np.ptp(pooled) else 0.0


def _uniforms(rng, num, size):
  """Ascending uniform numbers, one fewer than there are runs: [B, S − 1]."""
  total = np.cumsum(rng.exponential(size=(num, max(size, 2))), axis=1)
  return total[:, :-1] / total[:, -1:]


def _indices(uniform_BD, size):
  return np.minimum((size * uniform_BD).astype(int), size - 1)


def _resample(scores_S, uniform_BD):
  return scores_S[_indices(uniform_BD, scores_S.size)]


def _compare(sample_S, rng, observed, resampled, step):
  uniform_BD = _uniforms(rng, len(resampled.first_BS), sample_S.size)
  first_S, last_S = observed.first_BS[0], observed.last_BT[0]
  # Squares this small are rounding errors.
  slack = 1e-12 * max(observed.support_K[-1], sample_S[-1]) ** 2

  def fit(samples_BS, ends, steps):
    mix_share_B, mix_B = fit_mixture(samples_BS, ends, steps)
    move_share_B, move_B = fit_displacement(samples_BS, ends)
    gain_B = move_B - mix_B
    gain_B[np.abs(gain_B) <= slack] = 0
    return (mix_share_B, move_share_B), (mix_B, move_B), gain_B

  def p_value(null_B, value):
    return float((1 + (null_B >= value - slack).sum()) / (1 + null_B.size))

  shares, squares, (difference,) = fit(sample_S[None], observed, _FIT_STEPS)
  shares, squares = [s[0] for s in shares], [s[0] for s in squares]
  on_mixture_BD = _draw_mixture(observed, shares[0], uniform_BD)
  on_displacement_BD = _draw_displacement(
    first_S, last_S, shares[1], step, uniform_BD, rng
  )
  drawn_BD = _resample(sample_S, uniform_BD)
  drawn_shares, _, gain_B = fit(drawn_BD, resampled, _RESAMPLE_STEPS)
  _, (mix_B, _), on_mixture_B = fit(on_mixture_BD, resampled, _RESAMPLE_STEPS)
  _, (_, move_B), on_displacement_B = fit(
    on_displacement_BD, resampled, _RESAMPLE_STEPS
  )
  (length,) = squared_distance(observed.first_BS, observed.last_BT)
  num_runs = min(first_S.size, sample_S.size, last_S.size)

  def interval(value_B):
    if num_runs < MIN_RUNS:
      return np.nan, np.nan
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    return map(float, np.quantile(value_B, tails))

  fits = []
  for share, share_B, squared, null_B in zip(
    shares, drawn_shares, squares, (mix_B, move_B), strict=True
  ):
    share_low, share_high = interval(share_B)
    fits.append(
      Fit(
        share=float(share) if length > 0 else np.nan,
        share_low=share_low if length > 0 else np.nan,
        share_high=share_high if length > 0 else np.nan,
        distance=float(np.sqrt(squared)),
        null=float(np.sqrt(np.quantile(null_B, CONFIDENCE))),
        p=p_value(null_B, squared),
      )
    )
  low, high = interval(gain_B)
  result = Path(
    mixture=fits[0],
    displacement=fits[1],
    difference=float(difference),
    low=low,
    high=high,
    mixture_p=p_value(-on_mixture_B, -difference),
    displacement_p=p_value(on_displacement_B, difference),
    verdict="undecided",
    reason="",
  )
  verdict, reason = _decide(result, num_runs)
  return result._replace(verdict=verdict, reason=reason)


def _decide(path, num_runs) -> tuple[Verdict, str]:
  if num_runs < MIN_RUNS_FOR_VERDICT:
    runs = "1 run" if num_runs == 1 else f"{num_runs} runs"
    few = f"{runs} at a scale, fewer than {MIN_RUNS_FOR_VERDICT}"
    return "undecided", few
  p = max(path.mixture.p, path.displacement.p)
  if p <= REJECTION:
    return "neither", f"far from both paths, p = {p:.2g}"
  name, fit, p = "mixture", path.mixture, path.mixture_p
  other, other_p = "displacement", path.displacement_p
  if path.difference < 0:
    name, other, p, other_p = other, name, other_p, p
    fit = path.displacement
  for end, apart in (
    ("first", fit.share_low > 0),
    ("last", fit.share_high < 1),
  ):
    if not apart:
      return "undecided", f"does not differ clearly from the {end} scale"
  if fit.p <= REJECTION:
    return "undecided", (
      f"nearest to the {name} path but far from it, p = {fit.p:.2g}"
    )
  if path.low > 0 if path.difference > 0 else path.high < 0:
    interval = f"{path.low:.2g} to {path.high:.2g}"
    return name, f"interval of the difference, {interval}, excludes 0"
  if other_p <= REJECTION < p:
    rare = f"rare on the {other} path, p = {other_p:.2g}"
    return name, f"such a difference is {rare}"
  return "undecided", "the difference does not decide between the two paths"


def _draw_mixture(ends, share, uniform_BD):
  cdf_K = (1 - share) * ends.first_cdf_BK[0] + share * ends.last_cdf_BK[0]
  return ends.support_K[np.searchsorted(cdf_K, uniform_BD, side="right")]


def _draw_displacement(first_S, last_S, share, step, uniform_BD, rng):
  mass_L, (i_L, j_L) = transport.couple([first_S.size, last_S.size])
  score_L = (1 - share) * first_S[i_L] + share * last_S[j_L]
  level_L = np.cumsum(mass_L)[:-1]
  drawn_BD = score_L[np.searchsorted(level_L, uniform_BD, side="right")]
  if not step:
    return drawn_BD
  cell_BD = rng.uniform(-0.5, 0.5, drawn_BD.shape)
  return np.sort(step * (np.round(drawn_BD / step) + cell_BD), axis=1)


def _spread(scores_S, step):
  """Spreads tied scores evenly over their bin."""
  _, count_U = np.unique(scores_S, return_counts=True)
  start_U = np.cumsum(count_U) - count_U
  rank_S = np.arange(scores_S.size) - np.repeat(start_U, count_U)
  cell_S = (rank_S + 0.5) / np.repeat(count_U, count_U) - 0.5
  return scores_S + step * cell_S


def _shares(scores_S, index_BD, support_K):
  count_BS = intervals.count_draws(index_BD, scores_S.size)
  total_BS = np.cumsum(count_BS, axis=1)
  total_BS = np.pad(total_BS, ((0, 0), (1, 0))) / index_BD.shape[1]
  rank_K = np.searchsorted(scores_S, support_K[:-1], side="right")
  return np.take(total_BS, rank_K, axis=1)


def _quantiles(*samples):
  """Lengths of common pieces of [0, 1], and each sample's quantiles on them."""
  sizes = [s.shape[1] for s in samples]
  if len(set(sizes)) == 1:
    return np.full(sizes[0], 1 / sizes[0]), samples
  mass_L, indices = transport.couple(sizes)
  return mass_L, [s[:, i] for s, i in zip(samples, indices, strict=True)]


def _minimize(cost, num, steps):
  low_B, high_B = np.zeros(num), np.ones(num)
  at_low_B, low_slope_B = cost(low_B)
  at_high_B, high_slope_B = cost(high_B)
  share_B = np.where(at_high_B < at_low_B, 1.0, 0.0)
  least_B = np.minimum(at_low_B, at_high_B)
  low_pull_B, high_pull_B = low_slope_B, high_slope_B
  for step in range(steps):
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
      if step % 3 == 2 or step == steps - 1:
        fall_B = at_high_B - high_slope_B * high_B
        fall_B = fall_B - (at_low_B - low_slope_B * low_B)
        next_B = fall_B / (low_slope_B - high_slope_B)
      else:
        pull_B = low_pull_B / (high_pull_B - low_pull_B)
        next_B = low_B - pull_B * (high_B - low_B)
    inside_B = (next_B > low_B) & (next_B < high_B)
    next_B = np.where(inside_B, next_B, (low_B + high_B) / 2)
    at_B, slope_B = cost(next_B)
    share_B = np.where(at_B < least_B, next_B, share_B)
    least_B = np.minimum(at_B, least_B)
    left_B = slope_B < 0
    low_pull_B = np.where(left_B, slope_B, low_pull_B / 2)
    high_pull_B = np.where(left_B, high_pull_B / 2, slope_B)
    low_B = np.where(left_B, next_B, low_B)
    high_B = np.where(left_B, high_B, next_B)
    at_low_B = np.where(left_B, at_B, at_low_B)
    at_high_B = np.where(left_B, at_high_B, at_B)
    low_slope_B = np.where(left_B, slope_B, low_slope_B)
    high_slope_B = np.where(left_B, high_slope_B, slope_B)
  return share_B, np.maximum(least_B, 0)


def _mixture_cost(samples_BS, first_cdf_BK, last_cdf_BK, support_K):
  """Returns a function of α: squared distance to the mixture, and its slope."""
  # Q is the quantile function of a sample x, F the mixture's distribution
  # function, s₁ … s_K its support, and C(u) the integral of Q from 0 to u. By
  # summation by parts, ∫(Q − F⁻¹)² is the mean of (x − s_K)² minus the sum over
  # k of (s_k₊₁ − s_k)[(s_k₊₁ + s_k) F(s_k) − 2 C(F(s_k))].
  num, size = samples_BS.shape
  gap_K = np.diff(support_K)
  weight_K = gap_K * (support_K[1:] + support_K[:-1])
  # Levels of F in runs, not shares: level n is at the sample's nth score.
  level_BK = size * first_cdf_BK
  rise_BK = size * (last_cdf_BK - first_cdf_BK)
  level_weight_B, rise_weight_B = level_BK @ weight_K, rise_BK @ weight_K
  level_gap_BK, rise_gap_BK = level_BK * gap_K, rise_BK * gap_K
  # One more column, because a level may be the number of all runs.
  score_BS = np.pad(samples_BS, ((0, 0), (0, 1)), "edge")
  before_BS = np.zeros_like(score_BS)
  np.cumsum(samples_BS, axis=1, out=before_BS[:, 1:])
  before_BS -= np.arange(size + 1) * score_BS
  start_B1 = (size + 1) * np.arange(num)[:, None]
  end_B = ((samples_BS - support_K[-1]) ** 2).mean(axis=1)

  def cost(share_B):
    at_BK = share_B[:, None] * rise_BK
    at_BK += level_BK
    # Rounding may put a whole level on either side. C is continuous there, only
    # its slope jumps.
    index_BK = at_BK.astype(np.int64)
    index_BK += start_B1
    score_BK = np.take(score_BS, index_BK, mode="clip")
    before_BK = np.take(before_BS, index_BK, mode="clip")
    rise_B = np.einsum("bk,bk->b", score_BK, rise_gap_BK)
    level_B = np.einsum("bk,bk->b", score_BK, level_gap_BK)
    integral_B = level_B + share_B * rise_B + before_BK @ gap_K
    value_B = level_weight_B + share_B * rise_weight_B - 2 * integral_B
    return end_B - value_B / size, (2 * rise_B - rise_weight_B) / size

  return cost
