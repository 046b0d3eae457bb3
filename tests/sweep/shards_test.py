"""Sweeps that share a work directory: side by side, killed, and continued.

A sweep is suspended (SIGSTOP) where a test wants it in mid-run: it keeps its
locks, and how fast the machine is does not matter.
"""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pandas as pd
import pytest
from etils import epath

from emergence.storage import records_file
from tests.mains import run_sweep, sweep_command

STEPS = 4000
TWO_CELLS = "--override=grid.depths=[1,2]"
_EVENT = re.compile(
  r"(\w+/width-\d+/depth-\d+): (seeds \d+ to \d+) (begin|go on|are trained)"
)
_PATCHED = "{}\nfrom experiments import command, sweep\ncommand.run(sweep.main)"


class Sweep:
  """A sweep as a process."""

  def __init__(self, folder: pathlib.Path, flags: list[str], patch: str):
    self._errors = folder / f"{len(list(folder.iterdir()))}.stderr"
    command = sweep_command(*flags)
    if patch:
      command = [sys.executable, "-c", _PATCHED.format(patch), *flags]
    with self._errors.open("w") as errors:
      self._popen = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
      )
    self.pid = self._popen.pid

  @property
  def stderr(self) -> str:
    return self._errors.read_text()

  def is_waiting(self) -> bool:
    """Whether it has said that it waits for another one."""
    return "waiting up to" in self.stderr

  def end(self) -> int:
    """Its exit code, once it has ended."""
    return self._popen.wait(400)

  def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
    """Sends a signal, to a suspended sweep too, and waits for the end."""
    self._popen.send_signal(number)
    self._popen.send_signal(signal.SIGCONT)
    return self.end()

  def resume(self) -> None:
    self._popen.send_signal(signal.SIGCONT)

  def run_until(self, is_so) -> None:
    """Returns once something is so."""
    while not is_so():
      assert self._popen.poll() is None, f"it ended before that: {self.stderr}"
      time.sleep(0.005)

  def suspend_when(self, is_so) -> None:
    """Suspends it at a moment when something is so, and stays so."""
    while True:
      self.run_until(is_so)
      self._popen.send_signal(signal.SIGSTOP)
      how = os.WSTOPPED | os.WEXITED | os.WNOWAIT
      os.waitid(os.P_PID, self.pid, how)
      if is_so():
        return
      self.resume()


@pytest.fixture(scope="module")
def config_file(write_config) -> pathlib.Path:
  return write_config(steps=STEPS, num_points=5, block=4, count=16)


@pytest.fixture
def start(config_file, workdir, tmp_path):
  """Starts a sweep on `workdir` at each call; none outlives the test."""
  folder = tmp_path / "stderr"
  folder.mkdir()
  with contextlib.ExitStack() as stack:

    def start(*flags: str, patch: str = "") -> Sweep:
      always = [f"--config={config_file}", f"--workdir={workdir}"]
      always += ["--checkpoint_steps=200", "--devices=1"]
      sweep = Sweep(folder, [*always, *flags], patch)
      stack.callback(sweep.kill)
      return sweep

    yield start


@pytest.fixture
def workdir(tmp_path) -> pathlib.Path:
  return tmp_path / "run"


@pytest.fixture(scope="module")
def undisturbed(config_file, tmp_path_factory) -> dict[str, bytes]:
  """The records of a sweep of two cells that nothing disturbs."""
  folder = tmp_path_factory.mktemp("undisturbed")
  flags = [f"--config={config_file}", f"--workdir={folder}", "--devices=1"]
  assert run_sweep(*flags, TWO_CELLS).returncode == 0
  return records_of(folder)


def records_of(workdir) -> dict[str, bytes]:
  paths = workdir.glob("records/*/*/*/seeds-*.parquet")
  return {str(path.relative_to(workdir)): path.read_bytes() for path in paths}


def is_saved(workdir, log: str = "log", min_records: int = 0) -> bool:
  """Whether the last block that a log names was saved, and is far from its end.

  And whether there are so many records files at least.
  """
  path = workdir / log
  events = _EVENT.findall(path.read_text() if path.exists() else "")
  if not events or events[-1][2] == "are trained":
    return False
  first, last = map(int, re.findall(r"\d+", events[-1][1]))
  folder = workdir / f"checkpoints/{events[-1][0]}/seeds-{first:06d}-{last:06d}"
  steps = [int(p.name) for p in folder.glob("*") if p.name.isdecimal()]
  is_halfway = 0 < max(steps, default=0) < STEPS - 1000
  return is_halfway and len(records_of(workdir)) >= min_records


def start_two_shards(start, workdir, min_records: int = 0) -> list[Sweep]:
  """Two shards of two cells, both suspended with a block in training."""
  two = [start(TWO_CELLS, f"--shard={i}/2") for i in range(2)]
  for i, sweep in enumerate(two):
    log = f"logs/shard-{i}-of-2.log"
    sweep.suspend_when(lambda log=log: is_saved(workdir, log, min_records))
  return two


def logs(workdir) -> str:
  paths = [*workdir.glob("log"), *workdir.glob("logs/*.log")]
  return "".join(path.read_text() for path in paths)


def steps_gone_on_from(workdir) -> list[str]:
  """The steps above 0 of the checkpoints that blocks went on from."""
  return re.findall(r"go on from step ([1-9]\d*)", logs(workdir))


def assert_each_seed_once(workdir, count: int, num_cells: int = 1) -> None:
  """All seeds have records, and none was trained to the end twice."""
  frame = pd.read_parquet(workdir / "records")
  key = ["width", "depth", "seed", "step", "test_set"]
  assert not frame.duplicated(key).any()
  seeds = frame.groupby(["width", "depth"])["seed"].unique()
  assert [sorted(found) for found in seeds] == [[*range(count)]] * num_cells
  events = _EVENT.findall(logs(workdir))
  ends = [event for event in events if event[2] == "are trained"]
  assert len(ends) == len(set(ends)) > 0
  runs = [json.loads(path.read_text()) for path in workdir.glob("runs/*")]
  assert sum(run["seeds"] for run in runs) <= count * num_cells


@pytest.mark.slow
def test_three_shards_go_on_where_two_were_stopped(start, workdir, undisturbed):
  two = start_two_shards(start, workdir)
  assert two[0].kill(signal.SIGTERM) == 75
  assert two[1].kill() == -signal.SIGKILL
  three = [start(TWO_CELLS, f"--shard={i}/3") for i in range(3)]
  assert [sweep.end() for sweep in three] == [0, 0, 0]
  assert_each_seed_once(workdir, 16, num_cells=2)
  assert len(steps_gone_on_from(workdir)) == 2
  assert records_of(workdir) == undisturbed


@pytest.mark.slow
def test_three_shards_and_the_two_before_them_train_side_by_side(
  start, workdir, undisturbed
):
  two = start_two_shards(start, workdir)
  three = [start(TWO_CELLS, f"--shard={i}/3") for i in range(3)]
  # The first block of the third one is nobody's.
  for sweep in three[:2]:
    sweep.run_until(sweep.is_waiting)
  for sweep in two:
    sweep.resume()
  assert [sweep.end() for sweep in (*two, *three)] == [0] * 5
  assert_each_seed_once(workdir, 16, num_cells=2)
  assert records_of(workdir) == undisturbed


@pytest.mark.slow
def test_one_device_goes_on_where_two_were_stopped(start, workdir):
  two = start("--devices=2")
  two.suspend_when(lambda: is_saved(workdir, min_records=2))
  assert two.kill(signal.SIGTERM) == 75
  finished = records_of(workdir)
  assert start("--devices=1").end() == 0
  assert_each_seed_once(workdir, 16)
  assert finished.items() <= records_of(workdir).items()
  assert len(steps_gone_on_from(workdir)) == 2


@pytest.mark.slow
def test_more_seeds_can_be_asked_for_while_the_first_ones_train(start, workdir):
  first = start("--override=seeds.count=32")
  first.suspend_when(lambda: is_saved(workdir, min_records=1))
  second = start("--override=seeds.count=48")
  second.run_until(second.is_waiting)
  first.resume()
  assert [first.end(), second.end()] == [0, 0]
  assert_each_seed_once(workdir, 48)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(4, 8), (8, 4)])
def test_seeds_that_are_left_train_in_blocks_of_another_size(
  start, workdir, before, after
):
  first = start(f"--override=seeds.block={before}")
  first.suspend_when(lambda: is_saved(workdir, min_records=1))
  assert first.kill(signal.SIGTERM) == 75
  finished = records_of(workdir)
  assert start(f"--override=seeds.block={after}").end() == 0
  assert_each_seed_once(workdir, 16)
  assert not list(workdir.glob("checkpoints/*/*/*/*"))
  found = records_of(workdir)
  assert finished.items() <= found.items()
  for name in found:
    provenance = records_file.read_provenance(epath.Path(workdir / name))
    assert provenance["block"] == (before if name in finished else after)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [("0-7", "2-5"), ("2-5", "0-7")])
def test_overlapping_seeds_train_side_by_side(start, workdir, first, second):
  one = start(f"--seeds={first}")
  one.suspend_when(lambda: is_saved(workdir))
  other = start(f"--seeds={second}")
  other.run_until(other.is_waiting)
  one.resume()
  assert [one.end(), other.end()] == [0, 0]
  assert_each_seed_once(workdir, 8)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("written", "holder"),
  [
    ('{"host": "node7", "pid": 12}', "process 12 on node7"),
    ("", "an unknown process, or the file system refuses locks"),
  ],
)
def test_a_block_that_stays_locked_is_one_line_that_names_its_holder(
  start, workdir, written, holder
):
  path = workdir / "locks/count/width-8/depth-1/seeds-000000-000003.lock"
  path.parent.mkdir(parents=True)
  impatient = "from emergence.storage import locks\nlocks.WAIT_SECONDS = 3.0"
  with path.open("w") as file:
    file.write(written)
    file.flush()
    fcntl.flock(file, fcntl.LOCK_EX)
    sweep = start(patch=impatient)
    assert sweep.end() == 2
    assert path.read_text() == written
  # What is free has been trained by then.
  assert len(records_of(workdir)) == 3
  warning, error = sweep.stderr.splitlines()
  assert warning.endswith("(blocks: 1); waiting up to 3 s for each")
  block = "count/width-8/depth-1: seeds 0 to 3"
  assert error.startswith(f"error: {block} are in use by {holder}; ")
  again = start(patch=impatient)
  assert again.end() == 0
  assert again.stderr == ""
  assert_each_seed_once(workdir, 16)


@pytest.mark.slow
def test_blocks_of_different_sizes_train_side_by_side(start, workdir):
  small = start("--override=seeds.block=4")
  small.suspend_when(lambda: is_saved(workdir, min_records=1))
  large = start("--override=seeds.block=8")
  large.run_until(large.is_waiting)
  small.resume()
  assert [small.end(), large.end()] == [0, 0]
  assert_each_seed_once(workdir, 16)


@pytest.mark.slow
def test_a_sweep_that_waits_for_a_lock_can_be_stopped(start, workdir):
  first = start("--seeds=0-3")
  first.suspend_when(lambda: is_saved(workdir))
  second = start("--seeds=0-3")
  second.run_until(second.is_waiting)
  assert second.kill(signal.SIGTERM) == 75
  assert "stopped by a signal" in (workdir / "log").read_text()


@pytest.mark.slow
def test_the_locks_of_a_killed_sweep_are_free_at_once(start, workdir):
  sweep = start("--devices=2")
  sweep.suspend_when(lambda: is_saved(workdir))
  assert sweep.kill() == -signal.SIGKILL
  again = start("--devices=2")
  assert again.end() == 0
  assert again.stderr == ""
  assert steps_gone_on_from(workdir)
  assert_each_seed_once(workdir, 16)


@pytest.mark.slow
def test_status_tells_what_is_done_in_training_and_missing(
  start, config_file, workdir, tmp_path
):
  def status() -> tuple[str, list[dict]]:
    flags = [f"--config={config_file}", f"--workdir={workdir}", TWO_CELLS]
    table = tmp_path / "table.json"
    result = run_sweep(*flags, "--status", f"--json={table}")
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout, json.loads(table.read_text())

  def content() -> dict[pathlib.Path, int]:
    return {p: p.stat().st_mtime_ns for p in [workdir, *workdir.rglob("*")]}

  two = start_two_shards(start, workdir, min_records=1)
  before = content()
  text, rows = status()
  assert content() == before
  kinds = ("done", "training", "missing")
  done, training, missing = (sum(row[k] for row in rows) for k in kinds)
  assert [row["cell"][-1] for row in rows] == ["1", "2"]
  assert done == 4 * len(records_of(workdir))
  assert (training, done + training + missing) == (8, 32)
  holders = {(h["host"], h["pid"]) for row in rows for h in row["holders"]}
  assert holders == {(socket.gethostname(), sweep.pid) for sweep in two}
  for i, sweep in enumerate(two):
    assert f"process {sweep.pid} on {socket.gethostname()}" in text
    log = (workdir / f"logs/shard-{i}-of-2.log").read_text()
    assert f"shard-{i}-of-2: {log.splitlines()[-1]}\n" in text
    sweep.kill()
  text, rows = status()
  assert [(row["training"], row["holders"]) for row in rows] == [(0, [])] * 2
  assert sum(row["done"] + row["missing"] for row in rows) == 32
  assert content() == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_told_once_and_trained_in(
  start, workdir, number
):
  patch = f"""
import fcntl
def flock(*args):
  raise OSError({number}, "no locks here")
fcntl.flock = flock"""
  sweep = start(patch=patch)
  assert sweep.end() == 0
  (line,) = sweep.stderr.splitlines()
  assert line.startswith(f"there are no locks in {workdir}")
  assert_each_seed_once(workdir, 16)
