"""`launch.tpu_worker`: what the scripts of a worker do on its machine."""

import os
import pathlib
import subprocess
import sys
import time

from launch import gcloud, tpu_worker
from tests.fake_cloud import TPU, watch

ROOT = pathlib.Path(__file__).parents[1]


def run_worker(*words):
  done = subprocess.run(
    [sys.executable, "-m", "launch.tpu_worker", *words],
    capture_output=True,
    text=True,
    env=os.environ | {"PYTHONPATH": str(ROOT)},
  )
  assert done.returncode == 0, done.stderr
  return done.stdout.strip()


def wait_for(state):
  end = time.monotonic() + 120
  while (found := run_worker("state", "t")) != state:
    assert time.monotonic() < end, found


def test_a_worker_outlives_its_starter_and_stops_when_told(
  tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  assert run_worker("state", "t") == "worker ? idle"
  script = (
    "trap 'echo saved; exit 75' TERM; echo begun;"
    " for i in $(seq 2000); do sleep 0.05; done"
  )
  assert run_worker("start", "t", "3", "bash", "-c", script) == (
    "worker 3 started"
  )
  log = tmp_path / ".launch" / "log"
  while "begun" not in log.read_text():
    time.sleep(0.01)
  assert run_worker("state", "t") == "worker 3 running"
  assert run_worker("start", "t", "3", "false") == "worker 3 running"
  assert run_worker("start", "other", "3", "false") == "worker 3 busy"
  run_worker("stop")
  wait_for("worker 3 exit 75")
  assert log.read_text() == "begun\nsaved\n"
  run_worker("stop")
  assert run_worker("start", "t", "3", "true") == "worker 3 started"
  wait_for("worker 3 exit 0")
  assert run_worker("start", "t", "3", "false") == "worker 3 exit 0"


def test_a_worker_that_was_switched_off_has_died(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  run_worker("start", "t", "0", "true")
  wait_for("worker 0 exit 0")
  (tmp_path / ".launch" / "exit_code").unlink()
  # Another process has got its number.
  (tmp_path / ".launch" / "pid").write_text(str(os.getpid()))
  assert run_worker("state", "t") == "worker 0 died"


def test_a_report_is_written_beside_a_sweep(cloud):
  watch()
  script = tpu_worker.report("gs://bucket/a b")
  assert gcloud.call(gcloud.ssh(TPU, script, 0)) == (
    "reported --workdir=gs://bucket/a b on cpu\n"
  )
