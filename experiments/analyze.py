"""What per-seed scores over scales say, and what they do not.

  python -m experiments.analyze --records=DIR --out=DIR
  python -m experiments.analyze --records=scores.csv --out=DIR \\
      --scale_column=params --seed_column=run --score_column=accuracy

Reads a work directory of ours, a table of scores, or a folder of
lm-evaluation-harness results, and leaves summary.csv, trajectories.csv,
distances.csv, paths.csv, best_of.csv, decomposition.csv, agreement.csv,
time_to_success.csv, summary.json, figures and report.html.
The statistics are defined in emergence/statistics/README.md.
"""

import itertools
import math
import time
from collections.abc import Iterable

from absl import flags
from etils import epath

from emergence import tables
from emergence.analysis import output, questions
from emergence.report import analysis_sections
from emergence.report.page import write_page
from emergence.statistics.options import Options
from experiments import command


def _define_list(name: str, help_text: str) -> flags.FlagHolder:
  """A list with commas that may be given several times, all of which count."""
  return flags.DEFINE_multi(
    flags.ListParser(), flags.ListSerializer(","), name, [], help_text
  )


_RECORDS = flags.DEFINE_string(
  "records",
  None,
  "Work directory, CSV, TSV, JSON lines, JSON or Parquet file, or folder of"
  " lm-evaluation-harness results.",
  required=True,
)
_OUT = flags.DEFINE_string(
  "out", None, "Folder for tables, figures and the report.", required=True
)
_SCALE_COLUMN = flags.DEFINE_string(
  "scale_column",
  None,
  "Column of the scale (64, 125M, 1.3B); default scale. Files only.",
)
_SEED_COLUMN = flags.DEFINE_string(
  "seed_column", None, "Column of the seed; default seed. Files only."
)
_SCORE_COLUMN = flags.DEFINE_multi_string(
  "score_column",
  [],
  "Column of scores; repeat for several metrics; default score. For work"
  " directories and harness folders: which metrics to take.",
)
_GROUP_COLUMNS = _define_list(
  "group_columns",
  "Columns that tell groups apart; scales are compared within one. Files only.",
)
_METRIC_COLUMN = flags.DEFINE_string(
  "metric_column",
  None,
  "Column that names the metric, for tables in long form.",
)
_WHERE = flags.DEFINE_multi_string(
  "where",
  [],
  "COLUMN=VALUE or COLUMN!=VALUE; rows that do not meet all of them are left"
  " out and reported. An empty VALUE is an empty cell.",
)
_SCORE_UNIT = _define_list(
  "score_unit",
  "auto, percent, fraction or raw for all metrics, or METRIC=UNIT for one.",
)
_LOWER_IS_BETTER = _define_list(
  "lower_is_better", "Metrics in which lower is better."
)
_ITEMS = flags.DEFINE_integer(
  "items",
  None,
  "Test items that each score is a mean of, if known. Files only.",
  lower_bound=1,
)
_SCALE_AXIS = flags.DEFINE_string(
  "scale_axis",
  "auto",
  "Work directories: what the scale is, an axis of the grid or num_params; auto"
  " is depth where it varies, else the first axis that does.",
)
_TEST_LENGTH = flags.DEFINE_integer(
  "test_length",
  None,
  "Work directories: test length to analyze; default the headline length.",
)
_NAME_PATTERN = flags.DEFINE_string(
  "name_pattern",
  None,
  "Harness: regular expression with named groups out of model, scale, seed,"
  " searched in path and model name.",
)
_CONFLICTING_SCORES = flags.DEFINE_enum(
  "conflicting_scores",
  "refuse",
  ["refuse", "first", "last"],
  "What to do where a seed has two scores in one cell.",
)
_CONFLICTING_LABELS = flags.DEFINE_enum(
  "conflicting_labels",
  "refuse",
  ["refuse", "label", "path"],
  "What to do where a file says another run than its path.",
)
_THRESHOLD = _define_list(
  "threshold",
  "Least score of a success for metrics in [0, 1], default 0.2 of the way from"
  " chance to 1; or METRIC=VALUE for one metric, in its unit.",
)
_CHANCE = _define_list(
  "chance",
  "Score of guessing for metrics in [0, 1], such as 0.25, default 0; or"
  " METRIC=VALUE for one metric, in its unit.",
)
_CORRECT_OVER = flags.DEFINE_enum(
  "correct_over",
  "scales",
  ["scales", "table"],
  "Tests of modality are corrected over the scales of a series, and over all of"
  " the metrics after the first; or over the whole table.",
)
_WITHIN_SEED = flags.DEFINE_bool(
  "within_seed",
  False,
  "Permute scales within each seed, where all scales have the same seeds,"
  " instead of all runs of two scales.",
)
_LOG_SCALE = flags.DEFINE_bool(
  "log_scale",
  False,
  "Fit the curve of the success probability on the logarithm of the scale"
  " instead of its rank.",
)
_ALL_FIGURES = flags.DEFINE_bool(
  "all_figures", False, "Draw all groups, and not only the first 12."
)
_RESAMPLES = flags.DEFINE_integer(
  "resamples", 1000, "Bootstrap samples and permutations.", lower_bound=100
)
_SEED = flags.DEFINE_integer(
  "seed", 0, "Seed of all resampling.", lower_bound=0
)
_JSON = flags.DEFINE_string(
  "json", None, "File to write the findings to: summary.json once more."
)


def main() -> None:
  for flag in (_RECORDS, _OUT):
    if not flag.value:
      raise ValueError(f"--{flag.name} is empty")
  command.require_writable(_JSON.value)
  start = time.monotonic()
  table = tables.read(
    _RECORDS.value,
    scale_column=_SCALE_COLUMN.value,
    seed_column=_SEED_COLUMN.value,
    score_columns=_SCORE_COLUMN.value,
    group_columns=_flat(_GROUP_COLUMNS.value),
    metric_column=_METRIC_COLUMN.value,
    where=_WHERE.value,
    score_unit=_flat(_SCORE_UNIT.value),
    lower_is_better=_flat(_LOWER_IS_BETTER.value),
    items=_ITEMS.value,
    scale_axis=_SCALE_AXIS.value,
    test_length=_TEST_LENGTH.value,
    name_pattern=_NAME_PATTERN.value,
    conflicting_scores=_CONFLICTING_SCORES.value,
    conflicting_labels=_CONFLICTING_LABELS.value,
  )
  output.require_distinct_columns(table)
  was_read = time.monotonic()
  analysis = questions.analyze(table, _options())
  if _ALL_FIGURES.value:
    analysis = analysis._replace(most_groups=math.inf)
  was_analyzed = time.monotonic()
  out = epath.Path(_OUT.value)
  files = output.files(analysis)
  output.write_files(out, files)
  page = write_page(
    out,
    f"{epath.Path(_RECORDS.value).name}: outcomes over seeds and scale",
    "When scale grows, does every run become a little better, or do more of"
    " them break through? What follows is computed from one score a run."
    f"\n\n{analysis_sections.condition(analysis)}",
    [*analysis_sections.sections(analysis), analysis_sections.audit(analysis)],
  )
  for _, sentence, _ in analysis_sections.by_kind(table.issues):
    print(f"- {sentence}")
  for _, finding in analysis_sections.main_findings(analysis):
    print(f"- {finding.sentence}")
  print(
    f"read {was_read - start:.1f} s, analyzed {was_analyzed - was_read:.1f} s,"
    f" wrote {time.monotonic() - was_analyzed:.1f} s"
  )
  print(f"tables  {out}\nreport  {page}")
  if _JSON.value:
    epath.Path(_JSON.value).write_bytes(files["summary.json"])


def _flat(lists: Iterable[Iterable[str]]) -> list[str]:
  return list(itertools.chain.from_iterable(lists))


def _options() -> Options:
  threshold, thresholds = _by_metric(_THRESHOLD)
  chance, chances = _by_metric(_CHANCE)
  return Options(
    threshold=threshold,
    thresholds=thresholds,
    chance=chance,
    chances=chances,
    correct_over=_CORRECT_OVER.value,
    within_seed=_WITHIN_SEED.value,
    log_scale=_LOG_SCALE.value,
    num_resamples=_RESAMPLES.value,
    num_permutations=_RESAMPLES.value,
    seed=_SEED.value,
  )


def _by_metric(
  flag: flags.FlagHolder,
) -> tuple[float | None, tuple[tuple[str, float], ...]]:
  """The value for all metrics, None if not given, and those for single ones."""
  of_all, named = None, []
  for text in _flat(flag.value):
    metric, equals, value = text.rpartition("=")
    try:
      number = float(value)
    except ValueError:
      raise ValueError(
        f"--{flag.name} reads like 0.2 or METRIC=0.2, got {text!r}"
      ) from None
    if number != number or abs(number) == float("inf"):
      raise ValueError(f"--{flag.name} must be a finite number, got {value!r}")
    if equals:
      named.append((metric, number))
    else:
      of_all = number
  return of_all, tuple(named)


if __name__ == "__main__":
  command.run(main)
