"""The type that all readers of scores return, and text for messages."""

import dataclasses
import difflib
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

if TYPE_CHECKING:
  import pandas as pd


class Issue(NamedTuple):
  """One finding about the scores that the user should know.

  Attributes:
    kind: `excluded`, `unused_columns`, `ignored_files`, `score_unit`,
      `duplicate`, `conflicting_score`, `early_step`,
      `diverged`, `non_finite`, `missing`, `unpaired`, `one_scale`, `one_seed`
      or `aggregate`.
    sentence: what was noticed and what the analysis does with it. Text from the
      source is quoted, but not escaped for HTML.
    rows: the rows concerned, each a dict from column to value; `source` is the
      place of a row in the source.
  """

  kind: str
  sentence: str
  rows: list[dict[str, Any]]


class Metric(NamedTuple):
  """What the numbers of a metric mean.

  Attributes:
    name: its text in the table's column `metric`.
    low: the lowest possible score; −inf if unbounded or unknown.
    high: the highest possible score; inf if unbounded or unknown.
    unit: unit of the scores in the table.
    higher_is_better: whether a larger score is a better one.
  """

  name: str
  low: float
  high: float
  unit: str
  higher_is_better: bool

  @property
  def has_ends(self) -> bool:
    """Whether both the lowest and the highest possible score are finite."""
    return math.isfinite(self.high - self.low)


class ScoreTable(NamedTuple):
  """Per-seed scores over scales: all that the analysis needs to know.

  Attributes:
    frame: one row per group, scale, seed and metric, sorted in that order. Runs
      without a score have no row. Columns: the group columns; `scale`, a finite
      number; `scale_label`, its text in the source; `seed`, whole numbers if
      all seeds of the source are, else texts; `metric`; `score`, NaN where it
      is not finite; `diverged`, true where `score` is NaN or the records say
      that the run diverged; `num_items`, the number of test items that a score
      is the mean of, NaN where unknown; `source`, the place of the row in the
      source.
    group_columns: columns that name a group. Scales are compared within one.
    scale_name: what the scale is, such as `depth`.
    metrics: support, unit and direction by name, in the order of the source.
    condition: what all scores have in common, for the head of a report.
    seed_meaning: a sentence on what runs of one seed share at two scales.
    issues: what the audit found.
    curves: the scores at every evaluation, the last one included, of the runs
      in `frame`; None where the source has only final ones. Columns: the group
      columns, `scale`, `metric`, `seed`, `step`, `score`, and `diverged`, true
      from the evaluation on at which the run was seen to have diverged.
    num_missing: number of seeds without a score, by (*group, scale, metric). A
      scale should have the seeds that the config asks for, and those that other
      scales of its group have, unless no two scales share a seed.
    init_and_data: (initialization, data order) by seed, as the source names
      them; empty if it does not.
  """

  frame: "pd.DataFrame"
  group_columns: tuple[str, ...]
  scale_name: str
  metrics: dict[str, Metric]
  condition: str
  seed_meaning: str
  issues: list[Issue]
  curves: "pd.DataFrame | None" = None
  num_missing: Mapping[tuple, int] = {}
  init_and_data: Mapping[Any, tuple] = {}


# The kinds of sources that an option may concern.
TABLES, HARNESS, WORKDIRS = "tables", "harness", "work directories"


def _option(
  help_text: str, *sources: str, default: Any = None, **settings: Any
) -> Any:
  """Declares a field of `ReadOptions`, by default for all kinds of sources."""
  # `settings` are `flag`, the flag's name if it is not the field's; `commas`,
  # true if one text lists several values; `lower_bound` of a number.
  sources = sources or (TABLES, HARNESS, WORKDIRS)
  metadata = {"help": help_text, "sources": sources, **settings}
  return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class ReadOptions:
  """How to read scores: the flags of `experiments.analyze` and their help."""

  scale_column: str | None = _option(
    "column of the scale (64, 125M, 1.3B); default: scale. Give none if all"
    " rows have the same scale.",
    TABLES,
  )
  scale_order: Sequence[str] = _option(
    "all scales, smallest first, if they are not numbers.",
    TABLES,
    HARNESS,
    default=(),
    commas=True,
  )
  seed_column: str | None = _option(
    "column of the seed or of the run's name; default: seed. Give none if all"
    " rows belong to one run.",
    TABLES,
  )
  seed_columns: Sequence[str] = _option(
    "columns that each hold the scores of one seed, such as seed_*; their names"
    " are the seeds.",
    TABLES,
    default=(),
    commas=True,
  )
  scale_columns: Sequence[str] = _option(
    "columns that each hold the scores of one scale, such as *M.",
    TABLES,
    default=(),
    commas=True,
  )
  drop_rows: Sequence[str] = _option(
    "seeds to leave out because they are no runs but summaries of runs, such as"
    " mean; none keeps all rows.",
    TABLES,
    default=(),
    commas=True,
  )
  score_columns: Sequence[str] = _option(
    "Column of scores; default: score. Repeat the flag for several metrics."
    " With --seed_columns or --scale_columns, it names the metric. For work"
    " directories and harness folders, it selects metrics.",
    default=(),
    flag="score_column",
  )
  group_columns: Sequence[str] = _option(
    "columns that tell groups apart; scales are compared within a group.",
    TABLES,
    default=(),
    commas=True,
  )
  metric_column: str | None = _option(
    "column that names the metric, for tables in long form; needs a single"
    " --score_column.",
    TABLES,
  )
  step_column: str | None = _option(
    "column of the training step, for curves.", TABLES
  )
  at_step: str | None = _option(
    "the step to analyze; default: last, the last step of each run.", TABLES
  )
  where: Sequence[str] = _option(
    "Condition COLUMN=VALUE or COLUMN!=VALUE; repeat the flag for several. Rows"
    " that do not meet all conditions are left out. An empty VALUE matches an"
    " empty cell.",
    default=(),
  )
  score_unit: Sequence[str] = _option(
    "unit of the scores: auto, percent, fraction or raw for all metrics,"
    " METRIC=UNIT for one metric, COLUMN=VALUE=UNIT for rows with that value.",
    TABLES,
    HARNESS,
    default=(),
  )
  lower_is_better: Sequence[str] = _option(
    "metric in which lower is better.", TABLES, HARNESS, default=()
  )
  higher_is_better: Sequence[str] = _option(
    "metric in which higher is better.", TABLES, HARNESS, default=()
  )
  items: int | None = _option(
    "number of test items that each score is the mean of, if known.",
    TABLES,
    lower_bound=1,
  )
  decimal_comma: bool = _option("read 0,5 as 0.5.", TABLES, default=False)
  skip_lines: int = _option(
    "number of lines to skip above the line with the names of the columns.",
    TABLES,
    default=0,
    lower_bound=0,
  )
  scale_axis: str = _option(
    "axis of the grid to use as the scale. auto: the depth if it varies, else"
    " the first axis of numbers that varies.",
    WORKDIRS,
    default="auto",
  )
  test_length: int | None = _option(
    "test length to analyze; default: the headline length, which is the last"
    " of task.test_lengths.",
    WORKDIRS,
  )
  name_pattern: str | None = _option(
    "a regular expression that has some of the named groups model, scale and"
    " seed. It is searched in the seed column of a table; for a harness folder"
    " in the path, then in the model's name.",
    TABLES,
    HARNESS,
  )
  default_seed: int | None = _option(
    "seed of files whose names contain none.", HARNESS
  )
  conflicting_scores: Literal["refuse", "first", "last"] = _option(
    "what to do if a seed has two scores in one cell (and step): refuse, or"
    " keep the first or the last score.",
    TABLES,
    HARNESS,
    default="refuse",
  )


# The scale of all rows of a table that has no scale.
ONLY_SCALE = "only"

COLUMNS = (
  "scale",
  "scale_label",
  "seed",
  "metric",
  "score",
  "diverged",
  "num_items",
  "source",
)


def require_column(
  name: str,
  columns: Iterable[str],
  flag: str,
  where: object,
  advice: str = "",
) -> None:
  """Raises a ValueError with advice if a column is missing.

  Args:
    name: the column.
    columns: the columns that exist.
    flag: the flag that names the column, without `--`.
    where: what the message calls the table.
    advice: shown instead of columns with similar names.
  """
  columns = list(columns)
  if name in columns:
    return
  near = [column for column in columns if column.startswith(f"{name}.")][:3]
  near = near or difflib.get_close_matches(name, columns, n=3, cutoff=0.5)
  if flag.endswith(("column", "columns")):
    near = [f"--{flag}={shlex.quote(found)}" for found in near]
  else:
    near = list(map(quote, near))
  if near and not advice:
    hint = f"did you mean {' or '.join(near)}?"
  else:
    hint = f"there are {', '.join(map(quote, columns[:20])) or 'none'}"
  raise ValueError(
    f"--{flag}: no column {quote(name)} in {where}; {advice and f'{advice}; '}"
    f"{hint}"
  )


def flag_list(names: Iterable[str]) -> str:
  """Joins names by commas; a name that has a comma is in double quotes."""
  return ",".join(f'"{x}"' if "," in x else x for x in names)


def quote(value: object) -> str:
  """Quotes text for a message: on one line, cut to 200 characters."""
  text = str(value)
  return f"'{visible(text if len(text) <= 200 else text[:197] + '...')}'"


def visible(text: str) -> str:
  """The text with line breaks and other control characters as escapes."""
  return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def plain_rows(
  frame: "pd.DataFrame", columns: Sequence[str]
) -> list[dict[str, Any]]:
  """Rows as dicts of Python values."""
  return cast(Any, frame[list(columns)]).to_dict("records")
