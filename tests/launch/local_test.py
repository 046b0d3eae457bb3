"""`python -m launch.local`: with real sweeps, and with scripts instead."""

import signal
import time

import pandas as pd
import pytest

from emergence.population import hardware
from tests.mains import Main, assert_one_line_error, read_transcript, run_main

# A machine with cores 0 and 1, or with two GPUs, on which workers run a script
# instead of Python.
MACHINE = """
import os, sys
from emergence.population import hardware
from launch import local
local.find_gpus = lambda: os.environ.get("GPUS", "").split()
hardware.usable_cores = lambda: os.environ.get("CORES", "0 1").split()
sys.executable = os.environ["SCRIPT"]
local.command.run(local.main)
"""


@pytest.mark.slow
@pytest.mark.skipif(
  len(hardware.usable_cores()) < 2, reason="each worker needs a core"
)
def test_a_stopped_launcher_continues(write_config, tmp_path):
  config = write_config(steps=4000, num_points=2, block=2, count=8)
  workdir = tmp_path / "the runs"
  flags = [f"--config={config}", f"--workdir={workdir}", "--num_workers=2"]
  flags.append("--checkpoint_steps=100")
  launcher = Main("launch.local", *flags)
  saved = workdir / "checkpoints"
  while len(list(saved.glob("*/*/*/seeds-*"))) < 2:
    assert launcher.is_running(), launcher.end()
    time.sleep(0.02)
  launcher.send_signal(signal.SIGINT)  # Its workers get a SIGTERM.
  code, _, stderr = launcher.end()
  then = "run the same command again to continue\n"
  assert (code, stderr) == (75, f"stopped by SIGINT; {then}")
  output = (workdir / "logs" / "shard-0-of-2.out").read_text()
  assert output.endswith(f"stopped by SIGTERM; {then}")
  code, stdout, stderr = run_main("launch.local", *flags)
  assert (code, stderr) == (0, "")
  assert "share ≥ 20%" in stdout
  assert set(pd.read_parquet(workdir / "records")["seed"]) == {*range(8)}


@pytest.fixture
def launch(tmp_path):
  """Starts a launcher whose workers run some bash."""
  script = tmp_path / "script"

  def launch(bash: str, *flags, num_workers=2, **environment):
    script.write_text(f"#!/bin/bash\n{bash}\n")
    script.chmod(0o755)
    return Main(
      *("launch.local", "--config=quickstart", f"--workdir={tmp_path}"),
      *(f"--num_workers={num_workers}", *flags),
      patch=MACHINE,
      **({"SCRIPT": str(script)} | environment),
    )

  return launch


def test_a_failure_is_told_and_the_others_end(launch, tmp_path):
  (tmp_path / "logs").mkdir()
  output = tmp_path / "logs" / "shard-0-of-2.out"
  output.write_text("earlier\n")
  code, _, stderr = launch(
    "[[ $* = *--shard=1/2* ]] && { sleep 0.5; echo done; kill -KILL $$; };"
    " echo error: no space left >&2; exit 3"
  ).end()
  assert (code, stderr) == (
    3,
    f"worker 0 ended with exit code 3; see {tmp_path}/logs\n"
    f"worker 1 ended with signal 9; see {tmp_path}/logs\n",
  )
  assert output.read_text() == "earlier\nerror: no space left\n"
  assert (tmp_path / "logs" / "shard-1-of-2.out").read_text() == "done\n"


def test_each_worker_has_as_many_devices_of_its_own(launch):
  """Cores that are over stay idle: bits depend on the number of devices."""
  five = launch("", "--dry_run", CORES="2 3 4 5 6").end()
  lines = five.stdout.splitlines()
  assert [line.split()[:3] for line in lines] == [
    ["taskset", "-c", "2,3"],
    ["taskset", "-c", "4,5"],
  ]
  assert all(line.endswith("--devices=2") for line in lines)
  result = launch("", num_workers=6).end()
  assert_one_line_error(
    result, 2, "--num_workers=6: each worker needs a core of its"
  )


def test_readme_shows_the_workers_of_the_paper():
  words, shown = read_transcript("python -m launch.local")
  _, stdout, stderr = run_main(
    *("launch.local", *words.split()),
    patch=MACHINE,
    GPUS="0 1",
    SCRIPT="/home/ada/emergence/.venv/bin/python",
  )
  assert (stderr, stdout.strip()) == ("", shown)


def test_a_bucket_is_refused():
  result = run_main(
    *("launch.local", "--config=quickstart", "--num_workers=1"),
    "--workdir=gs://x/y",
  )
  assert_one_line_error(result, 2, "use launch.tpu_vm, or experiments")
