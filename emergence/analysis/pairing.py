"""Whether runs with the same seed index are correlated across scales."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from emergence.analysis import trajectories, words
from emergence.analysis.question import Finding, Question, finding
from emergence.analysis.series import Series, adjusted_over_groups
from emergence.statistics.trajectories import Pairing, pairing


def compute(several: Sequence[Series]) -> list[Pairing | None]:
  """For each series, tests whether scores of a seed are correlated over scales.

  None for a series with a single scale or without a seed that has a row at
  every scale.
  """
  pairings = [
    None
    if (found := trajectories.scores_of_seeds(series)) is None
    else pairing(
      series.sign * found[1], series.table.seed_meaning, series.options
    )
    for series in several
  ]
  adjusted, least = (
    adjusted_over_groups(
      several, [math.nan if x is None else getattr(x, p) for x in pairings]
    )
    for p in ("p", "least_p")
  )
  return [
    x and x._replace(p_adjusted=p, least_p_adjusted=least_p)
    for x, p, least_p in zip(pairings, adjusted, least, strict=True)
  ]


def entry(series: Series) -> dict[str, Any]:
  found: Pairing | None = series.answers["pairing"]
  return {"pairing": found and found._asdict()}


def findings(series: Series) -> Iterator[Finding]:
  found: Pairing | None = series.answers["pairing"]
  alpha = series.options.alpha
  if found is None or math.isnan(found.correlation):
    return
  text = (
    "are correlated across scales"
    if found.p_adjusted <= alpha
    else "are not shown to be correlated across scales"
  )
  text = f"scores of one seed index {text}"
  if min(found.p_adjusted, found.least_p_adjusted) > alpha:
    text = (
      f"{words.count(found.num_seeds, 'seed')} are too few to show whether"
      " scores of one seed index are correlated across scales"
    )
  orders = f"mean rank correlation {words.signed(found.correlation)}"
  if found.num_scales > 2:
    least, greatest = map(words.signed, (found.least, found.greatest))
    orders += f"; pairs of scales from {least} to {greatest}"
  yield finding(
    "pairing",
    series,
    f"{text} ({orders})",
    **found._asdict(),
  )


QUESTION = Question(
  "pairing",
  "Is a seed that is good at one scale good at others?",
  compute,
  is_apart=True,
  entry=entry,
  findings=findings,
)
