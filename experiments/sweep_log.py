"""The log of a sweep, its warnings, and its lines of progress."""

import contextlib
import logging
import logging.handlers
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO

from etils import epath

from emergence.config import Cell
from emergence.population import processes
from emergence.storage.files import is_remote
from emergence.sweep import blocks, console
from emergence.sweep.sweep import Progress

_SECONDS_BETWEEN_LINES = 10.0


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
def written(workdir: epath.Path, shard: str | None) -> Iterator[None]:
  """Writes our log, with what was buffered before, to a file while entered.

  Call it once, after `warn_on_stderr`. The last line says how the run ended.

  Args:
    workdir: the work directory of the sweep, which holds the log.
    shard: the shard that is trained, such as `0/4`; None for all blocks.

  Raises:
    OSError: the log cannot be written.
  """
  log = logging.getLogger("emergence")
  early, to_stderr = log.handlers
  assert isinstance(early, logging.handlers.MemoryHandler)
  with _open(workdir, shard) as file:
    to_file = _Handler(file)
    to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
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
  """Logs and prints the progress of each cell.

  A terminal has one line that is rewritten. Elsewhere a line is printed every
  10 s and at the end of a cell.
  """

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
  """The last line of each log, by its name: `log`, or such as `shard-0-of-4`.

  Args:
    workdir: the work directory of the sweep.
  """
  found = {}
  paths = [workdir / "log", *sorted((workdir / "logs").glob("*.log"))]
  for path in paths:
    if path.exists():
      lines = path.read_bytes().decode(errors="replace").splitlines()
      name = path.name.removesuffix(".log")
      found[name] = next((x for x in reversed(lines) if x.strip()), "")
  return found


def _open(workdir: epath.Path, shard: str | None) -> IO[str]:
  """Opens the log for appending; in a bucket, which cannot append, devnull."""
  if not processes.is_first() or is_remote(workdir):
    return open(os.devnull, "w", encoding="utf-8")
  name = "log" if shard is None else f"shard-{shard.replace('/', '-of-')}.log"
  path = workdir / name if shard is None else workdir / "logs" / name
  path.parent.mkdir(parents=True, exist_ok=True)
  return path.open("a", encoding="utf-8")


class _Handler(logging.StreamHandler):
  """A log handler that raises errors in writing, such as a full disk."""

  def handleError(self, record: logging.LogRecord) -> None:
    raise  # Python calls this while it handles the error.
