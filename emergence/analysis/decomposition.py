"""Whether a mean changes because more seeds succeed or seeds are better."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emergence.analysis.question import (
  Finding,
  Question,
  Section,
  finding,
  interval_columns,
)
from emergence.analysis.series import Analysis, Population, Series
from emergence.analysis.summaries import scale_names
from emergence.plotting import drawing
from emergence.plotting.style import FILL, OTHERS, SUCCEEDED, styled
from emergence.statistics import decomposition
from emergence.statistics.decomposition import Decomposition
from emergence.statistics.intervals import Interval
from emergence.statistics.modality import holm
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.sample import SAME_SCORE

# The parts of a change: for each, its name in the figure and its colour.
_PARTS = {
  "by_share": ("share that succeeds", SUCCEEDED),
  "by_successes": ("scores of successes", FILL),
  "by_others": ("scores of failures", OTHERS),
}
_MOST_TICKS = 8


def compute(
  several: Sequence[Series],
) -> list[list[Decomposition | None] | None]:
  """For each series, splits the change of the mean between neighbouring scales.

  None for a series without a threshold, and for a pair of scales if one of them
  has no score.
  """
  return [
    None
    if (threshold := series.flipped_threshold) is None
    else decomposition.decompositions(
      series.better_samples, threshold, series.options
    )
    for series in several
  ]


def _steps(
  series: Series,
) -> list[tuple[Population, Population, Decomposition]]:
  """The changes that are decomposed, each with its two scales."""
  pairs = itertools.pairwise(series.populations)
  found = series.answers["decomposition"] or []
  return [
    (a, b, x) for (a, b), x in zip(pairs, found, strict=False) if x is not None
  ]


def _columns(series: Series, found: Decomposition) -> dict[str, Any]:
  columns = interval_columns("mean_change", found.change, series.sign)
  for part in _PARTS:
    columns |= interval_columns(part, getattr(found, part), series.sign)
  return {name: value + 0.0 for name, value in columns.items()}  # No −0.


def rows(series: Series) -> Iterator[dict[str, Any]]:
  """One row per pair of neighbouring scales."""
  for a, b, found in _steps(series):
    yield {
      "metric": series.metric.name,
      "scale_from": a.scale,
      "scale_to": b.scale,
      "n_from": found.num_from,
      "n_to": found.num_to,
      "threshold": series.threshold,
      # A single run has no share.
      "share_from": found.share_from if found.num_from > 1 else None,
      "share_to": found.share_to if found.num_to > 1 else None,
      **_columns(series, found),
    }


def findings(series: Series) -> Iterator[Finding]:
  """States the largest change of the mean that is significant, if any is."""
  if not _steps(series):
    return
  tested = [
    (a, b, x)
    for a, b, x in _steps(series)
    if min(x.num_from, x.num_to) >= MIN_RUNS
  ]
  adjusted = holm([x.p for *_, x in tested])
  steps = [
    (a, b, x)
    for (a, b, x), p in zip(tested, adjusted, strict=True)
    if p <= series.options.alpha
    and abs(x.change.value) > SAME_SCORE
    # If the scores of each scale are equal, the interval is NaN and passes.
    and not x.change.low <= 0 <= x.change.high
    and not _is_reversed(a, b, x)
  ]
  if not steps:
    text = (
      "changes of the mean are tested only between scales with"
      f" {MIN_RUNS} runs or more"
    )
    if tested:
      text = "no change of the mean between neighbouring scales is shown"
      if len(tested) > 1:
        text += f", after correction for {len(tested)} pairs"
    yield finding("decomposition", series, text)
    return
  a, b, found = max(steps, key=lambda step: abs(step[2].change.value))
  columns = _columns(series, found)
  change = columns["mean_change"]
  # All parts get the decimals that show two digits of the change.
  decimals = max(0, 1 - math.floor(math.log10(abs(change))))
  reasons = _reasons(series, (a, b), found)
  values = [columns[part] * np.sign(change) for part in reasons]
  parts = [
    (f"{value:.{decimals}f}".replace("-", "−"), why)
    for value, why in zip(
      _rounded(values, abs(change), decimals), reasons.values(), strict=True
    )
    if value
  ]
  shares = found.share_from, found.share_to
  if {*shares} == {0, 1}:
    none, all_ = (a, b) if shares == (0, 1) else (b, a)
    because = (
      f"; this cannot be split up: no seed succeeds at {none.name}, all do at"
      f" {all_.name}"
    )
  elif len(parts) == 1:
    because = f", because {parts[0][1]}"
  else:
    because = ": " + ", ".join(f"{text} because {why}" for text, why in parts)
  whose = ""
  if a.sample.num_diverged or b.sample.num_diverged:
    whose = " among seeds that did not diverge"
  texts = [
    f"from {series.scale_name(a)} to {b.name} the mean{whose}"
    f" {'rises' if change > 0 else 'falls'} by {abs(change):.{decimals}f}"
    f"{because}",
    *_borrowed(series, (a, b), found),
  ]
  for text in texts:
    yield finding(
      "decomposition",
      series,
      text,
      scale_from=a.scale,
      scale_to=b.scale,
      share_from=found.share_from,
      share_to=found.share_to,
      **columns,
    )


def _rounded(
  values: Sequence[float], total: float, decimals: int
) -> list[float]:
  """Values rounded so that they add up to their rounded total."""
  unit = 10.0**-decimals
  exact_P = np.array(values) / unit
  rounded_P = np.round(exact_P)
  left = round(round(total, decimals) / unit) - int(rounded_P.sum())
  for i in np.argsort(-np.sign(left) * (exact_P - rounded_P))[: abs(left)]:
    rounded_P[i] += np.sign(left)
  return [float(x) for x in rounded_P * unit]


def _is_reversed(a: Population, b: Population, found: Decomposition) -> bool:
  """Whether P(success) moves the other way if diverged runs are failures."""
  all_from = found.share_from * found.num_from / a.sample.size
  all_to = found.share_to * found.num_to / b.sample.size
  change = found.share_to - found.share_from
  return change * (all_to - all_from) < -(SAME_SCORE**2)


def _reasons(
  series: Series, pair: tuple[Population, Population], found: Decomposition
) -> dict[str, str]:
  """The reason for each part, in words."""

  def higher(part: Interval) -> str:
    if series.metric.higher_is_better:
      return "higher" if part.value > 0 else "lower"
    return "lower, so better" if part.value > 0 else "higher, so worse"

  more = "more" if found.share_to > found.share_from else "fewer"
  shares = zip(pair, (found.share_from, found.share_to), strict=True)
  ends = {0.0: "none", 1.0: "all"}
  where = [f"{ends[x]} at {p.name}" for p, x in shares if x in ends]
  return {
    "by_share": f"{more} seeds succeed{(where and f' ({where[0]})') or ''}",
    "by_successes": f"successes score {higher(found.by_successes)}",
    "by_others": f"failures score {higher(found.by_others)}",
  }


def _borrowed(
  series: Series, pair: tuple[Population, Population], found: Decomposition
) -> Iterator[str]:
  """Says which mean is undefined at one scale and taken from the other."""
  shares = found.share_from, found.share_to
  if {*shares} == {0, 1}:
    return
  for share, verb, kind in (
    (0, "succeeds", "successes"),
    (1, "fails", "failures"),
  ):
    lacking = [p for p, x in zip(pair, shares, strict=True) if x == share]
    if len(lacking) == 1:
      (at,) = lacking
      other = pair[0] if at is pair[1] else pair[1]
      yield (
        f"no seed {verb} at {series.scale_name(at)}, so the mean of {kind} at"
        f" {other.name} is used for both scales"
      )


def sections(analysis: Analysis) -> Iterator[Section]:
  several = [
    series
    for series in analysis.of_first_metric
    if any(x.share_from or x.share_to for *_, x in _steps(series))
  ]
  if several:
    yield Section(
      "more-or-better",
      f"Bars split the change of the mean from one value of {several[0].axis}"
      " to the next into three parts: a larger or smaller share of seeds"
      " succeeds, successes score higher or lower, and failures score higher or"
      " lower. Dots are the whole change.",
      "Lines are 95 % intervals of the whole change over seeds, drawn where"
      " both scales have 10 runs or more. Diverged runs are left out here and"
      " in the mean, so where runs diverged, the share of successes is not the"
      " success probability. Where no seed succeeds at one of the two scales,"
      " the mean of its successes is set to that of the other scale; where all"
      " succeed, so is the mean of its failures. decomposition.csv has the"
      " numbers, with intervals of the parts.",
      figure=draw(several),
    )


@styled
def draw(several: Sequence[Series]) -> Figure:
  """Plots the parts of each change as stacked bars, one panel per group.

  A bar stands at the second of its two scales.

  Args:
    several: the series of one metric.
  """
  names = scale_names(several)
  place = {scale: i for i, scale in enumerate(sorted(names))}

  def panel(axes: Axes, series: Series) -> None:
    steps = _steps(series)
    x_N = np.array([place[b.scale] for _, b, _ in steps], float)
    columns = [_columns(series, found) for *_, found in steps]
    ends_2N = np.zeros((2, len(steps)))  # Rows: above, below zero.
    for part, (_, color) in _PARTS.items():
      value_N = np.array([c[part] for c in columns], float)
      is_below = (value_N < 0).astype(int)
      start_N = ends_2N[is_below, np.arange(len(steps))]
      axes.bar(x_N, value_N, 0.8, start_N, color=color)
      ends_2N[is_below, np.arange(len(steps))] = start_N + value_N
    names_3 = ("mean_change", "mean_change_low", "mean_change_high")
    change_3N = np.array(
      [[c[name] for name in names_3] for c in columns], float
    ).T
    axes.errorbar(
      x_N,
      change_3N[0],
      drawing.interval_bars(*change_3N),
      fmt="k.",
      markersize=3,
      elinewidth=0.6,
    )
    axes.axhline(0, color="black", linewidth=0.6)
    shown = sorted(place)[1 :: math.ceil(len(place) / _MOST_TICKS)]
    drawing.label_ticks(
      axes, [place[x] for x in shown], [names[x] for x in shown]
    )

  figure = drawing.panel_per_group(
    several,
    panel,
    f"{several[0].axis}, compared with the one before",
    "change of the mean",
  )
  return drawing.explain_colors(figure, dict(_PARTS.values()))


QUESTION = Question(
  "decomposition",
  "Does the mean change because more seeds succeed?",
  compute,
  files={"decomposition.csv": rows},
  findings=findings,
  sections=sections,
)
