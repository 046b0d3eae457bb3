"""Locks that keep two processes from training or writing the same thing.

The kernel holds a lock for the process that took it, and releases it when that
process ends, however it ends; so nothing is ever left to clean up. Lock files
stay. What stands in one, who took it last, is for people only.
"""

import contextlib
import errno
import json
import logging
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import NamedTuple

import filelock
from etils import epath

from emergence.config import Cell
from emergence.remote import is_remote

_LOG = logging.getLogger("emergence")

# A block is trained for longer than this, so whoever waits in vain for so long
# had better be told.
WAIT_SECONDS = 120.0

# What a file system answers that has no locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_SUFFIX = ".lock"


class Holder(NamedTuple):
  """A process that holds a lock, as it wrote it down.

  Attributes:
    name: of the lock within its cell, such as `seeds-000000-000015`.
    host: the machine; empty where that cannot be read.
    pid: number of the process there; 0 where that cannot be read.
  """

  name: str
  host: str
  pid: int

  def __str__(self) -> str:
    if not self.host:
      return "an unknown process"
    return f"process {self.pid} on {self.host}"


def name_of_block(config_block: int, seed: int) -> str:
  """The name of the lock of the block that a seed belongs to.

  Args:
    config_block: `seeds.block`.
    seed: a seed index.
  """
  first = seed // config_block * config_block
  return f"seeds-{first:06d}-{first + config_block - 1:06d}"


@contextlib.contextmanager
def held(
  workdir: epath.PathLike,
  cell: Cell,
  name: str,
) -> Iterator[None]:
  """Holds a lock of a cell while the context lasts.

  In a bucket, and where the file system has no locks, it holds nothing.

  Args:
    workdir: the work directory.
    cell: the cell.
    name: of the lock, such as `seeds-000000-000015`.

  Raises:
    ValueError: another process still holds it after `WAIT_SECONDS`.
    OSError: the file system refuses.
  """
  if is_remote(workdir):
    yield
    return
  path = _path(workdir, cell, name)
  path.parent.mkdir(parents=True, exist_ok=True)
  lock = filelock.FileLock(path, fallback_to_soft=False)
  try:
    try:
      lock.acquire(timeout=2.0)
    except filelock.Timeout:
      _LOG.warning("%s: %s: waiting for %s", cell, name, _read(path))
      lock.acquire(timeout=WAIT_SECONDS - 2.0)
  except filelock.Timeout:
    raise ValueError(
      f"{cell}: {name} is in use by {_read(path)}; wait for it, or stop it, or"
      " give this process other seeds, with --shard=I/N or --seeds"
    ) from None
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
    lock = None
  if lock:
    _write(path)
  try:
    yield
  finally:
    if lock:
      lock.release()


def are_available(workdir: epath.PathLike) -> bool:
  """Whether the file system of a work directory has locks.

  Raises:
    OSError: the file system refuses otherwise.
  """
  if is_remote(workdir):
    return False
  path = pathlib.Path(workdir) / "locks" / f"probe-{os.getpid()}{_SUFFIX}"
  path.parent.mkdir(parents=True, exist_ok=True)
  try:
    with filelock.FileLock(path, fallback_to_soft=False):
      return True
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
    return False
  finally:
    path.unlink(missing_ok=True)


def holders(workdir: epath.PathLike, cell: Cell) -> list[Holder]:
  """Who holds locks of blocks of a cell right now.

  Raises:
    OSError: the file system refuses.
  """
  if is_remote(workdir):
    return []
  found = []
  folder = _path(workdir, cell, "").parent
  for path in sorted(folder.glob(f"seeds-*{_SUFFIX}")):
    try:
      with filelock.FileLock(path, 0, fallback_to_soft=False):
        pass
    except filelock.Timeout:
      found.append(_read(path))
    except OSError as error:
      if error.errno not in (*_NO_LOCKS, errno.EACCES, errno.EROFS):
        raise
  return found


def _path(workdir: epath.PathLike, cell: Cell, name: str) -> pathlib.Path:
  return pathlib.Path(workdir) / "locks" / str(cell) / f"{name}{_SUFFIX}"


def _write(path: pathlib.Path) -> None:
  """Writes down who holds a lock."""
  content = {"host": socket.gethostname(), "pid": os.getpid()}
  # It is of no use but to people.
  with contextlib.suppress(OSError):
    path.write_text(json.dumps(content))


def _read(path: pathlib.Path) -> Holder:
  name = path.name.removesuffix(_SUFFIX)
  try:
    content = json.loads(path.read_text())
    return Holder(name, str(content["host"]), int(content["pid"]))
  except (OSError, ValueError, KeyError, TypeError):
    return Holder(name, "", 0)
