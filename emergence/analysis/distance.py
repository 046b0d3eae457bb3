"""Between which scales the distributions differ, in Wasserstein distance."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emergence.analysis.question import Finding, Question, Section, finding
from emergence.analysis.series import Analysis, Series
from emergence.plotting import drawing
from emergence.plotting.style import LINE, OTHERS, styled
from emergence.statistics import transport
from emergence.statistics.modality import holm
from emergence.statistics.options import Options
from emergence.statistics.sample import Sample

_MOST_TICKS = 12


class Distances(NamedTuple):
  """Distances between the score distributions of all pairs of N scales.

  Attributes:
    w2_NN: Wasserstein-2 distances in units of the score, [N, N].
    test: the permutation test of each pair.
    adjusted_N: p-value of each pair of neighbours, [N - 1], after Holm's
      correction over the pairs of this series that have enough runs to be
      significant; NaN for the other pairs.
    too_few: "runs" or "reshuffles" (permutations) if there are too few of them
      for any scores to be significant after that correction; else empty.
    parts: location, spread and shape in the squared distance of each pair i < j
      of scales, by (i, j).
  """

  w2_NN: np.ndarray
  test: transport.PermutationTest
  adjusted_N: np.ndarray
  too_few: str
  parts: dict[tuple[int, int], transport.Parts]


def compute(several: Sequence[Series]) -> list[Distances | None]:
  """Distances of each series; None where a scale has no run with a score."""
  return [
    _distances(series) if series.has_scores else None for series in several
  ]


def _distances(series: Series) -> Distances:
  samples = series.samples
  pairs = itertools.combinations(range(len(samples)), 2)
  test = transport.permutation_test(samples, series.options)
  adjusted_N, too_few = _adjusted(
    samples, np.diag(test.p_KK, 1), series.options
  )
  return Distances(
    transport.distances(samples),
    test,
    adjusted_N,
    too_few,
    {(i, j): transport.decompose(samples[i], samples[j]) for i, j in pairs},
  )


def _adjusted(
  samples: Sequence[Sample], p_N: np.ndarray, options: Options
) -> tuple[np.ndarray, str]:
  sizes = [sample.finite_S.size for sample in samples]
  least_N = np.array(
    [transport.least_p(a, b) for a, b in itertools.pairwise(sizes)]
  )
  adjusted_N, tested_N = np.full(p_N.size, math.nan), least_N <= options.alpha
  adjusted_N[tested_N] = holm(p_N[tested_N])
  # If no pair is tested, num is 1, and the least possible p is above alpha.
  num = max(int(tested_N.sum()), 1)
  if num * least_N.min(initial=1) > options.alpha:
    return adjusted_N, "runs"
  if num / (1 + options.num_permutations) > options.alpha:
    return adjusted_N, "reshuffles"
  return adjusted_N, ""


def values(series: Series) -> Iterator[dict[str, Any]]:
  found: Distances | None = series.answers["distance"]
  for i in range(len(series.populations)):
    before = found if i else None
    yield {
      "w2_to_previous": before and before.w2_NN[i - 1, i],
      "w2_to_previous_null": before and before.test.null_KK[i - 1, i],
      "w2_to_previous_p": before and before.test.p_KK[i - 1, i],
      "w2_to_previous_p_adjusted": before and before.adjusted_N[i - 1],
      "w2_to_largest": found and found.w2_NN[i, -1],
    }


def rows(series: Series) -> Iterator[dict[str, Any]]:
  """One row per pair of scales.

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
      "w2": found.w2_NN[i, j],
      "w2_null": found.test.null_KK[i, j],
      "w2_p": found.test.p_KK[i, j],
      **parts._asdict(),
    }


def findings(series: Series) -> Iterator[Finding]:
  """States between which neighbouring scales the distributions differ."""
  found: Distances | None = series.answers["distance"]
  if found is None or len(series.populations) < 2:
    return
  w2_N = np.diag(found.w2_NN, 1)
  is_different_N = found.adjusted_N <= series.options.alpha
  names = [
    f"{a.name} and {b.name}" for a, b in itertools.pairwise(series.populations)
  ]
  i = int(np.argmax(np.where(is_different_N, w2_N, w2_N - w2_N.max())))
  num = int(is_different_N.sum())
  if not w2_N.any():
    text = "the scores of neighbouring scales are the same"
  elif not num and found.too_few:
    text = (
      f"there are too few {found.too_few} to show that neighbouring scales"
      " differ"
    )
  elif not num:
    text = "no two neighbouring scales are shown to differ in their scores"
    if len(names) == 1:
      text = f"the scores at {series.axis} {names[0]} are not shown to differ"
  else:
    where = f"{series.axis} {names[i]}"
    if num == len(names) > 1:
      where = f"all neighbouring scales, most between {names[i]}"
    elif num > 1:
      where = (
        f"{num} of {len(names)} pairs of neighbouring scales, most between"
        f" {names[i]}"
      )
    text = f"the distributions of scores differ between {where}"
  yield finding(
    "distance",
    series,
    text,
    scale_from=series.populations[i].scale,
    scale_to=series.populations[i + 1].scale,
    w2=w2_N[i],
    null=found.test.null_KK[i, i + 1],
    p=found.test.p_KK[i, i + 1],
    p_adjusted=found.adjusted_N[i],
    num_steps=len(names),
    num_different=num,
  )


def sections(analysis: Analysis) -> Iterator[Section]:
  several = [
    series
    for series in analysis.of_first_metric
    if len(series.populations) > 1 and series.answers["distance"] is not None
  ]
  if several:
    yield Section(
      "distances",
      "Each dot is the distance between the scores of two neighbouring scales."
      " A dot inside its gray bar may be due to chance; bars are not corrected"
      " for the number of pairs.",
      "Distances are Wasserstein-2. A bar is the 95 % quantile of the distance"
      " if runs are permuted between the two scales, that is, if both scales"
      " have the same distribution. distances.csv has all pairs of scales and"
      " splits each squared distance into location, spread and shape. A"
      " distance above its bar is evidence that the two"
      " distributions differ, not of how many modes they have; a second mode"
      " may hardly change “shape”. Bars are not corrected for the number of"
      " pairs. Diverged runs are left out.",
      figure=draw(several),
    )


@styled
def draw(several: Sequence[Series]) -> Figure:
  """Wasserstein-2 distance of each scale to the previous one.

  Distances are dots; the gray bar behind a dot is the 95 % quantile under
  permutation. There is one panel per group.

  Args:
    several: the series of one metric, each with distances and 2 or more scales.
  """

  def panel(axes: Axes, series: Series) -> None:
    found: Distances = series.answers["distance"]
    names = [p.name for p in series.populations[1:]]
    where = range(len(names))
    axes.bar(where, np.diag(found.test.null_KK, 1), width=0.8, color=OTHERS)
    w2_N = np.diag(found.w2_NN, 1)
    axes.plot(where, w2_N, "o", color=LINE, clip_on=False)
    every = math.ceil(len(names) / _MOST_TICKS)
    shown = where[(len(names) - 1) % every :: every]  # Includes the last.
    drawing.label_ticks(axes, shown, [names[i] for i in shown])

  figure = drawing.panel_per_group(
    several,
    panel,
    f"{several[0].axis}, compared with the one before",
    "Wasserstein-2",
    share_x=len({tuple(p.name for p in s.populations) for s in several}) == 1,
  )
  # Panels share a y axis: set its lower end when the points of all are drawn.
  for axes in figure.axes:
    axes.set_ylim(bottom=0)
  return figure


QUESTION = Question(
  "distance",
  "Between which scales do the scores differ?",
  compute,
  values=values,
  files={"distances.csv": rows},
  findings=findings,
  sections=sections,
)
