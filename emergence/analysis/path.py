"""Whether mass moves between two groups of runs, or every run improves."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from emergence.analysis import words
from emergence.analysis.question import (
  Finding,
  Question,
  Section,
  finding,
  first_rows,
)
from emergence.analysis.series import Analysis, Population, Series
from emergence.statistics import path
from emergence.statistics.path import Path

_MOST_ROWS = 60
# Most of the time of an analysis goes into these tests. With so many resamples,
# a p-value of 0.01, at which a path is rejected, has a standard error of 0.007.
_MOST_RESAMPLES = 200
# What a verdict says of a scale; {} stands for the first and the last scale.
_MEANINGS = {
  "mixture": "the scores look more like a mixture of those at {} than as if all"
  " runs had moved partway between them",
  "displacement": "the scores look more as if all runs had moved partway"
  " between those at {} than like a mixture of them",
  "neither": "the scores look neither like a mixture of those at {} nor as if"
  " all runs had moved partway between them",
}


def compute(several: Sequence[Series]) -> list[list[Path]]:
  """For each series, compares scales between first and last with both paths.

  The list of a series is empty if it has fewer than three scales, or a scale
  that has no run with a score.
  """
  return [_paths(series) for series in several]


def _paths(series: Series) -> list[Path]:
  if len(series.populations) < 3 or not series.has_scores:
    return []
  num_resamples = min(series.options.num_resamples, _MOST_RESAMPLES)
  options = series.options._replace(num_resamples=num_resamples)
  return path.compare_paths(series.samples, options)


def _paired(series: Series) -> list[tuple[Population, Path]]:
  return list(zip(series.populations[1:], series.answers["path"], strict=False))


def rows(series: Series) -> Iterator[dict[str, Any]]:
  """One row per scale between the first and the last: which path it is on."""
  for population, found in _paired(series):
    yield {
      "metric": series.metric.name,
      "scale": population.scale,
      "verdict": found.verdict,
      **_prefixed("mixture_", found.mixture._asdict()),
      **_prefixed("displacement_", found.displacement._asdict()),
      "difference": found.difference,
      "difference_low": found.low,
      "difference_high": found.high,
      "difference_mixture_p": found.mixture_p,
      "difference_displacement_p": found.displacement_p,
      "reason": found.reason,
    }


def _prefixed(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
  return {f"{prefix}{name}": value for name, value in values.items()}


def findings(series: Series) -> Iterator[Finding]:
  """States on which path the scales between the first and the last lie."""
  if not series.answers["path"]:
    return
  verdicts: dict[str, list[Population]] = {}
  for population, found in _paired(series):
    verdicts.setdefault(found.verdict, []).append(population)
  if list(verdicts) == ["undecided"]:
    fewest = min(p.finite_S.size for p in series.populations)
    text = (
      "it is not shown whether scales in between mix the first and last"
      " distribution or all runs moved partway"
    )
    if fewest < path.MIN_RUNS_FOR_VERDICT:
      text = (
        f"with fewer than {path.MIN_RUNS_FOR_VERDICT} runs at a scale it is not"
        " tested whether scales in between mix the first and last distribution"
        " or all runs moved partway"
      )
    yield finding("path", series, text)
  first, *_, last = series.populations
  ends = f"{first.name} and {last.name}"
  for verdict, meaning in _MEANINGS.items():
    if verdict in verdicts:
      yield finding(
        "path",
        series,
        f"{_where(series, verdicts[verdict])} {meaning.format(ends)}",
        verdicts={name: len(where) for name, where in verdicts.items()},
      )


def _where(series: Series, populations: list[Population]) -> str:
  between = len(series.populations) - 2
  if len(populations) == between > 1:
    return f"at every {series.axis} in between,"
  if len(populations) > words.MOST_LISTED:
    return f"at {len(populations)} of {between} scales in between,"
  return series.at(populations)


def sections(analysis: Analysis) -> Iterator[Section]:
  several = [s for s in analysis.of_first_metric if s.answers["path"]]
  if not several:
    return
  rows = [
    [
      series.group_name,
      population.name,
      found.verdict,
      "–"
      if math.isnan(found.mixture.share)
      else words.signed(found.mixture.share),
      f"{found.mixture.distance:.3g}",
      f"{found.displacement.distance:.3g}",
      found.reason,
    ]
    for series in several
    for population, found in _paired(series)
  ]
  header = ["group", several[0].axis, "verdict", "mixture share", "to mixture"]
  header += ["to displacement", "evidence"]
  table, note = first_rows(header, rows, _MOST_ROWS)
  sentence = (
    "The verdict says which of two paths from the first scale to the last fits"
    " the distribution of a scale in between. On the mixture path a share of"
    " the runs has switched to the last distribution. On the displacement path"
    " every run has moved part of the way, quantile by quantile."
  )
  yield Section(
    "paths",
    sentence + note,
    "Both paths are about distributions: no run of one scale is compared with a"
    " run of another. A steep metric, such as exact match, can turn a smooth"
    " change of ability into a mixture; paths.csv has the other metrics of this"
    " table. “To mixture” and “to displacement” are Wasserstein-2 distances to"
    " the two paths, in the unit of the scores.",
    table=table,
  )


QUESTION = Question(
  "path",
  "Do some seeds switch groups, or do all seeds move a little?",
  compute,
  is_apart=True,
  files={"paths.csv": rows},
  findings=findings,
  sections=sections,
)
