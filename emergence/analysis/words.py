"""Numbers and names from input tables, as sentences and figures show them."""

import math
from collections.abc import Sequence
from typing import Any

from emergence.tables.score_table import visible

# Longer names from an input table are cut in sentences.
_MOST_LETTERS = 60
# More scales than this are counted, not listed.
MOST_LISTED = 3
_MOST_DECIMALS = 9


def short(text: Any) -> str:
  """Text from an input table in one line, cut to 60 characters."""
  text = visible(str(text))
  if len(text) <= _MOST_LETTERS:
    return text
  return text[: _MOST_LETTERS - 1] + "…"


def signed(value: float) -> str:
  """A number with two decimals, a true minus sign, and no minus before zero."""
  text = f"{value:.2f}"
  return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def interval(low: float, high: float) -> str:
  """Text of an interval, ` (0.30–0.64)`; empty if an end is NaN."""
  if math.isnan(low) or math.isnan(high):
    return ""
  if low < 0:
    return f" ({signed(low)} to {signed(high)})"
  return f" ({low:.2f}–{high:.2f})"


def number(value: float, digits: int = 3) -> str:
  """`value` to `digits` significant digits with a true minus; `–` for NaN.

  Up to a billion all digits before the point are shown, such as `2,900`.
  """
  if math.isnan(value):
    return "–"
  text = f"{value:.{digits}g}"
  if 10**digits <= abs(float(text)) < 1e9:
    text = f"{value:,.0f}"
  return text.replace("-", "−")


def size(value: float) -> str:
  """Text of a number on the axis of scales: `2.4`, `430M` or `1.2B`."""
  for unit, letter in ((1e9, "B"), (1e6, "M")):
    if value >= unit:
      return f"{value / unit:.3g}{letter}"
  return number(value)


def alike(*values: float) -> list[str]:
  """Formats numbers with equally many decimals, enough to tell them apart.

  That is at least two decimals if all are below 100, and at most nine.
  """
  largest = max(map(abs, values))
  decimals = 2 if largest < 100 else 0
  different = len(set(values))
  while True:
    texts = [f"{value:,.{decimals}f}" for value in values]
    if len(set(texts)) >= different or decimals == _MOST_DECIMALS:
      break
    decimals += 1
  return [
    (t.removeprefix("-") if not t.strip("-0.") else t).replace("-", "−")
    for t in texts
  ]


def with_interval(value: float, low: float, high: float) -> str:
  """Text such as `0.47 (0.30–0.64)`; the value alone if an end is NaN."""
  if math.isnan(low) or math.isnan(high):
    return number(value)
  text, *ends = alike(value, low, high)
  return f"{text} ({(' to ' if low < 0 else '–').join(ends)})"


def percent(share: float) -> str:
  """A share as `34%`; `0%` and `100%` only if it is exactly 0 or 1."""
  if 0 < share < 0.005:
    return "under 1%"
  if 0.995 <= share < 1:
    return "over 99%"
  return f"{share:.0%}"


def listed(names: Sequence[str]) -> str:
  """Joins names to `1`, `1 and 2` or `1, 2 and 4`."""
  *first, last = names
  return f"{', '.join(first)} and {last}" if first else last


def count(number: int, noun: str) -> str:
  """A number with its noun, such as `1 run` or `2 runs`."""
  return f"{number} {noun}{'' if number == 1 else 's'}"
