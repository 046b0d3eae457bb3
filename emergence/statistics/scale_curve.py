"""The success probability as a curve over all scales of a series.

For the shares of successful runs at N scales: two fits, a test of a trend,
where the curve crosses one half, and between which scales it falls. Each scale
has a position, a number that increases over the scales: its rank, or the
logarithm of its size. Runs count as independent.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from emergence.statistics.modality import holm
from emergence.statistics.options import CONFIDENCE
from emergence.statistics.success import is_nearly_normal

# Fewer scales can hardly show that a logistic curve does not fit.
MIN_SCALES_FOR_CROSSING = 5
# Three successful runs against three failed ones have a one-sided p-value of
# exactly 0.05. Rounding must not put it below the level.
LEVEL = 1 - CONFIDENCE - 1e-9
_NUM_PERMUTATIONS = 4999
# The log-likelihood at the interval's ends is this much below its maximum.
_MOST_LOSS = float(stats.chi2.ppf(CONFIDENCE, 1)) / 2


class Logistic(NamedTuple):
  """P = 1 / (1 + exp(−intercept − slope · position)), by maximum likelihood.

  Attributes:
    intercept: NaN if no curve fits best.
    slope: change of the logit of P per unit of position; NaN if no curve fits
      best.
    separated: whether all runs fail before some scale and succeed after it, or
      the other way round; that scale itself may have both. A steeper curve then
      always fits better, so no curve fits best.
    log_likelihood: the largest value, or its limit for ever steeper curves if
      `separated`; NaN if all runs succeed, if all fail, or with one scale.
    misfit_p: p-value of the likelihood-ratio test of the curve against one free
      probability per scale; NaN without a curve or with fewer than 3 scales.
  """

  intercept: float
  slope: float
  separated: bool
  log_likelihood: float
  misfit_p: float

  def at(self, positions: npt.ArrayLike) -> np.ndarray:
    """P at positions of any shape; NaN if there is no curve."""
    return special.expit(self.intercept + self.slope * np.asarray(positions))


class Trend(NamedTuple):
  """Cochran–Armitage test of a trend of the success probability.

  Attributes:
    z: test statistic, standard normal if there is no trend and positive for a
      rise; NaN if all runs succeed or all fail, or if there is one scale.
    p: two-sided p-value.
    least_p: the least p that an outcome of so many runs could have; NaN like z.
    p_adjusted: p after Holm's correction over the groups of the metric; NaN
      until the caller sets it.
    least_p_adjusted: the same correction of `least_p` of all groups.
  """

  z: float
  p: float
  least_p: float
  p_adjusted: float = math.nan
  least_p_adjusted: float = math.nan


class Crossing(NamedTuple):
  """Where the logistic curve crosses one half, with its 95 % interval.

  A value is −inf before the first scale, inf after the last one, and NaN where
  the curve gives no crossing.

  Attributes:
    position: position of the crossing.
    low: lower end of the profile-likelihood interval.
    high: upper end.
  """

  position: float
  low: float
  high: float


class Falls(NamedTuple):
  """Pairs of scales between which the success probability falls.

  Attributes:
    num_pairs: pairs of a scale and a later one, all of which are tested.
    num_found: those with a p-value < 0.05 after Holm's correction.
    first: index of the first scale of the pair with the least p-value; -1 if no
      share is below an earlier one.
    second: index of the second scale of this pair.
    p: one-sided p-value of this pair, NaN if there is no pair.
    p_adjusted: the same after Holm's correction over all pairs.
    can_show: whether any outcome of so many runs could have shown a fall.
  """

  num_pairs: int
  num_found: int
  first: int
  second: int
  p: float
  p_adjusted: float
  can_show: bool


class ScaleCurve(NamedTuple):
  """All results for the success probability of one series.

  Attributes:
    position_N: positions of the scales, increasing, [N].
    logistic: the logistic curve.
    isotonic_N: the most likely probabilities that only rise or only fall, [N].
    trend: test of a trend.
    crossing: where the logistic curve crosses one half.
    brackets: pairs of scales, as indices, between which the success probability
      crosses one half, whatever the shape of the curve. All of them hold at
      once with 95 % confidence.
    falls: pairs of scales between which the success probability falls.
  """

  position_N: np.ndarray
  logistic: Logistic
  isotonic_N: np.ndarray
  trend: Trend
  crossing: Crossing
  brackets: tuple[tuple[int, int], ...]
  falls: Falls


def scale_curve(
  successes_N: npt.ArrayLike,
  runs_N: npt.ArrayLike,
  position_N: npt.ArrayLike,
  seed: int = 0,
) -> ScaleCurve:
  """Fits and tests the success probability over N scales.

  Args:
    successes_N: runs that succeed at each scale, [N].
    runs_N: runs at each scale, at least 1, [N].
    position_N: position of each scale, increasing, [N].
    seed: of the permutations of the trend test.
  """
  k_N, n_N = np.asarray(successes_N, int), np.asarray(runs_N, int)
  x_N = np.asarray(position_N, float)
  logistic = fit_logistic(k_N, n_N, x_N)
  found = trend(k_N, n_N, x_N, seed)
  isotonic_N = fit_isotonic(k_N, n_N, increasing=not found.z < 0)
  return ScaleCurve(
    x_N,
    logistic,
    isotonic_N,
    found,
    crossing(k_N, n_N, x_N, logistic),
    half_brackets(k_N, n_N),
    falls(k_N, n_N),
  )


def fit_isotonic(
  successes_N: np.ndarray, runs_N: np.ndarray, increasing: bool = True
) -> np.ndarray:
  """The most likely probabilities that never fall (or never rise), [N].

  Neighbouring shares in the wrong order are pooled: Ayer et al. (1955), "An
  empirical distribution function for sampling with incomplete information",
  Annals of Mathematical Statistics 26.
  """
  fit = optimize.isotonic_regression(
    successes_N / runs_N, weights=runs_N, increasing=increasing
  )
  return np.asarray(fit.x)


def fit_logistic(
  successes_N: np.ndarray, runs_N: np.ndarray, position_N: np.ndarray
) -> Logistic:
  """The logistic curve by maximum likelihood, found by Newton's method."""
  k_N, n_N = np.asarray(successes_N, float), np.asarray(runs_N, float)
  share_N = k_N / n_N
  total = k_N.sum() / n_N.sum()
  saturated = float(
    (special.xlogy(k_N, share_N) + special.xlogy(n_N - k_N, 1 - share_N)).sum()
  )
  if total in (0, 1) or len(k_N) < 2:
    return Logistic(math.nan, math.nan, False, math.nan, math.nan)
  if _gap(k_N, n_N, position_N) is not None:
    return Logistic(math.nan, math.nan, True, saturated, math.nan)
  centre, spread = position_N.mean(), position_N.std()
  design_N2 = np.stack([np.ones(len(k_N)), (position_N - centre) / spread], 1)
  beta = np.array([special.logit(total), 0.0])
  value = _log_likelihood(design_N2 @ beta, k_N, n_N)
  for _ in range(100):
    p_N = special.expit(design_N2 @ beta)
    gradient = design_N2.T @ (k_N - n_N * p_N)
    weight_N = n_N * p_N * (1 - p_N)
    step = np.linalg.solve((design_N2.T * weight_N) @ design_N2, gradient)
    # Halve a step that leads downhill; the likelihood is concave.
    for _ in range(40):
      next_value = _log_likelihood(design_N2 @ (beta + step), k_N, n_N)
      if next_value >= value:
        break
      step /= 2
    beta, value = beta + step, max(value, next_value)
    if np.abs(step).max() < 1e-10:
      break
  slope = float(beta[1] / spread)
  spare = len(k_N) - 2
  return Logistic(
    float(beta[0] - slope * centre),
    slope,
    False,
    float(value),
    float(stats.chi2.sf(2 * (saturated - value), spare)) if spare else math.nan,
  )


def trend(
  successes_N: np.ndarray,
  runs_N: np.ndarray,
  position_N: np.ndarray,
  seed: int = 0,
) -> Trend:
  """The Cochran–Armitage test of a trend of the success probability.

  Cochran (1954), "Some methods for strengthening the common χ² tests",
  Biometrics 10, and Armitage (1955), "Tests for linear trends in proportions
  and frequencies", Biometrics 11. It is the score test of the slope of a
  logistic curve. The p-value is that of the normal distribution where
  `success.is_nearly_normal` holds. Otherwise it is exact if there are two
  scales; with more, it is that of 4999 permutations of the outcomes of all
  runs.

  Args:
    successes_N: runs that succeed at each scale, [N].
    runs_N: runs at each scale, [N].
    position_N: position of each scale, [N].
    seed: seed of the permutations.
  """
  k_N, n_N = np.asarray(successes_N), np.asarray(runs_N)
  hits, total = int(k_N.sum()), int(n_N.sum())
  if len(k_N) < 2 or hits in (0, total):
    return Trend(math.nan, math.nan, math.nan)
  # The clearest outcome: all runs fail up to the middle and succeed after it,
  # or the other way round.
  num_before = min(np.cumsum(n_N), key=lambda num: abs(2 * num - total))
  least_p = 2 / math.comb(total, int(num_before))
  centred_N = position_N - np.average(position_N, weights=n_N)
  share = hits / total
  deviation = math.sqrt(share * (1 - share) * float(n_N @ centred_N**2))
  z = float(k_N @ centred_N) / deviation
  if is_nearly_normal(hits, n_N):
    return Trend(z, float(2 * stats.norm.sf(abs(z))), least_p)
  if len(k_N) == 2:
    return Trend(z, _two_sided(k_N, n_N), least_p)
  permuted_RN = np.random.default_rng(seed).multivariate_hypergeometric(
    n_N, hits, size=_NUM_PERMUTATIONS, method="marginals"
  )
  null_R = np.abs(permuted_RN @ centred_N) / deviation
  as_large = int((null_R >= abs(z) - 1e-9).sum())
  return Trend(z, (1 + as_large) / (1 + _NUM_PERMUTATIONS), least_p)


def _two_sided(k_2: np.ndarray, n_2: np.ndarray) -> float:
  """Exact two-sided p-value for two scales, given the total of successes."""
  hits, total = int(k_2.sum()), int(n_2.sum())
  possible_M = np.arange(hits + 1)
  p_M = stats.hypergeom.pmf(possible_M, total, n_2[1], hits)
  distance_M = np.abs(possible_M - hits * n_2[1] / total)
  return min(1.0, float(p_M[distance_M >= distance_M[k_2[1]] - 1e-9].sum()))


def crossing(
  successes_N: np.ndarray,
  runs_N: np.ndarray,
  position_N: np.ndarray,
  logistic: Logistic,
) -> Crossing:
  """Where the logistic curve crosses one half, with its profile interval.

  A position is in the interval if some logistic curve that crosses one half
  there has a log-likelihood at most 1.92 below the largest: Venzon and
  Moolgavkar (1988), "A method for computing profile-likelihood-based confidence
  intervals", Applied Statistics 37. Only curves that rise or fall as the best
  one does are considered. The limit of ever steeper curves counts as a curve,
  so that separated outcomes have an interval too. Nothing is extrapolated
  beyond the scales.

  Args:
    successes_N: runs that succeed at each scale, [N].
    runs_N: runs at each scale, [N].
    position_N: position of each scale, increasing, [N].
    logistic: the curve of these runs.

  Returns:
    A `Crossing`. All of it is NaN for fewer than 5 scales, where all runs
    succeed or all fail, and where the curve does not fit (`misfit_p` < 0.05).
    A position or an end beyond the scales is −inf or inf.
  """
  nothing = Crossing(math.nan, math.nan, math.nan)
  if (
    len(position_N) < MIN_SCALES_FOR_CROSSING
    or math.isnan(logistic.log_likelihood)
    or logistic.misfit_p < LEVEL
    or logistic.slope == 0
  ):
    return nothing
  k_N, n_N = np.asarray(successes_N, float), np.asarray(runs_N, float)
  first, last = float(position_N[0]), float(position_N[-1])
  sign = math.copysign(1, logistic.slope)
  position = -logistic.intercept / logistic.slope
  if logistic.separated:
    sign = math.copysign(1, k_N[-1] / n_N[-1] - k_N[0] / n_N[0])
    position = _where_separated(k_N, n_N, position_N, sign)
  inner = min(max(position, first), last)

  def above_limit(at: float) -> float:
    log_likelihood = _profile(k_N, n_N, sign * (position_N - at))
    return log_likelihood - logistic.log_likelihood + _MOST_LOSS

  if position != inner:
    position = math.copysign(math.inf, position - inner)
    if above_limit(inner) < 0:
      return Crossing(position, position, position)
  ends = [
    beyond
    if above_limit(outer) >= 0
    else optimize.root_scalar(above_limit, bracket=(inner, outer)).root
    for outer, beyond in ((first, -math.inf), (last, math.inf))
  ]
  return Crossing(position, ends[0], ends[1])


def half_brackets(
  successes_N: np.ndarray, runs_N: np.ndarray
) -> tuple[tuple[int, int], ...]:
  """Scales between which the success probability crosses one half.

  A scale is shown to be below or above one half if its whole Clopper–Pearson
  interval of level 1 − 0.05 / N is. Among the scales so shown, two neighbours
  on different sides of one half are a bracket.

  Returns:
    The brackets, as pairs of indices of scales.
  """
  level = LEVEL / (2 * len(runs_N))
  # The interval leaves out one half exactly if this tail is at most the level.
  is_below_N = stats.binom.cdf(successes_N, runs_N, 0.5) <= level
  is_above_N = stats.binom.sf(successes_N - 1, runs_N, 0.5) <= level
  side_N = is_above_N.astype(int) - is_below_N
  shown = [int(i) for i in np.flatnonzero(side_N)]
  return tuple(
    (i, j) for i, j in itertools.pairwise(shown) if side_N[i] != side_N[j]
  )


def falls(successes_N: np.ndarray, runs_N: np.ndarray) -> Falls:
  """Tests for each pair of scales whether the later one succeeds less often.

  One-sided exact tests of Fisher (1935), "The logic of inductive inference",
  Journal of the Royal Statistical Society 98, with Holm's correction over all
  pairs.

  Args:
    successes_N: runs that succeed at each scale, [N].
    runs_N: runs at each scale, [N].
  """
  k_N, n_N = np.asarray(successes_N), np.asarray(runs_N)
  i_T, j_T = np.triu_indices(len(k_N), 1)
  num_pairs = len(i_T)
  if not num_pairs:
    return Falls(0, 0, -1, -1, math.nan, math.nan, False)
  p_T = stats.hypergeom.sf(
    k_N[i_T] - 1, n_N[i_T] + n_N[j_T], k_N[i_T] + k_N[j_T], n_N[i_T]
  )
  p_T = np.minimum(p_T, 1)
  adjusted_T = holm(p_T)
  # The clearest outcome: all runs of one scale succeed, none of the other.
  ways = max(
    math.comb(int(n_N[i] + n_N[j]), int(n_N[i]))
    for i, j in zip(i_T, j_T, strict=True)
  )
  can_show = ways >= num_pairs / LEVEL
  t = int(p_T.argmin())
  i, j = int(i_T[t]), int(j_T[t])
  if k_N[j] / n_N[j] >= k_N[i] / n_N[i]:
    return Falls(num_pairs, 0, -1, -1, math.nan, math.nan, can_show)
  num_found = int((adjusted_T < LEVEL).sum())
  return Falls(
    num_pairs, num_found, i, j, float(p_T[t]), float(adjusted_T[t]), can_show
  )


def _log_likelihood(
  logit_N: np.ndarray, successes_N: np.ndarray, runs_N: np.ndarray
) -> float:
  failing_N = runs_N - successes_N
  return -float(
    successes_N @ np.logaddexp(0, -logit_N)
    + failing_N @ np.logaddexp(0, logit_N)
  )


def _profile(
  successes_N: np.ndarray, runs_N: np.ndarray, distance_N: np.ndarray
) -> float:
  """Largest log-likelihood where logits are slope · distance, slope ≥ 0."""

  def gradient(slope: float) -> float:
    expected_N = runs_N * special.expit(slope * distance_N)
    return float((successes_N - expected_N) @ distance_N)

  slope = 0.0
  if gradient(0) > 0:
    most = 1.0
    # The gradient decreases; without a maximum it reaches 0 only at infinity.
    while gradient(most) > 0 and most < 1e12:
      most *= 2
    slope = most
    if gradient(most) < 0:
      slope = optimize.root_scalar(gradient, bracket=(0, most)).root
  return _log_likelihood(slope * distance_N, successes_N, runs_N)


def _gap(
  successes_N: np.ndarray, runs_N: np.ndarray, position_N: np.ndarray
) -> tuple[float, float] | None:
  """Positions between which separated outcomes change, or None."""
  succeeded_N = position_N[successes_N > 0]
  failed_N = position_N[successes_N < runs_N]
  for before_N, after_N in (failed_N, succeeded_N), (succeeded_N, failed_N):
    if before_N.max() <= after_N.min():
      return float(before_N.max()), float(after_N.min())
  return None


def _where_separated(
  successes_N: np.ndarray,
  runs_N: np.ndarray,
  position_N: np.ndarray,
  sign: float,
) -> float:
  """Where the limit of ever steeper curves crosses one half, if separated."""
  gap = _gap(successes_N, runs_N, position_N)
  assert gap is not None
  if gap[0] < gap[1]:
    return sum(gap) / 2
  # At this scale the curve has the observed share; it crosses just beside it.
  share = (successes_N / runs_N)[position_N == gap[0]][0]
  beside = 1e-6 * (position_N[-1] - position_N[0]) * np.sign(share - 0.5)
  return float(gap[0] - sign * beside)
