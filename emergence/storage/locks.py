"""Locks that keep two processes from training the same seeds of a cell.

The kernel holds a lock for the process that took it, and releases it when that
process ends, however it ends; so nothing is ever left to clean up. Lock files
stay. What a process writes into one (host, process id) is for people only.

`locks/count/width-32/depth-4/seeds-000000-000015.lock` in the work directory
stands for the seeds 0 to 15. A process gets it only if no process holds a lock
whose seeds overlap with these, whatever blocks the other one trains. It looks
at the others and takes its own under the lock `cell.lock`, so in one step.
"""

import contextlib
import errno
import json
import os
import pathlib
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import filelock
from etils import epath

from emergence.config import Cell
from emergence.storage.files import is_remote

# How long a sweep waits for the blocks of other processes, once it has trained
# all others.
WAIT_SECONDS = 120.0

# What a file system answers that has no locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_POLL_SECONDS = 0.2
_FILE = re.compile(r"seeds-(\d{6,})-(\d{6,})\.lock")


class Holder(NamedTuple):
  """A process that holds a lock, as it wrote it down.

  Attributes:
    first: the first seed of the lock.
    last: the last seed of the lock.
    host: the machine; empty where that cannot be read.
    pid: the process id there; 0 where that cannot be read.
  """

  first: int
  last: int
  host: str
  pid: int

  def __str__(self) -> str:
    if not self.host:
      return "an unknown process, or the file system refuses locks"
    return f"process {self.pid} on {self.host}"


class InUseError(ValueError):
  """Another process trains some of the seeds."""


@contextlib.contextmanager
def held(
  workdir: epath.PathLike,
  cell: Cell,
  seeds: Sequence[int],
  wait_seconds: float = 0.0,
  should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
  """Holds the lock of some seeds of a cell while the context lasts.

  In a bucket, and where the file system has no locks, it holds nothing.

  Args:
    workdir: the work directory.
    cell: the cell.
    seeds: increasing seed indices.
    wait_seconds: how long to wait for another process.
    should_stop: asked while it waits; if so, it waits no longer.

  Raises:
    InUseError: another process holds a lock of some of these seeds.
    OSError: the file system refuses.
  """
  if is_remote(workdir):
    yield
    return
  folder = _folder(workdir, cell)
  path = folder / f"seeds-{seeds[0]:06d}-{seeds[-1]:06d}.lock"
  folder.mkdir(parents=True, exist_ok=True)
  end = time.monotonic() + wait_seconds
  lock = None
  try:
    while isinstance(lock := _try_to_take(path), Holder):
      if time.monotonic() >= end or should_stop():
        raise InUseError(
          f"{cell}: seeds {seeds[0]} to {seeds[-1]} are in use by {lock}; wait"
          " for it, or stop it, or give this process other seeds, with"
          " --shard=I/N or --seeds"
        )
      time.sleep(_POLL_SECONDS)
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
  try:
    yield
  finally:
    if isinstance(lock, filelock.BaseFileLock):
      lock.release()


def are_available(workdir: epath.PathLike) -> bool:
  """Whether the file system of a work directory has locks.

  Raises:
    OSError: the file system refuses otherwise.
  """
  if is_remote(workdir):
    return False
  folder = pathlib.Path(workdir) / "locks"
  folder.mkdir(parents=True, exist_ok=True)
  try:
    with _lock(folder / "probe.lock"):
      return True
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
    return False


def holders(workdir: epath.PathLike, cell: Cell) -> list[Holder]:
  """Who holds locks of seeds of a cell right now.

  Raises:
    OSError: the file system refuses.
  """
  folder = _folder(workdir, cell)
  if is_remote(workdir) or not folder.is_dir():
    return []
  try:
    with _lock(folder / "cell.lock"):
      return [
        _read(path) for path in sorted(folder.iterdir()) if _is_held(path)
      ]
  except OSError as error:
    # What we may not write, nobody here trains.
    if error.errno not in (*_NO_LOCKS, errno.EACCES, errno.EROFS):
      raise
    return []


def _try_to_take(path: pathlib.Path) -> filelock.BaseFileLock | Holder:
  """Takes a lock, or tells who holds one of the same seeds."""
  first, last = _seeds_of(path)
  with _lock(path.parent / "cell.lock"):
    for other in path.parent.iterdir():
      if _FILE.fullmatch(other.name):
        begin, end = _seeds_of(other)
        if begin <= last and first <= end and _is_held(other):
          return _read(other)
    lock = _lock(path)
    lock.acquire()
  content = {"host": socket.gethostname(), "pid": os.getpid()}
  with contextlib.suppress(OSError):  # It is of no use but to people.
    path.write_text(json.dumps(content))
  return lock


def _lock(path: pathlib.Path) -> filelock.BaseFileLock:
  # Held for a moment only, except for the lock of seeds, which is free then.
  return filelock.FileLock(path, timeout=60, fallback_to_soft=False)


def _is_held(path: pathlib.Path) -> bool:
  """Whether a process holds a lock of seeds."""
  if not _FILE.fullmatch(path.name):
    return False
  try:
    with filelock.FileLock(path, timeout=0, fallback_to_soft=False):
      return False
  except filelock.Timeout:
    return True


def _folder(workdir: epath.PathLike, cell: Cell) -> pathlib.Path:
  return pathlib.Path(workdir) / "locks" / str(cell)


def _seeds_of(path: pathlib.Path) -> tuple[int, int]:
  match = _FILE.fullmatch(path.name)
  assert match
  return int(match[1]), int(match[2])


def _read(path: pathlib.Path) -> Holder:
  try:
    content = json.loads(path.read_text())
    return Holder(*_seeds_of(path), str(content["host"]), int(content["pid"]))
  except (OSError, ValueError, KeyError, TypeError):
    return Holder(*_seeds_of(path), "", 0)
