"""What per-seed scores over scales say, and what they do not.

  python -m experiments.analyze --records=DIR --out=DIR
  python -m experiments.analyze --records=scores.csv --out=DIR \\
      --scale_column=params --seed_column=run --score_column=accuracy

Reads a work directory of ours, a table of scores, or a folder of
lm-evaluation-harness results, as emergence/tables/README.md shows, and leaves
summary.csv, trajectories.csv, distances.csv, paths.csv, best_of.csv,
decomposition.csv, agreement.csv, time_to_success.csv, variance_components.csv,
summary.json, figures and report.html. Prints what is odd about the scores, the
table of cells, and the answer in one sentence.
The statistics are defined in emergence/statistics/README.md.
"""

import concurrent.futures
import contextlib
import itertools
import math
import multiprocessing
import os
import signal
import time
from typing import Any

# More threads of numpy would spin while they wait: products are small here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from absl import flags
from etils import epath

from emergence import tables
from emergence.analysis import output, questions
from emergence.report import analysis_sections, answer
from emergence.report.page import write_page
from emergence.statistics.options import Options
from experiments import command

# A second process takes a second to start.
_SCORES_FOR_TWO = 10_000


def _define_list(name: str, help_text: str) -> None:
  """A list with commas that may be given several times, all of which count."""
  flags.DEFINE_multi(
    flags.ListParser(), flags.ListSerializer(","), name, [], help_text
  )


_RECORDS = flags.DEFINE_string(
  "records",
  None,
  "Work directory, CSV, TSV, JSON or Parquet file or folder of them, or folder"
  " of lm-evaluation-harness results.",
)
_OUT = flags.DEFINE_string(
  "out", None, "Folder for tables, figures and the report."
)
# Those of `tables.ReadOptions`.
flags.DEFINE_string(
  "scale_column",
  None,
  "Tables: column of the scale (64, 125M, 1.3B); default scale; none if all"
  " rows are of one.",
)
_define_list(
  "scale_order",
  "Tables and harness: the texts of all scales, smallest first, where they are"
  " no numbers.",
)
flags.DEFINE_string(
  "seed_column",
  None,
  "Tables: column of the seed or of the run's name; default seed; none if all"
  " rows are of one run.",
)
_define_list(
  "seed_columns",
  "Tables: columns that each hold the scores of one seed, such as seed_*.",
)
_define_list(
  "scale_columns",
  "Tables: columns that each hold the scores of one scale, such as *M.",
)
_define_list(
  "drop_rows",
  "Tables: seeds to leave out because they are no runs but summaries of runs,"
  " such as mean; none keeps all rows.",
)
_SCORE_COLUMN = flags.DEFINE_multi_string(
  "score_column",
  [],
  "Column of scores; repeat for several metrics; default score. For work"
  " directories and harness folders: which metrics to take.",
)
_define_list(
  "group_columns",
  "Tables: columns that tell groups apart; scales are compared within one.",
)
flags.DEFINE_string(
  "metric_column",
  None,
  "Tables: column that names the metric, for tables in long form.",
)
flags.DEFINE_string(
  "step_column", None, "Tables: column of the training step, for curves."
)
flags.DEFINE_string(
  "at_step",
  None,
  "Tables: the step to analyze; default last, the last step of each run.",
)
flags.DEFINE_multi_string(
  "where",
  [],
  "COLUMN=VALUE or COLUMN!=VALUE; rows that do not meet all of them are left"
  " out. An empty VALUE is an empty cell.",
)
flags.DEFINE_multi_string(
  "score_unit",
  [],
  "auto, percent, fraction or raw for all metrics, METRIC=UNIT for one, or"
  " COLUMN=VALUE=UNIT for some rows.",
)
flags.DEFINE_multi_string(
  "lower_is_better", [], "Metric in which lower is better."
)
flags.DEFINE_multi_string(
  "higher_is_better", [], "Metric in which higher is better."
)
flags.DEFINE_integer(
  "items",
  None,
  "Tables: test items that each score is a mean of, if known.",
  lower_bound=1,
)
flags.DEFINE_bool("decimal_comma", False, "Tables: 0,5 is a half.")
flags.DEFINE_integer(
  "skip_lines",
  0,
  "Tables: lines of text above the names of the columns.",
  lower_bound=0,
)
flags.DEFINE_string(
  "scale_axis",
  "auto",
  "Work directories: what the scale is, an axis of the grid or num_params; auto"
  " is depth where it varies, else the first axis that does.",
)
flags.DEFINE_integer(
  "test_length",
  None,
  "Work directories: test length to analyze; default the headline length.",
)
flags.DEFINE_string(
  "name_pattern",
  None,
  "Tables and harness: a regular expression that has some of the named groups"
  " model, scale and seed. It is searched in the seed column of a table; for a"
  " harness folder in the path, then in the model's name.",
)
flags.DEFINE_integer(
  "default_seed", None, "Harness: seed of files whose names tell none."
)
flags.DEFINE_enum(
  "conflicting_scores",
  "refuse",
  ["refuse", "first", "last"],
  "What to do where a seed has two scores in one cell (and step).",
)
_THRESHOLD = flags.DEFINE_multi_string(
  "threshold",
  [],
  "Least score of a success for metrics in [0, 1], default 0.2 of the way from"
  " chance to 1; or METRIC=VALUE for one metric, in its unit, percents as"
  " fractions.",
)
_CHANCE = flags.DEFINE_multi_string(
  "chance",
  [],
  "Score of guessing for metrics in [0, 1], such as 0.25, default 0; or"
  " METRIC=VALUE for one metric, in its unit, percents as fractions.",
)
_CORRECT_OVER = flags.DEFINE_enum(
  "correct_over",
  "scales",
  ["scales", "table"],
  "Which tests of modality share one Holm correction. scales: in the first"
  " metric those of all scales of a group, and all tests of the other metrics"
  " together. table: all tests.",
)
_WITHIN_SEED = flags.DEFINE_bool(
  "within_seed",
  False,
  "Where all scales have the same seeds: in tests of distances, exchange only"
  " the two scores of each seed, instead of permuting all runs of two scales.",
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
  "json", None, "File to write a copy of summary.json to."
)


def main() -> None:
  command.require_flags("records", "out")
  command.require_writable(_JSON.value)
  start = time.monotonic()
  table = tables.read(_RECORDS.value, **_read_options())
  was_read = time.monotonic()
  with contextlib.ExitStack() as stack:
    beside = None
    if len(table.frame) >= _SCORES_FOR_TWO and (os.cpu_count() or 1) > 1:
      beside = stack.enter_context(_second_process())
    analysis = questions.analyze(table, _options(), beside)
    if _ALL_FIGURES.value:
      analysis = analysis._replace(most_groups=math.inf)
    was_analyzed = time.monotonic()
    out = epath.Path(_OUT.value)
    files = output.files(analysis)
    output.write_files(out, files)
    page = write_page(
      out,
      f"{epath.Path(_RECORDS.value).name}: outcomes over seeds and scale",
      answer.sentence(analysis),
      analysis_sections.about(analysis),
      [
        *analysis_sections.sections(analysis),
        analysis_sections.audit(analysis),
      ],
      beside,
    )
  for _, sentence, _ in analysis_sections.by_kind(table.issues):
    print(f"- {sentence}")
  print(
    f"read {was_read - start:.1f} s, analyzed {was_analyzed - was_read:.1f} s,"
    f" wrote {time.monotonic() - was_analyzed:.1f} s"
  )
  print(answer.text(analysis))
  print(f"report  {page}")
  if _JSON.value:
    epath.Path(_JSON.value).write_bytes(files["summary.json"])


def _second_process() -> concurrent.futures.Executor:
  """Computes and draws beside this process."""
  return concurrent.futures.ProcessPoolExecutor(
    max_workers=1,
    # JAX has threads, which a fork would break.
    mp_context=multiprocessing.get_context("spawn"),
    initializer=signal.signal,
    initargs=(signal.SIGINT, signal.SIG_DFL),
  )


def _read_options() -> dict[str, Any]:
  found: dict[str, Any] = {"score_columns": _SCORE_COLUMN.value}
  for name in tables.ReadOptions._fields:
    if name not in found:
      value = flags.FLAGS[name].value
      # A list with commas that is given several times is a list of lists.
      is_nested = (
        isinstance(value, list) and value and value[0] != str(value[0])
      )
      found[name] = list(itertools.chain(*value)) if is_nested else value
  return found


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
  for text in flag.value:
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
