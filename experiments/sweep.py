"""Trains the seeds of every cell of a grid and records each of them.

  python -m experiments.sweep --config=quickstart --workdir=DIR

The same command continues an interrupted sweep, and a config with more seeds,
widths or depths extends a finished one.
"""

import contextlib
import logging
import re
import sys
import time
from collections.abc import Iterator
from typing import IO

from absl import flags
from etils import epath

from emergence import (
  blocks,
  compilation_cache,
  console,
  estimate,
  population,
  records,
  remote,
  sweep,
)
from emergence import config as config_lib
from emergence.blocks import Saving
from emergence.budget import Stopwatch
from emergence.claims import Claims
from emergence.config import Cell, Config
from emergence.population import Device
from emergence.statistics import summary
from experiments import command
from experiments.stopping import EXIT_CODE, StopRequest

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
_CELLS = flags.DEFINE_list(
  "cells",
  None,
  "Cells of the grid to train instead of all, such as count/width-32/depth-4.",
)
_SHARD = flags.DEFINE_string(
  "shard",
  None,
  "I/N: train the I-th of N shares, I = 0 … N−1, which have no block in common;"
  " for processes that cannot see each other, as on gs://.",
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
_CHECKPOINT_MINUTES = flags.DEFINE_float(
  "checkpoint_minutes",
  2.0,
  "Save the blocks in training every so many minutes.",
  lower_bound=0.0,
)
_CHECKPOINT_STEPS = flags.DEFINE_integer(
  "checkpoint_steps",
  None,
  "Save them after so many updates too, at the first stop from then on.",
  lower_bound=1,
)
_CHECKPOINTS_KEPT = flags.DEFINE_integer(
  "checkpoints_kept",
  2,
  "Checkpoints of a block to keep, the last ones; all go when the block has"
  " its records.",
  lower_bound=1,
)
_COOPERATE = flags.DEFINE_bool(
  "cooperate",
  False,
  "Share the work with other processes on the same work directory, all of them"
  " started with --cooperate; on local and shared file systems.",
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


def main() -> int:
  with StopRequest() as should_stop:
    try:
      _sweep(should_stop)
    except blocks.Interrupted:
      print(should_stop.message(), file=sys.stderr)
      return EXIT_CODE
  return 0


def _sweep(should_stop: StopRequest) -> None:
  if not _WORKDIR.value:
    raise ValueError("--workdir is empty")
  if _COOPERATE.value:
    Claims(_WORKDIR.value)  # Refuses what is no file system.
  config = command.load_config(_CONFIG.value, _OVERRIDE.value)
  sweep.check(config)
  seeds = config.seeds.requested
  if _SEEDS.value is not None:
    seeds = command.parse_seeds(_SEEDS.value)
    config.seeds.require_seeds(seeds)
  workdir = epath.Path(_WORKDIR.value)
  remote.see_others(workdir)
  compilation_cache.enable()
  devices = population.local_devices(_DEVICES.value)
  if _DRY_RUN.value:
    command.require_writable(_JSON.value)
    work = _share(config, sweep.remaining(config, workdir, seeds))
    estimates = estimate.estimate(config, work, devices)
    print(console.format_estimates(config, estimates, devices))
    rows = [e.cell._asdict() | e._asdict() for e in estimates]
    command.write_json(
      _JSON.value, [row | {"cell": str(row["cell"])} for row in rows]
    )
    return
  sweep.require_same_experiment(config, workdir)
  blocks.remove_left_behind(config, workdir)
  work = _share(config, sweep.remaining(config, workdir, seeds))
  saving = Saving(
    _CHECKPOINT_STEPS.value,
    60 * _CHECKPOINT_MINUTES.value,
    _CHECKPOINTS_KEPT.value,
    _KEEP_PARAMS.value,
  )
  keep = saving.params
  missing = sweep.seeds_without_params(config, workdir, seeds, keep)
  if missing:
    raise ValueError(
      f"--keep_params={keep}: {missing} of these seeds were trained in"
      f" {workdir} without keeping all of that, and are not trained again; use"
      " another --workdir, or name new seeds with --seeds"
    )
  if work:
    trained = _train(config, workdir, work, devices, saving, should_stop)
    print(trained)
  else:
    print(
      f"nothing left to train in {workdir}: what was asked for has its records"
    )
    if not (workdir / "records").exists():  # An empty share.
      return
  frame = records.read(workdir)
  rows = summary.summarize(frame, config.headline_length)
  print(console.format_summary(rows))
  print(f"records {workdir / 'records'}")
  print(f"report  python -m experiments.report --workdir={workdir}")
  command.write_json(_JSON.value, rows)


def _share(config: Config, work: list[sweep.Work]) -> list[sweep.Work]:
  """What of the work left --cells and --shard ask for."""
  if _CELLS.value is not None:
    wanted = [Cell.parse(text) for text in _CELLS.value]
    for cell in wanted:
      if cell not in config_lib.cells(config):
        raise ValueError(f"--cells: {cell} is not in the grid of the config")
    work = [item for item in work if item.cell in wanted]
  if _SHARD.value is not None:
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", _SHARD.value)
    if not match or not int(match[1]) < int(match[2]):
      raise ValueError(
        f"--shard reads like 0/4, from 0/N to N−1/N, got {_SHARD.value}"
      )
    work = sweep.shard(work, config, int(match[1]), int(match[2]))
  return work


def _train(
  config: Config,
  workdir: epath.Path,
  work: list[sweep.Work],
  devices: list[Device],
  saving: Saving,
  should_stop: StopRequest,
) -> str:
  """Trains what is left; returns what to say of it."""
  with _claims(workdir) as claims:
    print(
      f"{sum(item.num_seeds for item in work)} seeds in {len(work)} cells to"
      f" train, in blocks of {config.seeds.block}, on {len(devices)} ×"
      f" {devices[0].device_kind}; compiling",
      flush=True,
    )
    watch = Stopwatch()
    with watch.phase("compile"):
      programs = sweep.compile_largest(config, work, devices)
    for cell, program in programs.items():
      budget, _ = population.memory_budget(devices)
      print(console.format_plan(program, cell, budget), flush=True)
    sweep.prepare(config, workdir, devices)
    command.require_writable(_JSON.value)
    with _log_file(workdir) as file, _logging_to(file):
      seeds = sweep.run(
        config,
        workdir,
        work,
        devices,
        programs,
        saving,
        claims,
        _ProgressLine(work),
        should_stop,
        watch,
      )
  return f"trained {seeds} seeds in {console.format_budget(watch.seconds())}"


@contextlib.contextmanager
def _claims(workdir: epath.Path) -> Iterator[Claims | None]:
  """The claims of this process; none where no two processes can share."""
  if remote.is_remote(workdir) and not _COOPERATE.value:
    yield None
    return
  with Claims(workdir) as claims:
    if not _COOPERATE.value:
      claims.require_alone()
    yield claims


def _log_file(workdir: epath.Path) -> IO[str]:
  """The log to go on with; object stores cannot append, so one a run there."""
  if remote.is_remote(workdir):
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
    log.info("finished")
  except blocks.Interrupted:
    log.info("stopped by a signal")
    raise
  except Exception:
    with contextlib.suppress(OSError):  # The error itself says more.
      log.exception("stopped")
    raise
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
