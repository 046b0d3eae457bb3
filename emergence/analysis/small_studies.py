"""What studies with few seeds would have seen of each change between scales."""

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


def compute(several: Sequence[Series]) -> list[list[list[SmallStudy]]]:
  """For each pair of neighbouring scales; empty without a threshold."""
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
        "threshold": series.threshold,
        "difference": _difference(series, study),
      }


def _difference(series: Series, study: SmallStudy) -> float:
  """In the metric's own unit."""
  is_mean = study.statistic == "mean"
  return study.difference * (series.sign if is_mean else 1)


def findings(series: Series) -> Iterator[Finding]:
  """The largest change, as studies of 1 and 3 seeds see it."""
  i = _largest_step(series)
  if i is None:
    return
  a, b = series.populations[i], series.populations[i + 1]
  studies: list[SmallStudy] = series.answers["small_studies"][i]
  one, three = (
    next(s for s in studies if (s.statistic, s.num_seeds) == ("mean", num))
    for num in (1, 3)
  )
  if math.isnan(one.reversed):
    return
  change = _difference(series, one)
  verb, opposite = ("rises", "fall") if change > 0 else ("falls", "rise")
  yield finding(
    "small_studies",
    series,
    f"between {series.scale_name(a)} and {b.name} the mean {verb} by"
    f" {words.number(abs(change), 2)}, but {words.percent(one.reversed)} of"
    f" studies with one seed per scale and {words.percent(three.reversed)} of"
    f" those with three would see it {opposite}",
    scale_from=a.scale,
    scale_to=b.scale,
    studies=[study._asdict() for study in studies],
  )


def _largest_step(series: Series) -> int | None:
  sizes = [p.finite_S.size for p in series.populations]
  largest, found = 0.0, None
  for i, studies in enumerate(series.answers["small_studies"]):
    # Success probabilities first: means may be in another unit.
    steps = {s.statistic: abs(s.difference) for s in studies}
    step = steps["success_probability"] or 1e-9 * steps.get("mean", 0.0)
    if step > largest and min(sizes[i : i + 2]) >= MIN_RUNS:
      largest, found = step, i
  return found


QUESTION = Question(
  "small_studies",
  "What few seeds would have told",
  compute,
  files={"small_studies": ((), rows)},
  findings=findings,
)
