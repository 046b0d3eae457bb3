"""Sweeps that share a work directory: side by side, stopped and continued."""

import json
import pathlib
import signal
import socket

import pytest

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


@pytest.fixture
def flags(write_config, tmp_path) -> list[str]:
  config = write_config(
    steps=STEPS, num_points=5, block=4, count=16, depths=(1, 2)
  )
  return [f"--config={config}", f"--workdir={tmp_path / 'run'}"]


@pytest.fixture
def start(flags, tmp_path):
  """Starts a sweep at each call; none outlives the test."""
  always = [*flags, "--checkpoint_steps=100", "--devices=1"]
  with starting(tmp_path / "output", *always) as start:
    yield start


@pytest.mark.slow
def test_three_shards_go_on_where_two_were_stopped_and_status_tells_of_them(
  start, flags, tmp_path
):
  workdir = tmp_path / "run"

  def status() -> tuple[str, list[dict]]:
    table = tmp_path / "table.json"
    result = run_sweep(*flags, "--status", f"--json={table}")
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout, json.loads(table.read_text())

  def content() -> dict[pathlib.Path, int]:
    return {p: p.stat().st_mtime_ns for p in [workdir, *workdir.rglob("*")]}

  two = [start(f"--shard={i}/2") for i in range(2)]
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
  three = [start(f"--shard={i}/3") for i in range(3)]
  assert [sweep.end() for sweep in three] == [0, 0, 0]
  assert_each_seed_once(workdir, 16, num_cells=2)
  assert len(resumed_steps(workdir)) == 2
  undisturbed = tmp_path / "undisturbed"
  run_sweep(flags[0], f"--workdir={undisturbed}", "--devices=1")
  assert different(workdir, records_of(undisturbed)) == []
