"""One group of blocks: trained, saved on the way, and recorded.

A block is what is locked, checkpointed and recorded as a whole. It depends
neither on the devices nor on the blocks that train beside it, so whoever finds
it half trained can go on with it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from etils import epath

from emergence.config import Cell, Config
from emergence.population import population, processes
from emergence.population.compilation import Program
from emergence.population.population import Snapshot
from emergence.storage import block_checkpoint, params, records
from emergence.storage.checkpoint import Checkpointer
from emergence.sweep.budget import Stopwatch
from emergence.training import model

_LOG = logging.getLogger("emergence")


class Interrupted(Exception):
  """Training was asked to stop; what it had reached is saved."""


class Saving(NamedTuple):
  """When a block in training is saved, and what of it is kept.

  Attributes:
    steps: save once this many updates were made since the last time.
    seconds: save once this much time has passed since the last time.
    keep: checkpoints of a block to keep, the last ones.
    params: parameters to keep for good: `none`, `final` (after the last
      update) or `all` (at each evaluation).
  """

  steps: int | None = None
  seconds: float = 120.0
  keep: int = 2
  params: str = "none"


DEFAULT_SAVING = Saving()


class Job(NamedTuple):
  """What all blocks of a run have in common.

  Attributes:
    config: the experiment.
    workdir: the work directory.
    saving: when blocks are saved.
    checkpointer: saves them.
    should_stop: asked at every stop; if so, training ends with one more save.
    watch: where the time goes.
  """

  config: Config
  workdir: epath.Path
  saving: Saving
  checkpointer: Checkpointer
  should_stop: Callable[[], bool]
  watch: Stopwatch


def train(
  job: Job,
  program: Program,
  cell: Cell,
  group: Sequence[Sequence[int]],
  on_stop: Callable[[Sequence[int], bool], None],
) -> None:
  """Trains one group of blocks, one a device, and writes their records.

  Args:
    job: what all blocks have in common.
    program: the compiled cell.
    cell: the cell.
    group: seeds of each block, locked by this process.
    on_stop: called with the steps done by each block, and whether there was an
      evaluation.

  Raises:
    Interrupted: it was asked to stop.
    OSError: something could not be saved or written.
  """
  config = program.config
  with job.watch.phase("write"):
    restored = [
      block_checkpoint.restore(
        config=config,
        workdir=job.workdir,
        cell=cell,
        seeds=seeds,
        program=program,
        keep_params=job.saving.params,
      )
      for seeds in group
    ]
  states = [state for state, _ in restored]
  snapshots = [list(earlier) for _, earlier in restored]
  steps = [state.step if state else 0 for state in states]
  if any(processes.any_of(processes.agree(steps) != steps)):
    raise RuntimeError(
      f"the processes do not see the same checkpoints in {job.workdir}; all of"
      " them need the same work directory"
    )
  on_stop(steps, False)
  clock = _SaveClock(job.saving, steps)
  saved = list(steps)
  kept_steps = params.steps_to_keep(config, job.saving.params)
  for stop in population.run(program, group, states):
    job.watch.add("train", stop.train_seconds)
    job.watch.add("evaluate", stop.evaluate_seconds)
    for i, snapshot in stop.snapshots.items():
      if program.is_here(i) and snapshot.step in kept_steps:
        with job.watch.phase("write"):
          params.save_params(
            job.workdir, cell, group[i], snapshot.step, snapshot.params()
          )
      # Parameters stay on the device; only the scores are kept till the end.
      snapshots[i].append(snapshot._replace(params=dict))
    on_stop(stop.steps, bool(stop.snapshots))
    if min(stop.steps) == config.train.steps:
      break
    is_stopped, is_due = processes.any_of(
      job.should_stop(), clock.is_due(stop.steps)
    )
    if is_stopped or is_due:
      with job.watch.phase("write"):
        for i, state in enumerate(stop.capture()):
          # A block that waits for others is saved already.
          is_new = state.step > saved[i]
          saved[i] = state.step
          if program.is_here(i) and is_new:
            block_checkpoint.save(
              config=config,
              workdir=job.workdir,
              cell=cell,
              seeds=group[i],
              state=state,
              snapshots=snapshots[i],
              checkpointer=job.checkpointer,
            )
        if is_stopped:
          job.checkpointer.wait()
      clock.saved(stop.steps)
    if is_stopped:
      raise Interrupted
  with job.watch.phase("write"):
    # Its checkpoints are removed next, so nobody may be saving any more.
    job.checkpointer.wait()
    processes.agree(None)
    if processes.is_first():
      for seeds, found in zip(group, snapshots, strict=True):
        _LOG.info("%s: seeds %d to %d are trained", cell, seeds[0], seeds[-1])
        _write_records(job, program, cell, seeds, found)


class _SaveClock:
  """Says when blocks are to be saved."""

  def __init__(self, saving: Saving, steps: Sequence[int]):
    self._saving = saving
    self.saved(steps)

  def saved(self, steps: Sequence[int]) -> None:
    self._steps = list(steps)
    self._time = time.monotonic()

  def is_due(self, steps: Sequence[int]) -> bool:
    made = max(a - b for a, b in zip(steps, self._steps, strict=True))
    limit = self._saving.steps
    return (limit is not None and made >= limit) or (
      made > 0 and time.monotonic() - self._time >= self._saving.seconds
    )


def _write_records(
  job: Job,
  program: Program,
  cell: Cell,
  seeds: Sequence[int],
  snapshots: Sequence[Snapshot],
) -> None:
  num_params = model.num_params(program.arch)
  table = records.to_table(job.config, cell, num_params, seeds, snapshots)
  devices = program.mesh.devices.ravel().tolist()
  provenance = records.make_provenance(job.config, cell, devices)
  records.write(job.workdir, cell, table, provenance)
  # Only now that the records are there.
  block_checkpoint.remove(job.workdir, cell, seeds)
  num_diverged = int(snapshots[-1].diverged.sum())
  if num_diverged:
    _LOG.warning("%s: %d of %d seeds diverged", cell, num_diverged, len(seeds))
