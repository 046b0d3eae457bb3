"""Sweeps that share a work directory: side by side, stopped, and continued."""

import errno
import fcntl
import json
import pathlib
import signal
import socket

import pytest
from etils import epath

from emergence.storage import records
from tests.mains import run_sweep
from tests.sweep_processes import (
  Sweep,
  assert_each_seed_once,
  different,
  is_saved,
  records_of,
  resumed_steps,
  starting,
)

STEPS = 4000
# A sweep that is saved before this step is far from its end.
EARLY = STEPS - 1000
TWO_CELLS = "--override=grid.depths=[1,2]"


@pytest.fixture(scope="module")
def config_file(write_config) -> pathlib.Path:
  return write_config(steps=STEPS, num_points=5, block=4, count=16)


@pytest.fixture
def start(config_file, workdir, tmp_path):
  """Starts a sweep on `workdir` at each call; none outlives the test."""
  always = [f"--config={config_file}", f"--workdir={workdir}"]
  always += ["--checkpoint_steps=200", "--devices=1"]
  with starting(tmp_path / "output", *always) as start:
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


def start_two_shards(start, workdir, min_records: int = 0) -> list[Sweep]:
  """Two shards of two cells, both suspended with a block in training."""
  two = [start(TWO_CELLS, f"--shard={i}/2") for i in range(2)]
  for i, sweep in enumerate(two):
    log = f"logs/shard-{i}-of-2.log"
    sweep.suspend_when(
      lambda log=log: is_saved(workdir, EARLY, log, min_records=min_records)
    )
  return two


@pytest.mark.slow
def test_three_shards_go_on_where_two_were_stopped(start, workdir, undisturbed):
  two = start_two_shards(start, workdir)
  assert two[0].kill(signal.SIGTERM) == 75
  assert two[1].kill() == -signal.SIGKILL
  three = [start(TWO_CELLS, f"--shard={i}/3") for i in range(3)]
  assert [sweep.end() for sweep in three] == [0, 0, 0]
  assert_each_seed_once(workdir, 16, num_cells=2)
  assert len(resumed_steps(workdir)) == 2
  assert different(workdir, undisturbed) == []


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
  assert different(workdir, undisturbed) == []


@pytest.mark.slow
def test_one_device_goes_on_where_two_were_stopped(start, workdir):
  two = start("--devices=2")
  two.suspend_when(lambda: is_saved(workdir, EARLY, min_records=2))
  assert two.kill(signal.SIGTERM) == 75
  finished = records_of(workdir)
  assert start("--devices=1").end() == 0
  assert_each_seed_once(workdir, 16)
  assert finished.items() <= records_of(workdir).items()
  assert len(resumed_steps(workdir)) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
  ("first", "second", "records", "count"),
  [
    ("--override=seeds.count=32", "--override=seeds.count=48", 1, 48),
    ("--override=seeds.block=4", "--override=seeds.block=8", 1, 16),
    ("--seeds=0-7", "--seeds=2-5", 0, 8),
    ("--seeds=2-5", "--seeds=0-7", 0, 8),
  ],
)
def test_requests_that_overlap_train_side_by_side(
  start, workdir, first, second, records, count
):
  one = start(first)
  one.suspend_when(lambda: is_saved(workdir, EARLY, min_records=records))
  other = start(second)
  other.run_until(other.is_waiting)
  one.resume()
  assert [one.end(), other.end()] == [0, 0]
  assert_each_seed_once(workdir, count)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(4, 8), (8, 4)])
def test_seeds_that_are_left_train_in_blocks_of_another_size(
  start, workdir, before, after
):
  first = start(f"--override=seeds.block={before}")
  first.suspend_when(lambda: is_saved(workdir, EARLY, min_records=1))
  assert first.kill(signal.SIGTERM) == 75
  finished = records_of(workdir)
  assert start(f"--override=seeds.block={after}").end() == 0
  assert_each_seed_once(workdir, 16)
  assert not list(workdir.glob("checkpoints/*/*/*/*"))
  found = records_of(workdir)
  assert finished.items() <= found.items()
  for name in found:
    provenance = records.read_provenance(epath.Path(workdir / name))
    assert provenance["block"] == (before if name in finished else after)


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
def test_a_sweep_that_waits_for_a_lock_can_be_stopped(start, workdir):
  first = start("--seeds=0-3")
  first.suspend_when(lambda: is_saved(workdir, EARLY))
  second = start("--seeds=0-3")
  second.run_until(second.is_waiting)
  assert second.kill(signal.SIGTERM) == 75
  assert "stopped by a signal" in (workdir / "log").read_text()


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
