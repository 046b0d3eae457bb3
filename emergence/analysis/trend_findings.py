"""What summaries and single seeds do over scales, in sentences."""

import math
from collections.abc import Iterator

import numpy as np

from emergence.analysis import words
from emergence.analysis.finding import Finding, of_series
from emergence.analysis.series import Analysis, Series
from emergence.statistics import trends
from emergence.tables.score_table import visible


def abruptness(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """What jumps more: the mode, the mean or the success probability."""
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
  yield of_series(
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


def trajectories(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """The seeds that break through or rise evenly more than others."""
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
  yield of_series(
    analysis,
    "trajectories",
    series,
    "; ".join(parts),
    num_seeds=num,
    num_infinite=found.num_infinite,
    num_constant=found.num_constant,
    num_incomplete=found.num_incomplete,
  )


def pairing(analysis: Analysis, series: Series) -> Iterator[Finding]:
  """Whether seeds of one index do alike at different scales."""
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
  yield of_series(analysis, "pairing", series, text, **found._asdict())
