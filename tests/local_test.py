"""`python -m launch.local` with real sweeps."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap
import time

import pandas as pd
import pytest

from launch import placement

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tiny_file(write_config) -> pathlib.Path:
  return write_config(steps=3000, num_points=2, block=2, count=8)


def start(module: str, *flags) -> subprocess.Popen:
  return subprocess.Popen(
    [sys.executable, "-m", module, *map(str, flags)],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    cwd=ROOT,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
  )


def run(module: str, *flags) -> tuple[int, str, str]:
  process = start(module, *flags)
  stdout, stderr = process.communicate(timeout=300)
  return process.returncode, stdout, stderr


def read_lease(path: pathlib.Path) -> dict | None:
  """What a file of claims says once it is whole."""
  try:
    return json.loads(path.read_text())
  except (FileNotFoundError, ValueError):
    return None


needs_two_cores = pytest.mark.skipif(
  len(placement.usable_cores()) < 2,
  reason="one core is enough for one worker only",
)


@needs_two_cores
def test_workers_share_a_sweep_and_one_that_is_killed_is_replaced(
  tiny_file, tmp_path
):
  alone = tmp_path / "alone"
  # What it compiles, the workers find.
  code, _, stderr = run(
    "experiments.sweep",
    *(f"--config={tiny_file}", f"--workdir={alone}", "--devices=1"),
  )
  assert code == 0, stderr
  workdir = tmp_path / "the runs"
  flags = [f"--config={tiny_file}", f"--workdir={workdir}", "--num_workers=2"]
  launcher = start("launch.local", *flags, "--devices=1")
  claims = workdir / "claims" / "count" / "width-8" / "depth-1"
  # Whoever has the first block is killed with it.
  while (lease := read_lease(claims / "block-000000.0")) is None:
    assert launcher.poll() is None, launcher.communicate()
    time.sleep(0.005)
  os.kill(lease["pid"], signal.SIGKILL)
  stdout, stderr = launcher.communicate(timeout=300)
  assert launcher.returncode == 0, stderr
  assert re.fullmatch(
    r"worker [01] was killed by SIGKILL, as when memory runs out; the others"
    r" take its blocks over \(.*worker-[01]\.log\)\n",
    stderr,
  )
  assert "8 seeds to train by 2 workers" in stdout
  assert "share ≥ 20%" in stdout
  assert f"records {workdir}/records" in stdout
  shared, single = (
    pd.read_parquet(folder / "records").sort_values(
      ["seed", "step", "test_length"], ignore_index=True
    )
    for folder in (workdir, alone)
  )
  assert shared.equals(single)
  assert set(shared["seed"]) == set(range(8))


@pytest.mark.slow
@needs_two_cores
def test_a_launcher_that_is_stopped_has_its_workers_save(tiny_file, tmp_path):
  flags = [f"--config={tiny_file}", f"--workdir={tmp_path}", "--num_workers=2"]
  launcher = start("launch.local", *flags, "--override=train.steps=10000000")
  # Who has made no update yet has nothing to save.
  log = tmp_path / "log"
  while not log.exists() or len(re.findall("step [1-9]", log.read_text())) < 2:
    assert launcher.poll() is None, launcher.communicate()
    time.sleep(0.02)
  launcher.send_signal(signal.SIGTERM)
  _, stderr = launcher.communicate(timeout=60)
  assert launcher.returncode == 75
  assert stderr == "stopped by SIGTERM; the same command continues\n"
  for worker_log in (tmp_path / "logs").iterdir():
    said = worker_log.read_text().splitlines()
    assert said[-1] == "stopped by SIGTERM; the same command continues"
  saved = list((tmp_path / "checkpoints").glob("*/*/*/seeds-*"))
  assert len(saved) == 2, log.read_text()


def test_readme_shows_the_workers_of_the_paper():
  text = (ROOT / "launch" / "README.md").read_text(encoding="utf-8")
  transcript = re.search(
    r"^    \$ python -m launch\.local (.*)\n((?:    .*\n)+)", text, re.MULTILINE
  )
  # On the machine that it shows.
  code = (
    "import sys; from experiments import command\n"
    "from launch import local, placement\n"
    "placement.visible_gpus = lambda: ['0', '1']\n"
    "placement.usable_cores = lambda: [0, 1]\n"
    "sys.executable = '/home/ada/emergence/.venv/bin/python'\n"
    "command.run(local.main)"
  )
  done = subprocess.run(
    [sys.executable, "-c", code, *transcript[1].split()],
    capture_output=True,
    text=True,
    cwd=ROOT,
  )
  assert done.stderr == ""
  assert done.stdout == textwrap.dedent(transcript[2])


def test_a_dry_run_prints_the_workers_and_starts_nothing(tiny_file, tmp_path):
  workdir = tmp_path / "the runs"
  code, stdout, stderr = run(
    "launch.local",
    *(f"--config={tiny_file}", f"--workdir={workdir}", "--num_workers=1"),
    *("--seeds=0-3", "--override=train.steps=9", "--keep_params=final"),
    *("--devices=1", "--dry_run"),
  )
  assert (code, stderr) == (0, "")
  assert stdout.endswith(
    f"{sys.executable} -m experiments.sweep --cooperate --config={tiny_file}"
    f" '--workdir={workdir}' --override=train.steps=9 --seeds=0-3"
    " --keep_params=final --devices=1\n"
  )
  assert not workdir.exists()


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--workdir=/x", "--num_workers=999"], "--num_workers=999: each needs a"),
    (["--workdir=/x", "--num_workers=1", "--shard=0/2"], "--shard: a launch"),
    (
      ["--workdir=/x", "--num_workers=1", "--distributed"],
      "--distributed: what a launcher starts shares nothing but the work",
    ),
    (
      ["--workdir=/x", "--num_workers=1", "--process_id=0"],
      "--process_id: what a launcher starts",
    ),
    (
      ["--workdir=gs://x/y", "--num_workers=1"],
      "not gs://x/y; use launch.tpu_vm, or experiments.sweep with --shard=I/N",
    ),
  ],
)
def test_a_mistake_is_one_line_and_code_two(tiny_file, flags, message):
  code, stdout, stderr = run("launch.local", f"--config={tiny_file}", *flags)
  assert (code, stdout) == (2, "")
  assert message in stderr
  assert stderr.startswith("error: ")
  assert stderr.count("\n") == 1


def test_a_look_at_the_records_that_fails_ends_nobody():
  # In a process of its own, as each main has its flags.
  code = """
import types
from launch import local

looks = iter([{0}, OSError("Stale file handle"), {0, 1}])

def look(workdir, cell):
  found = next(looks)
  if isinstance(found, OSError):
    raise found
  return found

local.records.recorded_seeds = look
local._SECONDS_BETWEEN_LINES = 0
request = types.SimpleNamespace(cells=["cell"], seeds=[0, 1], workdir="")
tell = local._ProgressLine(request, 2)
for num_running in (3, 2, 1):
  tell(num_running)
"""
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
  )
  assert done.stderr == ""
  assert done.stdout.splitlines() == [
    "1 of 2 seeds done, 3 workers",
    "2 of 2 seeds done, 1 workers",
  ]
