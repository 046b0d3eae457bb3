"""Numbers and foreign names, as sentences and figures show them."""

import math
from collections.abc import Sequence
from typing import Any

from emergence.tables.score_table import visible

# Longer names of a foreign table are cut in sentences.
_MOST_LETTERS = 60
# More scales than this are counted, not listed.
MOST_LISTED = 3


def short(text: Any) -> str:
  """Foreign text in one line, cut where it is long."""
  text = visible(str(text))
  if len(text) <= _MOST_LETTERS:
    return text
  return text[: _MOST_LETTERS - 1] + "…"


def signed(value: float) -> str:
  """With two decimals, a minus sign, and no minus before zero."""
  text = f"{value:.2f}"
  return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def interval(low: float, high: float) -> str:
  """` (0.30–0.64)`, or nothing where there is none."""
  if math.isnan(low) or math.isnan(high):
    return ""
  if low < 0:
    return f" ({signed(low)} to {signed(high)})"
  return f" ({low:.2f}–{high:.2f})"


def number(value: float, digits: int = 3) -> str:
  """`value` to `digits` significant digits with a true minus; `–` for NaN."""
  if math.isnan(value):
    return "–"
  return f"{value:.{digits}g}".replace("-", "−")


def percent(share: float) -> str:
  """0% and 100% only where it is so."""
  if 0 < share < 0.005:
    return "under 1%"
  if 0.995 <= share < 1:
    return "over 99%"
  return f"{share:.0%}"


def listed(names: Sequence[str]) -> str:
  """Such as `1`, `1 and 2` or `1, 2 and 4`."""
  *first, last = names
  return f"{', '.join(first)} and {last}" if first else last


def count(number: int, noun: str) -> str:
  """Such as `1 run` and `2 runs`."""
  return f"{number} {noun}{'' if number == 1 else 's'}"
