"""The type that scores from anywhere are read into, and text for messages."""

import difflib
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
  import pandas as pd


class Issue(NamedTuple):
  """One thing that a reader of the scores should know.

  Attributes:
    kind: `excluded`, `unused_columns`, `ignored_files`, `score_unit`,
      `duplicate`, `conflicting_score`, `early_step`,
      `diverged`, `non_finite`, `missing`, `unpaired`, `one_scale`, `one_seed`,
      `item_noise` or `aggregate`.
    sentence: what was noticed and what the analysis does with it. Text of the
      source in it is quoted, never escaped for HTML.
    rows: what it is about, as numbers and texts by column; `source` tells where
      a row stood.
  """

  kind: str
  sentence: str
  rows: list[dict[str, Any]]


class Metric(NamedTuple):
  """What the numbers of a metric mean.

  Attributes:
    name: its text in the table's column `metric`.
    low: the least score possible, −inf where there is none or it is unknown.
    high: the largest one, or inf.
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
    """Whether there are both a least and a largest score."""
    return math.isfinite(self.high - self.low)


class ScoreTable(NamedTuple):
  """Per-seed scores over scales: all that the analysis needs to know.

  Attributes:
    frame: one row per group, scale, seed and metric, sorted in that order. Runs
      without a score have no row. Columns: the group columns; `scale`, a finite
      number; `scale_label`, its text in the source; `seed`, whole numbers if
      all seeds of the source are, else texts; `metric`; `score`, NaN where it
      is not finite; `diverged`, true where `score` is NaN or the records say
      that the run diverged; `item_stderr`, the standard error of the score over
      test items, NaN where unknown; `num_items`, the number of these items, NaN
      where unknown; `source`, the place of the row in the source.
    group_columns: columns that name a group. Scales are compared within one.
    scale_name: what the scale is, such as `depth`.
    metrics: support, unit and direction by name, in the order of the source.
    condition: what all scores have in common, for the head of a report.
    seed_meaning: what one seed index has in common at two scales.
    items_enumerated: whether every possible test item is known to have been
      tested, so that scores carry no item noise.
    issues: what the audit found.
    curves: the scores at every evaluation, the last one included, of the runs
      in `frame`; None where the source has only final ones. Columns: the group
      columns, `scale`, `metric`, `seed`, `step`, `score`, and `diverged`, true
      from the evaluation on at which the run was seen to have diverged.
    num_missing: number of seeds without a score, by (*group, scale, metric). A
      scale should have the seeds that the config asks for, and those that other
      scales of its group have, unless no two scales share a seed.
    init_and_data: names of the initialization and of the data order of a run,
      by seed; empty where the source does not tell them.
  """

  frame: "pd.DataFrame"
  group_columns: tuple[str, ...]
  scale_name: str
  metrics: dict[str, Metric]
  condition: str
  seed_meaning: str
  items_enumerated: bool
  issues: list[Issue]
  curves: "pd.DataFrame | None" = None
  num_missing: Mapping[tuple, int] = {}
  init_and_data: Mapping[Any, tuple] = {}


class ReadOptions(NamedTuple):
  """How to read scores; the flags of `experiments.analyze`.

  Attributes:
    scale_column: files: the column of the scale, `scale` if None; `none` if
      all rows are of one scale.
    scale_order: files and harness: the texts of all scales, smallest first,
      where they are no numbers.
    seed_column: files: the column of the seed, `seed` if None; `none` if all
      rows are of one run.
    seed_columns: files: patterns such as `seed_*` of the columns that each hold
      the scores of one seed, instead of a seed column; their names are the
      seeds.
    scale_columns: files: likewise of the columns that each hold the scores of
      one scale.
    drop_rows: files: seeds to leave out, as they are no runs; `none` if all are
      runs.
    score_columns: files: columns of scores, each a metric, `score` if empty;
      with `seed_columns` the name of the metric. Elsewhere: which metrics to
      take, all usual ones if empty.
    group_columns: files: columns that tell groups apart.
    metric_column: files: a column that names the metric of its row, for tables
      in long form; needs a single score column.
    step_column: files: the column of the training step, if runs have rows at
      several.
    at_step: files: the step to analyze, `last` (of each run) if None.
    where: conditions on the rows to keep, all of which must hold; see
      `emergence.tables.parsing.select`.
    score_unit: files and harness: `auto` (the default), `percent`, `fraction`
      or `raw` for all metrics, `METRIC=UNIT` for one, or `COLUMN=VALUE=UNIT`
      for some rows; see `emergence.tables.units.find_unit`.
    lower_is_better: files and harness: metrics in which less is better.
    higher_is_better: files and harness: metrics in which more is better.
    items: files: test items that each score is a mean of, if they are known.
    decimal_comma: files: whether `0,5` is a half.
    skip_lines: files: lines above the names of the columns.
    scale_axis: work directories: an axis of the grid, such as `width`, or
      `num_params`. `auto` is depth where it varies, else the first axis that
      does.
    test_length: work directories: the test length to take, the headline length
      if None.
    name_pattern: files and harness: a regular expression with groups out of
      model, scale and seed, searched in the text of the seed, or in the path
      and the model's name; see `emergence.tables.harness.read`.
    default_seed: harness: the seed of files whose names tell none.
    conflicting_scores: where a seed has two scores in one cell: `refuse`, or
      take the `first` or the `last` row.
  """

  scale_column: str | None = None
  scale_order: Sequence[str] = ()
  seed_column: str | None = None
  seed_columns: Sequence[str] = ()
  scale_columns: Sequence[str] = ()
  drop_rows: Sequence[str] = ()
  score_columns: Sequence[str] = ()
  group_columns: Sequence[str] = ()
  metric_column: str | None = None
  step_column: str | None = None
  at_step: str | None = None
  where: Sequence[str] = ()
  score_unit: Sequence[str] = ()
  lower_is_better: Sequence[str] = ()
  higher_is_better: Sequence[str] = ()
  items: int | None = None
  decimal_comma: bool = False
  skip_lines: int = 0
  scale_axis: str = "auto"
  test_length: int | None = None
  name_pattern: str | None = None
  default_seed: int | None = None
  conflicting_scores: str = "refuse"


# The scale of all rows of a table that has no scale.
ONLY_SCALE = "only"

COLUMNS = (
  "scale",
  "scale_label",
  "seed",
  "metric",
  "score",
  "diverged",
  "item_stderr",
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
  """Raises ValueError, which advises, if a column is missing."""
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


def listed(names: Iterable[str]) -> str:
  """Names as one flag takes them: with commas, quoted where they have some."""
  return ",".join(f'"{x}"' if "," in x else x for x in names)


def quote(value: object) -> str:
  """Foreign text for a message: quoted, of bounded length, in one line."""
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
