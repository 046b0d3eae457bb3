"""Types: `Question`, and the findings, tables and sections of its answer.

Each file in this folder that defines a `QUESTION` answers one question: it
computes the answer, fills columns of the tables, states findings and draws
figures. `questions.py` lists all questions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from emergence.analysis.series import Analysis, Series


class Finding(NamedTuple):
  """One statement, with the numbers that it rests on.

  Attributes:
    kind: the kind of its question.
    group: values of the table's group columns.
    metric: name of the metric.
    sentence: the statement.
    numbers: the numbers, by name.
  """

  kind: str
  group: tuple
  metric: str
  sentence: str
  numbers: dict[str, Any]


class Table(NamedTuple):
  """A table of texts.

  Attributes:
    header: the names of the columns.
    rows: each has one text per column.
  """

  header: Sequence[str]
  rows: Sequence[Sequence[str]]


class Section(NamedTuple):
  """A part of a report. All texts are plain: the report escapes them.

  Attributes:
    name: its HTML anchor and figure file name; letters, digits and dashes only.
    sentence: what its figure or table shows.
    caveat: what it does not show.
    figure: drawn in the style of `emergence.plotting.style`.
    points: statements, each with the numbers that it rests on.
    table: a table, if any.
    code: preformatted text.
    title: its heading, a plain question; if empty, the title of its `Question`.
    answers: a few plain sentences that answer the heading.
    alt: text alternative of the figure; if empty, the answers and the sentence.
    is_first: whether it is on the first screen, with its table in full view.
  """

  name: str
  sentence: str
  caveat: str = ""
  figure: Figure | None = None
  points: Sequence[tuple[str, str]] = ()
  table: Table | None = None
  code: str = ""
  title: str = ""
  answers: Sequence[str] = ()
  alt: str = ""
  is_first: bool = False


Rows = Iterable[Mapping[str, Any]]


def _nothing(_: Any) -> tuple:
  return ()


def _no_entry(_: Any) -> dict[str, Any]:
  return {}


class Question(NamedTuple):
  """One question and the functions that answer it.

  Only the first three fields are required. Numbers in rows and entries may be
  numpy scalars, NaN or infinite: `output` converts them for CSV and JSON.

  Attributes:
    kind: its name in summary.json; the key of its answer in `Series.answers`.
    title: what it asks, in plain words: the heading of its section.
    compute: returns the answer of each series, in order; None for no answer.
      The answers of earlier questions are in `Series.answers`.
    is_apart: whether another process may run `compute`, because it takes long
      and needs only the final scores and no answers of other questions.
    values: yields its columns of summary.csv, one row per scale of a series,
      with the same columns for all scales; None if it has none.
    files: further tables, by file name. Each function yields the rows of a
      series, all with the same columns in the same order. A table whose name
      does not end in .csv becomes a list in summary.json.
    entry: returns what summary.json has about a series as a whole.
    findings: yields statements about a series.
    sections: yields its sections of the report, with their figures. If there
      are none, its findings make one.
    unanswered: what its section says where there are no findings.
  """

  kind: str
  title: str
  compute: Callable[[Sequence[Series]], Sequence[Any]]
  is_apart: bool = False
  values: Callable[[Series], Rows] | None = None
  files: Mapping[str, Callable[[Series], Rows]] = {}
  entry: Callable[[Series], Mapping[str, Any]] = _no_entry
  findings: Callable[[Series], Iterable[Finding]] = _nothing
  sections: Callable[[Analysis], Iterable[Section]] = _nothing
  unanswered: str = "These scores cannot answer this question."


def finding(
  kind: str, series: Series, sentence: str, **numbers: Any
) -> Finding:
  """Makes a finding about one series.

  Args:
    kind: the kind of its question.
    series: what it is about. The name of the series is put before the sentence.
    sentence: the statement, without its full stop.
    **numbers: the numbers that it rests on.
  """
  where = _name(series)
  return Finding(
    kind, series.group, series.metric.name, f"{where}: {sentence}.", numbers
  )


def first_rows(
  header: Sequence[str], rows: Sequence[Sequence[str]], most: int
) -> tuple[Table, str]:
  """Makes a table of the first rows, without the first column if it is empty.

  Returns:
    The table, and a note after a space if rows are left out, else "".
  """
  if not any(row[0] for row in rows):
    header, rows = header[1:], [row[1:] for row in rows]
  note = ""
  if len(rows) > most:
    note = f" The first {most} of {len(rows)} rows are shown."
  return Table(header, rows[:most]), note


def without_name(series: Series, found: Finding) -> str:
  """The sentence of a finding as it was given to `finding`."""
  return found.sentence.removeprefix(f"{_name(series)}: ").removesuffix(".")


def _name(series: Series) -> str:
  name = series.metric_name
  return f"{series.group_name}, {name}" if series.group_name else name


def interval_columns(name: str, interval: Any, sign: float) -> dict[str, Any]:
  """Columns `name`, `name_low` and `name_high`, in the metric's own unit.

  Args:
    name: name of the first column.
    interval: has `value`, `low` and `high`, of scores for which higher is
      better; None makes empty columns.
    sign: `Series.sign`, which turns them back into the metric's own unit.
  """
  if interval is None:
    return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
  low, high = sorted((sign * interval.low, sign * interval.high))
  return {name: sign * interval.value, f"{name}_low": low, f"{name}_high": high}
