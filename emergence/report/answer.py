"""The answer of an analysis: one sentence and one table, for page and terminal.

Both are about the first metric.
"""

from collections.abc import Sequence

import numpy as np

from emergence.analysis import scale_curve, words
from emergence.analysis.question import Table, without_name
from emergence.analysis.series import Analysis, Population, Series
from emergence.analysis.summaries import mean
from emergence.statistics import modality as modality_lib
from emergence.statistics.modality import Modality
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.sample import UNIT
from emergence.statistics.scale_curve import LEVEL
from emergence.statistics.summary import count_by_tenth
from emergence.sweep import console
from emergence.tables.score_table import ONLY_SCALE

MOST_ROWS = 60

# Seeds in the outermost tenths are counted if these hold so many of all, and
# each so many.
_OUTER_TENTHS, _OUTER_TENTH = 2 / 3, 0.1


def sentence(analysis: Analysis) -> str:
  """Whether seeds split in two, and how the share that succeeds changes."""
  several = _of_first_metric(analysis)
  text = "; ".join(filter(None, [_split(several), _change(several)]))
  return f"{text[0].upper()}{text[1:]}."


def table(analysis: Analysis) -> Table:
  """One row per cell: its seeds, mean and successes, and whether it splits.

  An interval stands on the second line of its cell.
  """
  several = _of_first_metric(analysis)
  first = several[0]
  has_groups = any(series.group_name for series in several)
  share = []
  if first.threshold is not None:
    share = [f"share {first.threshold_name}"]
  rows = [
    row[0 if has_groups else 1 :] for series in several for row in _rows(series)
  ]
  header = [first.axis, "seeds", "mode", "mean", *share, "split"]
  return Table([*(["group"] * has_groups), *header], rows)


def text(analysis: Analysis) -> str:
  """The table and the sentence, for a terminal."""
  header, rows = table(analysis)
  body = [[cell.replace("\n", " ") for cell in row] for row in rows]
  more = ""
  if len(body) > MOST_ROWS:
    more = f"{len(body) - MOST_ROWS} more rows are in summary.csv\n"
  shown = console.align(header, body[:MOST_ROWS])
  said = f"{sentence(analysis)} {missing(analysis)}".strip()
  return f"\n{shown}\n{more}\n{said}\n"


def missing(analysis: Analysis) -> str:
  """How many runs have no score of the first metric, and where; or ''."""
  first, table = analysis.series[0], analysis.table
  lacking = {
    cell[:-1]: num
    for cell, num in table.num_missing.items()
    if num and cell[-1] == first.metric.name
  }
  if not lacking:
    return ""
  lost = {cell[:-1] for cell in lacking} - {s.group for s in analysis.series}
  names = [
    ", ".join(
      f"{words.short(column)} {words.short(value)}"
      for column, value in zip(table.group_columns, group, strict=True)
    )
    for group in sorted(lost, key=str)
  ]
  pairs = words.count(sum(lacking.values()), "pair")
  text = f"{pairs} of a scale and a seed without a score"
  if names:
    shown = names[: words.MOST_LISTED]
    if len(names) > len(shown):
      shown.append(f"{len(names) - len(shown)} more groups")
    text += f", among them all of {words.listed(shown)},"
  counts = "counts" if sum(lacking.values()) == 1 else "count"
  return f"{text} {counts} nowhere."


def _of_first_metric(analysis: Analysis) -> list[Series]:
  name = analysis.series[0].metric.name
  return [series for series in analysis.series if series.metric.name == name]


def _rows(series: Series) -> list[list[str]]:
  successes = series.answers["success"]
  rows = []
  for i, population in enumerate(series.populations):
    found: Modality = series.answers["modality"].by_scale[i]
    average = series.answers["summaries"][i].mean
    low, high = sorted([series.sign * average.low, series.sign * average.high])
    row = [
      series.group_name,
      population.name,
      str(population.sample.size),
      _score(series, found.peaks.mode)
      if found.peaks and found.num_runs >= MIN_RUNS
      else "–",
      _score(series, mean(population)),
    ]
    if not np.isnan(low):
      texts = [_score(series, x) for x in (mean(population), low, high)]
      if texts[1] == texts[2]:
        texts = words.alike(mean(population), low, high)
      to = " to " if low < 0 else "–"
      row[-1] = f"{texts[0]}\n({texts[1]}{to}{texts[2]})"
    if successes:
      share = successes[i].success.diverged_fail
      row.append(f"{share.num_successes} of {share.num_runs}")
      if share.num_runs >= MIN_RUNS:
        row[-1] = f"{share.probability:.2f}"
      row[-1] += f"\n{words.interval(share.low, share.high).strip()}"
    rows.append([*row, found.label.replace("_", " ")])
  return rows


def _score(series: Series, score: float) -> str:
  if series.is_share and not np.isnan(score):
    return f"{score:.2f}"
  return words.number(score)


def _split(several: Sequence[Series]) -> str:
  """Where seeds split in two most evenly."""
  cells = [
    (series, population, found)
    for series in several
    for population, found in zip(
      series.populations, series.answers["modality"].by_scale, strict=True
    )
  ]
  split = [cell for cell in cells if cell[2].label != "not_shown"]
  if not split:
    return _no_split(several, [found for *_, found in cells])
  series, population, found = min(
    split,
    key=lambda cell: (
      cell[2].label != "two_modes",
      abs(_share_apart(cell[2]) - 0.5),
    ),
  )
  where = _at(series, population)
  if len(several) > 1:
    groups = {s.group for s, _, x in split if x.label == found.label}
    where = f"in {len(groups)} of {len(several)} groups "
  text = {
    "two_modes": f"{where}the seeds split in two",
    "breakout": f"{where}some seeds break out of the floor",
    "falloff": f"{where}some seeds fall off the ceiling",
  }[found.label]
  if len(several) > 1:
    text += (
      f", most evenly in {series.group_name}, {series.scale_name(population)}"
    )
  p = "< 0.001"
  if found.p_adjusted >= 0.001:
    p = f"= {words.number(found.p_adjusted, 1)}"
  return f"{text}: {_counts(series, population, found)} (p {p})"


def _at(series: Series, population: Population) -> str:
  """Such as `at depth 2 `; empty for the only scale."""
  if population.label == ONLY_SCALE:
    return ""
  return f"at {series.scale_name(population)} "


def _share_apart(found: Modality) -> float:
  """The share of the seeds on one side."""
  if found.label == "two_modes":
    assert found.peaks
    return found.peaks.weight_above
  test = found.breakout if found.label == "breakout" else found.falloff
  assert test
  return test.num_outside / found.num_runs


def _counts(series: Series, population: Population, found: Modality) -> str:
  """How many seeds are on either side."""
  score_S, num = population.finite_S, found.num_runs
  all_seeds = str(num)
  if num < population.sample.size:
    all_seeds = f"the {num} that did not diverge"
  if found.label == "two_modes":
    if (series.metric.low, series.metric.high) == UNIT:
      low, *_, high = count_by_tenth(score_S)
      least = _OUTER_TENTH * num
      if low + high >= _OUTER_TENTHS * num and min(low, high) >= least:
        return f"{low} of {all_seeds} score below 0.1, {high} at least 0.9"
    below = int((score_S < found.antimode).sum())
    at = words.number(found.antimode, 2)
    return f"{below} of {all_seeds} score below {at}, {num - below} above"
  is_floor = found.label == "breakout"
  test = found.breakout if is_floor else found.falloff
  assert test
  # The others are the best, or the worst, of them.
  better_S = np.sort(series.sign * score_S)
  others = better_S[test.num_inside :] if is_floor else better_S
  middle = words.number(
    series.sign * float(np.median(others[: test.num_outside])), 2
  )
  end = "floor" if is_floor else "ceiling"
  return (
    f"{test.num_inside} of {all_seeds} are at the {end}, and half of the other"
    f" {test.num_outside} score {middle} or {'better' if is_floor else 'worse'}"
  )


def _no_split(several: Sequence[Series], found: Sequence[Modality]) -> str:
  first = several[0]
  where = f" at any value of {first.axis}"
  if all(len(series.populations) == 1 for series in several):
    where = f" {_at(first, first.populations[0])}".rstrip()
  if len(several) > 1:
    where = " in any group"
  if max(x.num_runs for x in found) < modality_lib.MIN_RUNS:
    return (
      f"fewer than {modality_lib.MIN_RUNS} seeds are too few to test for two"
      f" modes{where}"
    )
  return f"the seeds are not shown to split in two{where}"


def _change(several: Sequence[Series]) -> str:
  """How the share that succeeds changes over scale."""
  first = several[0]
  if len(several) == 1:
    # Its first statement.
    for found in scale_curve.findings(first):
      text = without_name(first, found)
      if len(first.populations) == 1:  # Which scale, is said already.
        where = first.scale_name(first.populations[0])
        text = text.removesuffix(f" at {where}")
      return text.replace(
        f"of seeds at {first.threshold_name}", "that succeeds"
      )
    low, high = first.populations[0], first.populations[-1]
    text = f"the mean is {words.number(mean(low))} at {first.scale_name(low)}"
    if high is not low:
      text += f" and {words.number(mean(high))} at {high.name}"
    return text
  trends = [
    series.answers["curve"].trend
    for series in several
    if series.answers["curve"] is not None and len(series.populations) > 1
  ]
  if not trends:
    return ""
  shown = [trend.z for trend in trends if trend.p_adjusted < LEVEL]
  rises, falls = sum(z > 0 for z in shown), sum(z < 0 for z in shown)
  text = f"over {first.axis} the share that succeeds"
  if not shown:
    return f"{text} is not shown to change in any group"
  parts = [f"rises in {rises}"] * bool(rises) + [f"falls in {falls}"] * bool(
    falls
  )
  lost = {cell[:-2] for cell in first.table.num_missing}
  some = lost.union(s.group for s in several)
  groups = f"{len(trends)} groups"
  if len(trends) < len(some):
    groups = f"the {groups} with scores at two scales"
  return f"{text} {' and '.join(parts)} of {groups}"
