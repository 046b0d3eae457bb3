"""What a study that reports the best of its k seeds is expected to report."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emergence.analysis import words
from emergence.analysis.question import (
  Finding,
  Question,
  Section,
  finding,
  interval_columns,
)
from emergence.analysis.series import Analysis, Population, Series
from emergence.analysis.summaries import explain_scales, scale_colors
from emergence.plotting import drawing
from emergence.plotting.style import styled
from emergence.statistics import best_of
from emergence.statistics.best_of import BestOf

# Seeds per study in the finding; most papers that repeat runs have this many.
_TYPICAL = 5


def compute(several: Sequence[Series]) -> list[list[list[BestOf]]]:
  """The expected best of k seeds, for several k.

  Returns:
    For each series a list over its scales; each entry has one row per k.
  """
  return [
    [
      best_of.best_of(sample, series.options)
      for sample in series.better_samples
    ]
    for series in several
  ]


def _columns(series: Series, found: BestOf) -> dict[str, Any]:
  return interval_columns("expected_best", found.best, series.sign)


def rows(series: Series) -> Iterator[dict[str, Any]]:
  """A row for each scale and number of seeds."""
  for population, studies in zip(
    series.populations, series.answers["best_of"], strict=True
  ):
    for found in studies:
      yield {
        "metric": series.metric.name,
        "scale": population.scale,
        "num_seeds": found.num_seeds,
        **_columns(series, found),
      }


def findings(series: Series) -> Iterator[Finding]:
  """States where the best of five seeds exceeds the mean most."""
  pairs: list[tuple[Population, BestOf, BestOf]] = []
  for population, studies in zip(
    series.populations, series.answers["best_of"], strict=True
  ):
    of_size = {found.num_seeds: found for found in studies}
    if _TYPICAL in of_size:
      pairs.append((population, of_size[1], of_size[_TYPICAL]))
  if not pairs:
    return
  population, one, best = max(
    pairs, key=lambda pair: pair[2].best.value - pair[1].best.value
  )
  if best.best.value - one.best.value < 1e-9:
    return
  columns = _columns(series, best)
  mean = series.sign * one.best.value
  values = [x for x in (mean, *columns.values()) if not math.isnan(x)]
  mean_text, best_text, *ends = words.alike(*values)
  to = " to " if min(values) < 0 else "–"
  interval = f" ({to.join(ends)})" if ends else ""
  yield finding(
    "best_of",
    series,
    f"at {series.scale_name(population)} the best of {_TYPICAL} seeds is"
    f" expected to score {best_text}{interval}, while the mean is {mean_text}",
    scale=population.scale,
    num_seeds=_TYPICAL,
    mean=mean,
    **columns,
  )


def sections(analysis: Analysis) -> Iterator[Section]:
  several = [
    series
    for series in analysis.of_first_metric
    if any(len(studies) > 1 for studies in series.answers["best_of"])
  ]
  if several:
    yield Section(
      "best-of",
      "The score that a study with k seeds is expected to report if it reports"
      " the best of them. At k = 1 it is the mean.",
      "With n runs, curves are drawn up to k = n/2. Bars are 95 % intervals"
      " over seeds and are drawn up to k = n/4; at the largest k a bar may"
      " contain the true value only 77 % of the time. The curves cannot predict"
      " a good run that is too rare to be among these seeds. Diverged runs are"
      " left out. Points of different scales are shifted sideways to keep their"
      " bars apart. best_of.csv has the numbers.",
      figure=draw(several),
    )


@styled
def draw(several: Sequence[Series]) -> Figure:
  """The expected best by number of seeds: a panel per group, a line per scale.

  Args:
    several: the series of one metric.
  """
  color_of = scale_colors(several)

  def panel(axes: Axes, series: Series) -> None:
    num = len(series.populations)
    for i, (population, studies) in enumerate(
      zip(series.populations, series.answers["best_of"], strict=True)
    ):
      beside = 1 + min(0.06, 0.2 / num) * (i - (num - 1) / 2)
      columns = [list(_columns(series, found).values()) for found in studies]
      best_K, low_K, high_K = np.array(columns, float).reshape(-1, 3).T
      axes.errorbar(
        [found.num_seeds * beside for found in studies],
        best_K,
        drawing.interval_bars(best_K, low_K, high_K),
        color=color_of[population.scale],
        linewidth=1,
        elinewidth=0.8,
        marker=".",
      )
    largest = max(
      (found.num_seeds for x in series.answers["best_of"] for found in x),
      default=1,
    )
    shown = [k for k in best_of.NUM_SEEDS if k <= largest]
    axes.set_xscale("log")
    axes.set_xticks(shown, list(map(str, shown)))
    axes.minorticks_off()

  figure = drawing.panel_per_group(
    several,
    panel,
    "seeds in a study, k",
    f"expected best {several[0].metric_name}",
  )
  return explain_scales(figure, several)


QUESTION = Question(
  "best_of",
  "How much better than the mean is the best of a few seeds?",
  compute,
  files={"best_of.csv": rows},
  findings=findings,
  sections=sections,
  unanswered="The best of five seeds is not better than the mean at any scale.",
)
