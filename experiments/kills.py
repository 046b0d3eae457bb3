"""`kill -9` at random moments of a sweep, and at the worst ones."""

import collections
import os
import pathlib
import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from experiments import trial as trial_lib
from experiments.trial import Process, Trial

CHECKPOINT, RECORDS = "saving a checkpoint", "writing records"
# How long to wait for a moment that is aimed at.
_PATIENCE_SECONDS = 120.0


class Result(NamedTuple):
  """What became of a sweep that was killed again and again.

  Attributes:
    moments: how many kills struck at each.
    sweeps: finished ones, after which the next began.
    ends_lost: blocks whose last updates were made, and killed before their
      records were there.
    flaws: what should not be; none if all is well.
  """

  moments: dict[str, int]
  sweeps: int
  ends_lost: int
  flaws: list[str]


def kill_again_and_again(
  trial: Trial,
  kills: int,
  least: int,
  rng: random.Random,
  show: Callable[[str], None] = lambda line: None,
) -> Result:
  """Kills sweeps until there were enough kills; each sweep is finished.

  Args:
    trial: where.
    kills: how many at least, whatever they strike.
    least: how many at least strike a save of a checkpoint, and a write of
      records.
    rng: of the moments.
    show: called with a line about each kill.
  """
  moments: collections.Counter[str] = collections.Counter()
  flaws: list[str] = []
  sweeps, all_lost, startup = 0, 0, 4.0
  # Some moments may never come: enough is enough.
  limit = 3 * kills + 20
  while not flaws:
    workdir = trial.new(f"killed-{sweeps}")
    lost, is_finished = 0, False
    while not is_finished and not flaws:
      needed = [
        moment for moment in (CHECKPOINT, RECORDS) if moments[moment] < least
      ]
      is_enough = moments.total() >= limit or (
        moments.total() >= kills and not needed
      )
      before = _files(workdir)
      seen = len(trial_lib.events(workdir))
      left_overs = set(_unfinished(workdir))
      process = trial.start(workdir)
      if is_enough:
        outcome = process.end()
      else:
        aim = rng.choice([*needed, "", ""])
        startup = _wait(process, workdir, left_overs, aim, startup, rng)
        outcome = process.kill()
      flaws += _changed(before, _files(workdir))
      is_finished = outcome.code == 0
      if outcome.code not in (0, -9):
        flaws.append(f"exit code {outcome.code}: {outcome.last_line}")
      if outcome.code == -9:
        ends = trial_lib.ends_without_records(workdir, seen)
        lost += ends
        moment = moment_of(process, workdir, left_overs)
        moments[moment] += 1
        show(f"kill {moments.total()} after {outcome.seconds:.1f} s: {moment}")
    sweeps += 1
    all_lost += lost
    flaws += trial.flaws(workdir)
    flaws += trial.trained_twice(workdir, lost)
    if is_enough:
      break
  return Result(dict(moments), sweeps, all_lost, flaws)


def _wait(
  process: Process,
  workdir: pathlib.Path,
  known: set[str],
  aim: str,
  startup: float,
  rng: random.Random,
) -> float:
  """Returns at the moment to kill; the time until training began, as known."""
  if not aim and rng.random() < 0.3:
    _sleep(process, rng.uniform(0.0, startup))
    return startup
  end = time.monotonic() + _PATIENCE_SECONDS
  seen = len(trial_lib.events(workdir))
  while len(trial_lib.events(workdir)) == seen and time.monotonic() < end:
    if process.popen.poll() is not None:
      return startup
    time.sleep(0.005)
  startup = time.monotonic() - process.start
  if not aim:
    _sleep(process, rng.uniform(0.0, 3.0))
    return startup
  while time.monotonic() < end and process.popen.poll() is None:
    if any(
      name not in known and _kind(name) == aim for name in _unfinished(workdir)
    ):
      break
  return startup


def _sleep(process: Process, seconds: float) -> None:
  end = time.monotonic() + seconds
  while time.monotonic() < end and process.popen.poll() is None:
    time.sleep(0.002)


def moment_of(process: Process, workdir: pathlib.Path, known: set[str]) -> str:
  """What a process was about when it was killed, as what it left tells.

  Args:
    process: that was killed.
    workdir: where it worked.
    known: what others had left unfinished there before it.
  """
  kinds = {_kind(name) for name in _unfinished(workdir) if name not in known}
  for kind in (RECORDS, CHECKPOINT):
    if kind in kinds:
      return kind
  if "compiling" not in process.output.read_text():
    return "starting"
  log = workdir / "log"
  if not log.exists() or log.stat().st_mtime < process.wall_start:
    return "compiling"
  # The log may have been opened, or a line begun, and no more.
  lines = log.read_text(errors="replace").split("\n")[:-1]
  last = next((line for line in reversed(lines) if line.strip()), "compiling")
  return "compiling" if last.strip().endswith("compiling") else "training"


def _kind(name: str) -> str:
  return RECORDS if name.endswith(".writing") else CHECKPOINT


def _unfinished(workdir: pathlib.Path) -> Iterator[str]:
  """Paths of records and checkpoints that are, or were, being written."""
  # No glob: it is asked thousands of times a second.
  for cell in _folders(workdir / "records"):
    for entry in _scan(cell):
      if entry.name.endswith(".writing"):
        yield entry.path
  for cell in _folders(workdir / "checkpoints"):
    for block in _scan(cell):
      for entry in _scan(block.path):
        if ".orbax-checkpoint-tmp" in entry.name:
          yield entry.path


def _folders(root: pathlib.Path) -> Iterator[str]:
  """Folders of cells."""
  for task in _scan(root):
    for width in _scan(task.path):
      for depth in _scan(width.path):
        yield depth.path


def _scan(path: str | os.PathLike[str]) -> list[os.DirEntry]:
  try:
    with os.scandir(path) as entries:
      return list(entries)
  except (FileNotFoundError, NotADirectoryError):
    return []


def _files(workdir: pathlib.Path) -> dict[str, tuple[int, int]]:
  """Which file lies under each name of finished records, and since when."""
  found = {}
  for path in workdir.glob("records/*/*/*/seeds-*.parquet"):
    status = path.stat()
    found[str(path.relative_to(workdir))] = status.st_ino, status.st_mtime_ns
  return found


def _changed(before: dict, after: dict) -> list[str]:
  return [
    f"{name} was finished and has been touched"
    for name, file in before.items()
    if after.get(name) != file
  ]
