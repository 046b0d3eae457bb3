"""Trains the seeds of every cell of a grid and records each of them.

  python -m experiments.sweep --config=quickstart --workdir=DIR

The same command continues an interrupted sweep, and a config with more seeds,
widths or depths extends a finished one.
"""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import IO

from absl import flags
from etils import epath

from emergence import console, damage, estimate, population, records, sweep
from emergence.budget import Stopwatch
from emergence.statistics import summary
from experiments import command

_CONFIG = flags.DEFINE_string(
  "config",
  None,
  "Name of a config in experiments/configs, or a Python file that defines"
  " `config`.",
  required=True,
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Work directory, local or gs://.", required=True
)
_OVERRIDE = flags.DEFINE_multi_string(
  "override", [], "KEY=VALUE of a config field, such as train.steps=500."
)
_SEEDS = flags.DEFINE_string(
  "seeds",
  None,
  "Seeds to train instead of those of the config: 7, 0-31 or 0,3,8-15.",
)
_KEEP_PARAMS = flags.DEFINE_enum(
  "keep_params",
  "none",
  list(sweep.KEEP_PARAMS),
  "Which parameters to keep: none, after the last update, or at every"
  " evaluation.",
)
_DEVICES = flags.DEFINE_integer(
  "devices",
  None,
  "Devices to use, one block of seeds on each; default all. CPU cores count as"
  " devices.",
  lower_bound=1,
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Only print cells, parameters, memory and estimated time."
)
_JSON = flags.DEFINE_string(
  "json",
  None,
  "File to write the table of cells to, with the keys of"
  " emergence.statistics.summary.summarize; with --dry_run those of"
  " emergence.estimate.Estimate.",
)

_SECONDS_BETWEEN_LINES = 10.0


def main() -> None:
  if not _WORKDIR.value:
    raise ValueError("--workdir is empty")
  config = command.load_config(_CONFIG.value, _OVERRIDE.value)
  sweep.check(config)
  seeds = config.seeds.requested
  if _SEEDS.value is not None:
    seeds = command.parse_seeds(_SEEDS.value)
    config.seeds.require_seeds(seeds)
  workdir = epath.Path(_WORKDIR.value)
  devices = population.local_devices(_DEVICES.value)
  if _DRY_RUN.value:
    command.require_writable(_JSON.value)
    work = sweep.remaining(config, workdir, seeds)
    estimates = estimate.estimate(config, work, devices)
    print(console.format_estimates(config, estimates, devices))
    rows = [e.cell._asdict() | e._asdict() for e in estimates]
    command.write_json(
      _JSON.value, [row | {"cell": str(row["cell"])} for row in rows]
    )
    return
  damage.set_aside_damaged(workdir, config)
  sweep.require_same_experiment(config, workdir)
  work = sweep.remaining(config, workdir, seeds)
  keep = _KEEP_PARAMS.value
  missing = sweep.seeds_without_params(config, workdir, seeds, keep)
  if missing:
    raise ValueError(
      f"--keep_params={keep}: {missing} of these seeds were trained in"
      f" {workdir} without keeping all of that, and are not trained again; use"
      " another --workdir, or name new seeds with --seeds"
    )
  if work:
    print(
      f"{sum(item.num_seeds for item in work)} seeds in {len(work)} cells to"
      f" train, in blocks of {config.seeds.block}, on {len(devices)} ×"
      f" {devices[0].device_kind}; compiling",
      flush=True,
    )
    watch = Stopwatch()
    with watch.phase("compile"):
      programs = sweep.compile_largest(config, work, devices)
    sweep.prepare(config, workdir, devices)
    command.require_writable(_JSON.value)
    _train(config, workdir, work, devices, programs, keep, watch)
  else:
    if not (workdir / "config.json").exists():
      sweep.prepare(config, workdir, devices)
    print(f"nothing left to train in {workdir}: every seed has its records")
  frame = records.read(workdir)
  rows = summary.summarize(frame, config.headline_length)
  print(console.format_summary(rows))
  print(f"records {workdir / 'records'}")
  print(f"report  python -m experiments.report --workdir={workdir}")
  command.write_json(_JSON.value, rows)


def _train(
  config, workdir, work, devices, programs, keep_params, watch
) -> None:
  with _log_file(workdir) as file, _logging_to(file):
    show = _ProgressLine(work)
    try:
      sweep.run(
        config, workdir, work, devices, programs, keep_params, show, watch
      )
    except Exception:
      with contextlib.suppress(OSError):  # The error itself says more.
        logging.getLogger("emergence").exception("stopped")
      raise
    trained = sum(item.num_seeds for item in work)
    logging.getLogger("emergence").info("finished")
    print(
      f"trained {trained} seeds in {console.format_budget(watch.seconds())}"
    )


def _log_file(workdir: epath.Path) -> IO[str]:
  """The log to go on with; object stores cannot append, so one a run there."""
  if "://" in str(workdir):
    name = time.strftime("log-%Y%m%d-%H%M%S")
    return (workdir / name).open("w", encoding="utf-8")
  return (workdir / "log").open("a", encoding="utf-8")


class _Handler(logging.StreamHandler):
  """A handler that lets errors through, such as that of a full disk."""

  def handleError(self, record: logging.LogRecord) -> None:
    raise  # Python calls this while it handles the error.


@contextlib.contextmanager
def _logging_to(file: IO[str]) -> Iterator[None]:
  """Sends our log to a file, and its warnings to stderr too."""
  log = logging.getLogger("emergence")
  to_file, to_stderr = _Handler(file), logging.StreamHandler()
  to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
  to_stderr.setLevel(logging.WARNING)
  # Tracebacks are for the log; stderr gets the one line of the error.
  to_stderr.addFilter(lambda record: record.exc_info is None)
  log.handlers, log.propagate = [to_file, to_stderr], False
  log.setLevel(logging.INFO)
  try:
    yield
  finally:
    log.handlers = []


class _ProgressLine:
  """One line a cell: rewritten on a terminal, now and then a line elsewhere."""

  def __init__(self, work: list[sweep.Work]):
    self._cells = [item.cell for item in work]
    self._is_terminal = sys.stdout.isatty()
    self._last_printed = time.monotonic()

  def __call__(self, progress: sweep.Progress) -> None:
    line = console.format_progress(
      progress, self._cells.index(progress.cell) + 1, len(self._cells)
    )
    logging.getLogger("emergence").info(line)
    ends_cell = (
      progress.step == progress.steps
      and progress.seeds_done + progress.seeds_running == progress.seeds_total
    )
    now = time.monotonic()
    if self._is_terminal:
      print(f"\r\033[K{line}", end="\n" if ends_cell else "", flush=True)
    elif ends_cell or (
      progress.seed_steps_per_second
      and now - self._last_printed > _SECONDS_BETWEEN_LINES
    ):
      print(line, flush=True)
      self._last_printed = now


if __name__ == "__main__":
  command.run(main)
