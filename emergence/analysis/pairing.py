"""Whether runs with the same seed index are correlated across scales."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from emergence.analysis import trend, words
from emergence.analysis.question import Finding, Question, finding
from emergence.analysis.series import Series
from emergence.statistics import trends
from emergence.statistics.trends import Pairing
from emergence.tables.score_table import visible


def compute(several: Sequence[Series]) -> list[Pairing | None]:
  """Of the seeds with a row at every scale, as in `trend`."""
  return [
    None
    if (found := trend.scores_of_seeds(series)) is None
    else trends.pairing(
      series.sign * found[1], series.table.seed_meaning, series.options
    )
    for series in several
  ]


def entry(series: Series) -> dict[str, Any]:
  found: Pairing | None = series.answers["pairing"]
  return {"pairing": found and found._asdict()}


def findings(series: Series) -> Iterator[Finding]:
  found: Pairing | None = series.answers["pairing"]
  if found is None:
    return
  if math.isnan(found.correlation):
    why = found.note.split(";")[0]
    if found.num_seeds < 3:
      have = "has" if found.num_seeds == 1 else "have"
      why = f"{words.count(found.num_seeds, 'seed')} {have} a score at every"
      why += " scale"
    text = f"no test of correlation between seeds of one index: {why}"
  else:
    is_paired = found.p <= series.options.alpha
    text = (
      f"scores of one seed index {'are' if is_paired else 'are not seen to be'}"
      " correlated across scales: mean rank correlation"
      f" {words.signed(found.correlation)}, p = {found.p:.2g}"
    )
    if not is_paired:
      text += ". A trajectory may then join runs that have nothing in common"
    highest = _highest(found)
    # With few scales both are next to constant, and no seed is ranked.
    if highest and not series.answers["trend"].trajectories.note:
      text += (
        ". Highest of all seeds, with the 95 % quantile under permutation in"
        f" brackets: {', '.join(highest)}"
      )
  text += f". {visible(found.shares.rstrip('.'))}"
  yield finding("pairing", series, text, **found._asdict())


def _highest(found: Pairing) -> list[str]:
  known = {
    "breakthroughness": (
      found.max_breakthroughness,
      found.max_breakthroughness_null,
    ),
    "linearity": (found.max_linearity, found.max_linearity_null),
  }
  return [
    f"{name} {words.number(value)} ({words.number(null)})"
    for name, (value, null) in known.items()
    if not math.isnan(value) and not math.isnan(null)
  ]


QUESTION = Question(
  "pairing",
  "Whether a seed index means anything",
  compute,
  entry=entry,
  findings=findings,
)
