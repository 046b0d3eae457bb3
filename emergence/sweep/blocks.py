"""Trains one round of blocks, with checkpoints, and writes its records.

A block is locked, checkpointed and recorded as a whole. It depends neither on
the devices nor on the blocks beside it, so any process can continue it.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from etils import epath

from emergence.config import Config
from emergence.population import population, processes
from emergence.population.compilation import Program
from emergence.population.population import BlockState, Snapshot, Training
from emergence.storage import block_checkpoint, params, records
from emergence.storage.checkpoint import Checkpointer
from emergence.sweep.time_budget import Stopwatch
from emergence.training import model

_LOG = logging.getLogger("emergence")


class Interrupted(Exception):
  """Training was asked to stop; its state is saved."""


class Saving(NamedTuple):
  """When blocks in training are saved, and which parameters are kept.

  Attributes:
    steps: save after this many steps since the last save, unless None.
    seconds: save after this many seconds since the last save.
    params: parameters to keep for good: `none`, `final` (after the last
      step) or `all` (at each evaluation).
  """

  steps: int | None = None
  seconds: float = 120.0
  params: str = "none"


DEFAULT_SAVING = Saving()


class Job(NamedTuple):
  """What all blocks of one invocation of the sweep have in common.

  Attributes:
    config: the experiment.
    workdir: the work directory.
    saving: when blocks are saved.
    checkpointer: saves them.
    should_stop: called after each chunk; if true, all blocks are saved and
      training ends.
    watch: the stopwatch of the time budget.
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
  seeds_of_blocks: Sequence[Sequence[int]],
  on_chunk: Callable[[Sequence[int], bool], None],
) -> None:
  """Trains one round of blocks, one per device, and writes their records.

  Args:
    job: what all blocks have in common.
    program: the compiled cell.
    seeds_of_blocks: seeds of each block, locked by this process.
    on_chunk: called before the first chunk and after each, with the steps done
      by each block and whether a block was evaluated.

  Raises:
    Interrupted: `should_stop` returned true; all blocks are saved.
    OSError: something could not be saved or written.
    RuntimeError: the processes do not see the same checkpoints.
    ValueError: `saving.params` asks for parameters of earlier steps that were
      not kept.
  """
  cell, config, saving = program.cell, program.config, job.saving
  with job.watch.phase("write"):
    restored = [
      block_checkpoint.restore(
        config=config,
        workdir=job.workdir,
        cell=cell,
        seeds=seeds,
        program=program,
      )
      for seeds in seeds_of_blocks
    ]
    for seeds, (state, _) in zip(seeds_of_blocks, restored, strict=True):
      _check_params(job, program, seeds, state)
  snapshots = [list(earlier) for _, earlier in restored]
  training = population.start(
    program, seeds_of_blocks, [state for state, _ in restored]
  )
  steps = list(training.steps)
  if any(processes.any_of(processes.agree(steps) != steps)):
    raise RuntimeError(
      f"the processes do not see the same checkpoints in {job.workdir}; all of"
      " them need the same work directory"
    )
  on_chunk(training.steps, False)
  saved_steps, saved_at = training.steps, time.monotonic()
  while not training.is_done:
    training, chunk = population.train_chunk(training)
    job.watch.add("train", chunk.train_seconds)
    job.watch.add("evaluate", chunk.evaluate_seconds)
    for i, snapshot in chunk.snapshots.items():
      snapshots[i].append(snapshot)
      _keep_params(job, training, i)
    on_chunk(training.steps, bool(chunk.snapshots))
    if training.is_done:
      break
    made = max(a - b for a, b in zip(training.steps, saved_steps, strict=True))
    is_due = made > 0 and (
      made >= (saving.steps or math.inf)
      or time.monotonic() - saved_at >= saving.seconds
    )
    is_stopped, is_due = processes.any_of(job.should_stop(), is_due)
    if is_stopped or is_due:
      with job.watch.phase("write"):
        _save(job, training, snapshots, saved_steps)
        if is_stopped:
          job.checkpointer.wait()
      saved_steps, saved_at = training.steps, time.monotonic()
    if is_stopped:
      raise Interrupted
  with job.watch.phase("write"):
    # The checkpoints are removed next: all saves must have ended.
    job.checkpointer.wait()
    processes.agree(None)
    if processes.is_first():
      for seeds, found in zip(seeds_of_blocks, snapshots, strict=True):
        _LOG.info(
          "%s: seeds %d to %d have finished training",
          *(cell, seeds[0], seeds[-1]),
        )
        _write_records(job, program, seeds, found)


def _check_params(
  job: Job, program: Program, seeds: Sequence[int], state: BlockState | None
) -> None:
  """Compares the parameters that are kept of a block with its last checkpoint.

  Raises:
    ValueError: there are none of a step that was to be kept and is done.
  """
  cell, workdir, flag = program.cell, job.workdir, job.saving.params
  if state is None:
    # Those of training that was lost, perhaps in blocks of another size.
    if processes.is_first():
      params.remove(workdir, cell, seeds)
    return
  wanted = params.steps_to_keep(program.config, flag)
  done = {step for step in wanted if step <= state.step}
  kept = params.kept_files(workdir, cell)
  if not all(done <= set(kept.get(seed, ())) for seed in seeds):
    raise ValueError(
      f"--keep_params={flag}: {cell} seeds {seeds[0]} to {seeds[-1]} were"
      f" trained to step {state.step} in {workdir} without keeping parameters"
      " that this flag asks for; continue with the same flag as before, or use"
      " another --workdir"
    )


def _keep_params(job: Job, training: Training, index: int) -> None:
  """Writes the parameters of a block of this process, if they are kept."""
  program, step = training.program, training.steps[index]
  kept_steps = params.steps_to_keep(program.config, job.saving.params)
  if program.is_here(index) and step in kept_steps:
    with job.watch.phase("write"):
      params.save_params(
        job.workdir,
        program.cell,
        training.blocks[index],
        step,
        population.fetch_params(training, index),
      )


def _save(
  job: Job,
  training: Training,
  snapshots: Sequence[Sequence[Snapshot]],
  saved_steps: Sequence[int],
) -> None:
  """Saves this process's blocks that have made steps since `saved_steps`."""
  for i, state in enumerate(population.capture(training)):
    # A finished block that waits for the others is saved already.
    if training.program.is_here(i) and state.step > saved_steps[i]:
      block_checkpoint.save(
        config=training.program.config,
        workdir=job.workdir,
        cell=training.program.cell,
        seeds=training.blocks[i],
        state=state,
        snapshots=snapshots[i],
        checkpointer=job.checkpointer,
      )


def _write_records(
  job: Job,
  program: Program,
  seeds: Sequence[int],
  snapshots: Sequence[Snapshot],
) -> None:
  cell = program.cell
  num_params = model.num_params(program.arch)
  table = records.to_table(job.config, cell, num_params, seeds, snapshots)
  devices = program.mesh.devices.ravel().tolist()
  provenance = records.make_provenance(job.config, cell, devices)
  records.write(job.workdir, cell, table, provenance)
  # After the records, in case the process is killed in between.
  block_checkpoint.remove(job.workdir, cell, seeds)
  num_diverged = int(snapshots[-1].diverged.sum())
  if num_diverged:
    _LOG.warning("%s: %d of %d seeds diverged", cell, num_diverged, len(seeds))
