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
from emergence.statistics import trajectories
from emergence.statistics.modality import holm
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.trajectories import Pairing, Trajectories

_HIGHEST, _STRAIGHTEST = LINE, "#e69f00"


class SeedTrajectories(NamedTuple):
  """The S seeds that have a row at each of the N scales.

  Attributes:
    seeds: these seeds, in order.
    scores_SN: their scores in the metric's unit, [S, N].
    shape: shape of each seed's trajectory, computed with higher being better.
  """

  seeds: tuple
  scores_SN: np.ndarray
  shape: Trajectories


def compute(several: Sequence[Series]) -> list[SeedTrajectories | None]:
  """Each seed's trajectory over scales.

  None for a series with fewer than two scales, or in which no seed has a row at
  every scale.
  """
  return [_of_series(series) for series in several]


def _of_series(series: Series) -> SeedTrajectories | None:
  found = scores_of_seeds(series)
  if found is None:
    return None
  seeds, scores_SN = found
  return SeedTrajectories(
    seeds, scores_SN, trajectories.trajectories(series.sign * scores_SN)
  )


def scores_of_seeds(series: Series) -> tuple[tuple, np.ndarray] | None:
  """The seeds with a row at every scale, and their scores, [S, N].

  None for a series with a single scale or without such a seed.
  """
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
  """One row per seed. Rank 0 means not ranked; a positive change is better."""
  found: SeedTrajectories | None = series.answers["trajectories"]
  if found is None:
    return
  shape = found.shape
  for s, seed in enumerate(found.seeds):
    yield {
      "metric": series.metric.name,
      "seed": seed,
      "improvement": shape.improvement_S[s],
      "linearity": shape.linearity_S[s],
      "linearity_rank": shape.linearity_rank_S[s],
      "breakthroughness": shape.breakthroughness_S[s],
      "breakthroughness_rank": shape.breakthroughness_rank_S[s],
    }


def entry(series: Series) -> dict[str, Any]:
  found: SeedTrajectories | None = series.answers["trajectories"]
  names = ("num_infinite", "num_constant", "num_incomplete", "note")
  return {
    "trajectories": found
    and {name: getattr(found.shape, name) for name in names}
  }


def findings(series: Series) -> Iterator[Finding]:
  """States whether the best seeds are better than expected by chance."""
  found: SeedTrajectories | None = series.answers["trajectories"]
  pairing: Pairing | None = series.answers["pairing"]
  # With few scales no seed is ranked.
  if found is None or pairing is None or found.shape.note:
    return
  if pairing.num_seeds < MIN_RUNS:
    return
  p_of = {
    "abruptly": pairing.max_breakthroughness_p,
    "evenly": pairing.max_linearity_p,
  }
  ranks = found.shape.breakthroughness_rank_S, found.shape.linearity_rank_S
  adjusted = holm(list(p_of.values()))
  best = {
    how: found.seeds[int(np.flatnonzero(rank_S == 1)[0])]
    for how, rank_S, p in zip(p_of, ranks, adjusted, strict=True)
    if p <= series.options.alpha
  }
  if best:
    names = [
      f"seed {words.short(seed)} rises more {how}" for how, seed in best.items()
    ]
    text = (
      f"over the scales {words.listed(names)} than the most extreme of"
      f" {pairing.num_seeds} seeds would by chance"
    )
  elif np.isfinite(adjusted).any():
    text = (
      "the most abrupt and the most even rise over the scales are no more"
      f" extreme than expected by chance among {pairing.num_seeds} seeds"
    )
  else:
    return
  yield finding(
    "trajectories",
    series,
    text,
    num_seeds=pairing.num_seeds,
    max_breakthroughness=pairing.max_breakthroughness,
    max_breakthroughness_null=pairing.max_breakthroughness_null,
    max_breakthroughness_p=pairing.max_breakthroughness_p,
    max_linearity=pairing.max_linearity,
    max_linearity_null=pairing.max_linearity_null,
    max_linearity_p=pairing.max_linearity_p,
  )


def sections(analysis: Analysis) -> Iterator[Section]:
  several = [
    series
    for series in analysis.of_first_metric
    if series.answers["trajectories"] is not None
  ]
  if not several:
    return
  notes = {s.answers["trajectories"].shape.note for s in several} - {""}
  sentence = "One line for each seed index; the dashed line is the mean."
  if notes:
    sentence += f" With only {'; '.join(sorted(notes))}."
  yield Section(
    "trajectories",
    sentence,
    f"{analysis.table.seed_meaning.rstrip('.')}. A line joins the runs with the"
    " same seed index at different scales. If scores of one seed index are not"
    " correlated across scales, a line joins unrelated runs, and the most"
    " abrupt and the straightest line may be due to chance. Both measures"
    " divide the difference between a seed's largest and smallest score by its"
    " typical step: breakthroughness by the root median square step, linearity"
    " by the root mean square step.",
    figure=draw(several),
  )


@styled
def draw(several: Sequence[Series]) -> Figure:
  """Plots each seed's score over scales, one panel per group.

  The seed with the highest finite breakthroughness is dark, the one with the
  highest linearity orange, the mean dashed. With fewer than six scales no seed
  is ranked, so none is highlighted.

  Args:
    several: the series of one metric, with trajectories.
  """
  names = {
    "highest breakthroughness": (_HIGHEST, "breakthroughness_rank_S"),
    "highest linearity": (_STRAIGHTEST, "linearity_rank_S"),
  }

  def panel(axes: Axes, series: Series) -> None:
    found: SeedTrajectories = series.answers["trajectories"]
    x_N = np.array([p.scale for p in series.populations])
    seed_lines(axes, x_N, found.scores_SN, [OTHERS] * len(found.seeds))
    means = [mean(p) for p in series.populations]
    axes.plot(x_N, means, "--", color="0.35", linewidth=1)
    for color, rank in names.values():
      for s in np.flatnonzero(getattr(found.shape, rank) == 1):
        y_N = found.scores_SN[s]
        # One seed may be both: the first line is seen beneath the second.
        width = 2.5 if color == _HIGHEST else 1
        axes.plot(x_N, y_N, "o-", color=color, linewidth=width, markersize=2.5)
    drawing.name_scales(axes, scale_names(several))

  figure = drawing.panel_per_group(
    several, panel, several[0].axis, several[0].axis_label
  )
  shapes = [series.answers["trajectories"].shape for series in several]
  shown = {
    name: color
    for name, (color, rank) in names.items()
    if any((getattr(shape, rank) == 1).any() for shape in shapes)
  }
  return drawing.explain_colors(figure, shown) if shown else figure


QUESTION = Question(
  "trajectories",
  "Does any seed stand out over the scales?",
  compute,
  files={"trajectories.csv": rows},
  entry=entry,
  findings=findings,
  sections=sections,
  unanswered="This is tested only with at least 6 scales and 10 seeds.",
)
