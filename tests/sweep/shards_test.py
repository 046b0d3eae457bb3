"""Sweeps that share a work directory: side by side, stopped, and continued."""

import json
import pathlib
import signal
import socket

import pytest
from etils import epath

from emergence.storage import records
from tests.mains import run_sweep
from tests.sweep_processes import (
  assert_each_seed_once,
  different,
  is_saved,
  records_of,
  resumed_steps,
  starting,
)

STEPS = 2000
# A sweep that is saved before this step is far from its end.
EARLY = STEPS - 500
TWO_CELLS = "--override=grid.depths=[1,2]"


@pytest.fixture(scope="module")
def config_file(write_config) -> pathlib.Path:
  return write_config(steps=STEPS, num_points=5, block=4, count=16)


@pytest.fixture
def start(config_file, workdir, tmp_path):
  """Starts a sweep on `workdir` at each call; none outlives the test."""
  always = [f"--config={config_file}", f"--workdir={workdir}"]
  always += ["--checkpoint_steps=100", "--devices=1"]
  with starting(tmp_path / "output", *always) as start:
    yield start


@pytest.fixture
def workdir(tmp_path) -> pathlib.Path:
  return tmp_path / "run"


NO_LOCKS = """
import errno, fcntl
def flock(*args):
  raise OSError(errno.ENOLCK, "no locks here")
fcntl.flock = flock
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def without_locks(config_file, tmp_path_factory):
  """A finished sweep of two cells where the file system has no locks."""
  folder = tmp_path_factory.mktemp("without-locks")
  flags = [f"--config={config_file}", f"--workdir={folder / 'run'}"]
  with starting(folder / "output", *flags, "--devices=1", TWO_CELLS) as start:
    sweep = start(patch=NO_LOCKS)
    assert sweep.end() == 0, sweep.stderr
  return folder / "run", sweep


def test_three_shards_go_on_where_two_were_stopped_and_status_tells_of_them(
  start, config_file, workdir, tmp_path, without_locks
):
  def status() -> tuple[str, list[dict]]:
    flags = [f"--config={config_file}", f"--workdir={workdir}", TWO_CELLS]
    table = tmp_path / "table.json"
    result = run_sweep(*flags, "--status", f"--json={table}")
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout, json.loads(table.read_text())

  def content() -> dict[pathlib.Path, int]:
    return {p: p.stat().st_mtime_ns for p in [workdir, *workdir.rglob("*")]}

  two = [start(TWO_CELLS, f"--shard={i}/2") for i in range(2)]
  for i, sweep in enumerate(two):
    log = f"logs/shard-{i}-of-2.log"
    sweep.suspend_when(
      lambda log=log: is_saved(workdir, EARLY, log, min_records=1)
    )
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

  assert two[0].kill(signal.SIGTERM) == 75
  assert two[1].kill() == -signal.SIGKILL
  three = [start(TWO_CELLS, f"--shard={i}/3") for i in range(3)]
  assert [sweep.end() for sweep in three] == [0, 0, 0]
  assert_each_seed_once(workdir, 16, num_cells=2)
  assert len(resumed_steps(workdir)) == 2
  assert different(workdir, records_of(without_locks[0])) == []


def test_other_devices_and_blocks_of_another_size_finish_what_was_stopped(
  start, workdir
):
  first = start("--devices=2")
  first.suspend_when(lambda: is_saved(workdir, EARLY, min_records=2))
  assert first.kill(signal.SIGTERM) == 75
  finished = records_of(workdir)
  assert start("--override=seeds.block=8").end() == 0
  assert_each_seed_once(workdir, 16)
  assert not list(workdir.glob("checkpoints/*/*/*/*"))
  found = records_of(workdir)
  assert finished.items() <= found.items()
  for name in found:
    provenance = records.read_provenance(epath.Path(workdir / name))
    assert provenance["block"] == (4 if name in finished else 8)
