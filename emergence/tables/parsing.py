"""Parses the scales, scores and seeds of a table, and applies `--where`.

No text of the table is evaluated as code.
"""

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from emergence.tables.score_table import (
  Issue,
  flag_list,
  quote,
  require_column,
)

if TYPE_CHECKING:
  import pandas as pd

_MULTIPLE = re.compile(
  r"([+-]?(?:\d+\.?\d*|\.\d+))(?:e([+-]?\d{1,3}))?"
  r"\s*([kmbt]|[mb](?:n|illion))",
  re.IGNORECASE,
)
# As in 1b7, which is 1.7 billion.
_INFIX = re.compile(r"(\d+)([mb])(\d+)", re.IGNORECASE)
# At least two commas, because a single one may be a decimal comma.
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3}){2,}")
_POWERS = {"k": 3, "m": 6, "b": 9, "t": 12}
_MISSING = frozenset(("", "none", "null", "na", "n/a", "#n/a", "<na>"))
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+\s*[%a-z]*", re.IGNORECASE)
# The columns of the initialization and the data order of a run.
CROSSED = ("init_seed", "data_seed")
# --scale_order is not advised for more scales than this.
_MOST_SCALES = 30


def cell_text(entry: Any) -> str:
  """Returns an entry as text: empty for None and NaN, `3` for 3.0."""
  if entry is None or (isinstance(entry, float) and math.isnan(entry)):
    return ""
  if isinstance(entry, float) and entry.is_integer() and abs(entry) < 1e15:
    return str(int(entry))
  return str(entry).strip()


def parse_scale(entry: Any) -> float:
  """Reads a scale: a number, or one with a suffix, such as 125M, 1.3B or 350k.

  Also read are 1b7, 1.4Bn, 410 million and 1,400,000,000.

  Raises:
    ValueError: not such a number, or not finite.
  """
  text = cell_text(entry)
  plain = _INFIX.sub(r"\1.\3\2", text) if _INFIX.fullmatch(text) else text
  if _GROUPED.fullmatch(plain):
    plain = plain.replace(",", "")
  match = _MULTIPLE.fullmatch(plain)
  # As a decimal exponent, so that 1.3B and 1300M are one scale.
  number = _to_float(
    f"{match[1]}e{int(match[2] or 0) + _POWERS[match[3][0].lower()]}"
    if match
    else plain
  )
  if number is None or not math.isfinite(number):
    raise ValueError(
      f"{quote(text)} is no scale; expected a number, or one like 125M, 1.3B"
      " or 7b"
    )
  return number


def parse_scales(cells: "pd.Series", order: Sequence[str]) -> list[float]:
  """Parses the scales of a column, or ranks them in a given order.

  Args:
    cells: the column; its index has each cell's place, for error messages.
    order: the texts of all scales, smallest first; empty if they are numbers.

  Returns:
    The number of each cell; with an order its rank, from 1.

  Raises:
    ValueError: a scale is no number, or is not in the order.
  """
  texts = cells.map(cell_text)
  labels = list(dict.fromkeys(texts))
  if order:
    ranks = {text: rank for rank, text in enumerate(order, 1)}
    if lacking := [text for text in labels if text not in ranks]:
      raise ValueError(
        f"--scale_order lacks {quote(lacking[0])};"
        f" {leave_out(cells.name, lacking[0])}"
      )
    return [float(ranks[text]) for text in texts]
  numbers, odd = {}, []
  for label in labels:
    try:
      numbers[label] = parse_scale(label)
    except ValueError as error:
      odd.append((label, error))
  if odd:
    label, error = odd[0]
    if any(_is_decimal_comma(text) for text, _ in odd):
      advice = "--decimal_comma reads its comma as a point"
    else:
      advice = leave_out(cells.name, label) if len(odd) == 1 else ""
      if label and len(labels) <= _MOST_SCALES:
        ranked = flag("scale_order", flag_list(sorted(labels, key=_by_number)))
        advice += f"{advice and '; '}{ranked} ranks all scales, smallest first"
    place = texts.index[texts == label][0]
    raise ValueError(
      f"{place}, column {quote(cells.name)}: {error}{advice and '; '}{advice}"
    )
  return [numbers[text] for text in texts]


def parse_steps(cells: "pd.Series") -> list[float]:
  """Parses a column of training steps, such as 143000 or 143k.

  Raises:
    ValueError: a cell is not a number.
  """
  steps = []
  for place, text in cells.map(cell_text).items():
    try:
      steps.append(parse_scale(text))
    except ValueError:
      raise ValueError(
        f"{place}, column {quote(cells.name)}: {quote(text)} is no training"
        f" step; expected a number; {leave_out(cells.name, text)}"
      ) from None
  return steps


def parse_score(entry: Any) -> tuple[float | None, bool]:
  """Parses a score: the number, None if missing, and whether it has a % sign.

  Empty entries, null, none and N/A mean that the score is missing. NaN and
  infinities are scores of a run that diverged.

  Raises:
    ValueError: the text is not a number, or the number overflows a double.
  """
  if isinstance(entry, float) and math.isnan(entry):
    return math.nan, False
  text = cell_text(entry)
  if text.lower() in _MISSING:
    return None, False
  number = _to_float(text.removesuffix("%"))
  is_too_large = number and math.isinf(number) and "inf" not in text.lower()
  if number is None or is_too_large:
    raise ValueError(
      f"{quote(text)} is no score; expected one number that a double can hold"
    )
  return number, text.endswith("%")


def parse_scores(
  cells: Iterable[Any], column: str, places: Iterable[str]
) -> tuple[list[float], list[bool], list[bool]]:
  """Parses a column of scores.

  Args:
    cells: the entries of the column.
    column: its name, for error messages.
    places: the place of each entry, for error messages.

  Returns:
    Of each entry the score (NaN if missing), whether it is missing, and whether
    it has a percent sign.

  Raises:
    ValueError: an entry is no score.
  """
  parsed = []
  for cell, place in zip(cells, places, strict=True):
    try:
      parsed.append(parse_score(cell))
    except ValueError as error:
      if _is_decimal_comma(cell):
        advice = "--decimal_comma reads its comma as a point"
      elif isinstance(cell, str) and len(cell) < 20 and cell.isprintable():
        advice = leave_out(column, cell)
      else:
        advice = "choose another --score_column"
      raise ValueError(
        f"{place}, column {quote(column)}: {error}; {advice}"
      ) from None
  return (
    [math.nan if number is None else number for number, _ in parsed],
    [number is None for number, _ in parsed],
    [is_percent for _, is_percent in parsed],
  )


def flag(name: str, value: object) -> str:
  """A flag as it is typed into a shell, such as `--where='seed!=mean all'`."""
  return f"--{name}={shlex.quote(str(value))}"


def leave_out(column: object, text: str) -> str:
  """Advises the flag that leaves out rows with this text in this column."""
  return f"{flag('where', f'{column}!={text}')} leaves such rows out"


def with_decimal_point(entry: Any) -> Any:
  """Replaces the decimal comma of an entry by a point."""
  return entry.replace(",", ".") if isinstance(entry, str) else entry


def _by_number(text: str) -> float:
  """Returns a sort key: the number in a text if it has just one, else 0."""
  numbers = re.findall(r"\d+(?:\.\d+)?", text)
  return float(numbers[0]) if len(numbers) == 1 else 0.0


def _is_decimal_comma(entry: Any) -> bool:
  return isinstance(entry, str) and bool(
    _DECIMAL_COMMA.fullmatch(entry.strip())
  )


def parse_seeds(cells: "pd.Series") -> list[Any]:
  """Returns seeds as integers if all are whole numbers, else all as texts.

  Args:
    cells: the column; its index has each cell's place, for error messages.

  Raises:
    ValueError: a cell is empty or says that its value is missing, such as N/A.
  """
  texts = [cell_text(cell) for cell in cells]
  for text, source in zip(texts, cells.index, strict=True):
    if text.lower() in _MISSING or text.lower() == "nan":
      raise ValueError(
        f"{source}: {quote(text)} is no seed; {leave_out(cells.name, text)}"
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


def init_and_data(rows: "pd.DataFrame") -> dict[Any, tuple]:
  """Returns the initialization and the data order of each seed, by name.

  Args:
    rows: rows of runs, with the column `seed` and perhaps those of `CROSSED`.

  Returns:
    (init_seed, data_seed) by seed. Empty if the columns are missing, or if a
    seed has several values in one of them.
  """
  if not set(CROSSED) <= set(rows.columns):
    return {}
  runs: Any = rows[["seed", *CROSSED]].drop_duplicates()
  if runs["seed"].duplicated().any():
    return {}
  names = zip(*(runs[column].tolist() for column in CROSSED), strict=True)
  return dict(zip(runs["seed"], names, strict=True))


def select(
  frame: "pd.DataFrame", conditions: Iterable[str], where: object
) -> tuple["pd.DataFrame", list[Issue]]:
  """Keeps the rows that meet every condition, and reports the others.

  Numbers are compared by value (`1e3` equals `1000`), everything else as text.

  Args:
    frame: the rows to choose from.
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
        f"--where expects COLUMN=VALUE or COLUMN!=VALUE, got {quote(text)}"
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
        f"no row of {where} meets --where={text}; the values of"
        f" {quote(name)} are {', '.join(values[:10])}"
        f"{' …' if len(values) > 10 else ''}"
      )
    dropped, rows = rows[~is_met], rows[is_met]
    if len(dropped):
      sentence = f"{flag('where', text)} leaves out {len(dropped):,} rows."
      issues.append(Issue("excluded", sentence, []))
  return rows, issues


def _to_float(text: str) -> float | None:
  try:
    # Python reads 0_5 as 5.
    return None if "_" in text else float(text)
  except ValueError:
    return None
