"""What an analysis found, in sentences that carry their numbers."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from emergence.analysis import words
from emergence.analysis.series import Analysis, Scale, Series
from emergence.analysis.words import (
  axis_name,
  group_name,
  label_name,
  metric_name,
  scale_name,
  threshold_name,
)
from emergence.statistics import modality, trends
from emergence.tables.score_table import visible

# Studies of up to ten seeds are drawn from the runs at hand: from fewer than
# that they would say more about these runs than about such studies.
_LEAST_FOR_STUDIES = 10


class Finding(NamedTuple):
  """One statement.

  Attributes:
    kind: `success`, `difference`, `modality`, `metrics`, `path`, `abruptness`,
      `pairing`, `trajectories`, `small_studies`, `threshold`, `items` or
      `divergence`.
    group: values of the table's group columns; empty for all.
    metric: name of the metric; empty for all.
    sentence: the statement.
    numbers: what it rests on, by name.
  """

  kind: str
  group: tuple
  metric: str
  sentence: str
  numbers: dict[str, Any]


def findings(analysis: Analysis) -> list[Finding]:
  """All statements, by group and metric, in the order of questions."""
  writers: list[Callable[[Analysis, Series], Iterator[Finding]]] = [
    _success,
    _differences,
    _modality,
    _path,
    _abruptness,
    _trajectories,
    _pairing,
    _small_studies,
    _threshold,
    _items,
    _divergence,
  ]
  found = []
  for series in analysis.series:
    for writer in writers:
      found += writer(analysis, series)
  return found + list(_metrics(analysis))


def _finding(
  analysis: Analysis, kind: str, series: Series, sentence: str, **numbers: Any
) -> Finding:
  where = group_name(analysis, series)
  where = f"{where}, {metric_name(series)}" if where else metric_name(series)
  return Finding(
    kind, series.group, series.metric.name, f"{where}: {sentence}.", numbers
  )


def _success(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """The largest change of the success probability between neighbours."""
  found = [s.success.diverged_fail for s in series.scales if s.success]
  if not found:
    return
  what = f"the share of seeds at {threshold_name(series)}"
  if len(found) == 1:
    yield _finding(
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
    yield _finding(
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
  yield _finding(
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
    yield _finding(
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


def _differences(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """Between which neighbours the distributions differ."""
  found = series.distances
  if found is None or len(series.scales) < 2:
    return
  num = len(series.scales)
  p_N = [float(found.test.p_KK[k, k + 1]) for k in range(num - 1)]
  adjusted_N = modality.holm(p_N)
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
    yield _finding(
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
  yield _finding(analysis, "difference", series, text, **numbers)


def _modality(analysis: Analysis, series: Series) -> Iterator[Finding]:
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
  yield _finding(
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
  if beyond is not None and not math.isnan(beyond.probability):
    share = beyond.probability
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
  return _finding(
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


def _path(analysis: Analysis, series: Series) -> Iterator[Finding]:
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
  yield _finding(
    analysis,
    "path",
    series,
    f"on the way from {scale_name(analysis, series.scales[0])} to"
    f" {label_name(series.scales[-1])}: {'; '.join(parts)}"
    + (note if is_steep and "mixture" in verdicts else ""),
    verdicts={name: len(where) for name, where in verdicts.items()},
  )


def _abruptness(analysis: Analysis, series: Series) -> Iterator[Finding]:
  found = series.abruptness
  if found is None or math.isnan(found.difference) or found.num_scales < 3:
    return
  known = {
    "mode": found.mode,
    "mean": found.mean,
    "success probability": found.success_probability,
    "mean of successes": found.mean_given_success,
  }
  # Of two scales the largest step is the whole range.
  few = {"mean of successes"} if found.num_scales_given_success < 3 else set()
  parts = [
    f"{name} {value:.2f}"
    for name, value in known.items()
    if not math.isnan(value) and name not in few
  ]
  interval = words.interval(found.difference_low, found.difference_high)
  if interval:
    interval = f", in resamples{interval}, a range that covers less than 95 %"
  yield _finding(
    analysis,
    "abruptness",
    series,
    f"largest step as a share of the range over scales: {', '.join(parts)};"
    f" mode less success probability {words.signed(found.difference)}"
    f"{interval}. For"
    " two clusters a jump of the mode is arithmetic where their peaks are"
    " equal, near P = ½, and no evidence of an abrupt change",
    **found._asdict(),
  )


def _trajectories(analysis: Analysis, series: Series) -> Iterator[Finding]:
  found = series.trajectories
  if found is None:
    return
  parts = []
  for name, rank_S, value_S in (
    (
      "breakthroughness",
      found.breakthroughness_rank_S,
      found.breakthroughness_S,
    ),
    ("linearity", found.linearity_rank_S, found.linearity_S),
  ):
    first = np.flatnonzero(rank_S == 1)
    if first.size:
      s = int(first[0])
      parts.append(
        f"the highest {'finite ' * (name == 'breakthroughness')}{name} is"
        f" {words.number(value_S[s])}, of seed {words.short(series.seeds[s])}"
      )
  if found.note:
    parts.append(
      f"{len(series.scales)} scales are too few to rank seeds, which needs"
      f" {trends.MIN_SCALES}"
    )
  num = len(series.seeds)
  parts += [
    f"{what}: {count} of {words.count(num, 'seed')}"
    for what, count in (
      ("infinite breakthroughness, as most steps are 0", found.num_infinite),
      ("no change at all", found.num_constant),
      ("no score at some scale", found.num_incomplete),
    )
    if count
  ]
  yield _finding(
    analysis,
    "trajectories",
    series,
    "; ".join(parts),
    num_seeds=num,
    num_infinite=found.num_infinite,
    num_constant=found.num_constant,
    num_incomplete=found.num_incomplete,
  )


def _pairing(analysis: Analysis, series: Series) -> Iterator[Finding]:
  found = series.pairing
  if found is None:
    return
  if math.isnan(found.correlation):
    why = found.note.split(";")[0]
    if found.num_seeds < 3:
      why = (
        f"{words.count(found.num_seeds, 'seed')}"
        f" {'has' if found.num_seeds == 1 else 'have'} a score at every scale"
      )
    text = f"whether seeds of one index do alike cannot be said: {why}"
  else:
    is_paired = found.p <= analysis.options.alpha
    text = (
      f"seeds of one index {'do' if is_paired else 'are not seen to do'} alike"
      f" at different scales: mean rank correlation"
      f" {words.signed(found.correlation)}, p = {found.p:.2g}"
    )
    if not is_paired:
      text += ". A trajectory may then join runs that have nothing in common"
    beaten = [
      f"{name} {words.number(value)} ({words.number(null)})"
      for name, value, null in (
        (
          "breakthroughness",
          found.max_breakthroughness,
          found.max_breakthroughness_null,
        ),
        ("linearity", found.max_linearity, found.max_linearity_null),
      )
      if not math.isnan(value) and not math.isnan(null)
    ]
    # With few scales both are next to constant, and no seed is ranked.
    if beaten and series.trajectories and not series.trajectories.note:
      text += (
        ". Highest of all seeds, in brackets what 95 % of permutations do not"
        f" pass: {', '.join(beaten)}"
      )
  text += f". {visible(found.shares.rstrip('.'))}"
  yield _finding(analysis, "pairing", series, text, **found._asdict())


def _small_studies(analysis: Analysis, series: Series) -> Iterator[Finding]:
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
    yield _finding(
      analysis,
      "small_studies",
      series,
      f"between {scale_name(analysis, a)} and {label_name(b)}"
      f" {'; '.join(parts)}",
      scale_from=a.population.scale,
      scale_to=b.population.scale,
      studies=[study._asdict() for study in series.studies[i]],
    )


def _threshold(analysis: Analysis, series: Series) -> Iterator[Finding]:
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
  yield _finding(
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


def _items(analysis: Analysis, series: Series) -> Iterator[Finding]:
  shares = [
    s.item_noise.share
    for s in series.scales
    if s.item_noise is not None and not math.isnan(s.item_noise.share)
  ]
  if shares:
    # An estimate of the part may pass the whole by chance.
    middle = min(float(np.median(shares)), 1.0)
    yield _finding(
      analysis,
      "items",
      series,
      f"test items drawn anew would make {words.percent(middle)} of the"
      " variance between seeds (median over scales); intervals over seeds take"
      " the items as given",
      median_share=middle,
    )


def _divergence(analysis: Analysis, series: Series) -> Iterator[Finding]:
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
  yield _finding(
    analysis,
    "divergence",
    series,
    text,
    num_diverged=total,
  )


def _metrics(analysis: Analysis) -> Iterator[Finding]:
  """Cells that are bimodal in one metric: are they in the others?"""
  by_group: dict[tuple, list[Series]] = {}
  for series in analysis.series:
    by_group.setdefault(series.group, []).append(series)
  for group, several in by_group.items():
    first, *others = several
    for scale in first.scales:
      if not _is_bimodal(scale):
        continue
      agreeing, not_agreeing = [], []
      for other in others:
        for match in other.scales:
          if match.population.scale == scale.population.scale:
            (agreeing if _is_bimodal(match) else not_agreeing).append(other)
      if not agreeing + not_agreeing:
        continue
      name = group_name(analysis, first)
      text = f"two modes are detected in {metric_name(first)}"
      if agreeing:
        text += f" and in {', '.join(map(metric_name, agreeing))}"
      if not_agreeing:
        text += f", not in {', '.join(map(metric_name, not_agreeing))}"
      yield Finding(
        "metrics",
        group,
        "",
        f"{name + ', ' if name else ''}{scale_name(analysis, scale)}: {text}.",
        {
          "scale": scale.population.scale,
          "bimodal": [s.metric.name for s in (first, *agreeing)],
          "other": [s.metric.name for s in not_agreeing],
        },
      )


def _is_bimodal(scale: Scale) -> bool:
  return scale.modality.label == "bimodal"
