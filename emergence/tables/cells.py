"""Values in the cells of foreign tables, and conditions on them.

Text is data only: nothing is evaluated.
"""

import math
import numbers
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from emergence.tables.score_table import (
  Finding,
  plain_rows,
  quote,
  require_column,
)

if TYPE_CHECKING:
  import pandas as pd

_SCALE = re.compile(
  r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([kKmMbBtT]?)"
)
_MULTIPLES = {"": 0, "k": 3, "m": 6, "b": 9, "t": 12}
_NO_NUMBER = ("", "nan", "none", "null")
# What summary rows have where runs have their seed.
_SUMMARIES = frozenset(
  "all average avg max mean median min overall sd std stderr sum total".split()
)
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)


class Condition(NamedTuple):
  """`column=value`, or `column!=value` where not `equal`."""

  column: str
  equal: bool
  value: str


def parse_where(texts: Iterable[str]) -> list[Condition]:
  """Conditions such as `split=test` or `model!=average`.

  The first `=` ends the column's name. Blanks round name and value count for
  nothing; an empty value stands for an empty cell.

  Raises:
    ValueError: a text that is no condition.
  """
  conditions = []
  for text in texts:
    column, equals, value = text.partition("=")
    name = column.removesuffix("!").strip()
    if not equals or not name:
      raise ValueError(
        f"--where reads COLUMN=VALUE or COLUMN!=VALUE, got {quote(text)}"
      )
    is_equal = not column.endswith("!")
    conditions.append(Condition(name, is_equal, value.strip()))
  return conditions


def select(
  frame: "pd.DataFrame", texts: Iterable[str], where: object
) -> tuple["pd.DataFrame", list[Finding]]:
  """The rows that meet every condition, and what the others were.

  Two numbers are equal if their values are (`1e3` is `1000`); other cells, if
  their texts are.

  Args:
    frame: rows of any cells.
    texts: conditions as `parse_where` takes them.
    where: what a message calls the frame.

  Raises:
    ValueError: no such column, or no row meets all conditions.
  """
  findings = []
  rows = cast(Any, frame)
  texts = list(texts)
  for text, condition in zip(texts, parse_where(texts), strict=True):
    require_column(condition.column, rows.columns, "where", where)
    cells = rows[condition.column]
    meets = [
      _equals(cell, condition.value) == condition.equal for cell in cells
    ]
    dropped = rows[[not met for met in meets]]
    if len(dropped) == len(rows):
      values = sorted({quote(cell_text(cell)) for cell in cells})
      raise ValueError(
        f"--where={text} leaves no row of {where}; {quote(condition.column)} is"
        f" {', '.join(values[:10])}{' …' if len(values) > 10 else ''}"
      )
    rows = rows[meets]
    if len(dropped):
      shown = dropped
      if "source" not in rows:
        shown = dropped.assign(source=dropped.index)
      findings.append(
        Finding(
          "excluded",
          f"--where={text} leaves out {len(dropped)} rows.",
          plain_rows(shown.map(cell_text), list(shown.columns)),
        )
      )
  return rows, findings


def parse_scale(cell: Any) -> float:
  """A scale as a number: 64, 1e6, or with a multiple, 125M, 1.3B, 7b, 350k.

  Raises:
    ValueError: none of these, or not finite.
  """
  match = _SCALE.fullmatch(cell_text(cell))
  if match:
    power = _MULTIPLES[match[2].lower()]
    # In decimals, so that 1.3B and 1300M are one scale.
    try:
      number = float(Decimal(match[1]).scaleb(power))
    except ArithmeticError:  # An exponent of many digits.
      number = math.inf
    if math.isfinite(number):
      return number
  raise ValueError(
    f"{quote(cell_text(cell))} is no scale; expected a number, or one like"
    " 125M, 1.3B or 7b"
  )


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
  if _INFINITE.fullmatch(text):
    return float(text), False
  is_percent = text.endswith("%")
  try:
    # Python would read 0_5 as 5.
    number = float(text.removesuffix("%").rstrip().replace("_", "?"))
  except ValueError:
    raise ValueError(
      f"{quote(text)} is no score; expected a number, or an empty cell where"
      " the run diverged (--where leaves rows out)"
    ) from None
  if not math.isfinite(number):
    raise ValueError(f"{quote(text)} is beyond double precision")
  return number, is_percent


def parse_seeds(cells: Iterable[Any], sources: Iterable[str]) -> list[Any]:
  """Seeds as whole numbers if all of them are such, else all as texts.

  Raises:
    ValueError: an empty cell, or the name of a summary among the seeds.
  """
  seeds, all_whole = [], True
  for cell, source in zip(cells, sources, strict=True):
    text = cell_text(cell)
    if text.lower() in _NO_NUMBER:
      raise ValueError(
        f"{source}: no seed; leave out rows that are no run with --where"
      )
    if text.lower() in _SUMMARIES:
      raise ValueError(
        f"{source}: {quote(text)} is a summary and no seed; leave such rows out"
        " with --where"
      )
    try:
      number = Decimal(text.replace("_", "?"))
      is_whole = number.is_finite() and abs(number) < 2**63 and number % 1 == 0
    except ArithmeticError:
      is_whole = False
    seeds.append((text, int(number) if is_whole else None))
    all_whole &= is_whole
  return [number if all_whole else text for text, number in seeds]


def cell_text(cell: Any) -> str:
  """The text of a cell; none of None and NaN, no point in whole floats."""
  if isinstance(cell, str):
    return cell.strip()
  if cell is None:
    return ""
  if isinstance(cell, numbers.Real) and not isinstance(cell, numbers.Integral):
    number = float(cell)
    if math.isnan(number):
      return ""
    whole = number.is_integer() and abs(number) < 1e15
    return str(int(number)) if whole else repr(number)
  return str(cell)


def _equals(cell: Any, value: str) -> bool:
  text = cell_text(cell)
  if text == value:
    return True
  try:
    return float(text) == float(value)
  except ValueError:
    return False
