"""Damage, faults, signals and company for a small sweep, each for real.

Every case has its expected outcome, and ends with the same command as any
other: the records have to be those of a sweep that nothing disturbed.
"""

import contextlib
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from experiments import trial as trial_lib
from experiments.trial import Outcome, Process, Trial


class NotPossible(Exception):
  """A case that this machine does not allow; the message says why."""


class Found(NamedTuple):
  """What a case saw.

  Attributes:
    happened: for people, in a line.
    flaws: what differs from what was expected.
  """

  happened: str
  flaws: list[str]


class Case(NamedTuple):
  """Something that happens to a sweep.

  Attributes:
    done: what is done to it.
    expected: what is to come of it.
    run: does it.
  """

  done: str
  expected: str
  run: Callable[[Trial], Found]


# Checkpoints.


def _truncated_checkpoint(trial: Trial) -> Found:
  return _damaged_checkpoint(
    trial, lambda path: os.truncate(path, path.stat().st_size // 2)
  )


def _flipped_checkpoint(trial: Trial) -> Found:
  return _damaged_checkpoint(trial, _flip_a_bit)


def _damaged_checkpoint(
  trial: Trial, spoil: Callable[[pathlib.Path], None]
) -> Found:
  workdir = _half_trained(trial)
  before, last = _two_checkpoints(workdir)
  spoil(max(_files(last), key=lambda path: path.stat().st_size))
  outcome, flaws = _goes_on_from(trial, before)
  if str(last) not in outcome.errors:
    flaws.append("no warning names the checkpoint")
  return Found(
    f"{_told(trial, outcome)}; went on from step {int(before.name)} instead of"
    f" {int(last.name)}",
    flaws,
  )


def _stray_step(trial: Trial) -> Found:
  workdir = _half_trained(trial)
  _, last = _two_checkpoints(workdir)
  (last.parent / f"{trial.steps - 1:08d}").mkdir()
  outcome, flaws = _goes_on_from(trial, last)
  return Found(
    f"{_told(trial, outcome)}; went on from step {int(last.name)}", flaws
  )


def _goes_on_from(
  trial: Trial, checkpoint: pathlib.Path
) -> tuple[Outcome, list[str]]:
  """Runs a sweep, which is to find this checkpoint of a block."""
  workdir = checkpoint.parents[5]
  seen = len(trial_lib.events(workdir))
  outcome = trial.run(workdir)
  flaws = _finished(trial, workdir, outcome)
  block = checkpoint.parent.relative_to(workdir / "checkpoints")
  events = [
    event
    for event in trial_lib.events(workdir)[seen:]
    if f"{event.cell}/seeds-{event.first:06d}-{event.last:06d}" == str(block)
  ]
  if not events or (events[0].what, events[0].step) != (
    "go on",
    int(checkpoint.name),
  ):
    flaws.append(f"it does not go on from {checkpoint.name}, but {events[:1]}")
  return outcome, flaws


# Records and config.json.


def _half_written_records(trial: Trial) -> Found:
  return _damaged_records(
    trial, lambda path: os.truncate(path, path.stat().st_size // 2)
  )


def _flipped_records(trial: Trial) -> Found:
  return _damaged_records(trial, _flip_a_bit)


def _damaged_records(
  trial: Trial, spoil: Callable[[pathlib.Path], None]
) -> Found:
  workdir = _half_trained(trial)
  path = sorted(workdir.glob("records/*/*/*/*.parquet"))[0]
  spoil(path)
  spoiled = path.read_bytes()
  report = _report(trial, workdir)
  outcome = trial.run(workdir)
  flaws = _finished(trial, workdir, outcome)
  if path.name not in outcome.errors or "is damaged" not in outcome.errors:
    flaws.append("no warning names the file")
  if spoiled not in [p.read_bytes() for p in _files(workdir / "damaged")]:
    flaws.append("the damaged file is gone")
  if not report.is_clear_error or path.name not in report.last_line:
    flaws.append(f"the report before did not name it: {report.last_line}")
  return Found(f"{_told(trial, outcome)}; the file is in damaged/", flaws)


def _missing_config(trial: Trial) -> Found:
  workdir = _half_trained(trial)
  config = (workdir / "config.json").read_bytes()
  (workdir / "config.json").unlink()
  return _config_again(trial, workdir, config)


def _truncated_config(trial: Trial) -> Found:
  workdir = _half_trained(trial)
  config = (workdir / "config.json").read_bytes()
  (workdir / "config.json").write_bytes(config[:100])
  return _config_again(trial, workdir, config)


def _config_again(trial: Trial, workdir: pathlib.Path, config: bytes) -> Found:
  report = _report(trial, workdir)
  outcome = trial.run(workdir)
  flaws = _finished(trial, workdir, outcome)
  if (workdir / "config.json").read_bytes() != config:
    flaws.append("config.json is not what it was")
  told = outcome.errors + (workdir / "log").read_text()
  if "config.json was missing" not in told and "config.json is d" not in told:
    flaws.append("neither log nor stderr tell of it")
  if not report.is_clear_error or "config.json" not in report.last_line:
    flaws.append(f"the report before did not name it: {report.last_line}")
  return Found(f"{_told(trial, outcome)}; config.json is back", flaws)


def _foreign_records(trial: Trial) -> Found:
  workdir = _half_trained(trial)
  other = trial.new("other")
  outcome = trial.run(
    other,
    f"--devices={trial.devices}",
    *("--override=train.weight_decay=0.5", "--override=seeds.count=4"),
    *("--override=grid.depths=[1]", "--override=train.steps=20"),
  )
  if outcome.code != 0:
    return Found(outcome.last_line, ["the other sweep failed"])
  (path,) = other.glob("records/*/*/*/*.parquet")
  place = workdir / path.relative_to(other)
  ours = place.read_bytes() if place.exists() else None
  place.parent.mkdir(parents=True, exist_ok=True)
  shutil.copy(path, place)
  before = {p: p.read_bytes() for p in _files(workdir)}
  outcome = trial.run(workdir)
  flaws = []
  if not outcome.is_clear_error or path.name not in outcome.last_line:
    flaws.append("no clear line names the file")
  if outcome.code != 2:
    flaws.append("the exit code is not 2")
  if before != {p: p.read_bytes() for p in _files(workdir)}:
    flaws.append("something was changed")
  place.unlink()
  if ours is not None:
    place.write_bytes(ours)
  flaws += _finished(trial, workdir, trial.run(workdir))
  return Found(f"{_told(trial, outcome)}; finished once it was gone", flaws)


# The machine.


def _full_disk(trial: Trial) -> Found:
  with _tmpfs(trial, "full") as place:
    workdir = place / "work"
    shutil.copytree(_half_trained(trial), workdir)
    used = sum(p.stat().st_blocks * 512 for p in place.rglob("*"))
    # Whether records, a checkpoint or the log meets the end is up to luck.
    _mount("-o", f"remount,size={used + 32768}", place)
    outcome = trial.run(workdir)
    flaws = _refused(outcome, "No space left on device")
    _mount("-o", "remount,size=256m", place)
    flaws += _finished(trial, workdir, trial.run(workdir))
  return Found(_told(trial, outcome), flaws)


def _read_only(trial: Trial) -> Found:
  if os.geteuid() != 0:
    workdir = _half_trained(trial)
    folders = [workdir, *(p for p in workdir.rglob("*") if p.is_dir())]
    for folder in folders:
      folder.chmod(0o500)
    try:
      outcome = trial.run(workdir)
    finally:
      for folder in folders:
        folder.chmod(0o700)
    flaws = _refused(outcome, "Permission denied")
    flaws += _finished(trial, workdir, trial.run(workdir))
    return Found(_told(trial, outcome), flaws)
  with _tmpfs(trial, "read-only") as place:
    workdir = place / "work"
    shutil.copytree(_half_trained(trial), workdir)
    _mount("-o", "remount,ro", place)
    outcome = trial.run(workdir)
    flaws = _refused(outcome, "Read-only file system")
    _mount("-o", "remount,rw", place)
    flaws += _finished(trial, workdir, trial.run(workdir))
  return Found(_told(trial, outcome), flaws)


def _few_handles(trial: Trial) -> Found:
  return _limited(trial, resource.RLIMIT_NOFILE, [24, 20, 16, 12, 8])


def _little_memory(trial: Trial) -> Found:
  megabytes = [2048, 1536, 1024, 768, 512, 256]
  return _limited(trial, resource.RLIMIT_AS, [m * 2**20 for m in megabytes])


def _limited(trial: Trial, what: int, limits: list[int]) -> Found:
  """Ever less of a resource, until it ends otherwise than by finishing."""
  told, flaws = [], []
  failures = 0
  for limit in limits:
    workdir = _half_trained(trial)
    outcome = trial.run(
      workdir, prepare=lambda n=limit: resource.setrlimit(what, (n, n))
    )
    name = f"{limit >> 20} MiB" if limit >= 2**20 else f"{limit}"
    if outcome.code == 0:
      flaws += trial.flaws(workdir)
      continue
    failures += 1
    told.append(f"{name}: {_told(trial, outcome)}")
    if "Traceback" in outcome.errors and "error: " not in outcome.errors:
      told[-1] += " (with a traceback)"
    flaws += _finished(trial, workdir, trial.run(workdir))
    if failures == 2:
      break
  if not failures:
    flaws.append(f"{name} were still enough")
  return Found("; ".join(told), flaws)


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
    _until(process, lambda n=seen: len(trial_lib.events(workdir)) > n)
    offset.write_text(f"{jump}\n")
  outcome = process.end()
  flaws = _finished(trial, workdir, outcome)
  flaws += trial.trained_twice(workdir)
  days = {line[:4] for line in (workdir / "log").read_text().splitlines()}
  years = {day for day in days if day.isdecimal()}
  if len(years) < 2:
    flaws.append(f"the clock did not jump, the log knows {sorted(years)}")
  return Found(
    f"{_told(trial, outcome)}; the log tells of the years"
    f" {', '.join(sorted(years))}",
    flaws,
  )


# Others, and signals.


def _second_process(trial: Trial) -> Found:
  workdir = trial.new("two")
  first = trial.start(workdir)
  _until(first, lambda: bool(_saved_blocks(workdir)))
  second = trial.run(workdir)
  flaws = [] if first.popen.poll() is None else ["the first ended too early"]
  if not second.is_clear_error or "in use" not in second.last_line:
    flaws.append("the second was not refused in one line")
  flaws += _finished(trial, workdir, first.end())
  flaws += trial.trained_twice(workdir)
  return Found(f"second: {_told(trial, second)}; first: exit 0", flaws)


def _cooperation(trial: Trial) -> Found:
  workdir = trial.new("cooperate")
  flags = (f"--devices={trial.devices}", "--cooperate")
  processes = [trial.start(workdir, *flags) for _ in range(2)]
  outcomes = [process.end() for process in processes]
  flaws = [f"exit {o.code}: {o.last_line}" for o in outcomes if o.code != 0]
  flaws += trial.flaws(workdir) + trial.trained_twice(workdir)
  shares = trial_lib.seeds_of_runs(workdir)
  if 0 in shares or len(shares) != 2:
    flaws.append("one of them did nothing")
  return Found(f"both exit 0 and trained {shares} seeds", flaws)


def _worker_dies(trial: Trial) -> Found:
  workdir = trial.new("takeover")
  flags = (f"--devices={trial.devices}", "--cooperate")
  first, second = (trial.start(workdir, *flags) for _ in range(2))
  # Then both have blocks in training.
  _until(first, lambda: len(_saved_blocks(workdir)) == 2 * trial.devices)
  killed = first.kill()
  flaws = [] if killed.code == -9 else ["the first had ended before the kill"]
  lost = trial_lib.ends_without_records(workdir)
  outcome = second.end()
  flaws += _finished(trial, workdir, outcome)
  flaws += trial.trained_twice(workdir, lost)
  went_on = [e.step for e in trial_lib.events(workdir) if e.what == "go on"]
  if not went_on:
    flaws.append("no block of the first went on from its checkpoint")
  return Found(
    f"second: {_told(trial, outcome)}; blocks of the first went on from step"
    f" {', '.join(map(str, went_on)) or 'none'}",
    flaws,
  )


def _terminated(trial: Trial) -> Found:
  return _stopped(trial, signal.SIGTERM)


def _interrupted(trial: Trial) -> Found:
  return _stopped(trial, signal.SIGINT)


def _stopped(trial: Trial, number: signal.Signals) -> Found:
  workdir = trial.new(f"stopped-{number.name}")
  process = trial.start(
    workdir,
  )
  _until(process, lambda: bool(_saved_blocks(workdir)))
  running = {e.block for e in trial_lib.events(workdir) if e.what == "begin"}
  start = time.monotonic()
  outcome = process.kill(number)
  seconds = time.monotonic() - start
  flaws = []
  if outcome.code != 75:
    flaws.append(f"exit code {outcome.code}, not 75")
  if seconds > 10:
    flaws.append("it took more than 10 s")
  seen = len(trial_lib.events(workdir))
  flaws += _finished(trial, workdir, trial.run(workdir))
  flaws += trial.trained_twice(workdir)
  later = trial_lib.events(workdir)[seen:]
  if again := [e for e in later if e.what == "begin" and e.block in running]:
    flaws.append(f"{again[0].block} began again")
  steps = [e.step for e in later if e.what == "go on"]
  if not steps or min(steps) == 0:
    flaws.append(f"no block went on from a step above 0: {steps}")
  return Found(
    f"{_told(trial, outcome)}, {seconds:.1f} s after the signal; went on from"
    f" step {', '.join(map(str, steps))}",
    flaws,
  )


def _other_devices(trial: Trial) -> Found:
  import pandas as pd

  workdir = trial.new("devices")
  process = trial.start(workdir)
  _until(process, lambda: bool(trial_lib.records_of(workdir)))
  # Those of the blocks that have their records are gone by then.
  _until(process, lambda: not _saved_blocks(workdir))
  _until(process, lambda: bool(_saved_blocks(workdir)))
  stopped = process.kill(signal.SIGTERM)
  flaws = [] if stopped.code == 75 else [f"exit code {stopped.code}, not 75"]
  before = trial_lib.records_of(workdir)
  seen = len(trial_lib.events(workdir))
  outcome = trial.run(workdir, "--devices=1")
  if outcome.code != 0:
    flaws.append(f"exit code {outcome.code}")
  if before.items() - trial_lib.records_of(workdir).items():
    flaws.append("finished records changed")
  steps = [
    e.step for e in trial_lib.events(workdir)[seen:] if e.what == "go on"
  ]
  if not steps:
    flaws.append("no block went on from its checkpoint")
  key = ["width", "depth", "seed", "step", "test_length"]
  found, expected = (
    pd.read_parquet(folder / "records").set_index(key).sort_index()
    for folder in (workdir, trial.folder / "undisturbed")
  )
  if not found.index.equals(expected.index):
    return Found(_told(trial, outcome), [*flaws, "rows differ"])
  at_start = found.index.get_level_values("step") == 0
  if not found[at_start].equals(expected[at_start]):
    flaws.append("seeds begin otherwise")
  same = (found["nll_sum"] == expected["nll_sum"]).mean()
  return Found(
    f"{_told(trial, outcome)}; went on from step {', '.join(map(str, steps))};"
    f" {same:.0%} of the rows are bit-equal to those of {trial.devices}"
    " devices",
    flaws,
  )


# Whether the checks can fail.


def _control(trial: Trial) -> Found:
  """Breaks what the other cases compare, which they have to notice."""
  flaws = []
  workdir = _copy(trial, trial.folder / "undisturbed", "control")
  if found := trial.flaws(workdir) + trial.trained_twice(workdir):
    flaws.append(f"an undisturbed sweep has flaws: {found}")
  path, other = sorted(workdir.glob("records/*/*/*/*.parquet"))[:2]
  content = path.read_bytes()
  shutil.copy(path, path.parent / "seeds-000100-000103.parquet")
  noticed = trial.flaws(workdir)
  if not any("two files" in flaw for flaw in noticed):
    flaws.append("a seed in two files was not noticed")
  (path.parent / "seeds-000100-000103.parquet").unlink()
  path.write_bytes(other.read_bytes())
  if not any("differs" in flaw for flaw in trial.flaws(workdir)):
    flaws.append("other records were not noticed")
  path.unlink()
  if not any("is missing" in flaw for flaw in trial.flaws(workdir)):
    flaws.append("missing records were not noticed")
  outcome = trial.run(workdir)
  twice = trial.trained_twice(workdir)
  if not any("again" in flaw for flaw in twice):
    flaws.append("the log did not show that a block was trained twice")
  if not any("the runs" in flaw for flaw in twice):
    flaws.append("runs/ did not show that a block was trained twice")
  if path.read_bytes() != content:
    flaws.append("trained again, a block has other records")
  return Found(f"{_told(trial, outcome)}; noticed: {'; '.join(twice)}", flaws)


CASES = {
  "checkpoint-truncated": Case(
    "the latest checkpoint of a block ends in the middle",
    "a warning; the block goes on from the checkpoint before",
    _truncated_checkpoint,
  ),
  "checkpoint-flipped": Case(
    "one bit of the latest checkpoint is flipped",
    "a warning; the block goes on from the checkpoint before",
    _flipped_checkpoint,
  ),
  "checkpoint-stray": Case(
    "an empty folder named like a later step",
    "it is passed over",
    _stray_step,
  ),
  "records-half": Case(
    "half a Parquet file under the final name",
    "a warning; moved to damaged/ and trained again",
    _half_written_records,
  ),
  "records-flipped": Case(
    "one bit of finished records is flipped",
    "a warning; moved to damaged/ and trained again",
    _flipped_records,
  ),
  "config-missing": Case(
    "config.json is deleted",
    "a line in the log; it is written again",
    _missing_config,
  ),
  "config-truncated": Case(
    "config.json ends in the middle",
    "a warning; moved to damaged/ and written again",
    _truncated_config,
  ),
  "records-foreign": Case(
    "records of another experiment among ours",
    "exit 2, one line; nothing changes; finishes once they are gone",
    _foreign_records,
  ),
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
    "ends with an error; finishes with more",
    _few_handles,
  ),
  "memory": Case(
    "ever less memory (ulimit -v)",
    "ends with an error or is killed; finishes with more",
    _little_memory,
  ),
  "clock": Case(
    "the clock jumps by years, back and forth, during the sweep",
    "nothing",
    _clock_jumps,
  ),
  "second-process": Case(
    "the same command a second time while the first runs",
    "the second is refused in one line; the first finishes",
    _second_process,
  ),
  "cooperate": Case(
    "two processes with --cooperate",
    "they share the work; no block is trained twice",
    _cooperation,
  ),
  "worker-dies": Case(
    "kill -9 of one of two processes with --cooperate",
    "the other finishes everything",
    _worker_dies,
  ),
  "sigterm": Case(
    "SIGTERM while training",
    "exit 75 within 10 s; goes on from that step",
    _terminated,
  ),
  "sigint": Case(
    "SIGINT (Ctrl-C) while training",
    "exit 75 within 10 s; goes on from that step",
    _interrupted,
  ),
  "devices": Case(
    "begun on several devices, continued on one",
    "finishes; what was finished stays",
    _other_devices,
  ),
  "control": Case(
    "what the other cases compare is broken on purpose",
    "each check objects",
    _control,
  ),
}


def _half_trained(trial: Trial) -> pathlib.Path:
  """A copy of a directory with records of a block and checkpoints of others."""
  template = trial.folder / "half-trained"
  for _ in range(10):
    if template.exists() and _is_half_trained(template):
      break
    process = trial.start(trial.new(template.name))
    _until(process, lambda: _is_half_trained(template))
    process.kill()
  else:
    raise RuntimeError("no kill left a block with two checkpoints")
  return _copy(trial, template, "continued")


def _copy(trial: Trial, source: pathlib.Path, name: str) -> pathlib.Path:
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


def _two_checkpoints(
  workdir: pathlib.Path,
) -> tuple[pathlib.Path, pathlib.Path]:
  *_, before, last = _checkpoints(workdir) or []
  return before, last


def _saved_blocks(workdir: pathlib.Path) -> set[pathlib.Path]:
  """The folders of blocks in training that have been saved."""
  found = workdir.glob("checkpoints/*/*/*/seeds-*/*")
  return {path.parent for path in found if path.name.isdecimal()}


def _until(process: Process, condition: Callable[[], bool]) -> None:
  """Returns once something is so, or the process has ended."""
  end = time.monotonic() + 120
  while (
    process.popen.poll() is None and time.monotonic() < end and not condition()
  ):
    time.sleep(0.005)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
  return [path for path in folder.rglob("*") if path.is_file()]


def _flip_a_bit(path: pathlib.Path) -> None:
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 16
  path.write_bytes(content)


def _report(trial: Trial, workdir: pathlib.Path) -> Outcome:
  return trial.run(workdir, main="report")


def _finished(
  trial: Trial, workdir: pathlib.Path, outcome: Outcome
) -> list[str]:
  flaws = [] if outcome.code == 0 else [f"exit code {outcome.code}"]
  if outcome.code != 0:
    flaws.append(outcome.last_line)
  if "Traceback" in outcome.errors:
    flaws.append("a traceback on stderr")
  return flaws + trial.flaws(workdir)


def _refused(outcome: Outcome, reason: str) -> list[str]:
  flaws = []
  if not outcome.is_clear_error or outcome.code != 1:
    flaws.append("it did not end with exit code 1 and one clear line")
  if reason not in outcome.last_line:
    flaws.append(f"the line does not say {reason!r}")
  return flaws


def _told(trial: Trial, outcome: Outcome) -> str:
  line = outcome.last_line
  if outcome.code < 0:  # A dump of all threads follows.
    line = outcome.errors.strip().split("\n")[0]
  line = line.replace(str(trial.folder), "…")
  if len(line) > 160:
    line = f"{line[:157]}…"
  return f"exit {outcome.code}" + (f": {line}" if line else "")


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


def _mount(*arguments: str | pathlib.Path) -> None:
  result = subprocess.run(
    ["mount", *map(str, arguments)], capture_output=True, text=True
  )
  if result.returncode:
    raise NotPossible(result.stderr.strip())


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
