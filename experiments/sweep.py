"""Trains the seeds of every cell of a grid and records each of them.

  python -m experiments.sweep --config=quickstart --workdir=DIR

The same command continues an interrupted sweep, and a config with more seeds,
widths or depths extends a finished one.
"""

import logging
import re
import shlex
import sys

from absl import flags
from etils import epath

from emergence.config import Cell
from emergence.population import (
  compilation,
  hardware,
  processes,
  topology,
)
from emergence.population.hardware import Device
from emergence.storage import block_checkpoint, locks, params, records
from emergence.storage.files import see_others
from emergence.sweep import blocks, console, estimate, pending, sweep
from emergence.sweep.blocks import Saving
from emergence.sweep.pending import Request
from emergence.sweep.time_budget import Stopwatch
from experiments import command, sweep_log
from experiments.stopping import EXIT_CODE, StopRequest

_CONFIG = flags.DEFINE_string(
  "config",
  None,
  "Name of a config in experiments/configs, or a Python file that defines"
  " `config`.",
  required=True,
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Work directory, local or gs://."
)
_OVERRIDE = flags.DEFINE_multi_string(
  "override",
  [],
  "KEY=VALUE: set a key of the config, such as train.steps=500. Repeat the flag"
  " to set several.",
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
  "I/N: train shard I of N, I = 0 … N−1. N processes divide the work, each with"
  " its own I, all with the same number of devices.",
)
_KEEP_PARAMS = flags.DEFINE_enum(
  "keep_params",
  "none",
  list(params.KEEP_PARAMS),
  "Which parameters to keep: none, those after the last step (final), or those"
  " at every evaluation (all).",
)
_DEVICES = flags.DEFINE_integer(
  "devices",
  None,
  "Number of devices to use, each for one block of seeds at a time; default"
  " all. Each CPU core is a device. With --distributed, the number in each"
  " process; on CPU the default is then srun's --cpus-per-task, or 1.",
  lower_bound=1,
)
_CHECKPOINT_MINUTES = flags.DEFINE_float(
  "checkpoint_minutes",
  2.0,
  "Minutes between two saves of the blocks in training.",
  lower_bound=0.0,
)
_CHECKPOINT_STEPS = flags.DEFINE_integer(
  "checkpoint_steps",
  None,
  "Also save the blocks in training this many steps after the last save. Steps"
  " are counted about once a second, so a save may come a little later.",
  lower_bound=1,
)
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed",
  False,
  "Train one population over several processes, each started with this command."
  " Processes of Slurm or of a TPU slice find each other; others also need"
  " --coordinator, --num_processes and --process_id.",
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator", None, "HOST:PORT of process 0, for --distributed."
)
_NUM_PROCESSES = flags.DEFINE_integer(
  "num_processes",
  None,
  "Number of processes, for --distributed.",
  lower_bound=1,
)
_PROCESS_ID = flags.DEFINE_integer(
  "process_id",
  None,
  "Index of this process, from 0, for --distributed.",
  lower_bound=0,
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Only print cells, parameters, memory and estimated time."
)
_TOPOLOGY = flags.DEFINE_string(
  "topology",
  None,
  "With --dry_run: compile each cell for these TPUs, such as v5e:2x2, v5p:2x2x1"
  " or v6e:2x2, and print its memory and time there, for all seeds, finished or"
  " not. This needs pip install -e '.[tpu]', but no TPU.",
)
_STATUS = flags.DEFINE_bool(
  "status",
  False,
  "Only print how many seeds of each cell are done, in training and missing,"
  " and the last line of each log.",
)
_JSON = flags.DEFINE_string(
  "json",
  None,
  "File to write the table of cells to, with the keys of"
  " emergence.statistics.summary.summarize; with --dry_run those of"
  " emergence.sweep.estimate.Estimate, with --status those of"
  " emergence.sweep.pending.CellStatus.",
)


def main() -> int:
  with StopRequest() as should_stop:
    try:
      _sweep(should_stop)
    except blocks.Interrupted:
      print(should_stop.message(), file=sys.stderr)
      return EXIT_CODE
    except Exception as error:
      if not _DISTRIBUTED.value:
        raise
      # A normal exit would wait for the other processes.
      command.fail_at_once(error)
  return 0


def read_request() -> Request:
  """The cells and seeds that the flags ask for.

  Raises:
    ValueError: the flags contradict each other or do not fit the config.
  """
  command.require_flags("workdir")
  if _SHARD.value is not None and _DISTRIBUTED.value:
    raise ValueError(
      "--shard and --distributed: with --distributed all processes train the"
      " same blocks, so that there are no shards; give one of the two"
    )
  return pending.make_request(
    command.load_config(_CONFIG.value, _OVERRIDE.value),
    epath.Path(_WORKDIR.value),
    _CELLS.value,
    None if _SEEDS.value is None else command.parse_seed_ranges(_SEEDS.value),
    (0, 1) if _SHARD.value is None else _parse_shard(_SHARD.value),
  )


def show_table(request: Request) -> None:
  """Prints the table of cells that ends a sweep, and writes it to --json.

  Raises:
    ValueError: there are no records, or they cannot be read.
  """
  # Imported late: SciPy takes seconds, and a worker may never get here.
  from emergence.statistics import summary

  frame = records.read(request.workdir)
  config = request.config
  rows = summary.summarize(
    frame, config.headline_length, config.eval.headline_metric
  )
  print(console.format_summary(rows))
  print(f"records {request.workdir / 'records'}")
  where = shlex.quote(str(request.workdir))
  print(f"report  python -m experiments.report --workdir={where}")
  command.write_json(_JSON.value, rows)


def _sweep(should_stop: StopRequest) -> None:
  if _TOPOLOGY.value is not None:
    _plan_topology(_TOPOLOGY.value)
    return
  request = read_request()
  config, workdir = request.config, request.workdir
  see_others(workdir)
  if _STATUS.value:
    _show_status(request)
    return
  compilation.enable_cache()
  devices = _devices()
  if _DRY_RUN.value:
    command.require_writable(_JSON.value)
    work = pending.find(request, len(devices))
    estimates = estimate.estimate(config, work, devices)
    print(console.format_estimates(config, estimates, devices))
    command.write_json(
      _JSON.value,
      [e.cell.columns | e._asdict() | {"cell": str(e.cell)} for e in estimates],
    )
    return
  sweep_log.warn_on_stderr()
  # Only the first process reads the directory: it quarantines corrupt files.
  left = []
  if processes.is_first():
    left = pending.clean_and_find(request, len(devices), _KEEP_PARAMS.value)
  found = processes.agree([(str(item.cell), item.blocks) for item in left])
  work = [pending.Work(Cell.parse(cell), cut) for cell, cut in found]
  saving = Saving(
    _CHECKPOINT_STEPS.value,
    60 * _CHECKPOINT_MINUTES.value,
    _KEEP_PARAMS.value,
  )
  if work:
    _train(request, work, devices, saving, should_stop)
  if not processes.is_first():
    return
  if not work:
    if records.files(workdir) and not (workdir / "config.json").exists():
      sweep.prepare(config, workdir, devices)
    what = "requested seeds" if _SHARD.value is None else "seeds of this shard"
    print(f"nothing left to train in {workdir}: all {what} have records")
  _tell_missing(request)
  if records.files(workdir):
    show_table(request)


def _plan_topology(name: str) -> None:
  """Prints the memory and the time that the whole config needs on TPUs."""
  if not _DRY_RUN.value:
    raise ValueError("--topology works only with --dry_run")
  command.require_writable(_JSON.value)
  devices = topology.devices(name)
  request = pending.make_request(
    command.load_config(_CONFIG.value, _OVERRIDE.value),
    epath.Path(),
    _CELLS.value,
    None if _SEEDS.value is None else command.parse_seed_ranges(_SEEDS.value),
  )
  plans = []
  for cell in request.cells:
    found = topology.plan(
      request.config, cell, len(request.seeds), devices, _print
    )
    plans.append(found)
  print(console.format_plans(plans, name, devices))
  command.write_json(
    _JSON.value,
    [p.cell.columns | p._asdict() | {"cell": str(p.cell)} for p in plans],
  )


def _train(
  request: Request,
  work: list[pending.Work],
  devices: list[Device],
  saving: Saving,
  should_stop: StopRequest,
) -> None:
  """Compiles and trains the pending blocks, and prints what it does."""
  config, workdir = request.config, request.workdir
  _print(
    f"{sum(item.num_seeds for item in work)} seeds in {len(work)} cells to"
    f" train, in blocks of {config.seeds.block}, on {len(devices)} ×"
    f" {devices[0].device_kind}; compiling"
  )
  cores = len(hardware.usable_cores())
  if devices[0].platform == "cpu" and (_DEVICES.value or 0) > cores:
    _print(f"{len(devices)} CPU devices share {cores} cores")
  watch = Stopwatch()
  with watch.phase("compile"):
    programs = sweep.compile_largest(config, work, devices)
  for program in programs.values():
    budget, _ = hardware.memory_budget(devices)
    _print(console.format_plan(program, budget))
  if processes.is_first():
    sweep.prepare(config, workdir, devices)
    _warn_without_locks(workdir)
  command.require_writable(_JSON.value)
  show = sweep_log.ProgressLine([item.cell for item in work])
  with sweep_log.written(workdir, _SHARD.value):
    seeds = sweep.run(
      config=config,
      workdir=workdir,
      work=work,
      devices=devices,
      programs=programs,
      saving=saving,
      on_progress=show if processes.is_first() else lambda _: None,
      should_stop=should_stop,
      watch=watch,
    )
  if processes.is_first():
    # Also removes checkpoints of blocks of another size, `seeds.block`.
    block_checkpoint.remove_left_behind(config, workdir)
  spent = console.format_budget(watch.seconds())
  _print(f"trained {seeds} seeds in {spent}")


def _warn_without_locks(workdir: epath.Path) -> None:
  """Warns if nothing keeps two processes from training the same block."""
  if not locks.are_available(workdir):
    logging.getLogger("emergence").warning(
      "the file system of %s has no locks: start each process with the same N"
      " and its own I in --shard=I/N, or two processes may train the same"
      " block",
      workdir,
    )


def _show_status(request: Request) -> None:
  """Prints how far a sweep is; other processes may be training it."""
  config, workdir = request.config, request.workdir
  records.require_same_experiment(config, workdir)
  rows = pending.status(request)
  print(console.format_status(rows))
  for name, line in sweep_log.last_lines(workdir).items():
    print(f"{name}: {line}")
  command.write_json(
    _JSON.value,
    [
      row.cell.columns
      | row._asdict()
      | {"cell": str(row.cell), "holders": [h._asdict() for h in row.holders]}
      for row in rows
    ],
  )


def _tell_missing(request: Request) -> None:
  """Prints how many seeds other shards still have to train."""
  rows = pending.status(request)
  if left := sum(row.training + row.missing for row in rows):
    print(f"{left} seeds of other shards have no records yet; see --status")


def _print(line: str) -> None:
  """Prints a line, in the first process only."""
  if processes.is_first():
    print(line, flush=True)


def _devices() -> list[Device]:
  """The devices to train on, those of all processes."""
  by_hand = {
    "--coordinator": _COORDINATOR.value,
    "--num_processes": _NUM_PROCESSES.value,
    "--process_id": _PROCESS_ID.value,
  }
  given = [name for name, value in by_hand.items() if value is not None]
  if given and not (_DISTRIBUTED.value and len(given) == len(by_hand)):
    raise ValueError(
      f"{', '.join(given)}: give --distributed and all of {', '.join(by_hand)},"
      " or none of them"
    )
  if not _DISTRIBUTED.value:
    return hardware.local_devices(_DEVICES.value)
  if _DRY_RUN.value:
    raise ValueError("--dry_run is for one process, without --distributed")
  processes.join(
    _COORDINATOR.value,
    _NUM_PROCESSES.value,
    _PROCESS_ID.value,
    _DEVICES.value,
  )
  return hardware.all_devices(_DEVICES.value)


def _parse_shard(text: str) -> tuple[int, int]:
  match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
  if not match or not int(match[1]) < int(match[2]):
    raise ValueError(f"--shard expects I/N, from 0/N to N−1/N, got {text}")
  return int(match[1]), int(match[2])


if __name__ == "__main__":
  command.run(main)
