"""The log of a sweep, its warnings, and its lines of progress."""

import contextlib
import io
import logging
import logging.handlers
import math
import os
import re
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import IO

from etils import epath

from emergence.config import Cell
from emergence.population import processes
from emergence.storage.files import is_refusal, is_remote
from emergence.sweep import blocks, console
from emergence.sweep.sweep import Progress

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_UPLOADS = 60.0
# The start and the random part in the name of a log in a bucket.
_IN_BUCKET = re.compile(r"^\d{8}-\d{6}-[0-9a-f]{8}-")


def warn_on_stderr() -> None:
  """Prints warnings to stderr, and buffers the log until its file is open."""
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
  """Opens the log; an error on closing does not hide the run's own error.

  Args:
    workdir: the work directory that it is in.
    shard: which shard is trained, such as `0/4`, if not all blocks.

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
  """Writes our log to a file, including what was buffered before.

  To be called once, after `warn_on_stderr`. The last line is how the run ended.

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


class ProgressLine:
  """Progress of a cell: one line, rewritten on a terminal, else every 10 s."""

  def __init__(self, cells: Sequence[Cell]):
    self._cells = list(cells)
    self._is_terminal = sys.stdout.isatty()
    self._last_printed = time.monotonic()

  def __call__(self, progress: Progress) -> None:
    line = console.format_progress(
      progress, self._cells.index(progress.cell) + 1, len(self._cells)
    )
    logging.getLogger("emergence").info(line)
    ends_cell = (
      progress.step == progress.steps
      and progress.seeds_done + progress.seeds_running == progress.seeds_total
    )
    now = time.monotonic()
    if self._is_terminal:
      print(f"\r\033[K{line}", end="\n" if ends_cell else "", flush=True)
    elif ends_cell or (
      progress.seed_steps_per_second
      and now - self._last_printed > _SECONDS_BETWEEN_LINES
    ):
      print(line, flush=True)
      self._last_printed = now


def last_lines(workdir: epath.Path) -> dict[str, str]:
  """The last line of the log of each shard, by its name.

  Args:
    workdir: the work directory, whose logs may be those of many processes.
  """
  found = {}
  paths = [workdir / "log", *sorted((workdir / "logs").glob("*.log"))]
  for path in paths:
    if path.exists():
      lines = path.read_bytes().decode(errors="replace").splitlines()
      # In a bucket, a later run of the same shard comes later here too.
      name = _IN_BUCKET.sub("", path.name).removesuffix(".log")
      found[name] = next((x for x in reversed(lines) if x.strip()), "")
  return found


def _open(workdir: epath.Path, shard: str | None) -> IO[str]:
  """Opens the log to append to; in a bucket, a new log for each run."""
  if not processes.is_first():
    return open(os.devnull, "w", encoding="utf-8")
  name = "log" if shard is None else f"shard-{shard.replace('/', '-of-')}.log"
  if is_remote(workdir):
    # Runs that begin in the same second need different names.
    start = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
    path = workdir / "logs" / f"{start}-{name.removesuffix('.log')}.log"
    return _BucketLog(path)
  path = workdir / name if shard is None else workdir / "logs" / name
  path.parent.mkdir(parents=True, exist_ok=True)
  return path.open("a", encoding="utf-8")


class _BucketLog(io.StringIO):
  """A log in a bucket, which cannot append: uploaded again once a minute."""

  def __init__(self, path: epath.Path):
    super().__init__()
    self._path = path
    self._written = -math.inf

  def flush(self) -> None:
    if time.monotonic() - self._written < _SECONDS_BETWEEN_UPLOADS:
      return
    self._written = time.monotonic()
    try:
      self._upload()
    except Exception as error:
      # The next upload may succeed; the one on closing raises.
      if not isinstance(error, OSError) and not is_refusal(error):
        raise

  def close(self) -> None:
    if not self.closed:
      self._upload()
    super().close()

  def _upload(self) -> None:
    self._path.write_bytes(self.getvalue().encode())


class _Handler(logging.StreamHandler):
  """A handler that lets errors through, such as that of a full disk."""

  def handleError(self, record: logging.LogRecord) -> None:
    raise  # Python calls this while it handles the error.
