"""Checkpoints of blocks of seeds in training, written by Orbax.

Each block has its own folder, with one folder per step such as `00000450`, so a
checkpoint does not depend on the devices that train or on other blocks. The
arrays are in `arrays.safetensors`. Orbax's metadata hold the step, the caller's
`meta`, and a SHA-256 of these and of the arrays. Orbax makes a checkpoint
appear whole or not at all; in a bucket, the last object written commits it. The
SHA-256 detects later corruption.

We do not use Orbax's `StandardSave`, for three reasons. It saves the arrays of
all devices as one item, but a block must be able to continue on another number
of devices and together with other blocks. It needs all processes of
`jax.distributed` at each save, but each of our processes saves the blocks of
its own devices when they are due. And it does not detect flipped bytes in
arrays (24 of 24 went undetected in a test).
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import safetensors.numpy
from etils import epath

from emergence.storage.files import is_remote, quarantine

_LOG = logging.getLogger("emergence")
# Errors are raised; this keeps Orbax from logging them as well.
logging.getLogger("absl").addFilter(
  lambda line: f"{os.sep}orbax{os.sep}" not in line.pathname
)

# A pytree of arrays, for which JAX has no type.
Tree = Any

ARRAYS = "arrays.safetensors"
# Orbax's file, which holds our record under "custom_metadata". We read it
# ourselves, as Orbax's reader returns an empty record if it cannot read it.
METADATA = "_CHECKPOINT_METADATA"

_STEP = re.compile(r"([0-9]{1,12})(\.orbax-checkpoint-tmp.*)?")
# Errors that mean a corrupt or misplaced checkpoint. Any other OSError means
# that it could not be read at all.
_CORRUPT = (
  *(FileNotFoundError, NotADirectoryError, IsADirectoryError),
  *(ValueError, AttributeError, KeyError, TypeError, RecursionError),
)
# Checkpoints of a block to keep: the last one, and one to fall back to.
_KEEP = 2


class Checkpointer:
  """Saves checkpoints in the background, in one thread.

  That thread does all the work, so a save costs the training thread almost
  nothing. Use it in a `with` block: everything is on disk when the block ends.
  """

  def __init__(self):
    self._thread = futures.ThreadPoolExecutor(1, "checkpoint")
    self._saves: dict[str, futures.Future[None]] = {}  # Last of each folder.

  def save(self, folder: epath.Path, step: int, tree: Tree, meta: dict) -> None:
    """Starts saving a block in the background.

    Returns at once, unless the block's previous save is still running: then it
    waits for that one first, so that a slow disk does not fill the memory.

    Args:
      folder: folder of the block's checkpoints; created if missing.
      step: steps done. A checkpoint of the same step is replaced.
      tree: numpy arrays, in dicts, lists, tuples and named tuples; they must
        not be modified afterwards.
      meta: small JSON that `restore` compares.

    Raises:
      OSError: the previous save failed, and this one was not started.
        Checkpoints already on disk are unaffected.
    """
    if before := self._saves.pop(str(folder), None):
      before.result()
    self._saves[str(folder)] = self._thread.submit(
      _save, folder, step, tree, meta
    )

  def wait(self) -> None:
    """Returns once everything is on disk.

    Raises:
      OSError: a save failed.
    """
    saves, self._saves = self._saves, {}
    futures.wait(saves.values())
    for save in saves.values():
      save.result()

  def __enter__(self) -> "Checkpointer":
    return self

  def __exit__(self, kind, error, traceback) -> None:
    self._thread.shutdown()
    try:
      self.wait()
    except Exception as failure:
      if error is None:
        raise
      # The error that ends the run is raised, not this one.
      _LOG.warning("%s", failure)


def restore(
  folder: epath.Path, target: Tree, meta: dict
) -> tuple[int, Tree, dict] | None:
  """Restores a block's newest checkpoint that is intact and matches.

  Newer checkpoints whose save was cut off are removed. Newer ones that are
  corrupt or do not match `target` or `meta` are renamed to `damaged-00000450`.
  A warning is logged for each.

  Args:
    folder: folder of the block's checkpoints.
    target: a tree with the shape and dtype of each array.
    meta: entries that the checkpoint's `meta` must have.

  Returns:
    The step, numpy arrays in the structure of `target`, and the checkpoint's
    `meta`; None if no checkpoint is usable.

  Raises:
    OSError: a checkpoint cannot be read, renamed or removed. If it cannot be
      read, nothing has been changed.
  """
  unusable: list[tuple[int, epath.Path, str]] = []
  found = None
  for step, path in reversed(_steps(folder)):
    with _naming("checkpoint cannot be read", path):
      try:
        found = step, *_read(path, step, target, meta)
        break
      except _CORRUPT as error:
        unusable.append((step, path, " ".join(str(error).split())))
  then = f"continues from step {found[0]}" if found else "starts from step 0"
  for step, path, reason in unusable:
    if _is_finished(path):
      place = quarantine(path, folder / f"damaged-{step:08d}")
      what = f"renamed to {place.name}"
    else:
      path.rmtree(missing_ok=True)
      what = "removed"
    _LOG.warning(
      "checkpoint %s is not usable: %s; it was %s, and the block %s",
      *(path, reason, what, then),
    )
  return found


def remove(folder: epath.Path) -> None:
  """Removes the folder of a block whose saves have ended."""
  # Another process may remove it at the same time.
  with contextlib.suppress(FileNotFoundError):
    folder.rmtree()


def _steps(folder: epath.Path) -> list[tuple[int, epath.Path]]:
  """Step and path of each checkpoint, ascending, unfinished saves included."""
  if not folder.exists():
    return []
  return sorted(
    (int(match[1]), path)
    for path in folder.iterdir()
    if (match := _STEP.fullmatch(path.name))
  )


def _is_finished(path: epath.Path) -> bool:
  return path.name.isdecimal() and (
    not is_remote(path) or (path / "commit_success.txt").exists()
  )


def _save(folder: epath.Path, step: int, tree: Tree, meta: dict) -> None:
  path = folder / f"{step:08d}"
  with _naming("checkpoint cannot be saved", path):
    arrays = {
      jax.tree_util.keystr(name): np.asarray(leaf)
      for name, leaf in jax.tree.leaves_with_path(tree)
    }
    content = safetensors.numpy.save(arrays)
    record = {
      "step": step,
      "meta": meta,
      "bytes": len(content),
      "sha256": _digest(step, meta, content),
    }
    # Orbax's `force` would need another library for buckets than ours.
    path.rmtree(missing_ok=True)
    _orbax().save(path, args=_Bytes(content), custom_metadata=record)
    finished = [old for _, old in _steps(folder) if _is_finished(old)]
    for old in finished[:-_KEEP]:
      old.rmtree(missing_ok=True)


def _read(
  path: epath.Path, step: int, target: Tree, meta: dict
) -> tuple[Tree, dict]:
  """Returns the arrays and meta; raises one of _CORRUPT if unusable."""
  if not _is_finished(path):
    raise ValueError("its save was cut off")
  record = json.loads((path / METADATA).read_bytes())["custom_metadata"]
  if record["step"] != step:
    raise ValueError(f"it was saved at step {record['step']}")
  there = record["meta"]
  for key, value in meta.items():
    if there.get(key) != value:
      raise ValueError(f"its {key} should be {value}, but is {there.get(key)}")
  content = _BytesHandler().restore(path)
  if _digest(step, there, content) != record["sha256"]:
    raise ValueError("its contents do not match its SHA-256")
  return _unflatten(content, target), there


def _unflatten(content: bytes, target: Tree) -> Tree:
  """The saved arrays as a tree; ValueError if they do not match the target."""
  arrays = safetensors.numpy.load(content)
  leaves, structure = jax.tree.flatten_with_path(target)
  wanted = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
  for name in sorted({*arrays, *wanted}):
    there, here = (
      f"{trees[name].dtype}{list(trees[name].shape)}" if name in trees else None
      for trees in (arrays, wanted)
    )
    if there != here:
      raise ValueError(
        f"array {name} should be {here or 'absent'}, but is"
        f" {there or 'missing'}"
      )
  return jax.tree.unflatten(structure, [arrays[name] for name in wanted])


def _digest(step: int, meta: dict, content: bytes) -> str:
  head = json.dumps([step, meta], sort_keys=True, allow_nan=False)
  digest = hashlib.sha256(head.encode() + b"\n")
  digest.update(content)
  return digest.hexdigest()


@contextlib.contextmanager
def _naming(text: str, path: epath.Path) -> Iterator[None]:
  """Adds to an OSError what failed, and the path."""
  try:
    yield
  except OSError as error:
    message = f"{text}: {error.strerror or error}"
    raise OSError(error.errno or errno.EIO, message, str(path)) from error


class _BytesHandler(ocp.CheckpointHandler):
  """Stores bytes in one file, from any process."""

  def save(self, directory: epath.Path, args: "_Bytes") -> None:
    (directory / ARRAYS).write_bytes(args.content)

  def restore(self, directory: epath.Path, args: Any = None) -> bytes:
    return (directory / ARRAYS).read_bytes()


@ocp.args.register_with_handler(_BytesHandler, for_save=True, for_restore=True)
@dataclasses.dataclass
class _Bytes(ocp.args.CheckpointArgs):
  content: bytes


def _orbax() -> ocp.Checkpointer:
  # Each process saves its own blocks without waiting for the others.
  me = jax.process_index()
  return ocp.Checkpointer(
    _BytesHandler(),
    multiprocessing_options=ocp.options.MultiprocessingOptions(
      primary_host=me, active_processes={me}
    ),
  )
