"""Which seeds are at the floor, which succeed, and which are between."""

import math
import re
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
  first_rows,
)
from emergence.analysis.series import Analysis, Series
from emergence.analysis.summaries import scale_names
from emergence.plotting import drawing
from emergence.plotting.style import (
  FAILED,
  FILL,
  OTHERS,
  SUCCEEDED,
  styled,
)
from emergence.statistics import composition
from emergence.statistics.composition import CLASSES, Composition

_MOST_ROWS = 120
_MOST_TICKS = 8
_MOST_ANSWERS = 2  # Where the figure is not of the first metric.
_COLORS: dict[str, str] = dict(
  zip(CLASSES, (FAILED, OTHERS, FILL, SUCCEEDED), strict=True)
)
# What a sentence says of the runs of each class, in the order of `CLASSES`,
# with a threshold and without one.
_PHRASES = (
  "{be} at the floor",
  "fail{s} outside it",
  "succeed{s} below the ceiling",
  "at it",
)
_PHRASES_WITHOUT_THRESHOLD = (
  "{be} at the floor",
  "between floor and ceiling",
  "",
  "at the ceiling",
)


def compute(several: Sequence[Series]) -> list[list[Composition | None]]:
  """The composition of each scale; None where no seed has a score."""
  return [
    [
      composition.composition(sample, series.flipped_threshold)
      for sample in series.better_samples
    ]
    for series in several
  ]


def values(series: Series) -> Iterator[dict[str, Any]]:
  for found in series.answers["composition"]:
    row: dict[str, Any] = {"composition": found and found.name}
    # The share of a single run could be only 0 or 1.
    shown = found if found and found.num_runs > 1 else None
    for c, name in enumerate(CLASSES):
      row[f"share_{name}"] = shown and shown.share_C[c]
      row[f"share_{name}_low"] = shown and shown.low_C[c]
      row[f"share_{name}_high"] = shown and shown.high_C[c]
    yield row


def findings(series: Series) -> Iterator[Finding]:
  """States the composition of the scale with most of both floor and successes.

  That is where the smaller of the two numbers is largest. If it is 0 at every
  scale, the last scale is taken.
  """
  found = series.answers["composition"]
  i = max(range(len(found)), key=lambda i: _evenness(found[i], i))
  if (at := found[i]) is None or math.isnan(at.count_C[0]):
    return
  phrases = _PHRASES
  if series.threshold is None:
    phrases = _PHRASES_WITHOUT_THRESHOLD
  parts = [
    f"{int(count)} "
    + (
      phrase.format(be="is", s="s")
      if count == 1
      else phrase.format(be="are", s="")
    )
    for count, phrase in zip(at.count_C, phrases, strict=True)
    if not math.isnan(count)
  ]
  sample = series.populations[i].sample.oriented()
  noun = "scored seed" if at.num_runs < sample.size else "seed"
  seeds = f"of {words.count(at.num_runs, noun)}"
  where = series.scale_name(series.populations[i])
  reason = ""
  if len(found) > 1:
    is_split = _evenness(at, i)[0] > 0
    reason = " (the most mixed scale)" if is_split else " (the last scale)"
  edge = composition.floor_edge(sample, series.flipped_threshold)
  relation = "≤" if series.metric.higher_is_better else "≥"
  parts[0] += f" ({relation} {words.number(series.sign * edge, 2)})"
  first, rest = parts[0].split(" ", 1)
  parts[0] = f"{first} {seeds} {rest}"
  texts = [f"at {where}{reason}, {words.listed(parts)}"]
  if " and " in at.name:
    named = re.split(", (?:few|some) ", at.name)[0]
    texts.append(
      f"at {where} {named} each have at least 10% of the seeds, by their 95%"
      " intervals"
    )
  for text in texts:
    yield finding(
      "composition",
      series,
      text,
      scale=series.populations[i].scale,
      **dict(zip(CLASSES, at.share_C, strict=True)),
    )


def _evenness(found: Composition | None, position: int) -> tuple[float, float]:
  """Sort key: the fewer of floor and successes, then evenness or position."""
  if found is None:
    return -1, position
  at_floor, _, *better = np.nan_to_num(found.count_C)
  both = min(at_floor, sum(better))
  return both, -abs(sum(better) / found.num_runs - 0.5) if both else position


def sections(analysis: Analysis) -> Iterator[Section]:
  first = analysis.series[0]
  shown = [
    (series, population, found)
    for series in analysis.series
    for population, found in zip(
      series.populations, series.answers["composition"], strict=True
    )
    if found is not None and not math.isnan(found.count_C[0])
  ]
  header = ["group", "metric", first.axis, "seeds", *CLASSES, "composition"]
  rows = [
    [
      series.group_name,
      series.metric_name,
      population.name,
      str(found.num_runs),
      *(
        "–"
        if math.isnan(share) or found.num_runs == 1
        else words.with_interval(share, low, high)
        for share, low, high in zip(
          found.share_C, found.low_C, found.high_C, strict=True
        )
      ),
      found.name,
    ]
    for series, population, found in shown
  ]
  if not rows:
    return
  table, note = first_rows(header, rows, _MOST_ROWS)
  drawn = next(
    several
    for several in analysis.by_metric.values()
    if several[0].metric.has_ends
  )
  of = f" of {drawn[0].metric_name}" if len(analysis.by_metric) > 1 else ""
  sentence = (
    f"Bars{of} show the share of seeds in each class: at the floor, successes"
    " below the ceiling, at the ceiling, and all others (between). The table"
    " has exact 95 % intervals. Diverged seeds are left out."
  )
  yield Section(
    "composition",
    sentence + note,
    "Floor and ceiling are the worst and the best 5 % of the range of scores;"
    " if a chance level is given, the floor ends 5 % above it. The last column"
    " first names the classes that have at least 10 % of the seeds, by their"
    " 95 % intervals. Then it names the other classes that have any seeds:"
    " “few” if the interval is below 25 %, else “some”. Classes are not"
    " clusters: scores that thin out evenly are in every class, too.",
    figure=draw(drawn),
    table=table,
    answers=[f.sentence for s in drawn for f in findings(s)][:_MOST_ANSWERS],
  )


@styled
def draw(several: Sequence[Series]) -> Figure:
  """Plots stacked shares of the four classes by scale, one panel per group.

  Args:
    several: the series of one metric.
  """
  names = scale_names(several)
  place = {scale: i for i, scale in enumerate(sorted(names))}
  every = math.ceil(len(place) / _MOST_TICKS)

  def panel(axes: Axes, series: Series) -> None:
    x_N = [place[p.scale] for p in series.populations]
    shares_NC = np.array(
      [
        np.zeros(len(CLASSES)) if found is None else found.share_C
        for found in series.answers["composition"]
      ]
    )
    shares_NC = np.nan_to_num(shares_NC)
    bottom_NC = np.cumsum(shares_NC, axis=1) - shares_NC
    for c, name in enumerate(CLASSES):
      axes.bar(
        x_N, shares_NC[:, c], 0.8, bottom=bottom_NC[:, c], color=_COLORS[name]
      )
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    ticks = sorted(names)[::every]
    drawing.label_ticks(
      axes, [place[x] for x in ticks], [names[x] for x in ticks]
    )

  figure = drawing.panel_per_group(
    several, panel, several[0].axis, "share of seeds"
  )
  return drawing.explain_colors(figure, _COLORS)


QUESTION = Question(
  "composition",
  "How many seeds are at the floor, and how many at the ceiling?",
  compute,
  values=values,
  findings=findings,
  sections=sections,
)
