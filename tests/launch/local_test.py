"""`python -m launch.local`: with real sweeps, and with scripts instead."""

import os
import pathlib
import re
import signal
import sys
import textwrap
import time

import pandas as pd
import pytest

from launch import placement
from tests.mains import (
  ROOT,
  Main,
  assert_one_line_error,
  run_main,
  run_sweep,
)

# A machine with cores 0 and 1, or with two GPUs, on which workers run a script
# instead of Python.
MACHINE = """
import os, sys
from launch import placement
placement.visible_gpus = lambda: os.environ.get("GPUS", "").split()
placement.usable_cores = lambda: [0, 1]
sys.executable = os.environ["SCRIPT"]
"""


@pytest.fixture(scope="module")
def tiny_file(write_config) -> pathlib.Path:
  return write_config(steps=4, num_points=2, block=2, count=8)


def wait_until(condition, launcher: Main) -> None:
  while not condition():
    assert launcher.is_running(), launcher.end()
    time.sleep(0.02)


def count_lines(output: pathlib.Path) -> int:
  return output.read_text().count("\n") if output.exists() else 0


def pids_of(*parts: str) -> list[int]:
  """The processes whose command contains some texts."""
  found = []
  for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
      command = path.read_bytes().replace(b"\0", b" ").decode()
    except (OSError, ValueError):
      continue
    if all(part in command for part in parts):
      found.append(int(path.parent.name))
  return found


def read_sorted(workdir: pathlib.Path) -> pd.DataFrame:
  return pd.read_parquet(workdir / "records").sort_values(
    ["seed", "step", "test_length"], ignore_index=True
  )


@pytest.mark.slow
@pytest.mark.skipif(
  len(placement.usable_cores()) < 2, reason="each worker needs a core"
)
def test_a_killed_worker_is_restarted_and_a_stopped_launcher_continues(
  write_config, tmp_path
):
  config = write_config(steps=8000, num_points=2, block=2, count=8)
  alone, workdir = tmp_path / "alone", tmp_path / "the runs"
  done = run_sweep(f"--config={config}", f"--workdir={alone}", "--devices=1")
  assert done.returncode == 0, done.stderr
  flags = [f"--config={config}", f"--workdir={workdir}", "--num_workers=2"]
  flags.append("--checkpoint_steps=100")
  launcher = Main("launch.local", *flags)
  saved, output = workdir / "checkpoints", workdir / "logs/shard-1-of-2.out"
  wait_until(lambda: len(list(saved.glob("*/*/*/seeds-*"))) == 2, launcher)
  (worker,) = pids_of(f"--workdir={workdir} ", "--shard=1/2")
  os.kill(worker, signal.SIGKILL)
  begins = lambda: output.read_text().count("to train, in blocks of 2")
  wait_until(lambda: begins() == 2, launcher)
  launcher.send_signal(signal.SIGTERM)
  code, stdout, stderr = launcher.end()
  assert code == 75
  killed, stopped = stderr.splitlines()
  assert re.fullmatch(
    r"worker 1 was killed by SIGKILL and is started again: .*"
    r" \(.*/shard-1-of-2\.out\)",
    killed,
  )
  assert stopped == "stopped by SIGTERM; the same command continues"
  assert "8 seeds to train by 2 workers" in stdout
  assert output.read_text().splitlines()[-1] == stopped
  code, stdout, stderr = run_main("launch.local", *flags)
  assert (code, stderr) == (0, "")
  assert "share ≥ 20%" in stdout
  assert read_sorted(workdir).equals(read_sorted(alone))


@pytest.fixture
def launch(tiny_file, tmp_path):
  """Starts a launcher whose workers run some bash; $shard is 0/N and so on."""
  script = tmp_path / "script"

  def launch(bash: str, *flags, num_workers=2, **environment):
    (tmp_path / "set_shard").write_text(
      "for word; do case $word in --shard=*) shard=${word#*=}; esac; done\n"
    )
    script.write_text(f"#!/bin/bash\n. {tmp_path}/set_shard\n{bash}\n")
    script.chmod(0o755)
    return Main(
      *("launch.local", f"--config={tiny_file}", f"--workdir={tmp_path}"),
      *(f"--num_workers={num_workers}", *flags),
      patch=MACHINE,
      **({"SCRIPT": str(script)} | environment),
    )

  return launch


def outcome(launcher: Main) -> tuple[int, str]:
  """The exit code of a launcher, and what it wrote to stderr."""
  code, _, stderr = launcher.end()
  return code, stderr


def test_a_failure_is_told_by_its_last_line_and_the_others_end(
  launch, tmp_path
):
  (tmp_path / "logs").mkdir()
  output = tmp_path / "logs" / "shard-0-of-2.out"
  output.write_text("earlier\n")
  launcher = launch(
    "[ $shard = 1/2 ] && { sleep 0.5; echo done; exit; };"
    " echo working; printf 'step 1\\rerror: no space left\\n\\n' >&2; exit 2"
  )
  assert outcome(launcher) == (
    2,
    f"worker 0 failed with exit code 2: error: no space left ({output})\n",
  )
  assert output.read_text().startswith("earlier\nworking\n")
  assert (tmp_path / "logs" / "shard-1-of-2.out").read_text() == "done\n"


def test_a_worker_that_is_killed_four_times_has_failed(launch, tmp_path):
  code, stderr = outcome(launch("echo start; kill -KILL $$", num_workers=1))
  output = tmp_path / "logs" / "shard-0-of-1.out"
  again = (
    f"worker 0 was killed by SIGKILL and is started again: start ({output})\n"
  )
  last = f"worker 0 was killed by SIGKILL at start 4: start ({output})\n"
  assert (code, stderr) == (1, again * 3 + last)
  assert output.read_text() == "start\n" * 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on_and_the_end_waited_for(launch, tmp_path, number):
  launcher = launch(
    "trap 'sleep 0.2; echo saved; exit 75' TERM; echo ready;"
    " while true; do sleep 0.05; done"
  )
  outputs = [tmp_path / "logs" / f"shard-{i}-of-2.out" for i in range(2)]
  wait_until(lambda: all(count_lines(x) for x in outputs), launcher)
  launcher.send_signal(number)
  stopped = f"stopped by {number.name}; the same command continues\n"
  assert outcome(launcher) == (75, stopped)
  for output in outputs:
    assert output.read_text() == "ready\nsaved\n"


def test_a_second_ctrl_c_reaches_workers_that_are_saving(launch, tmp_path):
  launcher = launch(
    # A shell that a Python program starts may ignore SIGINT, so not bash.
    f"exec {sys.executable} -u -c '"
    "import signal, sys, time\n"
    'signal.signal(signal.SIGTERM, lambda *_: print("saving"))\n'
    "signal.signal(signal.SIGINT, lambda *_: sys.exit(75))\n"
    'print("ready")\n'
    "while True: time.sleep(0.05)'",
    num_workers=1,
  )
  output = tmp_path / "logs" / "shard-0-of-1.out"
  for num_lines in (1, 2):
    wait_until(lambda n=num_lines: count_lines(output) == n, launcher)
    launcher.send_signal(signal.SIGINT)
  assert outcome(launcher)[0] == 75


@pytest.mark.skipif(
  not hasattr(os, "sched_setaffinity"), reason="no affinity on this system"
)
def test_each_worker_has_cores_of_its_own(launch, tmp_path):
  launch("grep Cpus_allowed_list /proc/self/status").end()
  for i in range(2):
    output = tmp_path / "logs" / f"shard-{i}-of-2.out"
    assert output.read_text().split()[-1] == str(i)


def test_each_worker_has_gpus_of_its_own(launch, tmp_path):
  launch("echo $CUDA_VISIBLE_DEVICES $*", GPUS="0 1").end()
  for i in range(2):
    gpu, *arguments = (
      (tmp_path / "logs" / f"shard-{i}-of-2.out").read_text().split()
    )
    assert gpu == str(i)
    assert not [x for x in arguments if x.startswith("--devices")]


def test_readme_shows_the_workers_of_the_paper():
  text = (ROOT / "launch" / "README.md").read_text(encoding="utf-8")
  transcript = re.search(
    r"^    \$ python -m launch\.local (.*)\n((?:    .*\n)+)", text, re.MULTILINE
  )
  _, stdout, stderr = run_main(
    *("launch.local", *transcript[1].split()),
    patch=MACHINE,
    GPUS="0 1",
    SCRIPT="/home/ada/emergence/.venv/bin/python",
  )
  assert stderr == ""
  assert stdout == textwrap.dedent(transcript[2])


def test_a_dry_run_prints_the_workers_and_starts_nothing(tiny_file, tmp_path):
  workdir = tmp_path / "the runs"
  code, stdout, stderr = run_main(
    "launch.local",
    *(f"--config={tiny_file}", f"--workdir={workdir}", "--num_workers=1"),
    *("--seeds=0-3", "--override=train.steps=9", "--keep_params=final"),
    *("--devices=1", "--dry_run"),
  )
  assert (code, stderr) == (0, "")
  assert stdout.endswith(
    f"{sys.executable} -m experiments.sweep --config={tiny_file}"
    f" '--workdir={workdir}' --override=train.steps=9 --seeds=0-3"
    " --keep_params=final --devices=1 --shard=0/1\n"
  )
  assert not workdir.exists()


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ("--workdir=/x --num_workers=999", "--num_workers=999: each needs a"),
    ("--workdir=/x --num_workers=1 --shard=0/2", "--shard: a launch"),
    ("--workdir=/x --num_workers=1 --status", "use experiments.sweep"),
    (
      "--workdir=/x --num_workers=1 --distributed",
      "--distributed: the processes of a launcher share only the work",
    ),
    ("--workdir=gs://x/y --num_workers=1", "use launch.tpu_vm, or experiments"),
  ],
)
def test_a_mistake_is_one_line_and_code_two(flags, message):
  result = run_main("launch.local", "--config=quickstart", *flags.split())
  assert_one_line_error(result, 2, message)
