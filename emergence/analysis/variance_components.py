"""How much the initialization decides, and how much the data order."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

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
from emergence.plotting import drawing
from emergence.plotting.style import COLUMN_WIDTH, LINE, literal, styled
from emergence.statistics import variance_components
from emergence.statistics.intervals import Interval
from emergence.statistics.modality import holm
from emergence.statistics.variance_components import (
  MIN_LEVELS,
  VarianceComponents,
)

_MOST_DRAWN = 6
# The parts of the variance, as the figure names them.
_PARTS = {"init": "initialization", "data": "data order", "rest": "the rest"}


class Crossed(NamedTuple):
  """The runs of one scale as a table of initializations and data orders.

  Attributes:
    population: the runs.
    scores_ID: the score of each initialization with each data order, [I, D].
    components: shares of initialization, data order and rest in the variance.
  """

  population: Population
  scores_ID: np.ndarray
  components: VarianceComponents


def compute(several: Sequence[Series]) -> list[list[Crossed]]:
  """For each series, variance components of scales with 2 × 2 runs or more."""
  return [
    [
      Crossed(
        population,
        scores_ID,
        variance_components.variance_components(scores_ID, series.options),
      )
      for population in series.populations
      if (scores_ID := crossed(population, series.table.init_and_data))
      is not None
    ]
    for series in several
  ]


def crossed(
  population: Population, init_and_data: Mapping[Any, tuple]
) -> np.ndarray | None:
  """The scores of a scale by initialization and data order, [I, D].

  Initializations that lack a score with some data order are left out.

  Args:
    population: the runs of the scale.
    init_and_data: the initialization and data order of each seed.

  Returns:
    None if fewer than 2 × 2 runs are left, or if a combination has several.
  """
  found, num_scores = {}, 0
  for seed, score in zip(
    population.seeds, population.sample.scores_S, strict=True
  ):
    if seed in init_and_data and np.isfinite(score):
      found[init_and_data[seed]] = float(score)
      num_scores += 1
  orders = sorted({order for _, order in found})
  rows = [
    [found[init, order] for order in orders]
    for init in sorted({init for init, _ in found})
    if all((init, order) in found for order in orders)
  ]
  if len(found) < num_scores or min(len(rows), len(orders)) < 2:
    return None
  return np.array(rows)


def rows(series: Series) -> Iterator[dict[str, Any]]:
  """One row per scale whose runs are crossed."""
  for one in series.answers["variance_components"]:
    yield _row(series, one)


def _row(series: Series, one: Crossed) -> dict[str, Any]:
  num_init, num_data = one.scores_ID.shape
  row = {
    "metric": series.metric.name,
    "scale": one.population.scale,
    "num_init": num_init,
    "num_data": num_data,
    "init_p": one.components.init_p,
    "data_p": one.components.data_p,
  }
  for part in _PARTS:
    share = getattr(one.components, part)
    row |= interval_columns(f"{part}_share", share, sign=1)
  return row


def findings(series: Series) -> Iterator[Finding]:
  """States the shares at the scale whose scores have the largest variance."""
  several = [
    x
    for x in series.answers["variance_components"]
    if min(x.scores_ID.shape) >= MIN_LEVELS and np.ptp(x.scores_ID) > 0
  ]
  if not several:
    return
  most = max(several, key=lambda x: x.scores_ID.var())
  found = most.components
  adjusted = holm([found.init_p, found.data_p])
  is_shown = [bool(p <= series.options.alpha) for p in adjusted]
  init, data = _percents(found.init), _percents(found.data)
  of_all = "of the variance between runs"
  match is_shown:
    case [True, True]:
      text = (
        f"the initialization explains {init} {of_all}, the data order {data}"
      )
    case [True, False]:
      text = (
        f"the initialization explains {init} {of_all}; the data order alone is"
        " not shown to matter"
      )
    case [False, True]:
      text = (
        f"the data order explains {data} {of_all}; the initialization alone is"
        " not shown to matter"
      )
    case _:
      text = (
        "neither the initialization nor the data order alone is shown to"
        f" explain any {of_all}"
      )
  yield finding(
    "variance_components",
    series,
    f"at {series.scale_name(most.population)} {text}",
    **_row(series, most),
  )


def _percents(share: Interval) -> str:
  """Text of a share and its interval, such as `34% (18–52%)`."""
  low, high = (words.percent(x) for x in (share.low, share.high))
  return f"{words.percent(share.value)} ({low.removesuffix('%')}–{high})"


def sections(analysis: Analysis) -> Iterator[Section]:
  drawn = [
    (series, one)
    for series in analysis.of_first_metric
    for one in series.answers["variance_components"]
  ]
  if not drawn:
    return
  sentence = (
    "Every initialization was trained on every data order. Left: the score of"
    " each run. Right: the shares of the variance between runs that the"
    " initialization alone, the data order alone and the rest explain."
  )
  if len(drawn) > _MOST_DRAWN:
    sentence += f" The first {_MOST_DRAWN} of {len(drawn)} scales are shown."
  yield Section(
    "variance-components",
    sentence,
    "The rest is the interaction of both and chance, which cannot be separated"
    " with one run per combination. Rows and columns are sorted by their mean,"
    " which shows a gradient even if there is only chance; the shares do not"
    " count it. Bars are 95 % intervals over initializations and data orders."
    " Initializations with a run that has no score are left out."
    " variance_components.csv has the numbers.",
    figure=draw(drawn[:_MOST_DRAWN]),
  )


@styled
def draw(drawn: Sequence[tuple[Series, Crossed]]) -> Figure:
  """Plots scores by initialization and data order, and the shares of variance.

  Args:
    drawn: scales of one metric, each with its series and with a row of panels.
  """
  figure = Figure(figsize=(COLUMN_WIDTH, 0.3 + 1.6 * len(drawn)))
  panels = figure.subplots(
    len(drawn), 2, squeeze=False, width_ratios=(1.25, 1), sharex="col"
  )
  for (left, right), (series, one) in zip(panels, drawn, strict=True):
    _draw_scores(left, series, one.scores_ID)
    names = (series.group_name, series.scale_name(one.population))
    left.set_title(literal(", ".join(filter(None, names)), 30))
    _draw_shares(right, one.components)
  panels[-1, 0].set_xlabel("data order, by mean")
  panels[0, 1].set_title("share of variance", loc="right")
  return figure


def _draw_scores(axes: Axes, series: Series, scores_ID: np.ndarray) -> None:
  metric = series.metric
  row_I = np.argsort(-scores_ID.mean(axis=1), kind="stable")
  column_D = np.argsort(scores_ID.mean(axis=0), kind="stable")
  ends = (metric.low, metric.high) if series.is_share else (None, None)
  image = axes.imshow(
    scores_ID[np.ix_(row_I, column_D)],
    aspect="auto",
    interpolation="nearest",
    vmin=ends[0],
    vmax=ends[1],
  )
  axes.set_xticks([])
  axes.set_yticks([])
  axes.set_ylabel("initialization, by mean")
  colorbar = axes.figure.colorbar(image, ax=axes, pad=0.03, fraction=0.08)
  colorbar.set_label(literal(series.axis_label), fontsize=7)
  colorbar.outline.set_visible(False)


def _draw_shares(axes: Axes, found: VarianceComponents) -> None:
  parts = [getattr(found, part) for part in _PARTS]
  value_3, low_3, high_3 = np.array(parts, float).T
  axes.errorbar(
    value_3,
    range(3),
    xerr=drawing.interval_bars(value_3, low_3, high_3),
    fmt="o",
    color=LINE,
    capsize=2,
    clip_on=False,
  )
  axes.set_yticks(range(3), list(_PARTS.values()))
  axes.set_ylim(2.5, -0.5)
  axes.set_xlim(-0.02, 1.02)
  axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


QUESTION = Question(
  "variance_components",
  "Does the initialization or the data order explain the scores?",
  compute,
  files={"variance_components.csv": rows},
  findings=findings,
  sections=sections,
)
