"""What a machine may refuse a sweep: disk, handles, memory, a steady clock."""

import contextlib
import os
import pathlib
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial

from experiments import trial as trial_lib
from experiments.faults import midway
from experiments.faults.case import (
  Case,
  Found,
  NotPossible,
  flaws_of_finished,
  flaws_of_refused,
  flaws_of_starved,
  told,
)
from experiments.trial import Outcome, Trial


def _full_disk(trial: Trial) -> Found:
  with _tmpfs(trial, "full") as place:
    workdir = place / "work"
    shutil.copytree(midway.half_trained(trial), workdir)
    used = sum(p.stat().st_blocks * 512 for p in place.rglob("*"))
    # Whether records, a checkpoint or the log meets the end is up to luck.
    full = _remounted(place, f"size={used + 32768}", "size=256m")
    return _refused(trial, workdir, full, "No space left on device")


def _read_only(trial: Trial) -> Found:
  if os.geteuid() != 0:
    workdir = midway.half_trained(trial)
    return _refused(trial, workdir, _locked(workdir), "Permission denied")
  with _tmpfs(trial, "read-only") as place:
    workdir = place / "work"
    shutil.copytree(midway.half_trained(trial), workdir)
    read_only = _remounted(place, "ro", "rw")
    return _refused(trial, workdir, read_only, "Read-only file system")


def _refused(
  trial: Trial,
  workdir: pathlib.Path,
  fault: contextlib.AbstractContextManager[None],
  reason: str,
) -> Found:
  """A sweep that a fault ends with its reason, and that goes on without."""
  with fault:
    outcome = trial.run(workdir)
  flaws = flaws_of_refused(outcome, reason)
  flaws += flaws_of_finished(trial, workdir, trial.run(workdir))
  return Found(told(trial, outcome), flaws)


@contextlib.contextmanager
def _locked(workdir: pathlib.Path) -> Iterator[None]:
  """Where nobody but root can write."""
  folders = [workdir, *(p for p in workdir.rglob("*") if p.is_dir())]
  for folder in folders:
    folder.chmod(0o500)
  try:
    yield
  finally:
    for folder in folders:
      folder.chmod(0o700)


@contextlib.contextmanager
def _tmpfs(trial: Trial, name: str) -> Iterator[pathlib.Path]:
  """A small file system of its own, unmounted at the end."""
  place = trial.new(name)
  place.mkdir()
  if os.geteuid() != 0:
    raise NotPossible("to mount a file system needs root")
  _mount("-t", "tmpfs", "-o", "size=256m", "tmpfs", place)
  try:
    yield place
  finally:
    subprocess.run(["umount", str(place)], check=True)


@contextlib.contextmanager
def _remounted(
  place: pathlib.Path, option: str, afterwards: str
) -> Iterator[None]:
  _mount("-o", f"remount,{option}", place)
  yield
  _mount("-o", f"remount,{afterwards}", place)


def _mount(*arguments: str | pathlib.Path) -> None:
  result = subprocess.run(
    ["mount", *map(str, arguments)], capture_output=True, text=True
  )
  if result.returncode:
    raise NotPossible(result.stderr.strip())


def _limited(
  trial: Trial,
  what: int,
  limits: list[int],
  flaws_of: Callable[[Outcome], list[str]],
) -> Found:
  """Ever less of a resource, until it ends otherwise than by finishing."""
  seen, flaws = [], []
  failures = 0
  for limit in limits:
    workdir = midway.half_trained(trial)
    before = trial_lib.records_of(workdir)
    outcome = trial.run(
      workdir, prepare=lambda n=limit: resource.setrlimit(what, (n, n))
    )
    name = f"{limit >> 20} MiB" if limit >= 2**20 else f"{limit}"
    if outcome.code == 0:
      flaws += trial.flaws(workdir)
      continue
    failures += 1
    seen.append(f"{name}: {told(trial, outcome)}")
    flaws += [f"{name}: {flaw}" for flaw in flaws_of(outcome)]
    if before.items() - trial_lib.records_of(workdir).items():
      flaws.append(f"{name}: finished records changed")
    flaws += flaws_of_finished(trial, workdir, trial.run(workdir))
    if failures == 2:
      break
  if not failures:
    flaws.append(f"{name} were still enough")
  return Found("; ".join(seen), flaws)


def _clock_jumps(trial: Trial) -> Found:
  library = _faketime_library()
  workdir = trial.new("clock")
  offset = trial.folder / "clock-offset"
  offset.write_text("+0\n")
  process = trial.start(
    workdir,
    environment={
      "LD_PRELOAD": library,
      "FAKETIME_TIMESTAMP_FILE": str(offset),
      "FAKETIME_NO_CACHE": "1",
      # Monotonic clocks do not jump on real machines either.
      "FAKETIME_DONT_FAKE_MONOTONIC": "1",
      "DONT_FAKE_MONOTONIC": "1",
    },
  )
  jumps = ("-400d", "+800d", "-1d")
  for jump in jumps:
    seen = len(trial_lib.events(workdir))
    midway.until(process, lambda n=seen: len(trial_lib.events(workdir)) > n)
    offset.write_text(f"{jump}\n")
  outcome = process.end()
  flaws = flaws_of_finished(trial, workdir, outcome)
  flaws += trial.trained_twice(workdir)
  days = {line[:4] for line in (workdir / "log").read_text().splitlines()}
  years = {day for day in days if day.isdecimal()}
  if len(years) < 2:
    flaws.append(f"the clock did not jump, the log knows {sorted(years)}")
  return Found(
    f"{told(trial, outcome)}; the log tells of the years"
    f" {', '.join(sorted(years))}",
    flaws,
  )


def _faketime_library() -> str:
  """What to preload for a clock that jumps."""
  if not shutil.which("faketime"):
    raise NotPossible("faketime is not installed")
  return subprocess.run(
    ["faketime", "-m", "-f", "+0", "printenv", "LD_PRELOAD"],
    capture_output=True,
    text=True,
    check=True,
  ).stdout.strip()


CASES = {
  "disk-full": Case(
    "a file system with 32 KiB left",
    "exit 1, one line; finishes once there is space",
    _full_disk,
  ),
  "read-only": Case(
    "a read-only work directory",
    "exit 1, one line; finishes once it can be written",
    _read_only,
  ),
  "file-handles": Case(
    "ever fewer file handles (ulimit -n)",
    "exit 1, one line; finishes with more",
    partial(
      _limited,
      what=resource.RLIMIT_NOFILE,
      limits=[24, 20, 16, 12, 8],
      flaws_of=partial(flaws_of_refused, reason="Too many open files"),
    ),
  ),
  "memory": Case(
    "ever less memory (ulimit -v)",
    "exit 1, one line, or a library ends it, from 768 MiB on; finishes with"
    " more",
    partial(
      _limited,
      what=resource.RLIMIT_AS,
      # With less, Python cannot load the libraries.
      limits=[m * 2**20 for m in (2048, 1536, 1024, 768)],
      flaws_of=flaws_of_starved,
    ),
  ),
  "clock": Case(
    "the clock jumps by years, back and forth, during the sweep",
    "nothing",
    _clock_jumps,
  ),
}
