"""Scales, scores and seeds from the cells of a table, and `--where`.

Text is data only: nothing is evaluated.
"""

import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from emergence.tables.score_table import (
  Issue,
  plain_rows,
  quote,
  require_column,
)

if TYPE_CHECKING:
  import pandas as pd

_MULTIPLE = re.compile(
  r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,3}))?\s*([kKmMbBtT])"
)
_POWERS = {"k": 3, "m": 6, "b": 9, "t": 12}
_NO_NUMBER = ("", "nan", "none", "null")
# What summary rows have where runs have their seed.
_SUMMARIES = frozenset(
  "all average avg max mean median min overall sd std stderr sum total".split()
)


def cell_text(cell: Any) -> str:
  """The text of a cell; none of None and NaN, no point in whole floats."""
  if cell is None or (isinstance(cell, float) and math.isnan(cell)):
    return ""
  if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
    return str(int(cell))
  return str(cell).strip()


def parse_scale(cell: Any) -> float:
  """Reads a scale: a number, or one with a suffix, such as 125M, 1.3B or 350k.

  Raises:
    ValueError: not such a number, or not finite.
  """
  text = cell_text(cell)
  match = _MULTIPLE.fullmatch(text)
  # As a decimal exponent, so that 1.3B and 1300M are one scale.
  number = _to_float(
    f"{match[1]}e{int(match[2] or 0) + _POWERS[match[3].lower()]}"
    if match
    else text
  )
  if number is None or not math.isfinite(number):
    raise ValueError(
      f"{quote(text)} is no scale; expected a number, or one like 125M, 1.3B"
      " or 7b"
    )
  return number


def parse_score(cell: Any) -> tuple[float, bool]:
  """A score, NaN where the cell holds none, and whether it has a percent sign.

  An empty cell, null, none and NaN are no score, and infinities are read as
  such: the run diverged. Any other text (`N/A`) is an error, because it may be
  a run that was not made.

  Raises:
    ValueError: another text, or a number beyond double precision.
  """
  text = cell_text(cell)
  if text.lower() in _NO_NUMBER:
    return math.nan, False
  number = _to_float(text.removesuffix("%"))
  is_too_large = number and math.isinf(number) and "inf" not in text.lower()
  # Such as -nan, which nobody writes for a run that diverged.
  if number is None or math.isnan(number) or is_too_large:
    raise ValueError(
      f"{quote(text)} is no score; expected a number that a double can hold, or"
      " an empty cell where the run diverged (--where leaves rows out)"
    )
  return number, text.endswith("%")


def parse_each(
  cells: Iterable[Any], parse: Callable[[Any], Any], places: Iterable[str]
) -> list[Any]:
  """Parses the cells of a column; an error says where its cell stands."""
  parsed = []
  for cell, place in zip(cells, places, strict=True):
    try:
      parsed.append(parse(cell))
    except ValueError as error:
      raise ValueError(f"{place}: {error}") from None
  return parsed


def parse_seeds(cells: Iterable[Any], sources: Iterable[str]) -> list[Any]:
  """Seeds as whole numbers if all of them are such, else all as texts.

  Raises:
    ValueError: an empty cell, or the name of a summary among the seeds.
  """
  texts = [cell_text(cell) for cell in cells]
  for text, source in zip(texts, sources, strict=True):
    if text.lower() in _SUMMARIES.union(_NO_NUMBER):
      raise ValueError(
        f"{source}: {quote(text)} is no seed; leave out rows that are no run"
        " with --where"
      )
  try:
    # A float would lose the last digits of long seeds.
    numbers = [Decimal(text) for text in texts if "_" not in text]
  except ArithmeticError:
    return texts
  are_whole = len(numbers) == len(texts) and all(
    number.is_finite() and abs(number) < 2**63 and number % 1 == 0
    for number in numbers
  )
  return [int(number) for number in numbers] if are_whole else texts


def select(
  frame: "pd.DataFrame", conditions: Iterable[str], where: object
) -> tuple["pd.DataFrame", list[Issue]]:
  """Keeps the rows that meet every condition, and reports the others.

  Numbers are compared by value (`1e3` equals `1000`), everything else as text.

  Args:
    frame: rows of any cells.
    conditions: such as `split=test` or `model!=average`. The first `=` ends the
      column's name. Spaces around name and value are ignored; an empty value
      matches an empty cell.
    where: what error messages call the frame.

  Raises:
    ValueError: a text that is no condition, no such column, or no row meets all
      conditions.
  """
  issues = []
  rows = cast(Any, frame)
  for text in conditions:
    column, equals, value = text.partition("=")
    name, value = column.removesuffix("!").strip(), value.strip()
    if not equals or not name:
      raise ValueError(
        f"--where reads COLUMN=VALUE or COLUMN!=VALUE, got {quote(text)}"
      )
    require_column(name, rows.columns, "where", where)
    texts, number = rows[name].map(cell_text), _to_float(value)
    is_equal = texts == value
    if number is not None:
      is_equal |= texts.map(_to_float) == number
    is_met = ~is_equal if column.endswith("!") else is_equal
    if not is_met.any():
      values = sorted(map(quote, texts.unique()))
      raise ValueError(
        f"--where={text} leaves no row of {where}; {quote(name)} is"
        f" {', '.join(values[:10])}{' …' if len(values) > 10 else ''}"
      )
    dropped, rows = rows[~is_met], rows[is_met]
    if len(dropped):
      if "source" not in dropped:
        dropped = dropped.assign(source=dropped.index)
      sentence = f"--where={text} leaves out {len(dropped)} rows."
      shown = plain_rows(dropped.map(cell_text), list(dropped.columns))
      issues.append(Issue("excluded", sentence, shown))
  return rows, issues


def _to_float(text: str) -> float | None:
  try:
    # Python reads 0_5 as 5.
    return None if "_" in text else float(text)
  except ValueError:
    return None
