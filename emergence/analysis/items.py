"""How much of the variance between seeds the choice of test items makes."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from emergence.analysis import words
from emergence.analysis.question import Finding, Question, finding
from emergence.analysis.series import Population, Series
from emergence.statistics.item_noise import item_noise
from emergence.statistics.options import MIN_RUNS


def compute(several: Sequence[Series]) -> list[list[float | None]]:
  """For each scale; None where items are no sample, or their number unknown."""
  return [
    [
      None if series.table.items_enumerated else _item_noise(population)
      for population in series.populations
    ]
    for series in several
  ]


def _item_noise(population: Population) -> float | None:
  sample = population.sample
  if not math.isnan(population.item_variance) and sample.finite_S.size > 1:
    return item_noise(sample, item_variance=population.item_variance)
  if sample.step is not None and population.num_items >= 2:
    return item_noise(sample, int(population.num_items))
  return None


def values(series: Series) -> Iterator[dict[str, Any]]:
  for share in series.answers["items"]:
    yield {"item_noise_share": share}


def findings(series: Series) -> Iterator[Finding]:
  shares = [
    share
    for population, share in zip(
      series.populations, series.answers["items"], strict=True
    )
    if share is not None
    and not math.isnan(share)
    and population.finite_S.size >= MIN_RUNS
  ]
  if shares:
    # By chance the estimated share may exceed 1. It assumes items drawn anew
    # for each seed: those that share items differ less by this choice.
    ends = np.minimum([min(shares), max(shares)], 1.0)
    least, most = (words.number(100 * end, 2) for end in ends)
    text = "the choice of test items makes an estimated"
    if least == most:
      text += f" {most}% of the variance between seeds"
    else:
      text += f" {least} to {most}% of the variance between seeds, by scale"
    yield finding(
      "items",
      series,
      text,
      least_share=float(ends[0]),
      largest_share=float(ends[1]),
    )


QUESTION = Question(
  "items",
  "How much do the test items decide?",
  compute,
  values=values,
  findings=findings,
)
