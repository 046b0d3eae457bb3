"""Whether runs with the same seed index are correlated across scales."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from emergence.analysis import trajectories
from emergence.analysis.question import Finding, Question, finding
from emergence.analysis.series import Series
from emergence.statistics.trajectories import Pairing, pairing


def compute(several: Sequence[Series]) -> list[Pairing | None]:
  """Of the seeds with a row at every scale, as in `trajectories`."""
  return [
    None
    if (found := trajectories.scores_of_seeds(series)) is None
    else pairing(
      series.sign * found[1], series.table.seed_meaning, series.options
    )
    for series in several
  ]


def entry(series: Series) -> dict[str, Any]:
  found: Pairing | None = series.answers["pairing"]
  return {"pairing": found and found._asdict()}


def findings(series: Series) -> Iterator[Finding]:
  found: Pairing | None = series.answers["pairing"]
  alpha = series.options.alpha
  if (
    found is None or math.isnan(found.correlation) or not found.can_show(alpha)
  ):
    return
  are = "are" if found.p <= alpha else "are not seen to be"
  yield finding(
    "pairing",
    series,
    f"scores of one seed index {are} correlated across scales",
    **found._asdict(),
  )


QUESTION = Question(
  "pairing",
  "Does a seed do alike at every scale?",
  compute,
  entry=entry,
  findings=findings,
)
