"""Sweeps on their way: stopped where a case wants them, and what they saved."""

import pathlib
import shutil
import time
from collections.abc import Callable

from experiments import trial as trial_lib
from experiments.trial import Process, Trial


def half_trained(trial: Trial) -> pathlib.Path:
  """A copy of a directory with records of a block and checkpoints of others."""
  template = trial.folder / "half-trained"
  for _ in range(10):
    if template.exists() and _is_half_trained(template):
      break
    process = trial.start(trial.new(template.name))
    until(process, lambda: _is_half_trained(template))
    process.kill()
  else:
    raise RuntimeError("no kill left a block with two checkpoints")
  return copy(trial, template, "continued")


def copy(trial: Trial, source: pathlib.Path, name: str) -> pathlib.Path:
  """A work directory of the trial with the files of another."""
  target = trial.new(name)
  shutil.copytree(source, target)
  return target


def _is_half_trained(workdir: pathlib.Path) -> bool:
  records = list(workdir.glob("records/*/*/*/*.parquet"))
  return bool(records) and _checkpoints(workdir) is not None


def _checkpoints(workdir: pathlib.Path) -> list[pathlib.Path] | None:
  """The finished steps of a block in training, if there are two or more."""
  for block in sorted(workdir.glob("checkpoints/*/*/*/seeds-*")):
    place = workdir / "records" / block.relative_to(workdir / "checkpoints")
    if (place.parent / f"{place.name}.parquet").exists():
      continue
    steps = sorted(p for p in block.glob("[0-9]*") if p.name.isdecimal())
    if len(steps) >= 2:
      return steps
  return None


def two_checkpoints(
  workdir: pathlib.Path,
) -> tuple[pathlib.Path, pathlib.Path]:
  """The last two of a block of a half-trained sweep."""
  *_, before, last = _checkpoints(workdir) or []
  return before, last


def saved_blocks(workdir: pathlib.Path) -> set[pathlib.Path]:
  """The folders of blocks in training that have been saved."""
  found = workdir.glob("checkpoints/*/*/*/seeds-*/*")
  return {path.parent for path in found if path.name.isdecimal()}


def until(process: Process, condition: Callable[[], bool]) -> None:
  """Returns once something is so, or the process has ended."""
  end = time.monotonic() + 120
  while (
    process.popen.poll() is None and time.monotonic() < end and not condition()
  ):
    time.sleep(0.005)


def steps_gone_on_from(workdir: pathlib.Path, seen: int = 0) -> list[int]:
  """The step of each block that went on from a checkpoint, as the log says.

  Args:
    workdir: the work directory.
    seen: how many events of the log to pass over.
  """
  events = trial_lib.events(workdir)[seen:]
  return [event.step for event in events if event.what == "go on"]
