"""How the share of runs that succeed moves over all scales of a series."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from emergence.analysis import words
from emergence.analysis.question import Finding, Question, finding
from emergence.analysis.series import Series, adjusted_over_groups
from emergence.statistics import scale_curve
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.scale_curve import LEVEL, ScaleCurve
from emergence.statistics.success import Success

# Points of a drawn curve between two scales.
_POINTS = 20


def compute(several: Sequence[Series]) -> list[ScaleCurve | None]:
  """Success probability over scales of each series; None without a threshold.

  Raises:
    ValueError: `log_scale` is set and a scale is not positive.
  """
  found = [
    None if series.answers["success"] is None else _curve(series)
    for series in several
  ]
  adjusted, least = (
    adjusted_over_groups(
      several, [math.nan if x is None else getattr(x.trend, p) for x in found]
    )
    for p in ("p", "least_p")
  )
  return [
    x
    and x._replace(
      trend=x.trend._replace(p_adjusted=p, least_p_adjusted=least_p)
    )
    for x, p, least_p in zip(found, adjusted, least, strict=True)
  ]


def _curve(series: Series) -> ScaleCurve:
  found = _successes(series)
  scale_N = np.array([p.scale for p in series.populations])
  position_N = np.arange(len(scale_N), dtype=float)
  if series.options.log_scale:
    if scale_N[0] <= 0:
      raise ValueError(
        f"--log_scale: {series.scale_name(series.populations[0])} has no"
        " logarithm; leave out the flag or that scale"
      )
    position_N = np.log2(scale_N)
  return scale_curve.scale_curve(
    [x.num_successes for x in found],
    [x.num_runs for x in found],
    position_N,
    series.options.seed,
  )


def _successes(series: Series) -> list[Success]:
  return [x.success.diverged_fail for x in series.answers["success"]]


def fitted(series: Series) -> tuple[np.ndarray, np.ndarray] | None:
  """Points of the logistic curve for drawing: M scales and their probabilities.

  Returns:
    Two arrays [M]; None if there is no such curve or if it does not fit.
  """
  curve: ScaleCurve = series.answers["curve"]
  if math.isnan(curve.logistic.slope) or curve.logistic.misfit_p < LEVEL:
    return None
  num = len(curve.position_N)
  at_M = np.interp(
    np.linspace(0, num - 1, (num - 1) * _POINTS + 1),
    np.arange(num),
    curve.position_N,
  )
  return _scale(series, at_M), curve.logistic.at(at_M)


def _scale(series: Series, position: Any) -> Any:
  """The scale at a position of the fit: interpolates ranks, keeps ±inf."""
  if series.options.log_scale:
    inside = np.exp2(position)
  else:
    scale_N = [p.scale for p in series.populations]
    inside = np.interp(position, np.arange(len(scale_N)), scale_N)
  return np.where(np.isfinite(position), inside, position)[()]


def values(series: Series) -> Iterator[dict[str, Any]]:
  curve: ScaleCurve | None = series.answers["curve"]
  # The share of a single run could be only 0 or 1: there is no curve.
  if curve is None or min(x.num_runs for x in _successes(series)) == 1:
    for _ in series.populations:
      yield {"success_logistic": None, "success_isotonic": None}
    return
  logistic_N = curve.logistic.at(curve.position_N)
  for logistic, isotonic in zip(logistic_N, curve.isotonic_N, strict=True):
    yield {"success_logistic": logistic, "success_isotonic": isotonic}


def entry(series: Series) -> dict[str, Any]:
  """The curve for summary.json; statistics/README.md explains its numbers."""
  curve: ScaleCurve | None = series.answers["curve"]
  if curve is None:
    return {"curve": None}
  scales = [p.scale for p in series.populations]
  falls, position = curve.falls, curve.crossing
  is_fall = falls.first >= 0
  found = _successes(series)
  # Rounded, so that the first of equal changes is taken as the largest.
  steps = np.round(np.diff([x.probability for x in found]), 12)
  largest = int(np.abs(steps).argmax()) if steps.size else None
  return {
    "curve": {
      "position": "log2" if series.options.log_scale else "rank",
      "logistic_slope": curve.logistic.slope,
      "logistic_intercept": curve.logistic.intercept,
      "separated": curve.logistic.separated,
      "misfit_p": curve.logistic.misfit_p,
      "trend_z": curve.trend.z,
      "trend_p": curve.trend.p,
      "trend_p_adjusted": curve.trend.p_adjusted,
      "crossing": _scale(series, position.position),
      "crossing_low": _scale(series, position.low),
      "crossing_high": _scale(series, position.high),
      "brackets": [[scales[i], scales[j]] for i, j in curve.brackets],
      # None, not 0, if so few runs could not have shown any fall.
      "falls": falls.num_found if falls.can_show else None,
      "fall_from": scales[falls.first] if is_fall else None,
      "fall_to": scales[falls.second] if is_fall else None,
      "fall_p": falls.p,
      "fall_p_adjusted": falls.p_adjusted,
      "largest_step": None if largest is None else steps[largest],
      "largest_step_from": None if largest is None else scales[largest],
      "largest_step_to": None if largest is None else scales[largest + 1],
    }
  }


def findings(series: Series) -> Iterator[Finding]:
  """States where P(success) starts and ends, falls, and crosses one half."""
  curve: ScaleCurve | None = series.answers["curve"]
  if curve is None:
    return
  found, scales = _successes(series), series.populations
  what = f"the share of seeds at {series.threshold_name}"
  first, last = found[0], found[-1]
  if len({x.probability for x in found}) == 1:
    fewest = min(found, key=lambda x: x.num_runs)
    where = f"at {series.scale_name(scales[0])}"
    if len(found) > 1:
      where = "at every scale"
    if len({x.num_runs for x in found}) == 1:
      seeds = f"{first.num_successes} of {words.count(first.num_runs, 'seed')}"
      seeds += " ends" if first.num_runs == 1 else " end"
    elif fewest.probability in (0, 1):
      seeds = "every seed ends" if fewest.probability else "no seed ends"
    else:
      seeds = f"a share of {fewest.probability:.2f} of the seeds ends"
    yield finding(
      "curve",
      series,
      f"{seeds} at {series.threshold_name}"
      f"{words.interval(fewest.low, fewest.high)} {where}",
      **fewest._asdict() | {"threshold": series.threshold},
    )
    return
  share_N = np.array([x.probability for x in found])
  change = share_N[-1] - share_N[0]
  is_trend = curve.trend.p_adjusted < LEVEL
  # A share whose range exceeds twice its net change neither rises nor falls.
  is_one_way = np.ptp(share_N) <= 2 * abs(change)
  verb = "goes"
  if is_trend and is_one_way and change * curve.trend.z > 0:
    verb = "rises" if change > 0 else "falls"
    # Single steps may go the other way by noise.
    if (np.diff(share_N) * change).min() < 0:
      verb = f"mostly {verb}"
  text = (
    f"from {series.scale_name(scales[0])} to {scales[-1].name} {what} {verb}"
    f" from {_share(first)} to {_share(last)}"
  )
  if not is_trend:
    text += (
      "; no trend is shown"
      if curve.trend.least_p_adjusted < LEVEL
      else "; there are too few seeds to show a trend"
    )
  yield finding(
    "curve",
    series,
    text,
    probability_from=first.probability,
    probability_to=last.probability,
    trend_p=curve.trend.p,
    trend_p_adjusted=curve.trend.p_adjusted,
  )
  falls = curve.falls
  i, j = falls.first, falls.second
  # The first sentence may state this fall already.
  is_told = verb.endswith("falls") and (i, j) == (0, len(found) - 1)
  if falls.num_found and not is_told:
    text = (
      f"{what} falls from {_share(found[i])} at {series.scale_name(scales[i])}"
      f" to {_share(found[j])} at {scales[j].name}"
    )
    if falls.num_found > 1:
      text += f", the clearest of {falls.num_found} falls"
    yield finding(
      "curve",
      series,
      text,
      scale_from=scales[i].scale,
      scale_to=scales[j].scale,
      p=falls.p,
      p_adjusted=falls.p_adjusted,
      num_pairs=falls.num_pairs,
    )
  yield _crossing(series, curve, what)


def _share(found: Success) -> str:
  """Text of a success probability: `0.47`, or `3 of 7` of under 10 runs."""
  if found.num_runs < MIN_RUNS:
    return f"{found.num_successes} of {found.num_runs}"
  return f"{found.probability:.2f}"


def _crossing(series: Series, curve: ScaleCurve, what: str) -> Finding:
  """States between which scales the share is shown to cross one half."""
  scales = series.populations
  low, high = _scale(series, [curve.crossing.low, curve.crossing.high])
  text = f"{what} is not shown to cross one half"
  if curve.brackets:
    pairs = [
      f"between {series.scale_name(scales[i])} and {scales[j].name}"
      for i, j in curve.brackets
    ]
    text = f"{what} crosses one half {words.listed(pairs)}"
    # State the logistic interval only if a single bracket contains it.
    (i, j), *others = curve.brackets
    if not others and scales[i].scale <= low < high <= scales[j].scale:
      text += f" (95% interval if the curve is logistic: {words.size(low)} to"
      text += f" {words.size(high)})"
  return finding("curve", series, text, crossing_low=low, crossing_high=high)


QUESTION = Question(
  "curve",
  "How many seeds succeed at each scale?",
  compute,
  values=values,
  entry=entry,
  findings=findings,
)
