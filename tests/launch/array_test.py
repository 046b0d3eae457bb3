"""The script of a Slurm job array, run by bash without Slurm."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from launch import array
from launch.array import Resources

# Says what it was given; saves when it is told to stop; ends as it is told.
SWEEP = """
import os, signal, sys, time
def stop(number, frame):
  signal.signal(number, signal.SIG_IGN)
  print("saved", flush=True)
  sys.exit(75)
signal.signal(signal.SIGTERM, stop)
for argument in sys.argv[1:]:
  print(argument, flush=True)
while os.environ.get("WAIT"): time.sleep(0.01)
sys.exit(int(os.environ["CODE"]))
"""


@pytest.mark.parametrize(
  ("time", "seconds"),
  [
    ("90", 90 * 60),
    ("90:30", 90 * 60 + 30),
    ("1:30:00", 90 * 60),
    ("2-12", 60 * 3600),
    ("2-12:30", 60 * 3600 + 30 * 60),
    ("0-00:00:10", 10),
  ],
)
def test_a_time_limit_reads_as_slurm_reads_it(time, seconds):
  assert array.seconds_of(time) == seconds


@pytest.mark.parametrize(
  ("resources", "message"),
  [
    (Resources(time="2h"), "--time reads like 90 .* got '2h'"),
    (Resources(time="1-2-3"), "--time reads like"),
    (Resources(time="1:2:3:4"), "--time reads like"),
    (Resources(time="2"), "--time=2 leaves no time to train: .* stops 120 s"),
    (Resources(gpus="two"), "--gpus reads like 2 or a100:2, got 'two'"),
    (Resources(options=["-A lab"]), "--sbatch reads like .* got '-A lab'"),
    (Resources(options=["--array=0-9"]), "--array is set by launch.slurm"),
    (Resources(options=["--qos=a\nrm"]), "--sbatch reads like"),
    (Resources(options=["--arr=0-9"]), "--arr is set by launch.slurm"),
    (Resources(options=["--cpus-per-tas=8"]), "use --cpus instead of --cpus-"),
  ],
)
def test_what_a_task_would_fail_with_is_refused(resources, message):
  with pytest.raises(ValueError, match=message):
    array.check(resources)


@pytest.mark.parametrize(
  ("resources", "num"),
  [
    (Resources(), 1),
    (Resources(cpus=3), 3),
    (Resources(gpus="2", cpus=8), 2),
    (Resources(gpus="a100:4", options=["--gpus-per-node=2"]), 4),
    (
      Resources(
        cpus=3, options=["--mem=8G", "--gres=nvme:1", "--constraint=gpu"]
      ),
      3,
    ),
    (Resources(options=["--gpus-per-node=2"]), None),
    (Resources(options=["--qos=high", "--gres=nvme:1,gpu:a100:2"]), None),
    (Resources(options=["--gres=shard:1"]), None),
    (Resources(options=["--tres-per-task=gres/gpu=1"]), None),
  ],
)
def test_a_task_has_as_many_devices_as_gpus_or_else_cores(resources, num):
  assert array.num_devices(resources) == num


DEFAULT = Resources()


def script(
  resources=DEFAULT, shards=(0, 1), arguments=("sweep",), log="/x/task"
) -> str:
  return array.script("name", shards, 9, arguments, log, resources)


def options_of(script: str) -> list[str]:
  return re.findall(r"^#SBATCH (.*)$", script, re.MULTILINE)


def test_the_options_are_those_asked_for_and_no_others():
  assert options_of(script(log="/runs/slurm/task")) == [
    "--job-name=name",
    "--array=0-1",
    "--output=/runs/slurm/task-%a.log",
    "--open-mode=append",
    "--requeue",
    "--signal=B:TERM@120",
    "--nodes=1",
    "--ntasks=1",
  ]
  resources = Resources(
    "a,b", "2-12", "a100:2", 4, "16G", 7, 300, ['--comment=it\'s "so"'], ["x y"]
  )
  array.check(resources)
  text = script(resources, shards=[0, 3, 4, 5])
  assert set(options_of(text)) >= {
    "--array=0,3-5%7",
    "--signal=B:TERM@300",
    "--partition=a,b",
    "--time=2-12",
    "--gpus=a100:2",
    "--cpus-per-task=4",
    "--mem=16G",
    '"--comment=it\'s \\"so\\""',
  }
  assert "\nx y\n[ " in text


def test_a_log_that_slurm_would_name_otherwise_is_quoted_or_refused():
  text = script(log="/my runs/50%/task")
  assert '"--output=/my runs/50%%/task-%a.log"' in options_of(text)
  with pytest.raises(ValueError, match="Slurm cannot write a log to"):
    script(log="/back\\slash/task")


@pytest.fixture
def run(tmp_path, monkeypatch):
  """Starts the script as task 1 of job 12, with scontrol only noted."""
  (tmp_path / "sweep.py").write_text(SWEEP)
  scontrol = tmp_path / "scontrol"
  scontrol.write_text("#!/bin/sh\necho scontrol $*\n")
  scontrol.chmod(0o755)
  environment = os.environ | {
    "PATH": f"{tmp_path}:{os.environ['PATH']}",
    "SLURM_ARRAY_JOB_ID": "12",
    "SLURM_ARRAY_TASK_ID": "1",
  }

  def start(*arguments, setup=(), **more) -> subprocess.Popen:
    command = [sys.executable, str(tmp_path / "sweep.py"), *arguments]
    path = tmp_path / "script.sh"
    path.write_text(script(Resources(setup=setup), arguments=command))
    return subprocess.Popen(
      ["bash", str(path)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      env=environment | more,
    )

  return start


def test_a_task_runs_its_shard_with_every_character_kept(run):
  odd = ['--workdir=/my $HOME/it\'s `x` "y" \\z', "--override={8: 0.1}", "--ü"]
  process = run(*odd, setup=["echo prepared", "export CODE=0"])
  output, _ = process.communicate(timeout=30)
  first, *lines = output.splitlines()
  assert re.search(r" 12_1 on \S+, start 1: shard 1/9$", first)
  assert lines == ["prepared", *odd, "--shard=1/9"]
  assert process.returncode == 0


@pytest.mark.parametrize(
  ("code", "is_requeued"), [(75, True), (143, True), (1, False)]
)
def test_a_task_is_queued_again_if_it_was_stopped(run, code, is_requeued):
  process = run(CODE=str(code), setup=["set -euo pipefail"])
  output, _ = process.communicate(timeout=30)
  assert ("scontrol requeue Incomplete 12_1" in output) == is_requeued
  assert process.returncode == code


def test_a_signal_to_the_script_alone_has_the_sweep_save_first(run):
  process = run(WAIT="yes")
  while "--shard" not in (line := process.stdout.readline()):
    assert line
  for _ in range(3):  # Slurm may repeat it.
    process.send_signal(signal.SIGTERM)
  output, _ = process.communicate(timeout=30)
  assert output.splitlines() == ["saved", "scontrol requeue Incomplete 12_1"]
  assert process.returncode == 75


def test_a_signal_before_the_sweep_begins_is_no_failure(run, tmp_path):
  begun = tmp_path / "begun"
  process = run(CODE="0", setup=[f"touch '{begun}'", "cat"])
  while not begun.exists():
    assert process.poll() is None
    time.sleep(0.01)
  process.send_signal(signal.SIGTERM)
  process.stdin.close()
  output = process.stdout.read()
  process.stdout.close()
  assert process.wait(timeout=30) == 143
  assert output.splitlines()[1:] == ["scontrol requeue Incomplete 12_1"]
