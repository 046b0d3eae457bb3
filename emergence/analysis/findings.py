"""What an analysis found, in sentences that carry their numbers."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from emergence.analysis.series import Analysis, Scale, Series
from emergence.statistics import modality, trends


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


def group_name(analysis: Analysis, series: Series) -> str:
  """Such as `width 16`: the values that differ between groups, if any do."""
  groups = {s.group for s in analysis.series}
  differs = [len(set(values)) > 1 for values in zip(*groups, strict=True)]
  columns = analysis.table.group_columns
  return ", ".join(
    f"{column} {value}"
    for column, value, shown in zip(columns, series.group, differs, strict=True)
    if shown
  )


def metric_name(series: Series) -> str:
  """Such as `exact match`."""
  return series.metric.name.replace("_", " ")


def scale_name(analysis: Analysis, scale: Scale) -> str:
  """Such as `depth 2`."""
  return f"{analysis.table.scale_name} {scale.population.label}"


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
  what = f"the share of seeds {_beyond(series)}"
  if len(found) == 1:
    yield _finding(
      analysis,
      "success",
      series,
      f"at {scale_name(analysis, series.scales[0])} {what} is"
      f" {_with_interval(found[0])}. With one scale nothing can be said about"
      " change over scale",
      **found[0]._asdict(),
    )
    return
  steps = np.diff([s.probability for s in found])
  i = int(np.abs(steps).argmax())
  a, b = series.scales[i], series.scales[i + 1]
  if not steps[i]:
    yield _finding(
      analysis,
      "success",
      series,
      f"{what} is {_with_interval(found[0])} at every"
      f" {analysis.table.scale_name}",
      probability=found[0].probability,
    )
    return
  yield _finding(
    analysis,
    "success",
    series,
    f"between {scale_name(analysis, a)} and {b.population.label} {what} goes"
    f" from {_with_interval(found[i])} to {_with_interval(found[i + 1])}, its"
    " largest step",
    scale_from=a.population.scale,
    scale_to=b.population.scale,
    probability_from=found[i].probability,
    probability_to=found[i + 1].probability,
    low_from=found[i].low,
    high_from=found[i].high,
    low_to=found[i + 1].low,
    high_to=found[i + 1].high,
  )
  first, last = found[0].probability, found[-1].probability
  falls = [
    (s, t)
    for s, t, step in zip(series.scales, series.scales[1:], steps, strict=False)
    if step < 0 and not _overlap(s, t)
  ]
  for s, t in falls:
    assert s.success is not None
    assert t.success is not None
    yield _finding(
      analysis,
      "success",
      series,
      f"{what} falls from {s.success.diverged_fail.probability:.2f} at"
      f" {scale_name(analysis, s)} to"
      f" {t.success.diverged_fail.probability:.2f} at {t.population.label}, and"
      " the 95 % intervals do not meet"
      + ("" if last < first else ", though it rises over all"),
      scale_from=s.population.scale,
      scale_to=t.population.scale,
    )


def _differences(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """Between which neighbours the distributions differ."""
  found = series.distances
  if found is None or len(series.scales) < 2:
    return
  num = len(series.scales)
  p_N = [found.test.p_KK[i, i + 1] for i in range(num - 1)]
  adjusted_N = modality.holm(p_N)
  steps = [found.w2_NN[i, i + 1] for i in range(num - 1)]
  i = int(np.argmax(steps))
  differ = [
    f"{series.scales[k].population.label} and"
    f" {series.scales[k + 1].population.label}"
    for k in range(num - 1)
    if adjusted_N[k] <= analysis.options.alpha
  ]
  a, b = series.scales[i], series.scales[i + 1]
  yield _finding(
    analysis,
    "difference",
    series,
    f"neighbouring distributions differ most between {scale_name(analysis, a)}"
    f" and {b.population.label}: Wasserstein-2 {steps[i]:.3g}, where 95 % of"
    f" permutations stay below {found.test.null_KK[i, i + 1]:.3g},"
    f" p = {p_N[i]:.2g}, {adjusted_N[i]:.2g} after Holm over {num - 1} steps."
    " Different at the 5 % level:"
    f" {'; '.join(differ) or 'none'}. This is about the laws, not the number of"
    " modes",
    w2=steps[i],
    null=found.test.null_KK[i, i + 1],
    p=p_N[i],
    p_adjusted=float(adjusted_N[i]),
  )


def _modality(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """The first scale with two detectable modes, or the labels there are."""
  if series.first_detectable is not None:
    scale = series.scales[series.first_detectable]
    text = (
      f"the first {analysis.table.scale_name} with two detectable modes is"
      f" {scale.population.label}: {scale.modality.evidence}"
    )
    beyond = scale.beyond
    if beyond is not None and not math.isnan(beyond.probability):
      text += (
        f". Beyond the antimode lie {beyond.probability:.2f}"
        f" ({beyond.low:.2f}–{beyond.high:.2f}) of its seeds, whatever the"
        " threshold"
      )
    before = series.scales[: series.first_detectable]
    missed = [s.modality.smallest_weight_adjusted for s in before]
    if before:
      heaviest = max(missed, key=lambda w: math.inf if math.isnan(w) else w)
      text += (
        ". Before it a minor mode"
        + (
          " of any weight"
          if math.isnan(heaviest)
          else f" lighter than {heaviest:.2g}"
        )
        + " may have gone unseen"
      )
    yield _finding(
      analysis,
      "modality",
      series,
      text,
      scale=scale.population.scale,
      dip=scale.modality.dip,
      p=scale.modality.p,
      p_adjusted=scale.modality.p_adjusted,
      antimode=scale.modality.antimode,
    )
    return
  labels: dict[str, list[str]] = {}
  for scale in series.scales:
    labels.setdefault(scale.modality.label, []).append(scale.population.label)
  parts = [f"{name} at {', '.join(where)}" for name, where in labels.items()]
  tested = [s.modality for s in series.scales if not math.isnan(s.modality.p)]
  text = (
    f"no {analysis.table.scale_name} shows two modes after Holm over"
    f" {analysis.family_size} tests; {'; '.join(parts)}"
  )
  if tested:
    lowest = min(tested, key=lambda m: m.p_adjusted)
    text += f". Lowest p = {lowest.p:.2g}, {lowest.p_adjusted:.2g} after Holm"
  if "undecided" in labels:
    text += ". Undecided is not unimodal: these seeds are too few to say"
  yield _finding(
    analysis,
    "modality",
    series,
    text,
    labels={name: len(where) for name, where in labels.items()},
  )


def _path(analysis: Analysis, series: Series) -> Iterator[Finding]:
  if not series.paths:
    return
  verdicts: dict[str, list[str]] = {}
  for scale, found in zip(series.scales[1:], series.paths, strict=False):
    verdicts.setdefault(found.verdict, []).append(scale.population.label)
  words = {
    "mixture": "mass moves between two fixed modes",
    "displacement": "every run moves a little",
    "neither": "neither fits",
    "undecided": "undecided",
  }
  parts = [
    f"{words[name]} ({name}) at {', '.join(where)}"
    for name, where in verdicts.items()
  ]
  yield _finding(
    analysis,
    "path",
    series,
    f"on the way from {scale_name(analysis, series.scales[0])} to"
    f" {series.scales[-1].population.label}: {'; '.join(parts)}. A steep metric"
    " makes a mixture of a smooth change, so compare with a likelihood",
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
  interval = f"({found.difference_low:.2f} to {found.difference_high:.2f})"
  yield _finding(
    analysis,
    "abruptness",
    series,
    f"largest step over range: {', '.join(parts)}; mode less success"
    f" probability {found.difference:.2f} {interval}."
    f" {trends.JUMP_NOTE.rstrip('.')}",
    **found._asdict(),
  )


def _trajectories(analysis: Analysis, series: Series) -> Iterator[Finding]:
  found = series.trajectories
  if found is None:
    return
  counts = (
    f"{found.num_infinite} of {len(series.seeds)} seeds have infinite"
    f" breakthroughness, {found.num_constant} never change,"
    f" {found.num_incomplete} lack a score somewhere"
  )
  if found.note:
    text = f"{found.note}; {counts}"
  else:
    best = []
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
        best.append(f"{name} {value_S[s]:.3g} (seed {series.seeds[s]})")
    text = f"highest {' and '.join(best) or 'of nothing'}; {counts}"
  yield _finding(
    analysis,
    "trajectories",
    series,
    text,
    num_infinite=found.num_infinite,
    num_constant=found.num_constant,
    num_incomplete=found.num_incomplete,
  )


def _pairing(analysis: Analysis, series: Series) -> Iterator[Finding]:
  found = series.pairing
  if found is None:
    return
  if math.isnan(found.correlation):
    text = f"whether seeds of one index do alike cannot be said: {found.note}"
  else:
    is_paired = found.p <= analysis.options.alpha
    text = (
      f"seeds of one index {'do' if is_paired else 'are not seen to do'} alike"
      f" at different scales: mean rank correlation {found.correlation:.2f},"
      f" p = {found.p:.2g}"
    )
    if not is_paired:
      text += (
        ". A trajectory then joins runs that have nothing to do with each other"
      )
    beaten = [
      f"{name} {value:.3g} ({null:.3g} by chance)"
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
    if beaten:
      text += (
        f". Largest, and what 5 % of permutations pass: {', '.join(beaten)}"
      )
  text += f". {found.shares.rstrip('.')}"
  yield _finding(analysis, "pairing", series, text, **found._asdict())


def _small_studies(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """The step of the largest difference, as studies of 1 and 3 seeds see it."""
  if not series.studies:
    return
  by_size = {
    i: max(abs(s.difference) for s in studies)
    for i, studies in enumerate(series.studies)
  }
  i = max(by_size, key=lambda k: by_size[k])
  if not by_size[i]:
    return
  a, b = series.scales[i], series.scales[i + 1]
  parts = []
  for study in series.studies[i]:
    if study.num_seeds in (1, 3) and not math.isnan(study.reversed):
      name, sign = "success probability", 1
      if study.statistic == "mean":
        name, sign = "mean", 1 if series.metric.higher_is_better else -1
      parts.append(
        f"{study.num_seeds} seed{'s' * (study.num_seeds > 1)} a scale reverse"
        f" the step of the {name}, {sign * study.difference:.2f}, in"
        f" {study.reversed:.0%} and miss it by {study.margin:g} or more in"
        f" {study.missed:.0%}"
      )
  if parts:
    yield _finding(
      analysis,
      "small_studies",
      series,
      f"between {scale_name(analysis, a)} and {b.population.label}, studies of"
      f" {'; of '.join(parts)}",
      studies=[study._asdict() for study in series.studies[i]],
    )


def _threshold(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """Between which thresholds the success probability says the same."""
  split = [
    s
    for s in series.scales
    if s.survival is not None
    and 0.05 <= s.survival.reference.probability <= 0.95
  ]
  if not split:
    return
  scale = min(
    split,
    key=lambda s: abs(s.survival.reference.probability - 0.5),  # type: ignore[union-attr]
  )
  found = scale.survival
  assert found is not None
  sign = 1 if series.metric.higher_is_better else -1
  ends = sorted((sign * found.same_from, sign * found.same_to))
  yield _finding(
    analysis,
    "threshold",
    series,
    f"at {scale_name(analysis, scale)} thresholds from {ends[0]:.2f} to"
    f" {ends[1]:.2f} give a success probability within the interval of"
    f" {series.threshold:g}, {found.reference.low:.2f}–"
    f"{found.reference.high:.2f}; others change the statement",
    same_from=ends[0],
    same_to=ends[1],
    probability=found.reference.probability,
  )


def _items(analysis: Analysis, series: Series) -> Iterator[Finding]:
  shares = [
    s.item_noise.share
    for s in series.scales
    if s.item_noise is not None and not math.isnan(s.item_noise.share)
  ]
  if shares:
    yield _finding(
      analysis,
      "items",
      series,
      f"the draw of test items makes up to {max(shares):.0%} of the variance"
      " over seeds; intervals over seeds take the items as given",
      largest_share=max(shares),
    )


def _divergence(analysis: Analysis, series: Series) -> Iterator[Finding]:
  hit = [s for s in series.scales if s.population.diverged_S.any()]
  if not hit:
    return
  total = sum(int(s.population.diverged_S.sum()) for s in hit)
  text = f"{total} runs diverged, at {_labels(hit)}"
  worst = max(hit, key=lambda s: s.population.diverged_S.mean())
  if worst.success is not None:
    kept = worst.success.diverged_left_out
    without = "unknown" if kept is None else f"{kept.probability:.2f}"
    text += (
      ". They are failures in the success probability; at"
      f" {worst.population.label} it is"
      f" {worst.success.diverged_fail.probability:.2f} with them and"
      f" {without} without"
    )
  lost = sum(int((~np.isfinite(s.population.scores_S)).sum()) for s in hit)
  if lost:
    text += f". {lost} have no score and are left out of all else"
  yield _finding(analysis, "divergence", series, text, num_diverged=total)


def _metrics(analysis: Analysis) -> Iterator[Finding]:
  """Cells that are bimodal in one metric: are they in the others?"""
  by_group: dict[tuple, list[Series]] = {}
  for series in analysis.series:
    by_group.setdefault(series.group, []).append(series)
  for group, several in by_group.items():
    if len(several) < 2:
      continue
    first, *others = several
    for i, scale in enumerate(first.scales):
      if scale.modality.label != "bimodal":
        continue
      agreeing, not_agreeing = [], []
      for other in others:
        match = [
          s
          for s in other.scales
          if s.population.scale == scale.population.scale
        ]
        if match:
          is_bimodal = match[0].modality.label == "bimodal"
          (agreeing if is_bimodal else not_agreeing).append(other.metric.name)
      where = scale_name(analysis, first.scales[i])
      name = group_name(analysis, first)
      yield Finding(
        "metrics",
        group,
        "",
        f"{name + ', ' if name else ''}{where}: the seeds have two modes in"
        f" {first.metric.name}; also in"
        f" {', '.join(agreeing) or 'no other metric'}"
        + (f", not shown in {', '.join(not_agreeing)}" if not_agreeing else "")
        + ".",
        {"bimodal": [first.metric.name, *agreeing], "other": not_agreeing},
      )


def _beyond(series: Series) -> str:
  is_share = (series.metric.low, series.metric.high) == (0.0, 1.0)
  value = series.threshold
  assert value is not None
  text = f"{value:.0%}" if is_share else f"{value:g}"
  return f"{'≥' if series.metric.higher_is_better else '≤'} {text}"


def _with_interval(found: Any) -> str:
  return f"{found.probability:.2f} ({found.low:.2f}–{found.high:.2f})"


def _overlap(a: Scale, b: Scale) -> bool:
  assert a.success is not None
  assert b.success is not None
  x, y = a.success.diverged_fail, b.success.diverged_fail
  return x.low <= y.high and y.low <= x.high


def _labels(scales: Sequence[Scale]) -> str:
  return ", ".join(scale.population.label for scale in scales)
