"""The log of a sweep: where it is, and what goes there and to stderr."""

import contextlib
import logging
import logging.handlers
import os
import time
import uuid
from collections.abc import Iterator
from typing import IO

from etils import epath

from emergence import blocks, processes, remote


def warn_on_stderr() -> None:
  """Shows warnings, and keeps what is logged until there is a file for it."""
  log = logging.getLogger("emergence")
  to_stderr = logging.StreamHandler()
  to_stderr.setLevel(logging.WARNING)
  # Tracebacks are for the log; stderr gets the one line of the error.
  to_stderr.addFilter(lambda record: record.exc_info is None)
  early = logging.handlers.MemoryHandler(1000, logging.CRITICAL + 1)
  log.handlers, log.propagate = [early, to_stderr], False
  log.setLevel(logging.INFO)


@contextlib.contextmanager
def opened(workdir: epath.Path, shard: str | None) -> Iterator[IO[str]]:
  """The log, whose own end does not hide what ended the run.

  Args:
    workdir: the work directory that it is in.
    shard: which share of the blocks is trained, such as `0/4`, if not all.

  Raises:
    OSError: it cannot be written.
  """
  file = _open(workdir, shard)
  try:
    yield file
  except BaseException:
    with contextlib.suppress(OSError):
      file.close()
    raise
  file.close()


@contextlib.contextmanager
def written_to(file: IO[str]) -> Iterator[None]:
  """Sends our log to a file, what there was before included.

  To be called once, after `warn_on_stderr`. It ends with how the run ended.

  Args:
    file: the log, to be written until the end of the context.
  """
  log = logging.getLogger("emergence")
  to_file = _Handler(file)
  to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
  early, to_stderr = log.handlers
  assert isinstance(early, logging.handlers.MemoryHandler)
  early.setTarget(to_file)
  early.close()
  log.handlers = [to_file, to_stderr]
  try:
    yield
    log.info("finished")
  except blocks.Interrupted:
    log.info("stopped by a signal")
    raise
  except Exception:
    with contextlib.suppress(OSError):  # The error itself says more.
      log.exception("stopped")
    raise
  finally:
    log.handlers = []


def _open(workdir: epath.Path, shard: str | None) -> IO[str]:
  """The log to go on with; object stores cannot append, so one a run there."""
  if not processes.is_first():
    return open(os.devnull, "w", encoding="utf-8")
  if remote.is_remote(workdir):
    # Several may begin in one second, and one overwrites what is there.
    parts = [time.strftime("log-%Y%m%d-%H%M%S"), uuid.uuid4().hex[:8]]
    if shard is not None:
      parts.append(f"shard-{shard.replace('/', '-of-')}")
    return (workdir / "-".join(parts)).open("w", encoding="utf-8")
  return (workdir / "log").open("a", encoding="utf-8")


class _Handler(logging.StreamHandler):
  """A handler that lets errors through, such as that of a full disk."""

  def handleError(self, record: logging.LogRecord) -> None:
    raise  # Python calls this while it handles the error.
