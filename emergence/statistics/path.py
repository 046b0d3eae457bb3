"""Does mass move between two modes, or does every run improve a little?

Two ways lead from the first distribution P₀ on an ordered axis to the last, P₁:

- the mixture path (1 − α)P₀ + αP₁: a share α of the runs has changed over;
- the displacement path with quantiles (1 − α)F₀⁻¹ + αF₁⁻¹: every run has gone
  a share α of its way. It is the Wasserstein-2 geodesic (McCann 1997, "A
  convexity principle for interacting gases").

A steep metric turns a smooth change of what runs can do into a mixture, or
into neither, since it shows most runs at one end or the other: repeat the test
under the log-likelihood of the answer.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from emergence.statistics import path_fit, score_grid, transport

Verdict = Literal["mixture", "displacement", "neither", "undecided"]

# Resamples of fewer runs lie too close to each other, in their tails above all.
MIN_RUNS = 30
# As a share of the scores' range: a finer grid makes no difference.
_FINEST_STEP = 1e-3
# Of the search for the nearest mixture, see `path_fit.fit_mixture`.
_FIT_STEPS, _RESAMPLE_STEPS = 60, 10


class Fit(NamedTuple):
  """The point of a path which is nearest to a distribution.

  Attributes:
    share: α there, in [0, 1]; NaN where P₀ and P₁ have the same quantiles.
    share_low: lower end of its bootstrap interval.
    share_high: upper end.
    distance: Wasserstein-2 distance to it, in units of the score.
    null: quantile (95 % unless asked otherwise) of that distance for runs on
      the path.
    p: p-value of a distribution on the path.
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
    difference: squared distance to the displacement path, less that to the
      mixture path; positive where the mixture path is nearer. Squared, because
      resampling adds the same to both squares, to a first approximation.
    low: lower end of its bootstrap interval.
    high: upper end.
    mixture_p: p-value of a difference so low on the mixture path.
    displacement_p: p-value of a difference so high on the displacement path.
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
  samples: Sequence[npt.ArrayLike],
  step: float | None = None,
  confidence: float = 0.95,
  rejection: float = 0.01,
  num_resamples: int = 1000,
  seed: int = 0,
) -> list[Path]:
  """Compares every scale between the first and the last with both paths.

  The nearest points are exact. Their uncertainty comes from resampling all
  three scales, the end points included: from the scores for the interval of the
  difference (the percentile bootstrap of Efron 1979, "Bootstrap methods"), from
  the fitted point of a path for the distance and the difference that runs on
  this path would show (the parametric bootstrap; for the difference the test of
  separate families of Cox 1961, "Tests of separate families of hypotheses").
  S − 1 of S runs are drawn, which makes the variance of a resample unbiased
  (Rao and Wu 1988, "Resampling inference with complex survey data"). Scales are
  taken to be independent; where seeds carry over between them, the intervals
  are too wide.

  Verdicts:
    neither: both distances are rejected on their path, p ≤ `rejection`.
    mixture, displacement: this path is nearer, its distance is not rejected,
      the interval of its share leaves out 0 and 1, where the paths meet, and
      either the interval of the difference leaves out 0, or the difference is
      rejected on the other path and not on this one.
    undecided: everything else, and whatever fewer than 30 runs show.

  On a grid no distribution lies exactly between two others, so the mixture path
  would seem nearer. Equal scores are therefore spread evenly over their cell of
  the grid, which changes distances by the order of its step, and runs on the
  displacement path are rounded to the grid and spread at random.

  `rejection` is 1 % rather than 5 %, which would call one in twenty exact
  mixtures neither. Rates: `python -m emergence.statistics.calibration.paths`.
  Distributions beyond an end point (a U-shaped axis) are near neither path. The
  verdict is about the scores as they are; see the top of this module about
  steep metrics.

  Args:
    samples: finite scores of at least three scales in their order, [S] each;
      sizes may differ, and lower may be better.
    step: of the grid on which the scores lie, such as 1 / items; the guess of
      `score_grid.grid_step` if None, no grid if 0.
    confidence: of the interval, and level of the nulls' quantiles.
    rejection: level at which a path is rejected.
    num_resamples: of each of the three bootstraps.
    seed: of the resamples.

  Returns:
    One for each scale between the first and the last.

  Raises:
    ValueError: fewer than three scales, an empty one, or a score that is not
      finite: runs that diverged have failed, and what score a failure has is
      for the caller to say.
  """
  scores = transport.require_finite(samples)
  if len(scores) < 3:
    raise ValueError(f"a path needs three scales or more, got {len(scores)}")
  pooled = np.concatenate(scores)
  if step is None:
    step = score_grid.grid_step(pooled, (-np.inf, np.inf))
    step = step if step > _FINEST_STEP * np.ptp(pooled) else 0.0
  # Sums of squares lose less near zero.
  origin = pooled.min()
  scores = [_spread(np.sort(s - origin), step) for s in scores]
  rng = np.random.default_rng(seed)
  ends = scores[0], scores[-1]
  observed = path_fit.draw_ends(*ends, *[np.arange(s.size)[None] for s in ends])
  resampled = path_fit.draw_ends(
    *ends,
    *[_indices(_uniforms(rng, num_resamples, s.size), s.size) for s in ends],
  )
  return [
    _compare(sample_S, rng, observed, resampled, step, confidence, rejection)
    for sample_S in scores[1:-1]
  ]


def _uniforms(rng, num, size):
  """Ascending uniform numbers, one fewer than there are runs: [B, S − 1]."""
  total = np.cumsum(rng.exponential(size=(num, max(size, 2))), axis=1)
  return total[:, :-1] / total[:, -1:]


def _indices(uniform_BD, size):
  return np.minimum((size * uniform_BD).astype(int), size - 1)


def _resample(scores_S, uniform_BD):
  return scores_S[_indices(uniform_BD, scores_S.size)]


def _compare(sample_S, rng, observed, resampled, step, confidence, rejection):
  uniform_BD = _uniforms(rng, len(resampled.first_BS), sample_S.size)
  first_S, last_S = observed.first_BS[0], observed.last_BT[0]
  # Squares this small are rounding errors.
  slack = 1e-12 * max(observed.support_K[-1], sample_S[-1]) ** 2

  def fit(samples_BS, ends, steps):
    mix_share_B, mix_B = path_fit.fit_mixture(samples_BS, ends, steps)
    move_share_B, move_B = path_fit.fit_displacement(samples_BS, ends)
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
  (length,) = path_fit.squared_distance(observed.first_BS, observed.last_BT)
  tails = [(1 - confidence) / 2, (1 + confidence) / 2]
  fits = []
  for share, share_B, squared, null_B in zip(
    shares, drawn_shares, squares, (mix_B, move_B), strict=True
  ):
    share_low, share_high = np.quantile(share_B, tails)
    fits.append(
      Fit(
        share=float(share) if length > 0 else np.nan,
        share_low=float(share_low) if length > 0 else np.nan,
        share_high=float(share_high) if length > 0 else np.nan,
        distance=float(np.sqrt(squared)),
        null=float(np.sqrt(np.quantile(null_B, confidence))),
        p=p_value(null_B, squared),
      )
    )
  low, high = np.quantile(gain_B, tails)
  result = Path(
    mixture=fits[0],
    displacement=fits[1],
    difference=float(difference),
    low=float(low),
    high=float(high),
    mixture_p=p_value(-on_mixture_B, -difference),
    displacement_p=p_value(on_displacement_B, difference),
    verdict="undecided",
    reason="",
  )
  num_runs = min(first_S.size, sample_S.size, last_S.size)
  verdict, reason = _decide(result, num_runs, rejection)
  return result._replace(verdict=verdict, reason=reason)


def _decide(path, num_runs, rejection) -> tuple[Verdict, str]:
  if num_runs < MIN_RUNS:
    return "undecided", f"{num_runs} runs at a scale, fewer than {MIN_RUNS}"
  p = max(path.mixture.p, path.displacement.p)
  if p <= rejection:
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
      return "undecided", f"not told from the {end} scale, where the paths meet"
  if fit.p <= rejection:
    return "undecided", f"nearest to the {name} path, yet far, p = {fit.p:.2g}"
  if path.low > 0 if path.difference > 0 else path.high < 0:
    interval = f"{path.low:.2g} to {path.high:.2g}"
    return name, f"interval of the difference, {interval}, leaves out 0"
  if other_p <= rejection < p:
    return name, f"this difference on the {other} path has p = {other_p:.2g}"
  return "undecided", "both paths show such a difference"


def _draw_mixture(ends, share, uniform_BD):
  cdf_K = (1 - share) * ends.first_cdf_BK[0] + share * ends.last_cdf_BK[0]
  return ends.support_K[np.searchsorted(cdf_K, uniform_BD, side="right")]


def _draw_displacement(first_S, last_S, share, step, uniform_BD, rng):
  mass_L, (i_L, j_L) = transport.couple(
    [np.full(s.size, 1 / s.size) for s in (first_S, last_S)]
  )
  score_L = (1 - share) * first_S[i_L] + share * last_S[j_L]
  level_L = np.cumsum(mass_L)[:-1]
  drawn_BD = score_L[np.searchsorted(level_L, uniform_BD, side="right")]
  if not step:
    return drawn_BD
  cell_BD = rng.uniform(-0.5, 0.5, drawn_BD.shape)
  return np.sort(step * (np.round(drawn_BD / step) + cell_BD), axis=1)


def _spread(scores_S, step):
  """Equal scores spread evenly over their cell of the grid."""
  _, count_U = np.unique(scores_S, return_counts=True)
  start_U = np.cumsum(count_U) - count_U
  rank_S = np.arange(scores_S.size) - np.repeat(start_U, count_U)
  cell_S = (rank_S + 0.5) / np.repeat(count_U, count_U) - 0.5
  return scores_S + step * cell_S
