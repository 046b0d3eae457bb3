"""The answer of an analysis: one sentence and one table, for page and terminal.

Both are about the first metric.
"""

from collections.abc import Sequence

import numpy as np

from emergence.analysis import modality, scale_curve, words
from emergence.analysis.question import Table, without_name
from emergence.analysis.series import Analysis, Series
from emergence.analysis.summaries import mean
from emergence.statistics.modality import Modality
from emergence.statistics.options import MIN_RUNS
from emergence.statistics.scale_curve import LEVEL
from emergence.sweep import console

MOST_ROWS = 60


def sentence(analysis: Analysis) -> str:
  """Says whether seeds split in two and how the share that succeeds changes."""
  several = _of_first_metric(analysis)
  text = "; ".join(filter(None, [_split(several), _change(several)]))
  return f"{text[0].upper()}{text[1:]}."


def table(analysis: Analysis) -> Table:
  """Makes a table with one row per cell: seeds, mode, mean, success and split.

  In the columns of mean and success, the interval is on a second line.
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
  """Says how many runs lack a score of the first metric, and where; or ''."""
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
  is_one = sum(lacking.values()) == 1
  text = f"{pairs} of a scale and a seed {'has' if is_one else 'have'} no score"
  if names:
    shown = names[: words.MOST_LISTED]
    if len(names) > len(shown):
      shown.append(f"{len(names) - len(shown)} more groups")
    text += f", among them all of {words.listed(shown)},"
  return f"{text} and {'is' if is_one else 'are'} left out of all results."


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
  """Says how many groups split, and the finding of the first that does."""
  said = [(series, _of_split(series)) for series in several]
  if len(several) == 1:
    return said[0][1]
  split = [(s, x) for s, x in said if s.answers["modality"].first is not None]
  if split:
    series, text = split[0]
    groups = f"{len(split)} of {len(several)} groups"
    return f"a split is shown in {groups}; in {series.group_name} {text}"
  texts = {text for _, text in said}
  if len(texts) == 1:
    return f"in each of {len(several)} groups {texts.pop()}"
  return "no split is shown in any group"


def _of_split(series: Series) -> str:
  """The first finding about a split, with its p-value if a split is shown."""
  found = next(iter(modality.findings(series)))
  text, p = without_name(series, found), found.numbers.get("p_of_label")
  if p is None:
    return text
  shown = "< 0.001" if p < 0.001 else f"= {words.number(p, 1)}"
  return f"{text} (p {shown})"


def _change(several: Sequence[Series]) -> str:
  """Says how the share that succeeds, or else the mean, changes over scale."""
  first = several[0]
  if len(several) == 1:
    # Return the first finding, if there is one.
    for found in scale_curve.findings(first):
      text = without_name(first, found)
      if len(first.populations) == 1:  # It is named already.
        where = first.scale_name(first.populations[0])
        text = text.removesuffix(f" at {where}")
      return text.replace(
        f"of seeds at {first.threshold_name}", "that succeeds"
      )
    ends = first.populations[:1] + first.populations[1:][-1:]
    lost = [p for p in ends if not p.finite_S.size]
    text = f"all runs diverged {first.at(lost)}" if lost else ""
    if scored := [p for p in ends if p.finite_S.size]:
      text += f"{text and ' and '}the mean is {words.number(mean(scored[0]))}"
      text += f" at {first.scale_name(scored[0])}"
    if len(scored) > 1:
      text += f" and {words.number(mean(scored[1]))} at {scored[1].name}"
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
  if all(trend.least_p_adjusted >= LEVEL for trend in trends):
    return f"{text}: too few seeds to show a change in any group"
  if not shown:
    return f"{text} is not shown to change in any group"
  parts = [f"rises in {rises}"] * bool(rises) + [f"falls in {falls}"] * bool(
    falls
  )
  lost = {cell[:-2] for cell in first.table.num_missing}
  some = lost.union(s.group for s in several)
  groups = f"{len(trends)} groups"
  if len(trends) < len(some):
    groups = f"the {groups} with scores at two or more scales"
  return f"{text} {' and '.join(parts)} of {groups}"
