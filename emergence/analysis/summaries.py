"""What the mean, the median and the mode of the seeds are at each scale."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from emergence.analysis import scale_curve, words
from emergence.analysis.question import (
  Finding,
  Question,
  Section,
  finding,
  interval_columns,
)
from emergence.analysis.series import Analysis, Population, Series
from emergence.plotting import drawing
from emergence.plotting.drawing import Line
from emergence.plotting.style import ramp
from emergence.statistics import resampling
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.resampling import Bootstrap
from emergence.statistics.sample import tolerance
from emergence.tables.score_table import ONLY_SCALE

_MOST_IN_LEGEND = 16

Value = tuple[float, float, float]


def compute(several: Sequence[Series]) -> list[list[Bootstrap]]:
  """For each series and scale, bootstrap intervals over seeds.

  They are of negated scores if lower is better: see `Series.better_samples`.
  """
  return [_bootstraps(series) for series in several]


def _bootstraps(series: Series) -> list[Bootstrap]:
  better = series.better_samples
  threshold = series.flipped_threshold
  found: dict[int, Bootstrap] = {}
  # Scales with equally many runs share their resamples.
  for size in {sample.size for sample in better}:
    where = [i for i, sample in enumerate(better) if sample.size == size]
    of_size = resampling.bootstrap(
      [better[i] for i in where],
      # Without a threshold no run succeeds; that result is not reported.
      math.inf if threshold is None else threshold,
      series.options,
    )
    found |= dict(zip(where, of_size, strict=True))
  return [found[i] for i in range(len(better))]


def values(series: Series) -> Iterator[dict[str, Any]]:
  for population, boot, modality in zip(
    series.populations,
    series.answers["summaries"],
    series.answers["modality"].by_scale,
    strict=True,
  ):
    is_few = population.finite_S.size < MIN_RUNS
    peaks = None if is_few else modality.peaks
    yield {
      "n_seeds": population.sample.size,
      "n_diverged": int(population.diverged_S.sum()),
      "n_missing": series.table.num_missing.get(
        (*series.group, population.scale, series.metric.name), 0
      ),
      **interval_columns("mean", boot.mean, series.sign),
      **interval_columns("median", boot.median, series.sign),
      "mode": peaks and peaks.mode,
      "mode_stable": peaks and peaks.mode_stable,
    }


def findings(series: Series) -> Iterator[Finding]:
  """States scores at the first and last scale with too few for intervals."""
  few = _few(series)
  if not few:
    return
  ends = few[:1] + few[1:][-1:]
  parts = [f"{_scores(p)} at {series.scale_name(p)}" for p in ends]
  yield finding(
    "summaries",
    series,
    f"the scores are {', and '.join(parts)}",
    scales=[p.scale for p in ends],
    scores=[np.sort(p.finite_S) for p in ends],
  )


def _few(series: Series) -> list[Population]:
  """The scales with runs, but too few for an interval."""
  return [p for p in series.populations if 0 < p.finite_S.size < MIN_RUNS]


def _scores(population: Population) -> str:
  """Lists scores, `0.2, 0.3 and 0.5`; if many, `0.2 to 0.5 (9 runs)`."""
  score_S = np.sort(population.finite_S)
  if score_S.size > 1 and np.ptp(score_S) <= tolerance(score_S):
    return f"all {words.number(score_S[0])} ({score_S.size} runs)"
  if score_S.size > words.MOST_LISTED:
    low, high = words.number(score_S[0]), words.number(score_S[-1])
    return f"{low} to {high} ({score_S.size} runs)"
  return words.listed([words.number(score) for score in score_S])


def sections(analysis: Analysis) -> Iterator[Section]:
  several = analysis.of_first_metric
  first = several[0]
  sentence = "Mode, mean"
  if first.threshold is None:
    sentence += " and median"
  else:
    sentence += (
      f", share of seeds at {first.threshold_name} and mean of these seeds"
    )
  few = ""
  if any(_few(series) for series in several):
    few = f"; means of fewer than {MIN_RUNS} runs have no interval"
  yield Section(
    "summaries",
    f"{sentence}, at each value of {first.axis}. Bars are 95\u00a0%"
    f" intervals{few}.",
    "If seeds form two clusters, the mode jumps as soon as the peak of one"
    " cluster is higher than that of the other, however slowly their shares of"
    " the seeds change: such a jump alone is no evidence of an abrupt change. A"
    " mode has no interval; the table of labels marks it as unstable if another"
    " peak is nearly as high."
    f"{_caption(several)}",
    figure=draw(several),
    title=f"What changes over {first.axis}?"
    if len(first.populations) > 1
    else "What do the seeds score?",
    alt=f"{sentence}, by {first.axis}. The table of cells has the numbers.",
    is_first=True,
  )


def draw(several: Sequence[Series]) -> Figure:
  """Plots mode, mean, success probability and mean of successes by scale.

  Without a threshold, it plots mode, mean and median. Bars are 95 % intervals;
  a mode has none. Where runs are too few for an interval of the mean or median,
  each run is a dot. In the panel of success probabilities, the thin line is the
  logistic curve, if it fits; the dotted line is the isotonic fit.

  Args:
    several: the series of one metric.
  """
  first = several[0]
  panels: dict[str, Callable[[Series], list[Value]]] = {
    "mode": _modes,
    "mean": lambda series: _intervals(series, "mean"),
  }
  if first.threshold is None:
    panels["median"] = lambda series: _intervals(series, "median")
  else:
    name = first.threshold_name
    panels[f"P(score {name})"] = _probabilities
    panels[f"mean of seeds {name}"] = lambda series: _intervals(
      series, "mean_given_success"
    )
  figure = drawing.by_scale(
    {
      title: [
        Line(
          series.group_name,
          [p.scale for p in series.populations],
          *np.array(values(series), float).T,
          **(_fits(series) if values is _probabilities else {}),
        )
        for series in several
      ]
      for title, values in panels.items()
    },
    first.axis,
    scale_names(several),
    (0.0, 1.0) if first.is_share else None,
  )
  for axes, title in zip(figure.axes, panels, strict=False):
    if title.startswith("mean of seeds") and not any(
      math.isfinite(value) for s in several for value, *_ in panels[title](s)
    ):
      text = f"fewer than {MIN_RUNS}\nsuccesses\nat every scale"
      axes.text(
        *(0.5, 0.5), text, ha="center", va="center", transform=axes.transAxes
      )
      if not first.is_share:
        axes.set_yticks([])
    if title in ("mean", "median"):
      for series, color in zip(several, ramp(len(several)), strict=True):
        for p in _few(series):
          x_S = np.full(p.finite_S.size, p.scale)
          axes.plot(x_S, p.finite_S, ".", color=color, markersize=3)
  return figure


def scale_names(several: Sequence[Series]) -> dict[float, str]:
  """The text of each scale of several series, by its number."""
  return {p.scale: p.name for series in several for p in series.populations}


def scale_colors(several: Sequence[Series]) -> dict[float, Any]:
  """A colour for each scale of several series, the same in all panels."""
  scales = sorted(scale_names(several))
  return dict(zip(scales, ramp(len(scales)), strict=True))


def explain_scales(figure: Figure, several: Sequence[Series]) -> Figure:
  """Adds a legend of at most 16 scales, evenly spaced, above the figure."""
  names, colors = scale_names(several), scale_colors(several)
  if set(names.values()) == {ONLY_SCALE}:
    return figure
  num = min(len(names), _MOST_IN_LEGEND)
  shown = np.linspace(0, len(names) - 1, num).round().astype(int)
  axis, scales = several[0].axis, sorted(names)
  legend = {f"{axis} {names[scales[i]]}": colors[scales[i]] for i in shown}
  if len(names) > num:
    legend[f"and {len(names) - num} between these"] = "none"
  return drawing.explain_colors(figure, legend)


def mean(population: Population) -> float:
  """Mean of the runs with a score, NaN if there are none."""
  return population.finite_S.mean() if population.finite_S.size else math.nan


def _modes(series: Series) -> list[Value]:
  return [
    (
      found.peaks.mode if found.num_runs >= MIN_RUNS else math.nan,
      math.nan,
      math.nan,
    )
    for found in series.answers["modality"].by_scale
  ]


def _intervals(series: Series, name: str) -> list[Value]:
  found = [getattr(boot, name) for boot in series.answers["summaries"]]
  columns = [interval_columns("", x, series.sign) for x in found]
  return [(x[""], x["_low"], x["_high"]) for x in columns]


def _probabilities(series: Series) -> list[Value]:
  found = [x.success.diverged_fail for x in series.answers["success"]]
  # The share of a single run could be only 0 or 1.
  return [
    (x.probability if x.num_runs > 1 else math.nan, x.low, x.high)
    for x in found
  ]


def _caption(several: Sequence[Series]) -> str:
  caption = ""
  if several[0].threshold is not None:
    caption += (
      f" Where fewer than {MIN_RUNS} seeds succeed, their mean is not drawn."
    )
  if any(_few(series) for series in several):
    caption += (
      f" With fewer than {MIN_RUNS} runs, mean and median have no interval;"
      " each dot is one run."
    )
  if several[0].threshold is not None and len(several[0].populations) > 1:
    caption += (
      " In the panel of the success probability, the thin line is a logistic"
      " curve, drawn only if it fits, and the dotted line is the closest"
      " monotone curve."
    )
  return caption


def _fits(series: Series) -> dict[str, Any]:
  curve = series.answers["curve"]
  if len(series.populations) == 1:
    return {}
  return {"fit": scale_curve.fitted(series), "monotone_N": curve.isotonic_N}


QUESTION = Question(
  "summaries",
  "What do the seeds score?",
  compute,
  values=values,
  findings=findings,
  sections=sections,
)
