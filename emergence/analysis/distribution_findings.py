"""Where distributions over seeds differ or have two modes, in sentences."""

import math
from collections.abc import Iterator

import numpy as np

from emergence.analysis import words
from emergence.analysis.finding import Finding, of_series
from emergence.analysis.series import Analysis, Scale, Series
from emergence.analysis.words import (
  axis_name,
  group_name,
  label_name,
  metric_name,
  scale_name,
)
from emergence.statistics.modality import holm


def differences(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """Between which neighbours the distributions differ."""
  found = series.distances
  if found is None or len(series.scales) < 2:
    return
  num = len(series.scales)
  p_N = [float(found.test.p_KK[k, k + 1]) for k in range(num - 1)]
  adjusted_N = holm(p_N)
  steps = [float(found.w2_NN[k, k + 1]) for k in range(num - 1)]
  i = int(np.argmax(steps))
  a, b = series.scales[i], series.scales[i + 1]
  null = float(found.test.null_KK[i, i + 1])
  numbers = {
    "scale_from": a.population.scale,
    "scale_to": b.population.scale,
    "w2": steps[i],
    "null": null,
    "p": p_N[i],
    "p_adjusted": float(adjusted_N[i]),
  }
  if not steps[i]:
    yield of_series(
      analysis,
      "difference",
      series,
      "the scores of neighbouring scales are the same",
      **numbers,
    )
    return
  level = f"{analysis.options.alpha:.0%}"
  text = (
    f"between {scale_name(analysis, a)} and {label_name(b)} the distributions"
    f" are {steps[i]:.3g} apart in Wasserstein-2"
    f"{', more than any other neighbours' if num > 2 else ''}; 95 % of"
    f" permutations{' within seeds' if found.within_seed else ''} do not pass"
    f" {null:.3g}, {words.p_value(p_N[i], adjusted_N[i], num - 1, 'steps')}"
  )
  if num > 2:
    differ = [
      f"{label_name(series.scales[k])} and {label_name(series.scales[k + 1])}"
      for k in range(num - 1)
      if adjusted_N[k] <= analysis.options.alpha
    ]
    names = "; ".join(differ) or "none"
    if len(differ) > words.MOST_LISTED:
      names = f"{len(differ)} of {num - 1} pairs"
    text += f". Neighbours that differ at the {level} level: {names}"
  if (num - 1) / (
    1 + analysis.options.num_permutations
  ) > analysis.options.alpha:
    text += (
      f". So many steps need more than {analysis.options.num_permutations}"
      " permutations to be told apart"
    )
  num_lost = sum(int(s.population.diverged_S.sum()) for s in (a, b))
  if num_lost:
    text += f". {words.count(num_lost, 'run')} that diverged left out"
  if analysis.options.within_seed and not found.within_seed:
    text += (
      ". All runs were permuted and not the scales within each seed, as these"
      " scales have different seeds"
    )
  text += ". That two laws differ says nothing about the number of modes"
  yield of_series(analysis, "difference", series, text, **numbers)


def modality(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """The first scale with two detectable modes, or the labels there are."""
  if series.first_detectable is not None:
    yield _first_detectable(analysis, series, series.first_detectable)
    return
  axis = axis_name(analysis)
  labels: dict[str, list[Scale]] = {}
  for scale in series.scales:
    labels.setdefault(scale.modality.label, []).append(scale)
  parts = [
    f"{name} {words.at(analysis, series, where)}"
    for name, where in labels.items()
  ]
  tested = [s.modality for s in series.scales if not math.isnan(s.modality.p)]
  text = f"two modes are detected at no {axis}; {'; '.join(parts)}"
  if tested:
    lowest = min(tested, key=lambda m: m.p)
    p = words.p_value(
      lowest.p, lowest.p_adjusted, analysis.family_size, "tests"
    )
    text += f". The lowest p of the dip test: {p.removeprefix('p = ')}"
  if "undecided" in labels:
    text += ". Undecided is not unimodal: the evidence of each says why"
  yield of_series(
    analysis,
    "modality",
    series,
    text,
    labels={name: len(where) for name, where in labels.items()},
  )


def _first_detectable(
  analysis: Analysis, series: Series, first: int
) -> Finding:
  scale = series.scales[first]
  found = scale.modality
  text = (
    f"the first {axis_name(analysis)} with two detectable modes is"
    f" {label_name(scale)}, {found.evidence.removeprefix('two modes, ')}"
  )
  others = [s for s in series.scales[first + 1 :] if _is_bimodal(s)]
  if others:
    text += f". Two modes too {words.at(analysis, series, others)}"
  beyond, share = scale.beyond, math.nan
  if beyond is not None and not math.isnan(beyond.value):
    share = beyond.value
    text += (
      f". On the better side of the antimode of {label_name(scale)} are"
      f" {share:.2f}{words.interval(beyond.low, beyond.high)} of all its seeds,"
      " whatever the threshold"
    )
  before = series.scales[:first]
  if before:
    missed = [s.modality.smallest_weight_adjusted for s in before]
    heaviest = math.nan if np.isnan(missed).any() else max(missed)
    text += (
      ". Before it a minor mode"
      + (
        " of any weight"
        if math.isnan(heaviest)
        else f" lighter than {heaviest:.2g}"
      )
      + " may have gone unseen"
    )
  return of_series(
    analysis,
    "modality",
    series,
    text,
    scale=scale.population.scale,
    dip=found.dip,
    p=found.p,
    p_adjusted=found.p_adjusted,
    antimode=found.antimode,
    beyond_antimode=share,
  )


def path(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """On which way each scale lies between the first and the last."""
  if not series.paths:
    return
  verdicts: dict[str, list[Scale]] = {}
  for scale, found in zip(series.scales[1:], series.paths, strict=False):
    verdicts.setdefault(found.verdict, []).append(scale)
  meanings = {
    "mixture": "a mixture of both ends' distributions",
    "displacement": "both ends' distributions joined quantile by quantile"
    " (displacement)",
    "neither": "neither path fits",
    "undecided": "undecided",
  }
  between = len(series.scales) - 2
  parts = []
  for name, where in verdicts.items():
    is_all = len(where) == between and between > 1
    place = "all the way" if is_all else words.at(analysis, series, where)
    parts.append(f"{meanings[name]} {place}")
  metric = series.metric
  # Likelihoods have an open end, and are what the others are compared with.
  is_steep = math.isfinite(metric.high - metric.low)
  note = (
    ". A steep metric turns a smooth change into a mixture: compare with a"
    " likelihood"
  )
  yield of_series(
    analysis,
    "path",
    series,
    f"on the way from {scale_name(analysis, series.scales[0])} to"
    f" {label_name(series.scales[-1])}: {'; '.join(parts)}"
    + (note if is_steep and "mixture" in verdicts else ""),
    verdicts={name: len(where) for name, where in verdicts.items()},
  )


def metrics(analysis: Analysis) -> Iterator[Finding]:
  """Cells that are bimodal in one metric or more: are they in the others?"""
  by_group: dict[tuple, list[Series]] = {}
  for series in analysis.series:
    by_group.setdefault(series.group, []).append(series)
  for group, several in by_group.items():
    cells: dict[float, list[tuple[Series, Scale]]] = {}
    for series in several:
      for scale in series.scales:
        cells.setdefault(scale.population.scale, []).append((series, scale))
    for at, found in sorted(cells.items()):
      split = [series for series, scale in found if _is_bimodal(scale)]
      others = [series for series, scale in found if not _is_bimodal(scale)]
      if not split or len(found) < 2:
        continue
      name = group_name(analysis, several[0])
      first, *agreeing = map(metric_name, split)
      text = f"two modes are detected in {first}"
      if agreeing:
        text += f" and in {', '.join(agreeing)}"
      if others:
        text += f", not in {', '.join(map(metric_name, others))}"
      yield Finding(
        "metrics",
        group,
        "",
        f"{name + ', ' if name else ''}{scale_name(analysis, found[0][1])}:"
        f" {text}.",
        {
          "scale": at,
          "bimodal": [series.metric.name for series in split],
          "other": [series.metric.name for series in others],
        },
      )


def _is_bimodal(scale: Scale) -> bool:
  return scale.modality.label == "bimodal"
