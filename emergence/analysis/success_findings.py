"""How many seeds succeed, and how sure that is, in sentences."""

import math
from collections.abc import Iterator

import numpy as np

from emergence.analysis import words
from emergence.analysis.finding import Finding, of_series
from emergence.analysis.series import Analysis, Series
from emergence.analysis.words import (
  axis_name,
  label_name,
  scale_name,
  threshold_name,
)

# Studies of up to ten seeds are drawn from the runs at hand: from fewer than
# that they would say more about these runs than about such studies.
_LEAST_FOR_STUDIES = 10


def success(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """The largest change of the success probability between neighbours."""
  found = [s.success.diverged_fail for s in series.scales if s.success]
  if not found:
    return
  what = f"the share of seeds at {threshold_name(series)}"
  if len(found) == 1:
    yield of_series(
      analysis,
      "success",
      series,
      f"at {scale_name(analysis, series.scales[0])} {what} is"
      f" {words.with_interval(found[0])}. With one scale nothing can be said"
      " about change over scale",
      **found[0]._asdict(),
    )
    return
  # Rounded, so that of equal steps the first is the largest.
  steps = np.round(np.diff([s.probability for s in found]), 12)
  i = int(np.abs(steps).argmax())
  a, b = series.scales[i], series.scales[i + 1]
  if not steps[i]:
    fewest = min(found, key=lambda s: s.num_runs)
    yield of_series(
      analysis,
      "success",
      series,
      f"{what} is {words.with_interval(fewest)} at every {axis_name(analysis)}"
      + (
        ""
        if len({s.num_runs for s in found}) == 1
        else f", the interval that of the fewest seeds, {fewest.num_runs}"
      ),
      probability=fewest.probability,
      low=fewest.low,
      high=fewest.high,
    )
    return
  yield of_series(
    analysis,
    "success",
    series,
    f"between {scale_name(analysis, a)} and {label_name(b)} {what} goes from"
    f" {words.with_interval(found[i])} to {words.with_interval(found[i + 1])}"
    + (
      f", the largest of {len(steps)} steps, and picked for that"
      if len(steps) > 1
      else ""
    ),
    scale_from=a.population.scale,
    scale_to=b.population.scale,
    probability_from=found[i].probability,
    probability_to=found[i + 1].probability,
    low_from=found[i].low,
    high_from=found[i].high,
    low_to=found[i + 1].low,
    high_to=found[i + 1].high,
  )
  for k, step in enumerate(steps):
    x, y = found[k], found[k + 1]
    if step >= 0 or x.low <= y.high:
      continue
    yield of_series(
      analysis,
      "success",
      series,
      f"{what} falls from {words.with_interval(x)} at"
      f" {scale_name(analysis, series.scales[k])} to {words.with_interval(y)}"
      f" at {label_name(series.scales[k + 1])}; the intervals do not meet"
      + (
        f". From the first {axis_name(analysis)} to the last it rises"
        if found[0].high < found[-1].low
        else ""
      ),
      scale_from=series.scales[k].population.scale,
      scale_to=series.scales[k + 1].population.scale,
      probability_from=x.probability,
      probability_to=y.probability,
    )


def small_studies(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """The largest step, as studies of 1 and 3 seeds see it."""
  sizes = [s.population.finite_S.size for s in series.scales]
  largest, i = 0.0, None
  for k, studies in enumerate(series.studies):
    # Success probabilities first: means may be in another unit.
    steps = {s.statistic: abs(s.difference) for s in studies}
    step = steps["success_probability"] or 1e-9 * steps.get("mean", 0.0)
    if step > largest and min(sizes[k : k + 2]) >= _LEAST_FOR_STUDIES:
      largest, i = step, k
  if i is None:
    return
  a, b = series.scales[i], series.scales[i + 1]
  names = {"mean": "mean", "success_probability": "success probability"}
  signs = {"mean": series.sign}
  parts = []
  for statistic, name in names.items():
    of_statistic = [s for s in series.studies[i] if s.statistic == statistic]
    seen = [
      f"{words.percent(s.reversed)} of studies with"
      f" {words.count(s.num_seeds, 'seed')} a scale reverse it and"
      f" {words.percent(s.missed)} miss it by {s.margin:g} or more"
      for s in of_statistic
      if s.num_seeds in (1, 3) and not math.isnan(s.reversed)
    ]
    if seen:
      step = signs.get(statistic, 1) * of_statistic[0].difference
      parts.append(
        f"the {name} changes by {words.signed(step)}: {', '.join(seen)}"
      )
  if parts:
    yield of_series(
      analysis,
      "small_studies",
      series,
      f"between {scale_name(analysis, a)} and {label_name(b)}"
      f" {'; '.join(parts)}",
      scale_from=a.population.scale,
      scale_to=b.population.scale,
      studies=[study._asdict() for study in series.studies[i]],
    )


def threshold(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """Between which thresholds the success probability says the same."""
  split = [
    (s, s.survival)
    for s in series.scales
    if s.survival is not None
    and 0.05 <= s.survival.reference.probability <= 0.95
  ]
  if not split:
    return
  scale, found = min(
    split, key=lambda pair: abs(pair[1].reference.probability - 0.5)
  )
  sign = series.sign
  ends = sorted((sign * found.same_from, sign * found.same_to))
  yield of_series(
    analysis,
    "threshold",
    series,
    f"at {scale_name(analysis, scale)} every threshold from"
    f" {words.number(ends[0])} to {words.number(ends[1])} gives a success"
    " probability within"
    f"{words.interval(found.reference.low, found.reference.high)}, the"
    f" interval at {threshold_name(series)}; others change the statement",
    scale=scale.population.scale,
    same_from=ends[0],
    same_to=ends[1],
    probability=found.reference.probability,
    low=found.reference.low,
    high=found.reference.high,
  )


def items(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """How much of what seeds differ in is that of the test items."""
  shares = [
    s.item_noise.share
    for s in series.scales
    if s.item_noise is not None and not math.isnan(s.item_noise.share)
  ]
  if shares:
    # An estimate of the part may pass the whole by chance.
    middle = min(float(np.median(shares)), 1.0)
    yield of_series(
      analysis,
      "items",
      series,
      f"test items drawn anew would make {words.percent(middle)} of the"
      " variance between seeds (median over scales); intervals over seeds take"
      " the items as given",
      median_share=middle,
    )


def divergence(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """Which runs diverged, and what they do to the success probability."""
  hit = [s for s in series.scales if s.population.diverged_S.any()]
  if not hit:
    return
  total = sum(int(s.population.diverged_S.sum()) for s in hit)
  text = (
    f"{words.count(total, 'run')} diverged, {words.at(analysis, series, hit)}"
  )
  worst = max(hit, key=lambda s: s.population.diverged_S.mean())
  if worst.success is not None:
    kept = worst.success.diverged_left_out
    text += (
      ". In the success probability they are failures; that of"
      f" {label_name(worst)} is"
      f" {worst.success.diverged_fail.probability:.2f} with them and"
    )
    text += (
      " undefined without, as all diverged"
      if kept is None
      else f" {kept.probability:.2f} without"
    )
  text += ". All else is about the runs that did not"
  yield of_series(
    analysis,
    "divergence",
    series,
    text,
    num_diverged=total,
  )
