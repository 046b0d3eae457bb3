"""The file of a lease: what stands in it, and whether its holder is alive.

`block-000003.0`, `block-000003.1`, … are the generations of the lease of block
3; the highest one is in force. A file is created by one process, which alone
writes it from then on, in place. Files of others are data that may be damaged
or foreign: what does not parse is the lease of somebody unknown.

The clocks of machines are not compared, and the times of files not read.
"""

import contextlib
import errno
import json
import os
import re
import socket
import stat
import time
from typing import NamedTuple

_FILE_NAME = re.compile(r"block-([0-9]+)\.([0-9]+)")
# Every version of a lease has this length, so that one is written over another
# without the file ever being shorter.
_LENGTH = 1024


class Lease(NamedTuple):
  """What a lease file says, as JSON with these keys.

  Attributes:
    host: machine of the holder.
    pid: the holder's process.
    kernel: names the kernel and the namespaces that pid and start refer to;
      None where the system does not tell.
    start: when the process started, in ticks since the kernel did, or None.
    token: drawn for this lease.
    beat: how often it was written since.
    released: the holder has let it go.
  """

  host: str
  pid: int
  kernel: str | None
  start: int | None
  token: str = ""
  beat: int = 0
  released: bool = False


class Watch:
  """Looks at leases of others again and again, to see whether they change."""

  def __init__(self, me: Lease, stale_seconds: float):
    """Has seen nothing yet.

    Args:
      me: the process that looks.
      stale_seconds: for how long a lease must be seen unchanged.
    """
    self._me = me
    self._stale_seconds = stale_seconds
    self._seen: dict[str, _Seen] = {}

  def is_alive(self, path: str, content: bytes) -> bool | None:
    """Whether somebody holds a lease; None as long as that is not known.

    A file server that hangs stops the holder and us alike. So that the holder
    can show itself after that, the time between two looks counts for half of
    `stale_seconds` at most: that a lease is stale takes three looks.

    Args:
      path: of the file.
      content: read just now.
    """
    lease = decode(content)
    if lease and lease.released:
      return False
    if lease and (exists := process_exists(lease, self._me)) is not None:
      return exists
    now = time.monotonic()
    seen = self._seen.get(path)
    if seen is None or seen.content != content:
      seen = _Seen(content, now, 0.0, changed=seen is not None)
    else:
      gap = min(now - seen.looked, self._stale_seconds / 2)
      seen = seen._replace(looked=now, unchanged=seen.unchanged + gap)
    self._seen[path] = seen
    if seen.unchanged >= self._stale_seconds:
      return False
    return True if seen.changed else None


class _Seen(NamedTuple):
  """What `Watch` remembers of a file.

  Attributes:
    content: at the last look.
    looked: when that was, on our monotonic clock.
    unchanged: for how many seconds it has been seen unchanged.
    changed: it was seen to change before that.
  """

  content: bytes
  looked: float
  unchanged: float
  changed: bool


def this_process() -> Lease:
  """The start of all leases of this process, without a token."""
  host = socket.gethostname().encode("ascii", "replace").decode()[:255]
  pid = os.getpid()
  kernel = start = None
  with contextlib.suppress(OSError, ValueError, IndexError):
    # The /proc of a container may be that of its host.
    if int(os.readlink("/proc/self")) == pid:
      with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
      pids = os.readlink("/proc/self/ns/pid")
      clocks = os.readlink("/proc/self/ns/time")
      _, start = _state_and_start(pid)
      kernel = f"{boot} {pids} {clocks}"
  return Lease(host, pid, kernel, start)


def process_exists(lease: Lease, me: Lease) -> bool | None:
  """Whether a holder's process exists; None where that cannot be seen.

  Args:
    lease: of the holder.
    me: the process that wants to know.
  """
  if me.kernel is None or (lease.kernel, lease.host) != (me.kernel, me.host):
    return None
  if lease.pid == me.pid and lease.start == me.start:
    # What this process was before an exec, perhaps, and is no more.
    return None
  try:
    os.kill(lease.pid, 0)
  except ProcessLookupError:
    return False
  except PermissionError:
    pass
  try:
    state, start = _state_and_start(lease.pid)
  except (OSError, ValueError, IndexError):
    return None  # It has just ended, or /proc hides it (hidepid).
  return start == lease.start and state not in "ZX"


def _state_and_start(pid: int) -> tuple[str, int]:
  """Of a process: a letter such as R or Z, and its start in ticks."""
  with open(f"/proc/{pid}/stat", errors="replace") as file:
    # The name before the last parenthesis may hold anything.
    fields = file.read().rpartition(")")[2].split()
  return fields[0], int(fields[19])


def encode(lease: Lease) -> bytes:
  """The content of a lease's file."""
  return json.dumps(lease._asdict()).encode().ljust(_LENGTH)


def decode(content: bytes) -> Lease | None:
  """The lease of a file's content; None where it is none, or half of one."""
  try:
    lease = Lease(**json.loads(content))
  except (TypeError, ValueError, RecursionError):
    return None
  is_count = lambda x: type(x) is int and 0 <= x < 2**63
  valid = (
    type(lease.host) is str
    and lease.host.isprintable()
    and is_count(lease.pid)
    and 0 < lease.pid < 2**31
    and (lease.kernel is None or type(lease.kernel) is str)
    and (lease.start is None or is_count(lease.start))
    and type(lease.token) is str
    and is_count(lease.beat)
    and type(lease.released) is bool
  )
  return lease if valid else None


def path_of(folder: str, index: int, generation: int) -> str:
  """The file of a generation of a block's lease."""
  return os.path.join(folder, f"block-{index:06d}.{generation}")


def files(folder: str) -> list[tuple[int, int]]:
  """Index and generation of each lease file of a folder, in one listing."""
  try:
    names = os.listdir(folder)
  except FileNotFoundError:
    return []
  found = []
  for name in names:
    if match := _FILE_NAME.fullmatch(name):
      index, generation = int(match[1]), int(match[2])
      if name == os.path.basename(path_of(folder, index, generation)):
        found.append((index, generation))
  return found


def generations(folder: str) -> dict[int, int]:
  """The highest generation of each block that has files in a folder."""
  found: dict[int, int] = {}
  for index, generation in files(folder):
    found[index] = max(generation, found.get(index, 0))
  return found


def create(path: str, lease: Lease) -> bool:
  """Creates a file, which one process of many can; False if it exists."""
  flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
  try:
    try:
      file = os.open(path, flags, 0o666)
    except FileNotFoundError:
      os.makedirs(os.path.dirname(path), exist_ok=True)
      file = os.open(path, flags, 0o666)
  except FileExistsError:
    return False
  try:
    _write_and_close(file, path, lease)
  except BaseException:
    with contextlib.suppress(OSError):
      os.unlink(path)
    raise
  return True


def read(path: str) -> bytes | None:
  """The start of a file, empty if it is no regular file; None if it is gone."""
  try:
    # A pipe must not keep us waiting.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
  except OSError as error:
    if error.errno in (errno.ENOENT, errno.ESTALE):
      return None
    if error.errno in (errno.ELOOP, errno.ENXIO):
      return b""
    raise
  try:
    if not stat.S_ISREG(os.fstat(file).st_mode):
      return b""
    return os.read(file, 2 * _LENGTH)
  except OSError as error:
    if error.errno == errno.ESTALE:
      return None
    raise
  finally:
    os.close(file)


def renew(path: str, token: str, released: bool = False) -> None:
  """Writes the next version of a lease, if the file is still that lease's.

  In place, and closed: whoever opens it next then sees it, on NFS too. Once
  released, it stays so.
  """
  try:
    # Not created if it is gone.
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
  except FileNotFoundError:
    return
  try:
    lease = decode(os.read(file, 2 * _LENGTH))
  except BaseException:
    os.close(file)
    raise
  if lease is None or lease.token != token:
    os.close(file)
    return
  released = released or lease.released
  lease = lease._replace(beat=lease.beat + 1, released=released)
  _write_and_close(file, path, lease)


def _write_and_close(file: int, path: str, lease: Lease) -> None:
  content = encode(lease)
  try:
    try:
      written = os.pwrite(file, content, 0)
    finally:
      # Where a full disk or a quota may show only now.
      os.close(file)
    if written < len(content):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
  except OSError as error:
    raise OSError(error.errno, error.strerror, path) from error
