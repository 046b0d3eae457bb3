"""What a sweep does about damage before it begins.

Nothing that is damaged is used, and nothing is deleted: it moves to
`damaged/` in the work directory, where no tool that reads records finds it, and
its seeds are trained again.
"""

import contextlib
import logging
import re
import time

from etils import epath

from emergence.config import Config
from emergence.storage import records, records_file
from emergence.storage.files import glob_below
from emergence.storage.records_file import DamagedError

_LOG = logging.getLogger("emergence")
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.writing")


def set_aside_damaged(workdir: epath.Path, config: Config) -> list[epath.Path]:
  """Moves damaged records, and a damaged config.json, out of the way.

  All files are judged before the first one is moved, so that a directory of
  another experiment stays as it is. Each move is a warning in the log.

  Args:
    workdir: the work directory, which need not exist.
    config: the experiment that is to go on there.

  Returns:
    Where the damaged files are now.

  Raises:
    ValueError: a whole file belongs to another experiment; so does the
      directory where its config.json is whole.
    OSError: the machine cannot read or move a file.
  """
  reasons = {}
  path = workdir / "config.json"
  if path.exists():
    try:
      records.read_config(workdir)
    except ValueError as error:
      cause = error.__cause__ or error
      reasons[path] = " ".join(str(cause).split())
    else:
      records.require_same_experiment(config, workdir)
  for path in records.files(workdir):
    try:
      _require_whole(workdir, path, config)
    except DamagedError as error:
      reasons[path] = error.reason
    except FileNotFoundError:
      pass  # Another process has set it aside.
  return [
    moved
    for path, reason in reasons.items()
    if _is_damaged(workdir, path, config)
    and (moved := _set_aside(workdir, path, reason))
  ]


def remove_unfinished(
  workdir: epath.Path, older_than_seconds: float = 3600.0
) -> int:
  """Deletes what killed processes had begun to write; returns how many.

  Young ones stay, because another process may be writing them right now. No
  reader minds them.
  """
  count, now = 0, time.time()
  folders = [workdir / name for name in ("runs", "records", "params")]
  below = [glob_below(folder, ".*.writing") for folder in folders]
  for paths in [workdir.glob(".*.writing"), *below]:
    for path in paths:
      if not _UNFINISHED.fullmatch(path.name):
        continue
      with contextlib.suppress(FileNotFoundError):
        if now - path.stat().mtime >= older_than_seconds:
          path.unlink()
          count += 1
  return count


def _is_damaged(workdir: epath.Path, path: epath.Path, config: Config) -> bool:
  """Whether a file is still damaged: another process may have mended it."""
  try:
    if path.name == "config.json":
      records.read_config(workdir)
    else:
      _require_whole(workdir, path, config)
  except FileNotFoundError:
    return False
  except ValueError:
    return path.exists()
  return False


def _require_whole(
  workdir: epath.Path, path: epath.Path, config: Config
) -> None:
  table, provenance = records_file.read(path)
  cell = records.cell_of_file(workdir, path)
  records.require_cell(path, provenance, config, cell)
  records_file.require_complete(path, table, cell, config)


def _set_aside(
  workdir: epath.Path, path: epath.Path, reason: str
) -> epath.Path | None:
  """Moves a file to `damaged/`; None where another process has done so."""
  # Not named like Parquet, for readers of everything below the directory.
  place = workdir / "damaged" / path.relative_to(workdir)
  place = place.parent / f"{place.name}.damaged"
  place.parent.mkdir(parents=True, exist_ok=True)
  first, count = place, 1
  while place.exists():
    count += 1
    place = first.parent / f"{first.name}-{count}"
  try:
    path.rename(place)
  except FileNotFoundError:
    return None
  then = (
    "it is written again"
    if path.name == "config.json"
    else "its seeds are trained again"
  )
  _LOG.warning("%s is damaged (%s); moved to %s, %s", path, reason, place, then)
  return place
