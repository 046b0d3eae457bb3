"""What is saved of a block in training, where, and whether it can go on."""

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
from emergence.storage import checkpoint, locks, params, records
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
  """Begins to save a block, as `checkpointer.save` does.

  Args:
    config: the experiment.
    workdir: the work directory.
    cell: the cell.
    seeds: of the block, S of them.
    state: what it needs to go on.
    snapshots: its evaluations so far.
    checkpointer: saves it.

  Raises:
    OSError: the save before this one failed, and this one has not begun.
  """
  checkpointer.save(
    _folder(workdir, cell, seeds),
    state.step,
    _to_tree(config, state, snapshots),
    _meta(config, cell, seeds) | {"versions": records.versions()},
  )


def restore(
  config: Config,
  workdir: epath.Path,
  cell: Cell,
  seeds: Sequence[int],
  program: Program,
  keep_params: str,
) -> tuple[BlockState | None, list[Snapshot]]:
  """Where a block was left, and its evaluations by then.

  Args:
    config: the experiment.
    workdir: the work directory.
    cell: the cell.
    seeds: of the block, S of them.
    program: the compiled cell that is to go on.
    keep_params: as in `blocks.Saving`; where parameters that the block would
      have kept by then are missing, it begins again.

  Returns:
    None and no snapshots where it begins.

  Raises:
    OSError: the machine refuses to read, to rename or to remove.
  """
  folder = _folder(workdir, cell, seeds)
  block = f"{cell}: seeds {seeds[0]} to {seeds[-1]}"
  target = _target(config, program, len(seeds))
  found = checkpoint.restore(folder, target, _meta(config, cell, seeds))
  if found is None:
    _LOG.info("%s begin", block)
    for other in sorted(folder.parent.glob("seeds-*")):
      shared = set(seeds).intersection(_seeds_of(other))
      if shared and other.name != folder.name:
        _LOG.warning(
          "%s start from step 0: the checkpoint %s is of other seeds or another"
          " seeds.block",
          *(block, other),
        )
    return None, []
  step, tree, meta = found
  wanted = {
    point
    for point in params.steps_to_keep(config, keep_params)
    if point <= step
  }
  kept = params.kept_files(workdir, cell) if wanted else {}
  if not all(wanted <= set(kept.get(seed, ())) for seed in seeds):
    _LOG.warning(
      "%s start again, because their parameters were not kept until step %d",
      *(block, step),
    )
    checkpoint.remove(folder)
    return None, []
  _LOG.info("%s go on from step %d", block, step)
  saved_by = meta.get("versions", {})
  other = [
    f"{name} {saved_by[name]} and now {value}"
    for name, value in records.versions().items()
    if saved_by.get(name, value) != value
  ]
  if other:
    _LOG.warning(
      "%s: their checkpoint was saved by %s; their records name the latter",
      *(block, ", ".join(other)),
    )
  return _from_tree(config, step, tree)


def remove(workdir: epath.Path, cell: Cell, seeds: Sequence[int]) -> None:
  """Removes all checkpoints of a block, which nobody is saving any more."""
  checkpoint.remove(_folder(workdir, cell, seeds))


def remove_left_behind(config: Config, workdir: epath.Path) -> None:
  """Removes checkpoints whose seeds all have their records.

  Whoever wrote the records was killed before it came to that, or they were
  trained in blocks of another size. What another process trains stays.
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
  """Where the checkpoints of exactly these seeds of a block are."""
  name = seeds_name(seeds[0], seeds[-1])
  if len(seeds) <= seeds[-1] - seeds[0]:
    # Some in between are finished: which ones is part of the name.
    listed = ",".join(map(str, seeds)).encode()
    name += f"-{hashlib.sha256(listed).hexdigest()[:8]}"
  return workdir / "checkpoints" / str(cell) / name


def _seeds_of(folder: epath.Path) -> range:
  """The seeds from the first to the last one of a block's folder."""
  return seeds_in_name(folder.name, "(-[0-9a-f]{8})?")


def _meta(config: Config, cell: Cell, seeds: Sequence[int]) -> dict[str, Any]:
  """What a checkpoint has to agree with."""
  # Seeds are bit-equal within one block width alone, which records name.
  return {
    "cell_hash": cell_hash(config, cell),
    "seeds": list(seeds),
    "block": config.seeds.block,
  }


def _to_tree(
  config: Config, state: BlockState, snapshots: Sequence[Snapshot]
) -> dict[str, Any]:
  """The arrays of a checkpoint; the same shapes whatever the step."""
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
  # `restore` looks at shapes and types alone.
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
