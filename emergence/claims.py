"""Who trains which block: leases of processes on blocks of seeds.

The lease files of a cell's blocks are in `claims/count/width-32/depth-4/` of
the work directory, see `lease`. To take a block is to create the next
generation of its lease with O_CREAT | O_EXCL: of all processes that want it one
succeeds, on NFS and other shared file systems too, where `flock` and links may
not hold. No file is deleted before the records of its block are there.

A holder on the same kernel is dead if its process is gone. Of any other, all
that can be seen is whether its lease changes, which its holder sees to every
few seconds.

No file system keeps a holder from going on after it was suspended for so long
that it passed for dead. It has to ask `Claims.holds` before it writes anything
of the block. If it is suspended again right after that, then two write, and
both the same: what is written must therefore replace a file as a whole.
"""

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from emergence import lease as lease_lib
from emergence.config import Cell
from emergence.remote import is_remote

_LOG = logging.getLogger("emergence")


class Holder(NamedTuple):
  """A process that holds a block, as far as can be told.

  Attributes:
    host: its machine; None where its lease cannot be understood.
    pid: its number there; None where its lease cannot be understood.
    alive: it is known to live; otherwise it is only not yet known to be dead.
    path: the file of its lease.
  """

  host: str | None
  pid: int | None
  alive: bool
  path: str

  def __str__(self) -> str:
    if self.host is None:
      return f"an unknown worker ({self.path})"
    return f"worker {self.pid} on {self.host} ({self.path})"


class Claims:
  """The blocks that this process holds, and a thread that says it is alive.

  To be used by one thread, as a context manager whose end releases all blocks.
  A process that is killed releases nothing, and a forked one inherits nothing.
  """

  def __init__(
    self,
    workdir: str | os.PathLike[str],
    *,
    beat_seconds: float = 10.0,
    stale_seconds: float = 60.0,
  ):
    """Writes nothing yet.

    Args:
      workdir: the work directory, in a local or shared POSIX file system.
      beat_seconds: how often the leases that are held change.
      stale_seconds: a process of another kernel whose lease does not change for
        so long is dead; the same for all processes of a work directory.

    Raises:
      ValueError: the work directory is not in a file system.
    """
    self._workdir = os.fspath(workdir)
    if is_remote(self._workdir):
      raise ValueError(
        "--cooperate needs a work directory in a local or shared file system,"
        f" not {self._workdir}: object stores cannot tell a worker that died;"
        " there, give each process blocks of its own with --shard=I/N"
      )
    if not 0 < beat_seconds <= stale_seconds / 3:
      raise ValueError(
        "beat_seconds must be positive and at most a third of stale_seconds,"
        f" got {beat_seconds} and {stale_seconds}"
      )
    self._beat_seconds = beat_seconds
    self._stale_seconds = stale_seconds
    self._me = lease_lib.this_process()
    self._watch = lease_lib.Watch(self._me, stale_seconds)
    self._held: dict[tuple[Cell, int], _Claim] = {}
    # Of what is held, and of writing to its files.
    self._lock = threading.Lock()
    self._stop = threading.Event()
    self._thread: threading.Thread | None = None

  def __enter__(self) -> "Claims":
    return self

  def __exit__(self, *error: object) -> None:
    self._stop.set()
    if self._thread is not None:
      # It may hang with its file system; what it does next is harmless.
      self._thread.join(timeout=1.0)
      self._thread = None
    for cell, index in list(self._held):
      # What has ended the block says more.
      with contextlib.suppress(OSError):
        self.release(cell, index)

  def try_claim(
    self, cell: Cell, index: int, is_done: Callable[[], bool]
  ) -> bool:
    """Claims a block, unless somebody holds it who may be alive.

    Between a look that finds a block unfinished and this call, its holder may
    finish it and `forget` its leases. So `is_done` is asked once the block is
    claimed.

    Args:
      cell: the cell.
      index: of the block within the cell.
      is_done: whether the records of the block are there. It must `look_anew`
        at their folder.

    Returns:
      Whether this process holds the block and the block is not done. Nothing
      changes where this process has held it before.

    Raises:
      OSError: the file system refuses; the block is not held.
      RuntimeError: this process was forked from the one that made the claims.
    """
    if self._is_forked():
      raise RuntimeError("a forked process has to make claims of its own")
    folder = self._folder(cell)
    generation = lease_lib.generations(folder).get(index)
    if generation is not None:
      path = lease_lib.path_of(folder, index, generation)
      content = lease_lib.read(path)
      if self._is_ours(cell, index, content):
        return True
      if content is None or self._watch.is_alive(path, content) is not False:
        return False
    following = 0 if generation is None else generation + 1
    path = lease_lib.path_of(folder, index, following)
    claim = _Claim(path, secrets.token_hex(16))
    if not lease_lib.create(path, self._me._replace(token=claim.token)):
      look_anew(folder)
      return False
    with self._lock:
      self._held[cell, index] = claim
    try:
      self._start_beating()
      # After a listing from the memory of an NFS client, this may not be the
      # highest generation. To create a file has brought the listing up to date.
      is_latest = lease_lib.generations(folder).get(index) == following
      done = is_latest and is_done()
    except BaseException:
      with contextlib.suppress(OSError):
        self.release(cell, index)
      raise
    if done:
      self.forget(cell, index)
    elif not is_latest:
      self.release(cell, index)
    return is_latest and not done

  def free(self, cell: Cell, indices: Iterable[int]) -> list[int]:
    """Those of some blocks that `try_claim` may get; one listing of a folder.

    Who waits for a block calls this now and then, at least every
    `stale_seconds` / 2: fewer looks see later that a holder has died.

    Raises:
      OSError: the file system refuses.
    """
    folder = self._folder(cell)
    generations = lease_lib.generations(folder)
    found = []
    for index in indices:
      if index in generations:
        path = lease_lib.path_of(folder, index, generations[index])
        content = lease_lib.read(path)
        if (
          content is None
          or self._is_ours(cell, index, content)
          or self._watch.is_alive(path, content) is not False
        ):
          continue
      found.append(index)
    return found

  def holds(self, cell: Cell, index: int) -> bool:
    """Whether this process still holds a block, as the files have it.

    To be asked before anything of the block is written. If it does not, then
    somebody else may train the block: `release` it and go on to another.

    Raises:
      OSError: the file system refuses to say.
    """
    claim = self._held.get((cell, index))
    if claim is None or self._is_forked():
      return False
    folder = self._folder(cell)
    look_anew(folder)
    generation = lease_lib.generations(folder).get(index)
    return (
      generation is not None
      and claim.path == lease_lib.path_of(folder, index, generation)
      and self._is_ours(cell, index, lease_lib.read(claim.path))
    )

  def release(self, cell: Cell, index: int) -> None:
    """Lets others have a block at once; harmless if it is not held any more.

    Raises:
      OSError: the file system refuses; the block is still held.
    """
    if self._is_forked():
      return
    with self._lock:
      if claim := self._held.get((cell, index)):
        lease_lib.renew(claim.path, claim.token, released=True)
        del self._held[cell, index]

  def forget(self, cell: Cell, index: int) -> None:
    """Deletes all leases of a block, whoever holds it.

    To be called once the records of the block are there, and never before:
    nothing else keeps it then from being trained again.

    Raises:
      OSError: the file system refuses.
    """
    folder = self._folder(cell)
    with self._lock:
      self._held.pop((cell, index), None)
    for found, generation in lease_lib.files(folder):
      if found == index:
        with contextlib.suppress(FileNotFoundError):
          os.unlink(lease_lib.path_of(folder, index, generation))

  def others(self) -> list[Holder]:
    """Who else holds blocks of the work directory and is not known to be dead.

    Raises:
      OSError: the file system refuses.
    """
    ours = {claim.token for claim in self._held.values()}
    found = []
    for folder in _folders(os.path.join(self._workdir, "claims")):
      for index, generation in sorted(lease_lib.generations(folder).items()):
        path = lease_lib.path_of(folder, index, generation)
        content = lease_lib.read(path)
        lease = lease_lib.decode(content or b"")
        if content is None or (lease and lease.token in ours):
          continue
        alive = self._watch.is_alive(path, content)
        if alive is not False:
          host, pid = (lease.host, lease.pid) if lease else (None, None)
          found.append(Holder(host, pid, bool(alive), path))
    return found

  def require_alone(self) -> None:
    """Returns once nobody else can hold a block of the work directory.

    At once where all holders are of this kernel, else within about
    `stale_seconds`; a warning in the log says after 2 s whom it waits for.

    Two processes that start together may both find themselves alone. What one
    of them holds then, the other cannot claim.

    Raises:
      ValueError: somebody else does, and is alive.
      OSError: the file system refuses.
    """
    start = time.monotonic()
    warned = False
    while others := self.others():
      if living := [holder for holder in others if holder.alive]:
        raise ValueError(
          f"{self._workdir} is in use by {_name(living)}; stop it, or start all"
          " workers with --cooperate, or use another --workdir"
        )
      if not warned and time.monotonic() - start >= 2.0:
        _LOG.warning(
          "waiting up to %.0f s to see whether %s is alive",
          self._stale_seconds,
          _name(others),
        )
        warned = True
      time.sleep(min(0.5, self._stale_seconds / 10))

  def _folder(self, cell: Cell) -> str:
    return os.path.join(self._workdir, "claims", str(cell))

  def _is_forked(self) -> bool:
    return os.getpid() != self._me.pid

  def _is_ours(self, cell: Cell, index: int, content: bytes | None) -> bool:
    claim = self._held.get((cell, index))
    lease = lease_lib.decode(content or b"")
    return (
      claim is not None
      and lease is not None
      and lease.token == claim.token
      and not lease.released
    )

  def _start_beating(self) -> None:
    if self._thread is None:
      self._stop.clear()
      thread = threading.Thread(target=self._beat, name="claims", daemon=True)
      thread.start()  # A machine may refuse; then there is none to join.
      self._thread = thread

  def _beat(self) -> None:
    failing = False
    while not self._stop.wait(self._beat_seconds):
      was_failing, failing = failing, False
      for claim in list(self._held.values()):
        try:
          with self._lock:
            lease_lib.renew(claim.path, claim.token)
        # Whatever it is, the next beat may do better, and `holds` tells.
        except Exception as error:
          if not (failing or was_failing):
            with contextlib.suppress(Exception):  # The log may be full too.
              _LOG.warning(
                "cannot renew claims, others may take the blocks over: %s",
                error,
              )
          failing = True


class _Claim(NamedTuple):
  path: str
  token: str


def look_anew(folder: str | os.PathLike[str]) -> None:
  """Has the next look at a folder show what other machines have done to it.

  An NFS client remembers for up to a minute which files a folder has. To change
  anything about the folder makes the client ask, so this sets its time.
  """
  with contextlib.suppress(OSError):
    os.utime(folder)


def _folders(folder: str) -> Iterator[str]:
  """A folder and all below it."""

  def refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
      raise error

  for path, folders, _ in os.walk(folder, onerror=refuse):
    folders.sort()
    yield path


def _name(holders: list[Holder]) -> str:
  """The first of them, and how many there are."""
  more = f" and {len(holders) - 1} more" if len(holders) > 1 else ""
  return f"{holders[0]}{more}"
