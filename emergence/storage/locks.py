"""Locks that keep two processes from training the same seeds of a cell.

The kernel releases a lock when its process ends, however it ends, so nothing
has to be cleaned up. Lock files stay; their contents (host, process id) serve
messages only.

`locks/count/width-32/depth-4/seeds-000000-000015.lock` in the work directory
covers the seeds 0 to 15. A process gets it only if no lock of overlapping seeds
is held. It checks the locks and takes its own while holding `cell.lock`.
"""

import contextlib
import errno
import json
import os
import pathlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import filelock
from etils import epath

from emergence.config import Cell
from emergence.storage.files import is_remote, seeds_in_name, seeds_name

# How long a sweep waits for a block of another process, after all free blocks
# are trained.
WAIT_SECONDS = 120.0

# Errors by which a file system says that it has no locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_POLL_SECONDS = 0.2


class Holder(NamedTuple):
  """The process that holds a lock, from the lock file.

  Attributes:
    first: the first seed of the lock.
    last: the last seed of the lock.
    host: the machine; empty if unreadable.
    pid: the process id there; 0 if unreadable.
  """

  first: int
  last: int
  host: str
  pid: int

  def __str__(self) -> str:
    if not self.host:
      return "an unknown process (or the file system refuses locks)"
    return f"process {self.pid} on {self.host}"


class InUseError(ValueError):
  """Another process holds a lock of some of the seeds."""


@contextlib.contextmanager
def held(
  workdir: epath.PathLike,
  cell: Cell,
  seeds: Sequence[int],
  wait_seconds: float = 0.0,
  should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
  """Holds the lock of some seeds of a cell while the context lasts.

  Does nothing in a bucket or on a file system without locks.

  Args:
    workdir: the work directory.
    cell: the cell.
    seeds: increasing seed indices.
    wait_seconds: how long to wait for another process.
    should_stop: polled while waiting; once true, the wait ends.

  Raises:
    InUseError: another process holds a lock of some of these seeds.
    OSError: the lock files cannot be written.
  """
  if not are_available(workdir):
    yield
    return
  folder = _folder(workdir, cell)
  folder.mkdir(parents=True, exist_ok=True)
  deadline = time.monotonic() + wait_seconds
  while isinstance(lock := _try_to_take(folder, seeds), Holder):
    if time.monotonic() >= deadline or should_stop():
      raise InUseError(
        f"{cell}: seeds {seeds[0]} to {seeds[-1]} are in use by {lock};"
        " wait until that process has finished, stop it, or give this process"
        " other seeds with --shard=I/N or --seeds"
      )
    time.sleep(_POLL_SECONDS)
  try:
    yield
  finally:
    lock.release()


def are_available(workdir: epath.PathLike) -> bool:
  """Whether the file system of a work directory has locks.

  Raises:
    OSError: taking a lock failed, and not because locks are not supported.
  """
  if is_remote(workdir):
    return False
  folder = pathlib.Path(workdir) / "locks"
  try:
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / "probe.lock"):
      return True
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
    return False


def holders(workdir: epath.PathLike, cell: Cell) -> list[Holder]:
  """The processes that hold locks of a cell right now.

  Empty if the file system has no locks or the caller has no write access.

  Raises:
    OSError: testing the locks failed for another reason.
  """
  folder = _folder(workdir, cell)
  try:
    if not folder.is_dir() or not are_available(workdir):
      return []
    with _lock(folder / "cell.lock"):
      return list(_holders(folder))
  except OSError as error:
    # A reader without write access cannot test the locks.
    if error.errno not in (errno.EACCES, errno.EROFS):
      raise
    return []


def _try_to_take(
  folder: pathlib.Path, seeds: Sequence[int]
) -> filelock.BaseFileLock | Holder:
  """Takes a lock, or returns who holds a lock of overlapping seeds."""
  path = folder / f"{seeds_name(seeds[0], seeds[-1])}.lock"
  with _lock(folder / "cell.lock"):
    for holder in _holders(folder, seeds[0], seeds[-1]):
      return holder
    lock = _lock(path)
    lock.acquire()
  content = {"host": socket.gethostname(), "pid": os.getpid()}
  with contextlib.suppress(OSError):  # Only for messages.
    path.write_text(json.dumps(content))
  return lock


def _holders(
  folder: pathlib.Path, first: int = 0, last: float = float("inf")
) -> Iterator[Holder]:
  """Yields the holders of locks that overlap with the seeds first … last."""
  for path in sorted(folder.iterdir()):
    seeds = seeds_in_name(path.name, r"\.lock")
    if not seeds or seeds[0] > last or seeds[-1] < first:
      continue
    try:
      with _lock(path, timeout=0):
        continue
    except filelock.Timeout:
      yield _read(path, seeds)


def _lock(path: pathlib.Path, timeout: float = 60) -> filelock.BaseFileLock:
  # `cell.lock` and `probe.lock` are held for a moment only.
  return filelock.FileLock(path, timeout=timeout, fallback_to_soft=False)


def _folder(workdir: epath.PathLike, cell: Cell) -> pathlib.Path:
  return pathlib.Path(workdir) / "locks" / str(cell)


def _read(path: pathlib.Path, seeds: range) -> Holder:
  try:
    content = json.loads(path.read_text())
    host, pid = str(content["host"]), int(content["pid"])
  except (OSError, ValueError, KeyError, TypeError):
    host, pid = "", 0
  return Holder(seeds[0], seeds[-1], host, pid)
