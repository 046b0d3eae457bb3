"""Checkpoints of blocks of seeds in training, safe from what machines do.

A block has a folder of its own, and in it one folder a step, `00000450`: so a
checkpoint depends neither on the devices that train nor on the other blocks.
What it holds is named `arrays.safetensors`; the step, what the caller says of
it, and a digest of both and of the arrays are in Orbax's metadata. Orbax makes
a step appear whole or not at all, in a bucket by a last object that commits it;
the digest tells what a disk did to it later.
"""

import contextlib
import errno
import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy
from etils import epath

from emergence.storage.files import is_remote

_LOG = logging.getLogger("emergence")

# A nested structure of arrays; JAX has no name for it.
Tree = Any

_STEP = re.compile(r"([0-9]{1,12})(\.orbax-checkpoint-tmp.*)?")
_UNFINISHED = "unfinished"
# Orbax's, where it cannot rename a folder.
_COMMITTED = "commit_success.txt"

# That a file is not what or where it should be is damage. Any other OSError
# means that the machine cannot say.
_DAMAGE = (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError)


class Checkpointer:
  """Saves checkpoints in the background, in one thread.

  That thread does all there is to do, so a save costs the thread that trains
  next to nothing. To be used in a `with`, at whose end everything is on disk.
  """

  def __init__(self, keep: int = 2):
    """Imports what saving needs, which takes a third of a second.

    Args:
      keep: how many steps of each block to keep, the last ones. With one,
        nothing is left to fall back to.

    Raises:
      ValueError: less than one.
    """
    if keep < 1:
      raise ValueError(f"expected to keep at least 1 checkpoint, got {keep}")
    from emergence.storage import checkpoint_handler  # noqa: F401

    self._keep = keep
    self._thread = ThreadPoolExecutor(1, "checkpoint")
    self._saves: dict[str, Future[None]] = {}  # The last one of each folder.

  def save(
    self, folder: epath.Path, step: int, tree: Tree, meta: Mapping
  ) -> None:
    """Begins to save a block, and returns at once.

    Where the save before of the same block is not finished, it waits for that
    one, lest a slow disk fill the memory.

    Args:
      folder: of the block; made where it is missing.
      step: updates done. A checkpoint of the same step is replaced.
      tree: numpy arrays, in dicts, lists, tuples and named tuples; they must
        not change any more.
      meta: what `restore` is to know before it reads them; small, JSON.

    Raises:
      OSError: a save before this one failed, and this one has not begun. The
        steps that were on disk before still are.
      TypeError: a leaf is no numpy array, or `meta` is not JSON.
    """
    self._finish(lambda name, save: save.done() or name == str(folder))
    for path, leaf in jax.tree.leaves_with_path(tree):
      if not isinstance(leaf, np.ndarray | np.generic):
        raise TypeError(
          f"{jax.tree_util.keystr(path)} is a {type(leaf).__name__}, no numpy"
          " array"
        )
    self._saves[str(folder)] = self._thread.submit(
      _save, folder, step, tree, json.loads(_to_json(meta)), self._keep
    )

  def wait(self) -> None:
    """Returns once everything is on disk.

    Raises:
      OSError: a save failed; the first one that did, each reported once.
    """
    self._finish(lambda name, save: True)

  def _finish(self, is_due: Callable[[str, Future], bool]) -> None:
    first = None
    for name, save in list(self._saves.items()):
      if is_due(name, save):
        error = save.exception()
        del self._saves[name]
        first = first or error
    if first:
      raise first

  def __enter__(self) -> "Checkpointer":
    return self

  def __exit__(self, kind, error, traceback) -> None:
    try:
      self.wait()
    except Exception as lost:
      if error is None:
        raise
      # The error that ends the run comes first.
      _LOG.warning("%s", lost)
    finally:
      self._thread.shutdown()


def restore(
  folder: epath.Path, target: Tree | Callable[[dict], Tree], meta: Mapping
) -> tuple[int, Tree, dict] | None:
  """The newest checkpoint of a block that is whole and the right one.

  Newer ones that are damaged, unfinished or of something else are passed over,
  each with a warning, and renamed within the folder: `damaged-00000450`, or
  `unfinished-00000450`, which the next save removes.

  Args:
    folder: of the block.
    target: a jax.ShapeDtypeStruct for each array that is expected; or a
      function that, given the checkpoint's `meta`, returns them, and raises
      ValueError where it has no use for such a checkpoint.
    meta: entries that the checkpoint's `meta` must have, with these values.

  Returns:
    The step, numpy arrays in the structure of the target, and its `meta`; None
    where there is no such checkpoint.

  Raises:
    OSError: the machine refuses to read or to rename. Nothing has been renamed
      if it refuses to read.
  """
  passed: list[tuple[epath.Path, str, str]] = []
  found = None
  for step, is_whole, path in _candidates(folder):
    if not is_whole:
      name = f"{_UNFINISHED}-{step:08d}"
      passed.append((path, name, "its save was cut off"))
      continue
    try:
      found = step, *_read(path, step, target, meta)
      break
    except _DAMAGE as error:
      passed.append((path, f"damaged-{step:08d}", _reason(error)))
    except (OSError, MemoryError) as error:
      raise _refusal("checkpoint cannot be read", path, error) from error
  for path, name, reason in passed:
    try:
      aside = _set_aside(path, name)
    except OSError as error:
      text = f"checkpoint is not usable ({reason}) and cannot be renamed"
      raise _refusal(text, path, error) from error
    _LOG.warning(
      "checkpoint %s is not usable: %s; renamed to %s, the block %s",
      path,
      reason,
      aside,
      f"continues from step {found[0]}" if found else "starts again",
    )
  return found


def remove(folder: epath.Path) -> None:
  """Removes all there is of a block, which nobody saves to any more.

  That another process does the same meanwhile, or has done it, is no error.

  Raises:
    OSError: it cannot be removed.
  """
  for tries_left in reversed(range(100)):
    if not folder.exists():
      return
    try:
      folder.rmtree()
    except OSError as error:  # It names the file without its folder.
      if isinstance(error, FileNotFoundError) and (
        tries_left or not folder.exists()
      ):
        continue
      raise _refusal("checkpoint cannot be removed", folder, error) from error


def _candidates(folder: epath.Path) -> list[tuple[int, bool, epath.Path]]:
  """Step, whether its save came to an end, and path; the newest first."""
  try:
    children = list(folder.iterdir())
  except FileNotFoundError:
    return []
  found = [
    (int(match[1]), match[2] is None and _is_committed(path), path)
    for path in children
    if (match := _STEP.fullmatch(path.name))
  ]
  return sorted(found, key=lambda x: (x[0], x[2].name), reverse=True)


def _is_committed(path: epath.Path) -> bool:
  return not is_remote(path) or (path / _COMMITTED).exists()


def _save(
  folder: epath.Path, step: int, tree: Tree, meta: dict, keep: int
) -> None:
  from emergence.storage import checkpoint_handler

  path = folder / f"{step:08d}"
  try:
    content = safetensors.numpy.save(_flatten(tree))
    record = {
      "step": step,
      "meta": meta,
      "bytes": len(content),
      "sha256": _digest(step, meta, content),
    }
    if is_remote(path):
      # Orbax would, with another library than the one that we ask for.
      path.rmtree(missing_ok=True)
    checkpoint_handler.write(path, content, record)
    _require_record(path, record)
    _retire(folder, step, keep)
  except (OSError, MemoryError) as error:
    with contextlib.suppress(OSError):  # To free the space of half a save.
      for left in folder.glob(f"{path.name}.orbax-checkpoint-tmp*"):
        left.rmtree()
      if not _is_committed(path):
        path.rmtree()
    raise _refusal("checkpoint cannot be saved", path, error) from error


def _require_record(path: epath.Path, record: dict) -> None:
  """Raises OSError where a record did not reach the disk, before others go."""
  from emergence.storage import checkpoint_handler

  with contextlib.suppress(ValueError):
    if checkpoint_handler.read_record(path) == record:
      return
  raise OSError(errno.EIO, "what was written reads otherwise")


def _retire(folder: epath.Path, saved: int, keep: int) -> None:
  """Removes steps beyond the last few, and what cut-off saves left behind."""
  whole = [x for x in _candidates(folder) if x[1]]
  old = [path for step, _, path in whole[keep:] if step != saved]
  for path in [*old, *folder.glob(f"{_UNFINISHED}-*")]:
    path.rmtree(missing_ok=True)


def _read(
  path: epath.Path,
  step: int,
  target: Tree | Callable[[dict], Tree],
  meta: Mapping,
) -> tuple[Tree, dict]:
  """The arrays and the meta of a checkpoint; one of _DAMAGE where unusable."""
  from emergence.storage import checkpoint_handler

  record = checkpoint_handler.read_record(path)
  kinds = {"step": int, "meta": dict, "bytes": int, "sha256": str}
  if {key: type(value) for key, value in record.items()} != kinds:
    raise ValueError("it is none of ours")
  if record["step"] != step:
    raise ValueError(f"it is of step {record['step']}")
  size = (path / checkpoint_handler.FILE).stat().length
  if size != record["bytes"]:
    raise ValueError(
      f"{checkpoint_handler.FILE} has {size} bytes, not {record['bytes']}"
    )
  there = record["meta"]
  for key, value in json.loads(_to_json(meta)).items():
    if key not in there or there[key] != value:
      raise ValueError(f"its {key} is {there.get(key)}, not {value}")
  content = checkpoint_handler.read(path)
  if _digest(step, there, content) != record["sha256"]:
    raise ValueError("its digest does not match")
  wanted = target(there) if callable(target) else target
  return _unflatten(content, wanted), there


def _set_aside(path: epath.Path, name: str) -> str:
  """Renames a folder, and returns a name that was free."""
  free, number = name, 1
  while (path.parent / free).exists():
    free, number = f"{name}-{number}", number + 1
  # Another process may have done it.
  with contextlib.suppress(FileNotFoundError):
    path.rename(path.parent / free)
  return free


def _flatten(tree: Tree) -> dict[str, np.ndarray]:
  return {
    jax.tree_util.keystr(path): np.asarray(leaf)
    for path, leaf in jax.tree.leaves_with_path(tree)
  }


def _unflatten(content: bytes, target: Tree) -> Tree:
  """Arrays by name as a tree; ValueError where they are not the target's."""
  try:
    arrays = safetensors.numpy.load(content)
  except safetensors.SafetensorError as error:
    raise ValueError(f"its arrays are not readable: {error}") from error
  leaves, structure = jax.tree.flatten_with_path(target)
  names = [jax.tree_util.keystr(path) for path, _ in leaves]
  if different := sorted(set(names) ^ set(arrays)):
    raise ValueError(f"it has other arrays, among them {different[0]}")
  for name, (_, leaf) in zip(names, leaves, strict=True):
    there, here = (f"{x.dtype}{list(x.shape)}" for x in (arrays[name], leaf))
    if there != here:
      raise ValueError(f"{name} is {there}, not {here}")
  return jax.tree.unflatten(structure, [arrays[name] for name in names])


def _digest(step: int, meta: dict, content: bytes) -> str:
  digest = hashlib.sha256(_to_json([step, meta]).encode() + b"\n")
  digest.update(content)
  return digest.hexdigest()


def _to_json(value: Any) -> str:
  if isinstance(value, Mapping):
    value = dict(value)
  return json.dumps(value, sort_keys=True, allow_nan=False)


def _refusal(
  text: str, path: epath.Path, error: OSError | MemoryError
) -> OSError:
  """What the machine refuses, with the path that it is about."""
  if isinstance(error, OSError):
    why = error.strerror or error
    return OSError(error.errno or errno.EIO, f"{text}: {why}", str(path))
  return OSError(errno.ENOMEM, f"{text}: out of memory", str(path))


def _reason(error: Exception) -> str:
  if isinstance(error, OSError):
    return f"{error.strerror or error}: {error.filename or ''}".strip(" :")
  return " ".join(str(error).split())
