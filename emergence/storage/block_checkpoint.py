"""Checkpoints of blocks in training: their contents, place and restoring."""

import contextlib
import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from emergence.config import Cell, Config, cell_hash, cells
from emergence.population.compilation import Program
from emergence.population.population import BlockState, Snapshot
from emergence.storage import checkpoint, locks, records
from emergence.storage.checkpoint import Checkpointer
from emergence.storage.files import seeds_in_name, seeds_name
from emergence.training.evaluate import Scores

_LOG = logging.getLogger("emergence")


def save(
  config: Config,
  workdir: epath.Path,
  cell: Cell,
  seeds: Sequence[int],
  state: BlockState,
  snapshots: Sequence[Snapshot],
  checkpointer: Checkpointer,
) -> None:
  """Starts saving a block in the background.

  Args:
    config: the experiment.
    workdir: the work directory.
    cell: the cell.
    seeds: the S seeds of the block.
    state: the state from which training continues.
    snapshots: the block's evaluations so far.
    checkpointer: writes the checkpoint.

  Raises:
    OSError: the previous save failed, and this one was not started.
  """
  checkpointer.save(
    _folder(workdir, cell, seeds),
    state.step,
    _to_tree(config, state, snapshots),
    _meta(config, cell, seeds),
  )


def restore(
  config: Config,
  workdir: epath.Path,
  cell: Cell,
  seeds: Sequence[int],
  program: Program,
) -> tuple[BlockState | None, list[Snapshot]]:
  """The state of a block at its last usable checkpoint, and its evaluations.

  Args:
    config: the experiment.
    workdir: the work directory.
    cell: the cell.
    seeds: the S seeds of the block.
    program: the compiled cell.

  Returns:
    The state, and one snapshot per evaluation up to its step; (None, []) if no
    checkpoint is usable, so that the block starts from step 0.

  Raises:
    OSError: a checkpoint cannot be read, renamed or removed.
  """
  folder = _folder(workdir, cell, seeds)
  block = f"{cell}: seeds {seeds[0]} to {seeds[-1]}"
  target = _target(config, program, len(seeds))
  found = checkpoint.restore(folder, target, _meta(config, cell, seeds))
  if found is None:
    _LOG.info("%s start from step 0", block)
    return None, []
  step, tree, _ = found
  _LOG.info("%s continue from step %d", block, step)
  return _from_tree(config, step, tree)


def remove(workdir: epath.Path, cell: Cell, seeds: Sequence[int]) -> None:
  """Removes the checkpoints of a block; its saves must have ended."""
  checkpoint.remove(_folder(workdir, cell, seeds))


def remove_left_behind(config: Config, workdir: epath.Path) -> None:
  """Removes checkpoints whose seeds all have their records.

  Such checkpoints remain if the process that wrote the records was killed, or
  if `seeds.block` has changed. Blocks that another process trains are kept.
  """
  for cell in cells(config):
    done = records.recorded_seeds(workdir, cell)
    for folder in (workdir / "checkpoints" / str(cell)).glob("seeds-*"):
      seeds = _seeds_of(folder)
      if seeds and done.issuperset(seeds):
        with (
          contextlib.suppress(locks.InUseError),
          locks.held(workdir, cell, seeds),
        ):
          checkpoint.remove(folder)


def _folder(
  workdir: epath.Path, cell: Cell, seeds: Sequence[int]
) -> epath.Path:
  """The folder of the checkpoints of exactly these seeds of a block."""
  name = seeds_name(seeds[0], seeds[-1])
  if len(seeds) <= seeds[-1] - seeds[0]:
    # Some seeds in between are left out; the hash tells such blocks apart.
    listed = ",".join(map(str, seeds)).encode()
    name += f"-{hashlib.sha256(listed).hexdigest()[:8]}"
  return workdir / "checkpoints" / str(cell) / name


def _seeds_of(folder: epath.Path) -> range:
  """All seeds from the first to the last in the name of a block's folder."""
  return seeds_in_name(folder.name, "(-[0-9a-f]{8})?")


def _meta(config: Config, cell: Cell, seeds: Sequence[int]) -> dict[str, Any]:
  """The metadata that a checkpoint must have to be restored."""
  # Records name one block size, and seeds are bit-equal only at the same size.
  return {
    "cell_hash": cell_hash(config, cell),
    "seeds": list(seeds),
    "block": config.seeds.block,
  }


def _to_tree(
  config: Config, state: BlockState, snapshots: Sequence[Snapshot]
) -> dict[str, Any]:
  """The arrays of a checkpoint, whose shapes do not depend on the step."""
  shape = (len(config.eval_steps), *state.diverged.shape)
  num_sets = len(config.test_sets)
  scores = Scores._make(
    np.zeros((*shape, num_sets), np.float32) for _ in Scores._fields
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
  """Zeros with the shapes and types of `_to_tree`."""
  state = program.state._replace(
    data_key=jax.ShapeDtypeStruct((*program.state.data_key.shape, 2), np.uint32)
  )
  state = jax.tree.map(
    lambda x: np.zeros((num_seeds, *x.shape[1:]), x.dtype), state
  )
  nothing = BlockState(
    0, state, np.zeros(num_seeds, np.float32), np.zeros(num_seeds, bool)
  )
  # `checkpoint.restore` uses only the shapes and types.
  return _to_tree(config, nothing, [])


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
    )
    for e, point in enumerate(config.eval_steps)
    if point <= step
  ]
  state = BlockState(step, tree["state"], tree["loss_sum"], tree["diverged"])
  return state, snapshots
