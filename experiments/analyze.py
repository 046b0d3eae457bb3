"""Analyzes per-seed scores over scales and writes tables and a report.

  python -m experiments.analyze --records=DIR --out=DIR
  python -m experiments.analyze --records=scores.csv --out=DIR \\
      --scale_column=params --seed_column=run --score_column=accuracy

Reads a work directory of this project, a table of scores, or a folder of
lm-evaluation-harness results, as emergence/tables/README.md shows, and writes
summary.csv, trajectories.csv, distances.csv, paths.csv, best_of.csv,
decomposition.csv, agreement.csv, time_to_success.csv, variance_components.csv,
summary.json, figures and report.html. Prints what is odd about the scores, the
table of cells, and the answer in one sentence.
The statistics are defined in emergence/statistics/README.md.
"""

import concurrent.futures
import contextlib
import dataclasses
import math
import multiprocessing
import os
import signal
import time
import typing
from collections.abc import Sequence
from typing import Any

# Products are small here: more threads of NumPy would only busy-wait.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from absl import flags
from etils import epath

from emergence import tables
from emergence.analysis import output, questions
from emergence.report import analysis_sections, answer
from emergence.report.page import write_page
from emergence.statistics.options import Options
from experiments import command

# A second process takes a second to start, which pays from so many scores on.
_SCORES_FOR_TWO = 10_000


def _flag_of(option: dataclasses.Field) -> str:
  """The name of the flag of a field of `tables.ReadOptions`."""
  return option.metadata.get("flag", option.name)


def _define_flag(option: dataclasses.Field) -> None:
  """Defines the flag of a field of `tables.ReadOptions`."""
  name, about = _flag_of(option), option.metadata
  text, default = about["help"], typing.cast(Any, option.default)
  if len(about["sources"]) < 3:
    text = f"{' and '.join(about['sources']).capitalize()}: {text}"
  if about.get("commas"):
    text += " A comma-separated list."
  if option.type == Sequence[str]:
    flags.DEFINE_multi_string(name, [], text)
  elif typing.get_origin(option.type) is typing.Literal:
    flags.DEFINE_enum(name, default, typing.get_args(option.type), text)
  elif option.type is bool:
    flags.DEFINE_bool(name, default, text)
  elif option.type in (int, int | None):
    flags.DEFINE_integer(
      name, default, text, lower_bound=about.get("lower_bound")
    )
  else:
    flags.DEFINE_string(name, default, text)


_RECORDS = flags.DEFINE_string(
  "records",
  None,
  "Work directory, CSV, TSV, JSON or Parquet file or folder of them, or folder"
  " of lm-evaluation-harness results.",
)
_OUT = flags.DEFINE_string(
  "out", None, "Folder for tables, figures and the report."
)
for _option in dataclasses.fields(tables.ReadOptions):
  _define_flag(_option)
_THRESHOLD = flags.DEFINE_multi_string(
  "threshold",
  [],
  "Lowest score that counts as a success, for metrics in [0, 1] in which higher"
  " is better, except shares of tokens; default: chance + 0.2 * (1 - chance)."
  " METRIC=VALUE sets it for one metric, in the metric's unit; percents are"
  " given as fractions.",
)
_CHANCE = flags.DEFINE_multi_string(
  "chance",
  [],
  "Score of random guessing, such as 0.25, for metrics in [0, 1] in which"
  " higher is better, except shares of tokens; default: 0. METRIC=VALUE sets it"
  " for one metric, in the metric's unit; percents are given as fractions.",
)
_CORRECT_OVER = flags.DEFINE_enum(
  "correct_over",
  "scales",
  ["scales", "table"],
  "Which tests of modality share one Holm correction. scales: for the first"
  " metric, the tests at all scales of one group; for the other metrics, all"
  " their tests together. table: all tests.",
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
  "resamples",
  1000,
  "Number of bootstrap samples and of permutations.",
  lower_bound=100,
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
        analysis_sections.audit_section(analysis),
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
  """An executor of one process, which computes and draws in parallel."""
  return concurrent.futures.ProcessPoolExecutor(
    max_workers=1,
    # JAX is multithreaded, so a forked process may hang.
    mp_context=multiprocessing.get_context("spawn"),
    initializer=signal.signal,
    initargs=(signal.SIGINT, signal.SIG_DFL),
  )


def _read_options() -> dict[str, Any]:
  """What the flags say for each field of `tables.ReadOptions`, by its name."""
  found = {}
  for option in dataclasses.fields(tables.ReadOptions):
    value = flags.FLAGS[_flag_of(option)].value
    if option.metadata.get("commas"):
      value = [x for text in value for x in flags.ListParser().parse(text)]
    found[option.name] = value
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
    log_scale=_LOG_SCALE.value,
    num_resamples=_RESAMPLES.value,
    num_permutations=_RESAMPLES.value,
    seed=_SEED.value,
  )


def _by_metric(
  flag: flags.FlagHolder,
) -> tuple[float | None, tuple[tuple[str, float], ...]]:
  """The value for all metrics, or None, and (metric, value) for single ones."""
  of_all, named = None, []
  for text in flag.value:
    metric, equals, value = text.rpartition("=")
    try:
      number = float(value)
    except ValueError:
      raise ValueError(
        f"--{flag.name} expects 0.2 or METRIC=0.2, got {text!r}"
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
