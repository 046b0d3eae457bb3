"""Between which scales the distributions differ, in Wasserstein distance."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emergence.analysis import words
from emergence.analysis.question import Finding, Question, Section, finding
from emergence.analysis.series import Analysis, Series
from emergence.plotting import drawing
from emergence.plotting.style import LINE, OTHERS, literal, styled
from emergence.statistics import transport
from emergence.statistics.modality import holm

_MOST_TICKS = 12


class Distances(NamedTuple):
  """Between all pairs of N scales, of runs with a score.

  Attributes:
    w1_NN: Wasserstein-1 distances, [N, N].
    w2_NN: Wasserstein-2 distances, [N, N].
    test: permutation test of the latter.
    parts: of the squared Wasserstein-2 distance, by pair of indices.
    within_seed: whether scales were permuted within seeds.
  """

  w1_NN: np.ndarray
  w2_NN: np.ndarray
  test: transport.PermutationTest
  parts: dict[tuple[int, int], transport.Parts]
  within_seed: bool


def compute(several: Sequence[Series]) -> list[Distances | None]:
  """Distances of each series; None where a scale has no run with a score."""
  return [
    _distances(series) if series.has_scores else None for series in several
  ]


def _distances(series: Series) -> Distances:
  samples = series.samples
  within_seed = (
    series.options.within_seed
    and series.has_same_seeds
    and not any(sample.num_diverged for sample in samples)
  )
  pairs = itertools.combinations(range(len(samples)), 2)
  return Distances(
    transport.distances(samples, order=1),
    transport.distances(samples, order=2),
    transport.permutation_test(samples, within_seed, series.options),
    {(i, j): transport.decompose(samples[i], samples[j]) for i, j in pairs},
    within_seed,
  )


def values(series: Series) -> Iterator[dict[str, Any]]:
  found: Distances | None = series.answers["distance"]
  for i in range(len(series.populations)):
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    if found is not None:
      row["w2_to_largest"] = found.w2_NN[i, -1]
    if found is not None and i:
      row["w2_to_previous"] = found.w2_NN[i - 1, i]
      row["w2_to_previous_null"] = found.test.null_KK[i - 1, i]
      row["w2_to_previous_p"] = found.test.p_KK[i - 1, i]
    yield row


def rows(series: Series) -> Iterator[dict[str, Any]]:
  """A row for each pair of scales.

  `w2_null` is the 95 % quantile under permutation; `location`, `spread` and
  `shape` add up to the square of `w2`.
  """
  found: Distances | None = series.answers["distance"]
  if found is None:
    return
  for (i, j), parts in found.parts.items():
    yield {
      "metric": series.metric.name,
      "scale_from": series.populations[i].scale,
      "scale_to": series.populations[j].scale,
      "w1": found.w1_NN[i, j],
      "w2": found.w2_NN[i, j],
      "w2_null": found.test.null_KK[i, j],
      "w2_p": found.test.p_KK[i, j],
      "permuted": "within seeds" if found.within_seed else "all runs",
      **parts._asdict(),
    }


def findings(series: Series) -> Iterator[Finding]:
  """Between which neighbours the distributions differ."""
  found: Distances | None = series.answers["distance"]
  scales = series.populations
  if found is None or len(scales) < 2:
    return
  num = len(scales) - 1
  p_N = [float(found.test.p_KK[k, k + 1]) for k in range(num)]
  adjusted_N = holm(p_N)
  w2_N = [float(found.w2_NN[k, k + 1]) for k in range(num)]
  i = int(np.argmax(w2_N))
  a, b = scales[i], scales[i + 1]
  null = float(found.test.null_KK[i, i + 1])
  alpha = series.options.alpha
  text = "the scores of neighbouring scales are the same"
  if w2_N[i]:
    p = words.p_value(p_N[i], adjusted_N[i], num, "steps")
    text = (
      f"between {series.scale_name(a)} and {b.name} the distributions are"
      f" {w2_N[i]:.3g} apart in Wasserstein-2"
      f"{', more than any other neighbours' if num > 1 else ''}; 95 % of"
      f" permutations{' within seeds' if found.within_seed else ''} do not pass"
      f" {null:.3g}, {p}"
    )
    if num > 1:
      text += _which_differ(series, adjusted_N <= alpha)
    if num / (1 + series.options.num_permutations) > alpha:
      text += (
        f". So many steps need more than {series.options.num_permutations}"
        " permutations to be told apart"
      )
    num_lost = int(a.diverged_S.sum() + b.diverged_S.sum())
    if num_lost:
      text += f". {words.count(num_lost, 'run')} that diverged left out"
    if series.options.within_seed and not found.within_seed:
      text += (
        ". All runs were permuted and not the scales within each seed, as these"
        " scales have different seeds"
      )
    text += (
      ". That two distributions differ says nothing about the number of modes"
    )
  yield finding(
    "difference",
    series,
    text,
    scale_from=a.scale,
    scale_to=b.scale,
    w2=w2_N[i],
    null=null,
    p=p_N[i],
    p_adjusted=float(adjusted_N[i]),
  )


def _which_differ(series: Series, differ_N: np.ndarray) -> str:
  names = [
    f"{a.name} and {b.name}"
    for (a, b), differ in zip(
      itertools.pairwise(series.populations), differ_N, strict=True
    )
    if differ
  ]
  shown = "; ".join(names) or "none"
  if len(names) > words.MOST_LISTED:
    shown = f"{len(names)} of {len(differ_N)} pairs"
  level = f"{series.options.alpha:.0%}"
  return f". Neighbours that differ at the {level} level: {shown}"


def sections(analysis: Analysis) -> Iterator[Section]:
  several = [
    series
    for series in analysis.of_first_metric
    if len(series.populations) > 1 and series.answers["distance"] is not None
  ]
  if several:
    yield Section(
      "distances",
      "Distances between neighbouring scales",
      "Points are Wasserstein-2 distances between neighbouring distributions;"
      " the gray bar is their 95 % quantile under permutation, that is, if both"
      " scales had one distribution."
      " distances.csv has all pairs, and how much of each is location, spread"
      " and shape.",
      "A distance above its bar is evidence that the two distributions differ,"
      " not of how many modes they have; a second mode may hardly change"
      " “shape”. Bars are not corrected for the number of pairs.",
      figure=draw(several),
    )


@styled
def draw(several: Sequence[Series]) -> Figure:
  """Wasserstein-2 distance to the scale before, over its null, a panel a group.

  Args:
    several: the series of one metric, with distances, two scales or more.
  """

  def panel(axes: Axes, series: Series) -> None:
    found: Distances = series.answers["distance"]
    where = np.arange(1, len(series.populations))
    axes.bar(
      where,
      [found.test.null_KK[i - 1, i] for i in where],
      width=0.8,
      color=OTHERS,
    )
    w2_N = [found.w2_NN[i - 1, i] for i in where]
    axes.plot(where, w2_N, "o", color=LINE, clip_on=False)
    step = math.ceil(len(where) / _MOST_TICKS)
    shown = where[(len(where) - 1) % step :: step]  # With the last.
    axes.set_xticks(
      shown, [literal(series.populations[i].name, 12) for i in shown]
    )

  figure = drawing.small_multiples(
    [list(several)],
    panel,
    lambda series: series.group_name,
    f"{several[0].axis}, compared with the one before",
    "Wasserstein-2",
  )
  # Panels share their axis: only now does it know the points of all of them.
  for axes in figure.axes:
    axes.set_ylim(bottom=0)
  return figure


COLUMNS = {
  "w2_to_previous": "Wasserstein-2 distance to the scale before",
  "w2_to_previous_null": "its 95 % quantile under permutation",
  "w2_to_previous_p": "its permutation p-value",
  "w2_to_largest": "Wasserstein-2 distance to the largest scale",
}

ROWS = (
  "metric",
  "scale_from",
  "scale_to",
  "w1",
  "w2",
  "w2_null",
  "w2_p",
  "permuted",
  *transport.Parts._fields,
)

QUESTION = Question(
  "distance",
  "Where distributions differ",
  compute,
  columns=COLUMNS,
  values=values,
  files={"distances.csv": (ROWS, rows)},
  findings=findings,
  sections=sections,
)
