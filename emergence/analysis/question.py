"""What one question of an analysis consists of, and what it may show.

Each file beside this one that defines a `QUESTION` answers one: it computes,
fills its columns, says what it found and draws it. `questions.py` lists them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from emergence.analysis.series import Analysis, Series


class Finding(NamedTuple):
  """One statement, with the numbers that it rests on.

  Attributes:
    kind: that of its question.
    group: values of the table's group columns.
    metric: name of the metric.
    sentence: the statement.
    numbers: what it rests on, by name.
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
    name: its HTML anchor and figure file name; letters and dashes only.
    sentence: what its figure or table shows.
    caveat: what it does not show.
    figure: drawn in the style of `emergence.plotting.style`.
    points: statements, each with the numbers that it rests on.
    table: a table, if any.
    code: preformatted text.
    title: its heading, a plain question; empty for that of its question.
    answers: one or two plain sentences that answer it.
    alt: what is seen in the figure; empty for answers and sentence.
    is_first: whether it is on the first screen, its table in full view.
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
  """One question, and all that answers it. Only the first three are required.

  Numbers in rows and entries may be numpy's, NaN or infinite; the files write
  them as CSV and JSON can hold them.

  Attributes:
    kind: its name in summary.json, and of its answer in `Series.answers`.
    title: what it asks, in plain words: the heading of its section.
    compute: answers of all series, in their order; None where it has none. The
      answers of questions before it are in `Series.answers`.
    is_apart: whether `compute` takes long, needs no answers and nothing but the
      scores at the end: another process may do it.
    values: its columns of summary.csv, the same for each scale of a series;
      None without any.
    files: further tables, by file name: the rows of a series, with the same
      columns in the same order. Names without .csv become lists in
      summary.json.
    entry: what summary.json has about a series as a whole.
    findings: statements about a series.
    sections: its sections of the report, with their figures. Without any, its
      findings make one.
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
  unanswered: str = "These scores do not tell."


def finding(
  kind: str, series: Series, sentence: str, **numbers: Any
) -> Finding:
  """Makes a finding about one series; its sentence starts with the name.

  Args:
    kind: that of its question.
    series: what it is about.
    sentence: without its full stop.
    **numbers: what it rests on.
  """
  where = _name(series)
  return Finding(
    kind, series.group, series.metric.name, f"{where}: {sentence}.", numbers
  )


def first_rows(
  header: Sequence[str], rows: Sequence[Sequence[str]], most: int
) -> tuple[Table, str]:
  """A table of the first rows; its first column goes if it is empty.

  Returns:
    The table, and a sentence with a space before it if rows are left out.
  """
  if not any(row[0] for row in rows):
    header, rows = header[1:], [row[1:] for row in rows]
  note = ""
  if len(rows) > most:
    note = f" The first {most} of {len(rows)} are shown."
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
    name: of the first column.
    interval: has `value`, `low` and `high`, higher being better; None makes
      empty columns.
    sign: `Series.sign`, which turns them back into the metric's own unit.
  """
  if interval is None:
    return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
  low, high = sorted((sign * interval.low, sign * interval.high))
  return {name: sign * interval.value, f"{name}_low": low, f"{name}_high": high}
