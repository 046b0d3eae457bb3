"""Trains the pending blocks of a sweep, one round after another."""

import contextlib
import json
import logging
import math
import time
import types
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from etils import epath

from emergence.config import Cell, Config, cell_config, identity_hash, to_dict
from emergence.population import compilation, hardware, processes
from emergence.population.compilation import Program
from emergence.population.hardware import Device
from emergence.storage import locks, records
from emergence.storage.checkpoint import Checkpointer
from emergence.storage.files import write_atomically
from emergence.sweep import blocks
from emergence.sweep.blocks import Interrupted, Job, Saving
from emergence.sweep.pending import Work
from emergence.sweep.time_budget import RunFile, Stopwatch

_LOG = logging.getLogger("emergence")

_SECONDS_BETWEEN_REPORTS = 10.0


class Progress(NamedTuple):
  """The progress of a cell in training.

  Attributes:
    cell: the cell.
    seeds_done: seeds of the cell that this run has finished.
    seeds_running: seeds in training.
    seeds_total: seeds of the cell that this run trains.
    step: training steps done by the running seeds.
    steps: training steps of a finished seed.
    seed_steps_per_second: training steps per second, summed over seeds, since
      the cell's first step and without compiling; 0 while it is unknown.
    seconds_left: time until the cell is finished at that rate; inf if it is 0.
  """

  cell: Cell
  seeds_done: int
  seeds_running: int
  seeds_total: int
  step: int
  steps: int
  seed_steps_per_second: float
  seconds_left: float


def prepare(
  config: Config, workdir: epath.Path, devices: Sequence[Device]
) -> None:
  """Makes a work directory for an experiment and writes config.json.

  Raises:
    ValueError: the directory holds another experiment.
    OSError: the directory cannot be written.
  """
  records.require_same_experiment(config, workdir)
  if records.files(workdir) and not (workdir / "config.json").exists():
    _LOG.warning(
      "%s was missing although there are records; it was written again",
      workdir / "config.json",
    )
  workdir.mkdir(parents=True, exist_ok=True)
  content = {
    "config": to_dict(config),
    "identity_hash": identity_hash(config),
    "versions": records.versions(),
    "devices": hardware.describe(devices),
  }
  write_atomically(
    workdir / "config.json", json.dumps(content, indent=2).encode()
  )


def compile_largest(
  config: Config, work: Sequence[Work], devices: Sequence[Device]
) -> dict[Cell, Program]:
  """Compiles the cell that needs most memory, before anything is locked.

  Args:
    config: the experiment.
    work: the pending blocks of each cell.
    devices: the devices that will train them.

  Returns:
    The compiled program by its cell, for the argument `programs` of `run`.

  Raises:
    DoesNotFitError: a block of that cell does not fit in memory.
  """

  def activations(cell: Cell) -> int:
    """Size of the activations, which dominate the memory, up to a factor."""
    own = cell_config(config, cell)
    tokens = own.train.batch_size * own.task.context_length
    return tokens * cell.width * cell.depth

  largest = max((item.cell for item in work), key=activations)
  return {largest: compilation.compile_cell(config, largest, devices)}


def run(
  config: Config,
  workdir: epath.Path,
  work: Sequence[Work],
  devices: Sequence[Device],
  programs: Mapping[Cell, Program] = types.MappingProxyType({}),
  saving: Saving = blocks.DEFAULT_SAVING,
  on_progress: Callable[[Progress], None] = lambda progress: None,
  should_stop: Callable[[], bool] = lambda: False,
  watch: Stopwatch | None = None,
) -> int:
  """Trains pending blocks and writes their records, one round at a time.

  A block is locked while it is trained. Blocks that another process has locked
  come last: this process waits for them, and trains the seeds that then have no
  records.

  Args:
    config: the experiment.
    workdir: the work directory, after `prepare`.
    work: what to train, as `pending.find` returns it.
    devices: of one kind; each takes one block at a time.
    programs: cells already compiled for these devices.
    saving: when blocks in training are saved, and which parameters are kept.
    on_progress: called after each evaluation, and about every 10 s in between.
    should_stop: polled about once a second; once true, everything is saved
      and training ends.
    watch: the stopwatch of the time budget, started earlier; a new one if None.

  Returns:
    How many seeds this process has trained to the end.

  Raises:
    DoesNotFitError: a block of a cell does not fit in memory.
    InUseError: another process holds a block longer than `locks.WAIT_SECONDS`.
    Interrupted: `should_stop` was true. The same call continues from there.
    OSError: something could not be saved or written.
  """
  watch = watch or Stopwatch()
  seeds_done = seed_steps = 0
  run_file = None
  if processes.is_first():
    run_file = RunFile(workdir, hardware.describe(devices))

  def write_run_file() -> None:
    if run_file:
      run_file.write(seeds_done, seed_steps, watch)

  def on_trained(num_seeds: int, num_steps: int) -> None:
    nonlocal seeds_done, seed_steps
    seeds_done += num_seeds
    seed_steps += num_seeds * num_steps
    write_run_file()

  write_run_file()
  try:
    with Checkpointer() as checkpointer:
      job = Job(config, workdir, saving, checkpointer, should_stop, watch)
      for is_patient in (False, True):
        work = _train(
          job, work, devices, programs, is_patient, on_progress, on_trained
        )
        if work and not is_patient:
          _LOG.warning(
            "other processes have locked the remaining blocks (%d); waiting up"
            " to %.0f s for each",
            sum(len(item.blocks) for item in work),
            locks.WAIT_SECONDS,
          )
  except BaseException:
    # Record the lost time too. An error in this must not hide the first one.
    with contextlib.suppress(OSError):
      write_run_file()
    raise
  return seeds_done


def _train(
  job: Job,
  work: Sequence[Work],
  devices: Sequence[Device],
  programs: Mapping[Cell, Program],
  is_patient: bool,
  on_progress: Callable[[Progress], None],
  on_trained: Callable[[int, int], None],
) -> list[Work]:
  """Trains blocks; unless `is_patient`, returns those locked by others."""
  left = []
  for cell, pending in work:
    program, in_use = programs.get(cell), []
    clock = _Clock(cell_config(job.config, cell), cell, on_progress)
    while pending:
      if any(processes.any_of(job.should_stop())):
        raise Interrupted
      if program is None:
        _LOG.info("%s: compiling", cell)
        with job.watch.phase("compile"):
          program = compilation.compile_cell(job.config, cell, devices)
      with contextlib.ExitStack() as held:
        locked, busy, pending = _lock(
          job, cell, pending, program.num_blocks, is_patient, held
        )
        in_use += busy
        if locked:
          _LOG.info(
            "%s: training %d × %d seeds at a time, %.1f MiB for each block",
            *(cell, len(locked), job.config.seeds.block),
            program.bytes_per_device / 2**20,
          )
          clock.begin([len(seeds) for seeds in locked], pending)
          blocks.train(job, program, locked, clock.tick)
          on_trained(
            sum(len(seeds) for seeds in locked), program.config.train.steps
          )
    if in_use:
      left.append(Work(cell, in_use))
  return left


def _lock(
  job: Job,
  cell: Cell,
  pending: Sequence[list[int]],
  limit: int,
  is_patient: bool,
  held: contextlib.ExitStack,
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
  """Locks up to `limit` free blocks; returns locked, busy and untried ones."""
  locked, in_use, left = [], [], list(pending)
  while processes.is_first() and left and len(locked) < limit:
    seeds = left.pop(0)
    try:
      held.enter_context(
        locks.held(
          workdir=job.workdir,
          cell=cell,
          seeds=seeds,
          wait_seconds=locks.WAIT_SECONDS if is_patient else 0.0,
          should_stop=job.should_stop,
        )
      )
    except locks.InUseError:
      if job.should_stop():
        raise Interrupted from None
      if is_patient:
        raise
      in_use.append(seeds)
      continue
    # Another process may have finished some of these seeds meanwhile.
    done = records.recorded_seeds(job.workdir, cell)
    if missing := [seed for seed in seeds if seed not in done]:
      locked.append(missing)
  return tuple(processes.agree([locked, in_use, left]))


class _Clock:
  """Computes and reports the training rate and remaining time of a cell."""

  def __init__(
    self, config: Config, cell: Cell, on_progress: Callable[[Progress], None]
  ):
    self._steps = config.train.steps
    self._cell = cell
    self._on_progress = on_progress
    self._seeds_done = 0
    self._seed_steps = 0
    self._seconds = 0.0

  def begin(
    self, sizes: Sequence[int], pending: Sequence[Sequence[int]]
  ) -> None:
    """Starts timing a round: its block sizes, and the cell's pending blocks."""
    self._sizes = sizes
    self._num_pending = sum(len(seeds) for seeds in pending)
    self._last_steps: Sequence[int] | None = None
    self._reported = time.monotonic()

  def tick(self, steps: Sequence[int], is_evaluated: bool) -> None:
    """Takes the steps that each block of the round has made so far."""
    now, size = time.monotonic(), sum(self._sizes)
    weigh = lambda steps: sum(
      number * step for number, step in zip(self._sizes, steps, strict=True)
    )
    if self._last_steps is not None:
      self._seed_steps += weigh(steps) - weigh(self._last_steps)
      self._seconds += now - self._time
    self._last_steps, self._time = steps, now
    rate = self._seed_steps / self._seconds if self._seconds else 0.0
    left = (self._num_pending + size) * self._steps - weigh(steps)
    if is_evaluated or now - self._reported > _SECONDS_BETWEEN_REPORTS:
      self._reported = now
      self._on_progress(
        Progress(
          self._cell,
          self._seeds_done,
          size,
          self._seeds_done + size + self._num_pending,
          min(steps),
          self._steps,
          rate,
          left / rate if rate else math.inf,
        )
      )
    if min(steps) == self._steps:
      self._seeds_done += size
