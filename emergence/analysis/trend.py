"""How the score of each seed index moves over scales."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emergence.analysis import words
from emergence.analysis.question import Finding, Question, Section, finding
from emergence.analysis.series import Analysis, Series
from emergence.analysis.summaries import mean, scale_names
from emergence.plotting import drawing
from emergence.plotting.drawing import seed_lines
from emergence.plotting.style import LINE, OTHERS, styled
from emergence.statistics import trends
from emergence.statistics.trends import Pairing, Trajectories

_HIGHEST, _STRAIGHTEST = LINE, "#e69f00"


class Trend(NamedTuple):
  """Seeds with a row at every scale, S of N scales.

  Attributes:
    seeds: these seeds, in order.
    scores_SN: their scores in the metric's unit, [S, N].
    trajectories: shape of each of them, of scores of which higher is better.
  """

  seeds: tuple
  scores_SN: np.ndarray
  trajectories: Trajectories


def compute(several: Sequence[Series]) -> list[Trend | None]:
  """Each seed's trajectory over scales.

  None for a series with fewer than two scales, or in which no seed has a row at
  every scale.
  """
  return [_trend(series) for series in several]


def _trend(series: Series) -> Trend | None:
  found = scores_of_seeds(series)
  if found is None:
    return None
  seeds, scores_SN = found
  return Trend(seeds, scores_SN, trends.trajectories(series.sign * scores_SN))


def scores_of_seeds(series: Series) -> tuple[tuple, np.ndarray] | None:
  """Seeds with a row at every scale, and their scores, [S, N]; None without."""
  first, *others = series.populations
  common = set(first.seeds).intersection(*(p.seeds for p in others))
  seeds = tuple(seed for seed in first.seeds if seed in common)
  if not others or not seeds:
    return None
  columns = []
  for population in series.populations:
    at = {seed: i for i, seed in enumerate(population.seeds)}
    columns.append(population.sample.scores_S[[at[seed] for seed in seeds]])
  return seeds, np.stack(columns, axis=1)


def rows(series: Series) -> Iterator[dict[str, Any]]:
  """A row for each seed; a rank of 0 is none, and positive is better."""
  trend: Trend | None = series.answers["trend"]
  if trend is None:
    return
  found = trend.trajectories
  for s, seed in enumerate(trend.seeds):
    yield {
      "metric": series.metric.name,
      "seed": seed,
      "improvement": found.improvement_S[s],
      "linearity": found.linearity_S[s],
      "linearity_rank": found.linearity_rank_S[s],
      "breakthroughness": found.breakthroughness_S[s],
      "breakthroughness_rank": found.breakthroughness_rank_S[s],
    }


def entry(series: Series) -> dict[str, Any]:
  trend: Trend | None = series.answers["trend"]
  names = ("num_infinite", "num_constant", "num_incomplete", "note")
  return {
    "trajectories": trend
    and {name: getattr(trend.trajectories, name) for name in names}
  }


def findings(series: Series) -> Iterator[Finding]:
  """The seeds that break through or rise evenly more than others."""
  trend: Trend | None = series.answers["trend"]
  if trend is None:
    return
  found = trend.trajectories
  parts = []
  for name, rank_S, value_S in (
    (
      "finite breakthroughness",
      found.breakthroughness_rank_S,
      found.breakthroughness_S,
    ),
    ("linearity", found.linearity_rank_S, found.linearity_S),
  ):
    first = np.flatnonzero(rank_S == 1)
    if first.size:
      s = int(first[0])
      parts.append(
        f"the highest {name} is {words.number(value_S[s])}, of seed"
        f" {words.short(trend.seeds[s])}"
      )
  if found.note:
    parts.append(
      f"{len(series.populations)} scales are too few to rank seeds, which needs"
      f" {trends.MIN_SCALES}"
    )
  num = len(trend.seeds)
  counts = {
    "infinite breakthroughness, as most steps are 0": found.num_infinite,
    "no change at all": found.num_constant,
    "no score at some scale": found.num_incomplete,
  }
  parts += [
    f"{what}: {count} of {words.count(num, 'seed')}"
    for what, count in counts.items()
    if count
  ]
  yield finding(
    "trajectories",
    series,
    "; ".join(parts),
    num_seeds=num,
    num_infinite=found.num_infinite,
    num_constant=found.num_constant,
    num_incomplete=found.num_incomplete,
  )


def sections(analysis: Analysis) -> Iterator[Section]:
  several = [
    series
    for series in analysis.of_first_metric
    if series.answers["trend"] is not None
  ]
  if not several:
    return
  notes = {s.answers["trend"].trajectories.note for s in several} - {""}
  sentence = "One line for each seed index; the dashed line is the mean."
  if notes:
    sentence += f" With {'; '.join(sorted(notes))}."
  pairings: dict[str, Pairing] = {
    series.group_name or series.metric_name: series.answers["pairing"]
    for series in several
  }
  tests = [
    f"{name}: p = {found.p:.2g}"
    for name, found in pairings.items()
    if not np.isnan(found.p)
  ]
  if tests:
    sentence += (
      " Test of whether seeds of one index do alike at different scales:"
      f" {'; '.join(tests[:6])}{'; …' if len(tests) > 6 else '.'}"
    )
  yield Section(
    "trajectories",
    "Single seeds over scales",
    sentence,
    f"{analysis.table.seed_meaning.rstrip('.')}. Each point of a line is"
    " another model. Where scores of one seed index are not correlated across"
    " scales, a line joins unrelated runs, and the most abrupt and the"
    " straightest line are as expected by chance.",
    figure=draw(several),
  )


@styled
def draw(several: Sequence[Series]) -> Figure:
  """Plots each seed's score over scales, one panel per group.

  The seed with the highest finite breakthroughness is dark, the one with the
  highest linearity orange, the mean dashed. With fewer than six scales no seed
  is ranked, so none is highlighted.

  Args:
    several: the series of one metric, with trends.
  """
  names = {
    "highest breakthroughness": (_HIGHEST, "breakthroughness_rank_S"),
    "highest linearity": (_STRAIGHTEST, "linearity_rank_S"),
  }

  def panel(axes: Axes, series: Series) -> None:
    trend: Trend = series.answers["trend"]
    x_N = np.array([p.scale for p in series.populations])
    seed_lines(axes, x_N, trend.scores_SN, [OTHERS] * len(trend.seeds))
    means = [mean(p) for p in series.populations]
    axes.plot(x_N, means, "--", color="0.35", linewidth=1)
    for color, rank in names.values():
      for s in np.flatnonzero(getattr(trend.trajectories, rank) == 1):
        y_N = trend.scores_SN[s]
        axes.plot(x_N, y_N, color=color, marker="o", markersize=2.5)
    drawing.name_scales(axes, scale_names([series]))

  figure = drawing.small_multiples(
    [list(several)],
    panel,
    lambda series: series.group_name,
    several[0].axis,
    several[0].axis_label,
  )
  found = [series.answers["trend"].trajectories for series in several]
  shown = {
    name: color
    for name, (color, rank) in names.items()
    if any((getattr(f, rank) == 1).any() for f in found)
  }
  return drawing.explain_colors(figure, shown) if shown else figure


ROWS = (
  "metric",
  "seed",
  "improvement",
  "linearity",
  "linearity_rank",
  "breakthroughness",
  "breakthroughness_rank",
)

QUESTION = Question(
  "trend",
  "Single seeds over scales",
  compute,
  files={"trajectories.csv": (ROWS, rows)},
  entry=entry,
  findings=findings,
  sections=sections,
)
