"""One group of blocks: trained, saved on the way, and recorded.

A block is what is claimed, checkpointed and recorded as a whole. It depends
neither on the devices nor on the blocks that train beside it, so whoever finds
it half trained can go on with it.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from emergence import (
  checkpoint,
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
from emergence.config import Cell, Config, cells
from emergence.evaluate import Scores
from emergence.identity import cell_hash
from emergence.population import BlockState, Snapshot

_LOG = logging.getLogger("emergence")

_FOLDER = re.compile(r"seeds-([0-9]{6,10})-([0-9]{6,10})")


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


def remove_left_behind(config: Config, workdir: epath.Path) -> None:
  """Removes checkpoints whose seeds all have their records.

  Whoever wrote the records was killed before it came to that.
  """
  for cell in cells(config):
    done = records.recorded_seeds(workdir, cell)
    for folder in (workdir / "checkpoints" / str(cell)).glob("seeds-*"):
      match = _FOLDER.match(folder.name)
      if match and done.issuperset(range(int(match[1]), int(match[2]) + 1)):
        checkpoint.remove(folder)


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
    found = [_restore(job, program, cell, seeds) for seeds in group]
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
  for stop in population.run(program, group, states, given_up):
    job.watch.add("train", stop.train_seconds)
    job.watch.add("evaluate", stop.evaluate_seconds)
    for i, snapshot in stop.snapshots.items():
      is_last = snapshot.step == job.config.train.steps
      if program.is_here(i) and (
        job.saving.params == "all" or (job.saving.params == "final" and is_last)
      ):
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
            _save(job, cell, group[i], state, snapshots[i])
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


def _save(
  job: Job,
  cell: Cell,
  seeds: Sequence[int],
  state: BlockState,
  snapshots: Sequence[Snapshot],
) -> None:
  job.checkpointer.save(
    _folder(job, cell, seeds),
    state.step,
    _to_tree(job.config, state, snapshots),
    _meta(job.config, cell, seeds) | {"versions": records.versions()},
  )


def _restore(
  job: Job, program: Program, cell: Cell, seeds: Sequence[int]
) -> tuple[BlockState | None, list[Snapshot]]:
  """Where a block was left, and what had been found by then."""
  found = checkpoint.restore(
    _folder(job, cell, seeds),
    _target(job.config, program, len(seeds)),
    _meta(job.config, cell, seeds),
  )
  if found is None:
    _LOG.info("%s: seeds %d to %d begin", cell, seeds[0], seeds[-1])
    _warn_of_others(job, cell, seeds)
    return None, []
  step, tree, meta = found
  if not _has_params(job, cell, seeds, step):
    _LOG.warning(
      "%s: seeds %d to %d start again, because their parameters were not kept"
      " until step %d",
      *(cell, seeds[0], seeds[-1], step),
    )
    checkpoint.remove(_folder(job, cell, seeds))
    return None, []
  _LOG.info(
    "%s: seeds %d to %d go on from step %d", cell, seeds[0], seeds[-1], step
  )
  _warn_of_versions(cell, seeds, meta.get("versions", {}))
  return _from_tree(job.config, step, tree)


def _warn_of_versions(cell: Cell, seeds: Sequence[int], saved: dict) -> None:
  """Says so where what goes on is not what began."""
  other = [
    f"{name} {saved.get(name)} and now {value}"
    for name, value in records.versions().items()
    if saved.get(name) != value
  ]
  if other:
    _LOG.warning(
      "%s: seeds %d to %d: their checkpoint was saved by %s; their records name"
      " the latter",
      *(cell, seeds[0], seeds[-1], ", ".join(other)),
    )


def _warn_of_others(job: Job, cell: Cell, seeds: Sequence[int]) -> None:
  """Says so where seeds that begin were in training in another choice."""
  folder = _folder(job, cell, seeds)
  for other in sorted(folder.parent.glob("seeds-*"), key=lambda p: p.name):
    match = _FOLDER.match(other.name)
    if match and any(int(match[1]) <= seed <= int(match[2]) for seed in seeds):
      _LOG.warning(
        "%s: seeds %d to %d begin, those again that were in training in another"
        " choice; to go on from %s, ask for its seeds alone",
        *(cell, seeds[0], seeds[-1], other),
      )


def _has_params(job: Job, cell: Cell, seeds: Sequence[int], step: int) -> bool:
  """Whether all is kept that a block would have kept by a step."""
  wanted = {
    "none": set(),
    "final": {job.config.train.steps},
    "all": set(job.config.eval_steps),
  }[job.saving.params]
  wanted = {point for point in wanted if point <= step}
  kept = params.kept_files(job.workdir, cell) if wanted else {}
  return all(wanted <= set(kept.get(seed, ())) for seed in seeds)


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
  checkpoint.remove(_folder(job, cell, seeds))
  if job.claims:
    job.claims.forget(cell, index(job.config, seeds))
  num_diverged = int(snapshots[-1].diverged.sum())
  if num_diverged:
    _LOG.warning("%s: %d of %d seeds diverged", cell, num_diverged, len(seeds))


def _folder(job: Job, cell: Cell, seeds: Sequence[int]) -> epath.Path:
  """Where the checkpoints of exactly these seeds of a block are."""
  name = f"seeds-{seeds[0]:06d}-{seeds[-1]:06d}"
  if len(seeds) <= seeds[-1] - seeds[0]:
    # Some in between are finished: which ones is part of the name.
    listed = ",".join(map(str, seeds)).encode()
    name += f"-{hashlib.sha256(listed).hexdigest()[:8]}"
  return job.workdir / "checkpoints" / str(cell) / name


def _meta(config: Config, cell: Cell, seeds: Sequence[int]) -> dict[str, Any]:
  """What a checkpoint has to agree with."""
  return {"cell_hash": cell_hash(config, cell), "seeds": list(seeds)}


def _to_tree(
  config: Config, state: BlockState, snapshots: Sequence[Snapshot]
) -> dict[str, Any]:
  """The arrays of a checkpoint; the same shapes whatever the step."""
  shape = (len(config.eval_steps), *state.diverged.shape)
  lengths = len(config.task.test_lengths)
  scores = Scores._make(
    np.zeros((*shape, lengths), np.float32) for _ in Scores._fields
  )
  train_loss = np.zeros(shape, np.float32)
  diverged = np.zeros(shape, bool)
  for e, snapshot in enumerate(snapshots):
    for array, score in zip(scores, snapshot.scores, strict=True):
      array[e] = score
    train_loss[e], diverged[e] = snapshot.train_loss, snapshot.diverged
  return {
    "state": state.state,
    "loss_sum": state.loss_sum,
    "diverged": state.diverged,
    "found": {
      "scores": scores,
      "train_loss": train_loss,
      "diverged": diverged,
    },
  }


def _target(config: Config, program: Program, num_seeds: int) -> dict[str, Any]:
  """The shapes and types of `_to_tree`."""
  state = program.state._replace(
    data_key=jax.ShapeDtypeStruct((*program.state.data_key.shape, 2), np.uint32)
  )
  state = jax.tree.map(
    lambda x: np.zeros((num_seeds, *x.shape[1:]), x.dtype), state
  )
  nothing = BlockState(
    0, state, np.zeros(num_seeds, np.float32), np.zeros(num_seeds, bool)
  )
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype),
    _to_tree(config, nothing, []),
  )


def _from_tree(
  config: Config, step: int, tree: dict[str, Any]
) -> tuple[BlockState, list[Snapshot]]:
  found = tree["found"]
  snapshots = [
    Snapshot(
      point,
      jax.tree.map(lambda x, e=e: x[e], found["scores"]),
      found["train_loss"][e],
      found["diverged"][e],
      dict,
    )
    for e, point in enumerate(config.eval_steps)
    if point <= step
  ]
  state = BlockState(step, tree["state"], tree["loss_sum"], tree["diverged"])
  return state, snapshots
