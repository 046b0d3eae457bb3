"""Trains what is left of a sweep, a group of blocks after another."""

import contextlib
import dataclasses
import json
import logging
import math
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from etils import epath

from emergence import backlog, blocks, compilation, processes, records
from emergence.backlog import Work
from emergence.blocks import Interrupted, Job, Saving
from emergence.budget import RunFile, Stopwatch
from emergence.checkpoint import Checkpointer
from emergence.claims import Claims, look_anew
from emergence.compilation import Program
from emergence.config import Cell, Config
from emergence.config_dict import to_dict
from emergence.hardware import Device
from emergence.identity import identity_hash

_LOG = logging.getLogger("emergence")

_SECONDS_BETWEEN_REPORTS = 10.0
_SECONDS_BETWEEN_LOOKS = 5.0


class Progress(NamedTuple):
  """Where a cell stands, after each evaluation.

  Attributes:
    cell: the cell.
    seeds_done: seeds of the cell that this run has finished.
    seeds_running: seeds in training.
    seeds_total: seeds of the cell that this run trains.
    step: updates done by the running seeds.
    steps: updates of a finished seed.
    seed_steps_per_second: rate since the cell's first update, without the
      time that compiling took; 0 before there is one.
    seconds_left: until the cell is finished, at that rate.
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
  """Claims a work directory for an experiment and writes config.json.

  Raises:
    ValueError: the directory holds another experiment.
    OSError: the directory cannot be written.
  """
  backlog.require_same_experiment(config, workdir)
  if records.files(workdir) and not (workdir / "config.json").exists():
    _LOG.warning(
      "%s was missing beside records; written again", workdir / "config.json"
    )
  workdir.mkdir(parents=True, exist_ok=True)
  content = {
    "config": to_dict(config),
    "identity_hash": identity_hash(config),
    "versions": records.versions(),
    "devices": {
      "platform": devices[0].platform,
      "kind": devices[0].device_kind,
      "count": len(devices),
    },
  }
  records.write_atomically(
    workdir / "config.json", json.dumps(content, indent=2).encode()
  )


def compile_largest(
  config: Config, work: Sequence[Work], devices: Sequence[Device]
) -> dict[Cell, Program]:
  """Compiles the cell that needs most memory, before anything is claimed.

  Args:
    config: the experiment.
    work: what is left to train.
    devices: the devices that will train it.

  Returns:
    What `run` takes as `programs`.

  Raises:
    DoesNotFitError: a block of that cell does not fit in memory.
  """
  # Activations govern the memory.
  largest = max((w.cell for w in work), key=lambda c: c.width * c.depth)
  return {largest: compilation.compile_cell(config, largest, devices)}


def run(
  config: Config,
  workdir: epath.Path,
  work: Sequence[Work],
  devices: Sequence[Device],
  programs: Mapping[Cell, Program] = types.MappingProxyType({}),
  saving: Saving = blocks.DEFAULT_SAVING,
  claims: Claims | None = None,
  on_progress: Callable[[Progress], None] = lambda progress: None,
  should_stop: Callable[[], bool] = lambda: False,
  watch: Stopwatch | None = None,
) -> int:
  """Trains what is left and writes its records, a group of blocks at a time.

  Returns when all of it has records. What others have claimed is left to them,
  as long as they live. After each group, the file of this run under `runs/`
  says where the time has gone so far.

  Args:
    config: the experiment; `prepare` has claimed the directory for it.
    workdir: the work directory.
    work: what to train, as `backlog.remaining` returns it.
    devices: local devices of one kind; each takes one block at a time.
    programs: cells that are compiled already, for these devices.
    saving: when blocks in training are saved, and which parameters are kept.
    claims: keeps processes from training the same block; None where there is
      no other process.
    on_progress: called after each evaluation.
    should_stop: asked every second or so; if so, all is saved and training
      ends.
    watch: runs since the time that the budget is to begin with; now if None.

  Returns:
    How many seeds this process has trained to the end.

  Raises:
    DoesNotFitError: a block of a cell does not fit in memory.
    Interrupted: it was asked to stop. The same call goes on.
    OSError: something could not be saved or written.
  """
  watch = watch or Stopwatch()
  seeds_done = 0
  run_file = RunFile(workdir, devices) if processes.is_first() else None

  def write_run_file() -> None:
    if run_file:
      run_file.write(seeds_done, seeds_done * config.train.steps, watch)

  write_run_file()
  try:
    with Checkpointer(saving.keep) as checkpointer:
      job = Job(
        config, workdir, saving, checkpointer, claims, should_stop, watch
      )
      for seeds in _run_cells(job, work, devices, programs, on_progress):
        seeds_done += seeds
        write_run_file()
  except BaseException:
    # What was spent in vain is part of the budget; the error says more.
    with contextlib.suppress(OSError):
      write_run_file()
    raise
  return seeds_done


def _run_cells(
  job: Job,
  work: Sequence[Work],
  devices: Sequence[Device],
  programs: Mapping[Cell, Program],
  on_progress: Callable[[Progress], None],
) -> Iterator[int]:
  """Trains group after group of blocks; yields the seeds of each."""
  programs = dict(programs)
  queues = [
    _Queue(cell, list(blocks_), _Clock(job.config, cell, on_progress))
    for cell, blocks_ in work
  ]
  while True:
    for queue in queues:
      while group := _claim(job, queue, len(devices)):
        if queue.cell not in programs:
          programs = {queue.cell: _compile(job, queue.cell, devices)}
        program = programs[queue.cell]
        _put_back(job, queue, group[program.num_blocks :])
        yield _train(job, program, queue, group[: program.num_blocks])
    if not any(queue.blocks for queue in queues):
      return
    _wait(job, queues)


@dataclasses.dataclass
class _Queue:
  """Blocks of a cell that nobody has trained yet, as far as is known."""

  cell: Cell
  blocks: list[list[int]]
  clock: "_Clock"


def _claim(job: Job, queue: _Queue, limit: int) -> list[list[int]]:
  """Takes blocks that nobody else has out of a queue, a number at most.

  Blocks that others have finished are taken out too.

  Raises:
    Interrupted: training is to stop.
  """
  if queue.blocks and any(processes.any_of(job.should_stop())):
    raise Interrupted
  group = []
  for seeds in list(queue.blocks):
    if len(group) == limit or not processes.is_first():
      break

    def missing(seeds=seeds):
      look_anew(job.workdir / "records" / str(queue.cell))
      done = records.recorded_seeds(job.workdir, queue.cell)
      return [seed for seed in seeds if seed not in done]

    number = blocks.index(job.config, seeds)
    if job.claims is None or job.claims.try_claim(
      queue.cell, number, lambda: not missing()
    ):
      queue.blocks.remove(seeds)
      if left := missing():
        group.append(left)
    elif not missing():
      queue.blocks.remove(seeds)
  group, queue.blocks = processes.agree([group, queue.blocks])
  return group


def _put_back(job: Job, queue: _Queue, group: list[list[int]]) -> None:
  for seeds in group:
    if job.claims:
      job.claims.release(queue.cell, blocks.index(job.config, seeds))
  queue.blocks[:0] = group


def _wait(job: Job, queues: Sequence[_Queue]) -> None:
  """Waits a little for those who train what is left."""
  left = sum(len(queue.blocks) for queue in queues)
  _LOG.info("waiting for %d blocks that others train", left)
  end = time.monotonic() + _SECONDS_BETWEEN_LOOKS
  while time.monotonic() < end and not job.should_stop():
    time.sleep(0.1)
  if any(processes.any_of(job.should_stop())):
    raise Interrupted


def _compile(job: Job, cell: Cell, devices: Sequence[Device]) -> Program:
  _LOG.info("%s: compiling", cell)
  with job.watch.phase("compile"):
    return compilation.compile_cell(job.config, cell, devices)


def _train(
  job: Job, program: Program, queue: _Queue, group: list[list[int]]
) -> int:
  _LOG.info(
    "%s: %d blocks of %d seeds together, %.1f MiB each",
    queue.cell,
    len(group),
    job.config.seeds.block,
    program.bytes_per_device / 2**20,
  )
  clock = queue.clock
  sizes = [len(seeds) for seeds in group]
  clock.begin(sizes, queue.blocks)
  lost = blocks.train(job, program, queue.cell, group, clock.tick)
  # Who took them over may die as well.
  queue.blocks += [list(seeds) for seeds in lost]
  return sum(sizes) - sum(len(seeds) for seeds in lost)


class _Clock:
  """Turns updates into rates and the time that is left of a cell."""

  def __init__(
    self, config: Config, cell: Cell, on_progress: Callable[[Progress], None]
  ):
    self._steps = config.train.steps
    self._cell = cell
    self._on_progress = on_progress
    self._seeds_done = 0
    self._updates = 0
    self._seconds = 0.0

  def begin(
    self, sizes: Sequence[int], waiting: Sequence[Sequence[int]]
  ) -> None:
    """A group of blocks of some sizes begins, and others wait."""
    self._sizes = sizes
    self._num_waiting = sum(len(seeds) for seeds in waiting)
    self._stood: Sequence[int] | None = None
    self._told = time.monotonic()

  def tick(self, steps: Sequence[int], is_evaluated: bool) -> None:
    """The blocks of the group have made so many updates by now."""
    now, size = time.monotonic(), sum(self._sizes)
    if self._stood is not None:
      self._updates += sum(
        number * (step - stood)
        for number, step, stood in zip(
          self._sizes, steps, self._stood, strict=True
        )
      )
      self._seconds += now - self._time
    self._stood, self._time = steps, now
    rate = self._updates / self._seconds if self._seconds else 0.0
    left = self._num_waiting * self._steps + sum(
      number * (self._steps - step)
      for number, step in zip(self._sizes, steps, strict=True)
    )
    if is_evaluated or now - self._told > _SECONDS_BETWEEN_REPORTS:
      self._told = now
      self._on_progress(
        Progress(
          self._cell,
          self._seeds_done,
          size,
          self._seeds_done + size + self._num_waiting,
          min(steps),
          self._steps,
          rate,
          left / rate if rate else math.inf,
        )
      )
    if min(steps) == self._steps:
      self._seeds_done += size
