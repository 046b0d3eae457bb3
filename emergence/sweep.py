"""Cells × blocks of seeds: what is done, what is left, and doing it."""

import contextlib
import json
import logging
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
from etils import epath

from emergence import checkpoint, model, population, records
from emergence import config as config_lib
from emergence.budget import RunFile, Stopwatch
from emergence.config import Cell, Config
from emergence.population import Device

_LOG = logging.getLogger("emergence")

KEEP_PARAMS = ("none", "final", "all")


class Work(NamedTuple):
  """What is left of one cell: blocks of seed indices, cut by `seeds.block`."""

  cell: Cell
  blocks: list[list[int]]

  @property
  def num_seeds(self) -> int:
    return sum(len(block) for block in self.blocks)


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


def check(config: Config) -> None:
  """Raises ValueError where a cell of the config cannot be built."""
  for cell in config_lib.cells(config):
    population.make_architecture(config, cell)


def require_same_experiment(config: Config, workdir: epath.Path) -> None:
  """Raises ValueError where a work directory holds another experiment."""
  if not (workdir / "config.json").exists():
    return
  there = records.read_config(workdir)
  if difference := config_lib.first_difference(there, config):
    key, value, other = difference
    raise ValueError(
      f"{workdir} holds another experiment: {key} is {value} there and"
      f" {other} here; use another --workdir"
    )


def prepare(
  config: Config, workdir: epath.Path, devices: Sequence[Device]
) -> None:
  """Claims a work directory for an experiment and writes config.json.

  Raises:
    ValueError: the directory holds another experiment.
    OSError: the directory cannot be written.
  """
  require_same_experiment(config, workdir)
  if records.files(workdir) and not (workdir / "config.json").exists():
    _LOG.warning(
      "%s was missing beside records; written again", workdir / "config.json"
    )
  workdir.mkdir(parents=True, exist_ok=True)
  content = {
    "config": config_lib.to_dict(config),
    "identity_hash": config_lib.identity_hash(config),
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


def remaining(
  config: Config, workdir: epath.Path, seeds: Sequence[int]
) -> list[Work]:
  """What of the cells × seeds has no records yet, in the order of the grid."""
  left = []
  for cell in config_lib.cells(config):
    done = records.finished_seeds(workdir, config, cell)
    missing = [seed for seed in sorted(set(seeds)) if seed not in done]
    if missing:
      left.append(Work(cell, cut_blocks(missing, config.seeds.block)))
  return left


def seeds_without_params(
  config: Config, workdir: epath.Path, seeds: Sequence[int], keep_params: str
) -> int:
  """How many finished seeds lack parameters that `keep_params` asks for."""
  wanted = {
    "none": set(),
    "final": {config.train.steps},
    "all": set(config.eval_steps),
  }[keep_params]
  count = 0
  for cell in config_lib.cells(config) if wanted else ():
    kept = checkpoint.kept_files(workdir, cell)
    for seed in records.finished_seeds(workdir, config, cell) & set(seeds):
      count += not wanted <= set(kept.get(seed, ()))
  return count


def cut_blocks(seeds: Sequence[int], block: int) -> list[list[int]]:
  """Groups increasing seed indices by seed // block."""
  groups: dict[int, list[int]] = {}
  for seed in seeds:
    groups.setdefault(seed // block, []).append(seed)
  return list(groups.values())


def compile_largest(
  config: Config, work: Sequence[Work], devices: Sequence[Device]
) -> dict[Cell, population.Program]:
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
  return {largest: population.compile_cell(config, largest, devices)}


def run(
  config: Config,
  workdir: epath.Path,
  work: Sequence[Work],
  devices: Sequence[Device],
  programs: Mapping[Cell, population.Program] = types.MappingProxyType({}),
  keep_params: str = "none",
  on_progress: Callable[[Progress], None] = lambda progress: None,
  watch: Stopwatch | None = None,
) -> None:
  """Trains what is left and writes its records, a group of blocks at a time.

  After each group, the file of this run under `runs/` says where the time has
  gone so far.

  Args:
    config: the experiment; `prepare` has claimed the directory for it.
    workdir: the work directory.
    work: what to train, as `remaining` returns it.
    devices: local devices of one kind; each takes one block at a time.
    programs: cells that are compiled already, for these devices.
    keep_params: `none`, `final` (after the last update) or `all` (at each
      evaluation).
    on_progress: called after each evaluation.
    watch: runs since the time that the budget is to begin with; now if None.

  Raises:
    DoesNotFitError: a block of a cell does not fit in memory.
  """
  watch = watch or Stopwatch()
  run_file = RunFile(workdir, devices)
  seeds_done = 0
  run_file.write(0, 0, watch)
  try:
    for seeds in _run_cells(
      config, workdir, work, devices, programs, keep_params, on_progress, watch
    ):
      seeds_done += seeds
      run_file.write(seeds_done, seeds_done * config.train.steps, watch)
  except BaseException:
    # What was spent in vain is part of the budget; the error says more.
    with contextlib.suppress(OSError):
      run_file.write(seeds_done, seeds_done * config.train.steps, watch)
    raise


def _run_cells(
  config: Config,
  workdir: epath.Path,
  work: Sequence[Work],
  devices: Sequence[Device],
  programs: Mapping[Cell, population.Program],
  keep_params: str,
  on_progress: Callable[[Progress], None],
  watch: Stopwatch,
) -> Iterator[int]:
  """Trains group after group of blocks; yields the seeds of each."""
  for cell, blocks in work:
    program = programs.get(cell)
    if program is None:
      _LOG.info("%s: compiling", cell)
      with watch.phase("compile"):
        program = population.compile_cell(config, cell, devices)
    _LOG.info(
      "%s: %d blocks of %d seeds together, %.1f MiB each",
      cell,
      program.num_blocks,
      config.seeds.block,
      program.bytes_per_device / 2**20,
    )
    clock = _Clock(config, Work(cell, blocks), on_progress)
    for first in range(0, len(blocks), program.num_blocks):
      group = blocks[first : first + program.num_blocks]
      _train_group(
        config, workdir, program, cell, group, keep_params, clock, watch
      )
      yield sum(len(block) for block in group)


def _train_group(
  config: Config,
  workdir: epath.Path,
  program: population.Program,
  cell: Cell,
  group: list[list[int]],
  keep_params: str,
  clock: "_Clock",
  watch: Stopwatch,
) -> None:
  """Trains one group of blocks, one a device, and writes what it found."""
  seeds = [seed for block in group for seed in block]
  snapshots = []
  for snapshot in population.run(program, group):
    watch.add("train", snapshot.train_seconds)
    watch.add("evaluate", snapshot.evaluate_seconds)
    is_last = snapshot.step == config.train.steps
    if keep_params == "all" or (keep_params == "final" and is_last):
      with watch.phase("write"):
        _keep_params(workdir, cell, group, snapshot)
    # Parameters stay on the device; only the scores are kept till the end.
    snapshots.append(snapshot._replace(params=dict))
    clock.tick(len(seeds), snapshot.step)
  with watch.phase("write"):
    _write_records(config, workdir, program, cell, group, snapshots)
  clock.finish(len(seeds))
  num_diverged = int(snapshots[-1].diverged.sum())
  if num_diverged:
    _LOG.warning("%s: %d of %d seeds diverged", cell, num_diverged, len(seeds))


def _keep_params(
  workdir: epath.Path,
  cell: Cell,
  group: list[list[int]],
  snapshot: population.Snapshot,
) -> None:
  params = snapshot.params()
  for block, rows in _rows_of_blocks(group):
    part = jax.tree.map(lambda x, rows=rows: x[rows], params)
    checkpoint.save_params(workdir, cell, block, snapshot.step, part)


def _write_records(
  config: Config,
  workdir: epath.Path,
  program: population.Program,
  cell: Cell,
  group: list[list[int]],
  snapshots: list[population.Snapshot],
) -> None:
  seeds = [seed for block in group for seed in block]
  num_params = model.num_params(program.arch)
  table = records.to_table(config, cell, num_params, seeds, snapshots)
  devices = program.mesh.devices.ravel().tolist()
  provenance = records.make_provenance(config, cell, devices)
  rows_per_seed = table.num_rows // len(seeds)
  for _, rows in _rows_of_blocks(group):
    part = table.slice(
      rows.start * rows_per_seed, (rows.stop - rows.start) * rows_per_seed
    )
    records.write(workdir, cell, part, provenance)


def _rows_of_blocks(group: list[list[int]]) -> list[tuple[list[int], slice]]:
  """Each block with the rows of its seeds among all seeds of the group."""
  ends = [
    sum(len(block) for block in group[: i + 1]) for i in range(len(group))
  ]
  return [
    (block, slice(end - len(block), end))
    for block, end in zip(group, ends, strict=True)
  ]


class _Clock:
  """Turns evaluation steps into rates; starts after the first evaluation."""

  def __init__(
    self, config: Config, work: Work, on_progress: Callable[[Progress], None]
  ):
    self._steps = config.train.steps
    self._work = work
    self._on_progress = on_progress
    self._seeds_done = 0
    self._start: float | None = None

  def tick(self, num_running: int, step: int) -> None:
    if self._start is None:
      self._start = time.monotonic()
    elapsed = time.monotonic() - self._start
    done = self._seeds_done * self._steps + num_running * step
    rate = done / elapsed if elapsed and done else 0.0
    left = self._work.num_seeds * self._steps - done
    self._on_progress(
      Progress(
        self._work.cell,
        self._seeds_done,
        num_running,
        self._work.num_seeds,
        step,
        self._steps,
        rate,
        left / rate if rate else float("inf"),
      )
    )

  def finish(self, num_seeds: int) -> None:
    self._seeds_done += num_seeds
