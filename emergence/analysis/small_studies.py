"""How often a study with few seeds misjudges the change between two scales."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from emergence.analysis import words
from emergence.analysis.question import Finding, Question, finding
from emergence.analysis.series import Series
from emergence.statistics import small_studies
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.small_studies import SmallStudy

# There is no finding if a smaller share of studies would be misled.
_OFTEN = 0.05


def compute(several: Sequence[Series]) -> list[list[list[SmallStudy]]]:
  """For each series and pair of neighbouring scales, what small studies see.

  The list of a series without a threshold is empty.
  """
  return [
    []
    if (threshold := series.flipped_threshold) is None
    else [
      small_studies.small_studies(a, b, threshold, series.options)
      for a, b in itertools.pairwise(series.better_samples)
    ]
    for series in several
  ]


def rows(series: Series) -> Iterator[dict[str, Any]]:
  """One row per pair of neighbouring scales, statistic and number of seeds."""
  steps = itertools.pairwise(series.populations)
  for (a, b), studies in zip(
    steps, series.answers["small_studies"], strict=False
  ):
    for study in studies:
      yield {
        "metric": series.metric.name,
        "scale_from": a.scale,
        "scale_to": b.scale,
        **study._asdict(),
        "difference": _difference(series, study),
      }


def _difference(series: Series, study: SmallStudy) -> float:
  """The change over all seeds; that of a mean is in the metric's own unit."""
  is_mean = study.statistic == "mean"
  return study.difference * (series.sign if is_mean else 1)


def findings(series: Series) -> Iterator[Finding]:
  """States how studies of 1 and 3 seeds see the largest change shown."""
  i = _largest_step(series)
  if i is None:
    return
  a, b = series.populations[i], series.populations[i + 1]
  studies: list[SmallStudy] = series.answers["small_studies"][i]
  one, three = (
    next(s for s in studies if (s.statistic, s.num_seeds) == ("mean", num))
    for num in (1, 3)
  )
  misled = (one.reversed, one.unseen, three.reversed, three.unseen)
  if max(misled) < _OFTEN:
    return
  change = _difference(series, one)
  verb, opposite = ("rises", "fall") if change > 0 else ("falls", "rise")
  # Short, as four of them stand in one sentence.
  texts = [words.percent(share).replace("under ", "<") for share in misled]
  text = (
    f"from {series.scale_name(a)} to {b.name} the mean {verb} by"
    f" {words.number(abs(change), 2)}; with one seed per scale, {texts[0]} of"
    f" studies see a {opposite}"
  )
  if one.unseen or three.unseen:
    text += f" and {texts[1]} no change; with three, {texts[2]} and {texts[3]}"
  else:
    text += f"; with three, {texts[2]} do"
  yield finding(
    "small_studies",
    series,
    text,
    scale_from=a.scale,
    scale_to=b.scale,
    studies=[study._asdict() for study in studies],
  )


def _largest_step(series: Series) -> int | None:
  """Index of the largest mean change between neighbours shown to differ."""
  distances = series.answers["distance"]
  sizes = [p.finite_S.size for p in series.populations]
  largest, found = 0.0, None
  for i, studies in enumerate(series.answers["small_studies"]):
    if (
      distances is None
      or min(sizes[i : i + 2]) < MIN_RUNS
      or not distances.adjusted_N[i] <= series.options.alpha
    ):
      continue
    step = next(abs(s.difference) for s in studies if s.statistic == "mean")
    if step > largest and not math.isnan(studies[0].reversed):
      largest, found = step, i
  return found


QUESTION = Question(
  "small_studies",
  "What would one or three seeds have shown?",
  compute,
  files={"small_studies": rows},
  findings=findings,
)
