"""Names of an analysis and its numbers, as sentences and figures have them."""

import math
from collections.abc import Sequence
from typing import Any

from emergence.analysis.series import Analysis, Scale, Series
from emergence.tables.score_table import visible

# Longer names of a foreign table are cut in sentences.
_MOST_LETTERS = 60
# More scales than this are counted, not listed.
MOST_LISTED = 12


def group_name(analysis: Analysis, series: Series) -> str:
  """Such as `width 16`: the values that differ between groups, if any do."""
  groups = {s.group for s in analysis.series}
  differs = [len(set(values)) > 1 for values in zip(*groups, strict=True)]
  columns = analysis.table.group_columns
  return ", ".join(
    f"{short(column)} {short(value)}"
    for column, value, shown in zip(columns, series.group, differs, strict=True)
    if shown
  )


def metric_name(series: Series) -> str:
  """Such as `exact match`."""
  return short(series.metric.name.replace("_", " "))


def scale_name(analysis: Analysis, scale: Scale) -> str:
  """Such as `depth 2`."""
  return f"{axis_name(analysis)} {label_name(scale)}"


def axis_name(analysis: Analysis) -> str:
  """Such as `depth`."""
  return short(analysis.table.scale_name)


def label_name(scale: Scale) -> str:
  """Such as `2`."""
  return short(scale.population.label)


def threshold_name(series: Series) -> str:
  """Such as `≥ 20%`; `≤ 1.5` where less is better."""
  assert series.threshold is not None
  is_share = (series.metric.low, series.metric.high) == (0.0, 1.0)
  value = series.threshold
  text = f"{100 * value:.4g}%" if is_share else f"{value:g}"
  return f"{'≥' if series.metric.higher_is_better else '≤'} {text}"


def signed(value: float) -> str:
  """With two decimals, a minus sign, and no minus before zero."""
  text = f"{value:.2f}"
  return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def short(text: Any) -> str:
  """Foreign text in one line, cut where it is long."""
  text = visible(str(text))
  if len(text) <= _MOST_LETTERS:
    return text
  return text[: _MOST_LETTERS - 1] + "…"


def with_interval(found: Any) -> str:
  """Such as `0.47 (0.30–0.64)`, of a probability."""
  return f"{found.probability:.2f}{interval(found.low, found.high)}"


def interval(low: float, high: float) -> str:
  """` (0.30–0.64)`, or nothing where there is none."""
  if math.isnan(low) or math.isnan(high):
    return ""
  if low < 0:
    return f" ({signed(low)} to {signed(high)})"
  return f" ({low:.2f}–{high:.2f})"


def number(value: float) -> str:
  """With three digits, and a minus sign."""
  return f"{value:.3g}".replace("-", "−")


def percent(share: float) -> str:
  """0% and 100% only where it is so."""
  if 0 < share < 0.005:
    return "under 1%"
  if 0.995 <= share < 1:
    return "over 99%"
  return f"{share:.0%}"


def p_value(p: float, adjusted: float, num: int, what: str) -> str:
  """Such as `p = 0.01, 0.06 after Holm over 6 steps`."""
  if num == 1:
    return f"p = {p:.2g}"
  return f"p = {p:.2g}, {adjusted:.2g} after Holm over {num} {what}"


def count(number: int, noun: str) -> str:
  """Such as `1 run` and `2 runs`."""
  return f"{number} {noun}{'' if number == 1 else 's'}"


def at(analysis: Analysis, series: Series, scales: Sequence[Scale]) -> str:
  """Where some of a series' scales are."""
  if len(scales) == len(series.scales) > 1:
    return f"at every {axis_name(analysis)}"
  if len(scales) > MOST_LISTED:
    return f"at {len(scales)} of {len(series.scales)} scales"
  return f"at {', '.join(map(label_name, scales))}"
