"""Each row of the table of failures in emergence/sweep/README.md, caused.

The same command must leave the records of a sweep that nothing disturbed, byte
for byte. They name the commit, so commit nothing while these tests run.
"""

import os
import pathlib
import random
import re
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


@pytest.fixture(scope="module")
def undisturbed(flags, tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp("undisturbed")
  with starting(folder / "output", *flags) as start:
    sweep = start(f"--workdir={folder / 'run'}")
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
def workdir(half_trained, tmp_path) -> pathlib.Path:
  """A copy of it."""
  return shutil.copytree(half_trained, tmp_path / "run")


@pytest.fixture
def start(flags, tmp_path):
  """Starts a sweep at each call; none outlives the test."""
  with starting(tmp_path / "output", *flags) as start:
    yield start


@pytest.fixture
def finish(start, undisturbed):
  """Runs the command on a directory, which must end like an undisturbed one."""

  def finish(workdir, ends_lost=0) -> Sweep:
    sweep = start(f"--workdir={workdir}")
    assert sweep.end() == 0, sweep.stderr
    assert different(workdir, records_of(undisturbed)) == []
    assert_each_seed_once(workdir, SEEDS, ends_lost=ends_lost)
    left = (workdir / "checkpoints").rglob("*")
    assert [path for path in left if path.is_file()] == []
    return sweep

  return finish


def files_below(folder: pathlib.Path) -> dict[pathlib.Path, bytes]:
  return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def ages(folder: pathlib.Path) -> dict[pathlib.Path, int]:
  """When each file was written."""
  return {p: p.stat().st_mtime_ns for p in folder.rglob("seeds-*.parquet")}


def assert_one_line(sweep: Sweep, code: int, part: str) -> None:
  """It has ended with a code and one line of error, nothing else."""
  assert sweep.end() == code, sweep.stderr
  assert sweep.last_line.startswith("error: ")
  assert part in sweep.last_line
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
  start, finish, tmp_path
):
  workdir, rng = tmp_path / "run", random.Random(0)
  moments = 2 * ["compile"] + 4 * ["train"] + 2 * ["save"] + 2 * ["write"]
  rng.shuffle(moments)
  # An empty cache, so that there is something to compile.
  cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
  ends_lost = 0
  for moment in moments:
    seen = len(events(workdir))
    finished = ages(workdir / "records")
    patch = ""
    if moment in RENAMED:
      folder, most = RENAMED[moment]
      number = rng.randint(1, most)
      patch = KILL_AT_RENAME.format(folder=folder, number=number)
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
    assert finished.items() <= ages(workdir / "records").items()
    ends_lost += sum(
      event.what == "are trained"
      and not (workdir / "records" / f"{event.block}.parquet").exists()
      for event in events(workdir)[seen:]
    )
  assert ends_lost >= 2
  finish(workdir, ends_lost)
  assert len(resumed_steps(workdir)) >= 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on_from_there(
  start, finish, workdir, number
):
  seen = len(events(workdir))
  sweep = start(f"--workdir={workdir}")
  sweep.suspend_when(lambda: len(events(workdir)) >= seen + 2)
  blocks = [event.block for event in events(workdir)[seen:]]
  before = [saved_steps(workdir, block)[-1] for block in blocks]
  begin = time.monotonic()
  assert sweep.kill(number) == 75
  # Ten seconds are promised on an idle machine; this one may be busy.
  assert time.monotonic() - begin < 20
  assert sweep.stderr.strip() == (
    f"stopped by {number.name}; the same command continues"
  )
  saved = [saved_steps(workdir, block)[-1] for block in blocks]
  assert all(new > old for new, old in zip(saved, before, strict=True))
  finish(workdir)
  assert resumed_steps(workdir)[-2:] == [int(path.name) for path in saved]


def halve(path: pathlib.Path) -> None:
  os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path: pathlib.Path) -> None:
  content = bytearray(path.read_bytes())
  # Of records, the footer is longer than the columns, and not all of it counts.
  content[len(content) // 20] ^= 16
  path.write_bytes(content)


def empty(path: pathlib.Path) -> None:
  os.truncate(path, 0)


SPOILING = [halve, flip_a_bit, empty]


def put_a_stray_folder(last: pathlib.Path) -> pathlib.Path:
  stray = last.parent / f"{STEPS - 1:08d}"
  stray.mkdir()
  return stray


@pytest.mark.parametrize("spoil", [*SPOILING, put_a_stray_folder])
def test_a_corrupt_checkpoint_is_renamed_and_the_one_before_taken(
  finish, workdir, spoil
):
  seen = len(events(workdir))
  block = events(workdir)[-1].block
  *_, before, last = saved_steps(workdir, block)
  if spoil is put_a_stray_folder:
    before, last = last, put_a_stray_folder(last)
  else:
    spoil(max(files_below(last), key=lambda path: path.stat().st_size))
  sweep = finish(workdir)
  assert f"checkpoint {last} is not usable" in sweep.stderr
  assert f"damaged-{last.name}" in sweep.stderr
  resumed = [e for e in events(workdir)[seen:] if e.block == block]
  assert resumed[0] == (block, "go on", int(before.name))


@pytest.mark.parametrize("spoil", SPOILING)
def test_corrupt_records_move_away_and_their_seeds_are_trained_again(
  finish, workdir, spoil
):
  path = min(workdir.glob("records/*/*/*/*.parquet"))
  spoil(path)
  spoiled = path.read_bytes()
  sweep = finish(workdir, ends_lost=1)
  assert f"{path} is " in sweep.stderr
  assert [*files_below(workdir / "damaged").values()] == [spoiled]


@pytest.mark.parametrize("spoil", [*SPOILING, pathlib.Path.unlink])
def test_a_corrupt_or_missing_config_is_written_again(finish, workdir, spoil):
  path = workdir / "config.json"
  content = path.read_bytes()
  spoil(path)
  sweep = finish(workdir)
  assert path.read_bytes() == content
  assert str(path) in sweep.stderr


@pytest.mark.parametrize(
  ("has_config", "part"),
  [(True, "train.weight_decay is"), (False, "seeds-000000-000003.parquet")],
)
def test_records_of_another_experiment_are_refused_before_anything_changes(
  start, workdir, has_config, part
):
  if not has_config:
    (workdir / "config.json").unlink()
  before = files_below(workdir)
  sweep = start(f"--workdir={workdir}", "--override=train.weight_decay=0.5")
  assert_one_line(sweep, 2, part)
  assert files_below(workdir) == before


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


@pytest.mark.parametrize(
  ("option", "reason"),
  [
    # Whether records, a checkpoint or the log meets the end is up to luck.
    ("size={almost_full}", "No space left on device"),
    ("ro", "Read-only file system"),
  ],
)
def test_a_disk_that_refuses_is_one_line_and_finished_records_stay(
  start, finish, half_trained, disk, option, reason
):
  workdir = shutil.copytree(half_trained, disk / "run")
  before = records_of(workdir)
  used = sum(path.stat().st_blocks * 512 for path in disk.rglob("*"))
  mount("-o", f"remount,{option.format(almost_full=used + 2**15)}", disk)
  assert_one_line(start(f"--workdir={workdir}"), 1, reason)
  assert before.items() <= records_of(workdir).items()
  mount("-o", "remount,rw,size=64m", disk)
  finish(workdir)


def test_a_log_that_cannot_be_written_is_one_line(start, finish, workdir):
  log = workdir / "log"
  log.unlink()
  log.symlink_to("/dev/full")
  assert_one_line(start(f"--workdir={workdir}"), 1, "No space left on device")
  log.unlink()
  finish(workdir)


LIMITED = """
import resource
resource.setrlimit(resource.{name}, ({limit}, {limit}))
"""


@pytest.mark.parametrize("limit", [16, 8])
def test_too_few_file_handles_are_one_line(start, finish, workdir, limit):
  patch = LIMITED.format(name="RLIMIT_NOFILE", limit=limit)
  sweep = start(f"--workdir={workdir}", patch=patch)
  assert_one_line(sweep, 1, "Too many open files")
  finish(workdir)


def test_too_little_memory_is_one_line_or_the_words_of_a_library(
  start, finish, workdir
):
  before = records_of(workdir)
  patch = LIMITED.format(name="RLIMIT_AS", limit=2**30)
  sweep = start(f"--workdir={workdir}", patch=patch)
  code = sweep.end()
  assert code in (1, -signal.SIGABRT, -signal.SIGSEGV), sweep.stderr
  assert code < 0 or re.match("error: |OpenBLAS error", sweep.last_line)
  assert "Traceback" not in sweep.stderr
  assert before.items() <= records_of(workdir).items()
  finish(workdir)


@pytest.mark.skipif(not shutil.which("faketime"), reason="needs faketime")
def test_a_clock_that_jumps_by_years_changes_nothing_but_times(
  start, undisturbed, workdir, tmp_path
):
  library = subprocess.check_output(
    ["faketime", "-m", "-f", "+0", "printenv", "LD_PRELOAD"], text=True
  )
  offset = tmp_path / "offset"
  offset.write_text("+800d\n")
  seen = len(events(workdir))
  sweep = start(
    f"--workdir={workdir}",
    f"--checkpoint_steps={STEPS}",  # To save takes a second in such a time.
    LD_PRELOAD=library.strip(),
    FAKETIME_TIMESTAMP_FILE=str(offset),
    FAKETIME_CACHE_DURATION="1",
    # Monotonic clocks do not jump on real machines either.
    FAKETIME_DONT_FAKE_MONOTONIC="1",
    DONT_FAKE_MONOTONIC="1",
  )
  sweep.suspend_when(lambda: len(events(workdir)) > seen)
  offset.write_text("-400d\n")
  time.sleep(1.1)  # Until then, faketime does not look again.
  sweep.resume()
  assert sweep.end() == 0, sweep.stderr
  assert different(workdir, records_of(undisturbed)) == []
  lines = (workdir / "log").read_text().splitlines()
  assert len({line[:4] for line in lines}) == 3


def test_a_second_process_waits_for_the_blocks_of_the_first(
  start, undisturbed, workdir
):
  seen = len(events(workdir))
  first = start(f"--workdir={workdir}")
  first.suspend_when(lambda: len(events(workdir)) > seen)
  second = start(f"--workdir={workdir}")
  second.run_until(second.is_waiting)
  first.resume()
  assert [first.end(), second.end()] == [0, 0]
  assert different(workdir, records_of(undisturbed)) == []
  assert_each_seed_once(workdir, SEEDS)
