"""One group of blocks: trained, saved on the way, and recorded.

A block is what is claimed, checkpointed and recorded as a whole. It depends
neither on the devices nor on the blocks that train beside it, so whoever finds
it half trained can go on with it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from etils import epath

from emergence import (
  block_checkpoint,
  model,
  params,
  population,
  processes,
  records,
)
from emergence.budget import Stopwatch
from emergence.checkpoint import Checkpointer
from emergence.claims import Claims
from emergence.compilation import Program
from emergence.config import Cell, Config
from emergence.population import Snapshot

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
    claims: the blocks of this process; None where nobody else can be there,
      and in all but the first of several processes of one population.
    should_stop: asked at every stop; if so, training ends with one more save.
    watch: where the time goes.
  """

  config: Config
  workdir: epath.Path
  saving: Saving
  checkpointer: Checkpointer
  claims: Claims | None
  should_stop: Callable[[], bool]
  watch: Stopwatch


def index(config: Config, seeds: Sequence[int]) -> int:
  """Which block of its cell some seeds are of."""
  return seeds[0] // config.seeds.block


def train(
  job: Job,
  program: Program,
  cell: Cell,
  group: Sequence[Sequence[int]],
  on_stop: Callable[[Sequence[int], bool], None],
) -> list[Sequence[int]]:
  """Trains one group of blocks, one a device, and writes what it found.

  Args:
    job: what all blocks have in common.
    program: the compiled cell.
    cell: the cell.
    group: seeds of each block, claimed by this process.
    on_stop: called with the updates done by each block, and whether there
      was an evaluation.

  Returns:
    The blocks that another process has taken over from this one; the others
    have got their records.

  Raises:
    Interrupted: it was asked to stop.
    OSError: something could not be saved or written.
  """
  with job.watch.phase("write"):
    found = [
      block_checkpoint.restore(
        *(job.config, job.workdir, cell, seeds), program, job.saving.params
      )
      for seeds in group
    ]
  states = [state for state, _ in found]
  snapshots = [list(earlier) for _, earlier in found]
  steps = [state.step if state else 0 for state in states]
  if any(processes.any_of(processes.agree(steps) != steps)):
    raise RuntimeError(
      f"the processes do not see the same checkpoints in {job.workdir}; all of"
      " them need the same work directory"
    )
  on_stop(steps, False)
  given_up: set[int] = set()
  clock = _SaveClock(job.saving, steps)
  saved = list(steps)
  kept_steps = params.steps_to_keep(job.config, job.saving.params)
  for stop in population.run(program, group, states, given_up):
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
    if min(stop.steps) == job.config.train.steps:
      break
    is_stopped, is_due = processes.any_of(
      job.should_stop(), clock.is_due(stop.steps)
    )
    if is_stopped or is_due:
      with job.watch.phase("write"):
        given_up |= _lost(job, cell, group, given_up)
        for i, state in enumerate(stop.capture()):
          # A block that waits for others is saved already.
          is_new = state.step > saved[i]
          saved[i] = state.step
          if program.is_here(i) and is_new and i not in given_up:
            block_checkpoint.save(
              *(job.config, job.workdir, cell, group[i]),
              *(state, snapshots[i], job.checkpointer),
            )
        if is_stopped:
          job.checkpointer.wait()
      clock.saved(stop.steps)
    if is_stopped:
      raise Interrupted
  with job.watch.phase("write"):
    given_up |= _lost(job, cell, group, given_up)
    # Its checkpoints are removed next, so nobody may be saving any more.
    job.checkpointer.wait()
    processes.agree(None)
    for i, seeds in enumerate(group):
      if processes.is_first() and i not in given_up:
        _LOG.info("%s: seeds %d to %d are trained", cell, seeds[0], seeds[-1])
        _write_records(job, program, cell, seeds, snapshots[i])
  return [group[i] for i in sorted(given_up)]


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


def _lost(
  job: Job, cell: Cell, group: Sequence[Sequence[int]], known: set[int]
) -> set[int]:
  """Blocks that another process has taken over from this one."""
  lost = set()
  for i, seeds in enumerate(group):
    number = index(job.config, seeds)
    if job.claims and i not in known and not job.claims.holds(cell, number):
      _LOG.warning(
        "%s: seeds %d to %d: this process was away for too long, and another"
        " one has taken them over",
        *(cell, seeds[0], seeds[-1]),
      )
      job.claims.release(cell, number)
      lost.add(i)
  return set(processes.agree(sorted(lost)))


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
  # Only now; and a claim that is forgotten first could be had by another.
  block_checkpoint.remove(job.workdir, cell, seeds)
  if job.claims:
    job.claims.forget(cell, index(job.config, seeds))
  num_diverged = int(snapshots[-1].diverged.sum())
  if num_diverged:
    _LOG.warning("%s: %d of %d seeds diverged", cell, num_diverged, len(seeds))
