"""Causes the failures in the table of emergence/sweep/README.md.

The same command must leave the records of a sweep that nothing disturbed, byte
for byte. They name the commit, so commit nothing while these tests run.
"""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import pytest

from tests.sweep_processes import (
  Sweep,
  assert_each_seed_once,
  different,
  events,
  is_saved,
  records_of,
  resumed_steps,
  saved_steps,
  starting,
)

pytestmark = pytest.mark.slow

# Four blocks, two at a time, each saved twenty times on its way.
STEPS, SEEDS = 1000, 16


@pytest.fixture(scope="module")
def flags(write_config) -> list[str]:
  config = write_config(steps=STEPS, num_points=20, block=4, count=SEEDS)
  every = f"--checkpoint_steps={STEPS // 20}"
  return [f"--config={config}", "--devices=2", every]


NO_LOCKS = """
import errno, fcntl
def flock(*args):
  raise OSError(errno.ENOLCK, "no locks here")
fcntl.flock = flock
"""


@pytest.fixture(scope="module")
def undisturbed(flags, tmp_path_factory) -> pathlib.Path:
  """A finished sweep, on a file system without locks."""
  folder = tmp_path_factory.mktemp("undisturbed")
  with starting(folder / "output", *flags) as start:
    sweep = start(f"--workdir={folder / 'run'}", patch=NO_LOCKS)
    assert sweep.end() == 0, sweep.stderr
  return folder / "run"


@pytest.fixture(scope="module")
def half_trained(flags, undisturbed, tmp_path_factory) -> pathlib.Path:
  """Two blocks with records and two with checkpoints, to be copied."""
  folder = tmp_path_factory.mktemp("half-trained")
  workdir = folder / "run"
  with starting(folder / "output", *flags) as start:
    sweep = start(f"--workdir={workdir}")
    sweep.suspend_when(
      lambda: is_saved(workdir, STEPS - 100, min_saves=2, min_records=2)
    )
    sweep.kill()
  return workdir


@pytest.fixture
def start(flags, tmp_path):
  """Starts a sweep at each call; none outlives the test."""
  with starting(tmp_path / "output", *flags) as start:
    yield start


def assert_finished(workdir, undisturbed, ends_lost=0) -> None:
  """The records are those of a sweep that nothing disturbed."""
  assert different(workdir, records_of(undisturbed)) == []
  assert_each_seed_once(workdir, SEEDS, ends_lost=ends_lost)
  left = (workdir / "checkpoints").rglob("*")
  assert [path for path in left if path.is_file()] == []


def files_below(folder: pathlib.Path) -> dict[pathlib.Path, bytes]:
  return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_one_line(sweep: Sweep, part: str) -> None:
  """It has ended with one line of error, nothing else."""
  assert sweep.end() == 1, sweep.stderr
  last = sweep.stderr.splitlines()[-1]
  assert last.startswith("error: ")
  assert part in last
  assert "Traceback" not in sweep.stderr


# Kills the process just before it gives a finished file or folder its name.
KILL_AT_RENAME = """
import os, signal, sys
left = [{number}]
def kill_at_rename(event, args):
  if event == "os.rename" and "/{folder}/" in os.fsdecode(args[1]):
    left[0] -= 1
    if not left[0]:
      os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(kill_at_rename)
"""
# What is renamed then, and at which of the first renames a kill may strike.
RENAMED = {"save": ("checkpoints", 6), "write": ("records", 2)}


def test_kill_9_at_any_moment_loses_the_steps_since_the_last_save(
  start, undisturbed, tmp_path
):
  workdir, rng = tmp_path / "run", random.Random(0)
  moments = ["compile", "train", "save", "write"]
  rng.shuffle(moments)
  ends_lost = 0
  for moment in moments:
    seen = len(events(workdir))
    finished = records_of(workdir)
    patch, cache = "", {}
    if moment in RENAMED:
      folder, most = RENAMED[moment]
      number = rng.randint(1, most)
      patch = KILL_AT_RENAME.format(folder=folder, number=number)
    if moment == "compile":
      # An empty cache, so that there is something to compile.
      cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    sweep = start(f"--workdir={workdir}", patch=patch, **cache)
    if moment == "compile":
      sweep.run_until(lambda sweep=sweep: "compiling" in sweep.stdout)
      time.sleep(rng.uniform(0, 2))
    if moment == "train":
      sweep.run_until(lambda seen=seen: len(events(workdir)) > seen)
      time.sleep(rng.uniform(0, 0.2))
    code = sweep.end() if patch else sweep.kill()
    assert code == -signal.SIGKILL, sweep.stderr
    assert all("cut off" in line for line in sweep.stderr.splitlines())
    assert finished.items() <= records_of(workdir).items()
    ends_lost += sum(
      event.what == "have finished"
      and not (workdir / "records" / f"{event.block}.parquet").exists()
      for event in events(workdir)[seen:]
    )
  assert ends_lost >= 1
  sweep = start(f"--workdir={workdir}")
  assert sweep.end() == 0, sweep.stderr
  assert_finished(workdir, undisturbed, ends_lost)
  assert len(resumed_steps(workdir)) >= 2


def truncate(path: pathlib.Path) -> None:
  os.truncate(path, path.stat().st_size // 2)


def test_sigterm_corrupt_files_and_a_second_process_change_no_record(
  start, half_trained, undisturbed, tmp_path
):
  workdir = shutil.copytree(half_trained, tmp_path / "run")
  seen = len(events(workdir))
  sweep = start(f"--workdir={workdir}")
  sweep.suspend_when(lambda: len(events(workdir)) >= seen + 2)
  blocks = [event.block for event in events(workdir)[seen:]]
  before = [saved_steps(workdir, block)[-1] for block in blocks]
  begin = time.monotonic()
  assert sweep.kill(signal.SIGTERM) == 75
  # Ten seconds are promised on an idle machine; this one may be busy.
  assert time.monotonic() - begin < 20
  # The kill before may have cut off the save of a checkpoint, which is told.
  *told, last = sweep.stderr.splitlines()
  assert all("its save was cut off" in line for line in told)
  assert last == "stopped by SIGTERM; run the same command again to continue"
  saved = [saved_steps(workdir, block) for block in blocks]
  assert all(new[-1] > old for new, old in zip(saved, before, strict=True))

  checkpoint = saved[0][-1]
  spoiled = [min(workdir.glob("records/*/*/*/*.parquet"))]
  spoiled.append(workdir / "config.json")
  for path in (checkpoint / "arrays.safetensors", *spoiled):
    truncate(path)
  contents = {path.read_bytes() for path in spoiled}
  seen = len(events(workdir))
  first = start(f"--workdir={workdir}")
  first.suspend_when(lambda: len(events(workdir)) >= seen + 2)
  assert f"checkpoint {checkpoint} is not usable" in first.stderr
  for path in spoiled:
    assert f"{path} is corrupt" in first.stderr
  assert {*files_below(workdir / "damaged").values()} == contents
  second = start(f"--workdir={workdir}")
  second.run_until(lambda: "waiting" in second.stderr)
  first.resume()
  assert [first.end(), second.end()] == [0, 0]
  assert_finished(workdir, undisturbed, ends_lost=1)
  steps = {e.block: e.step for e in events(workdir) if e.what == "continue"}
  fallback, last = saved[0][-2], saved[1][-1]
  assert [steps[block] for block in blocks] == [
    int(path.name) for path in (fallback, last)
  ]


def mount(*arguments: str | pathlib.Path) -> None:
  subprocess.run(["mount", *map(str, arguments)], check=True)


@pytest.fixture
def disk(tmp_path):
  """A small file system of its own."""
  if os.geteuid() != 0:
    pytest.skip("to mount a disk needs root")
  place = tmp_path / "disk"
  place.mkdir()
  mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", place)
  yield place
  subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_refuses_is_one_line_and_nothing_is_lost(
  start, half_trained, undisturbed, disk
):
  workdir = shutil.copytree(half_trained, disk / "run")
  before = files_below(workdir)
  mount("-o", "remount,ro", disk)
  sweep = start(f"--workdir={workdir}")
  assert_one_line(sweep, "Read-only file system")
  used = sum(path.stat().st_blocks * 512 for path in disk.rglob("*"))
  mount("-o", f"remount,rw,size={used + 2**15}", disk)
  sweep = start(f"--workdir={workdir}")
  # Whether records, a checkpoint or the log meets the end is up to luck.
  assert_one_line(sweep, "No space left on device")
  records = {p: x for p, x in before.items() if p.suffix == ".parquet"}
  assert records.items() <= files_below(workdir).items()
  mount("-o", "remount,size=64m", disk)
  sweep = start(f"--workdir={workdir}")
  assert sweep.end() == 0, sweep.stderr
  assert_finished(workdir, undisturbed)
