"""`python -m launch.slurm`: with commands that stand in for Slurm, and with it.

The tests marked slow start a real Slurm of one node, see slurm_node.sh.
"""

import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import pandas as pd
import pytest

from emergence import processes

ROOT = pathlib.Path(__file__).parents[1]
NODE = ROOT / "tests" / "slurm_node.sh"

WIDTHS = (4, 8, 12, 16)
CELLS = [f"count/width-{width}/depth-1" for width in WIDTHS]


@pytest.fixture(scope="module")
def tiny_file(write_config) -> pathlib.Path:
  return write_config(steps=8000, num_points=3, block=2, count=4, widths=WIDTHS)


@pytest.fixture
def launch(tiny_file, tmp_path):
  """Runs the launcher on a directory whose name needs quotes."""
  flags = [f"--config={tiny_file}", f"--workdir={tmp_path / 'my run'}"]

  def run(*more, code=0, module="launch.slurm") -> str:
    done = subprocess.run(
      [sys.executable, "-m", module, *flags, *more],
      capture_output=True,
      text=True,
      cwd=ROOT,
      env=os.environ | {"JAX_PLATFORMS": "cpu"},
      timeout=300,
    )
    assert done.returncode == code, done.stderr
    if code:
      assert done.stderr.startswith("error: ")
      assert done.stderr.count("\n") == 1
      return done.stderr
    assert done.stderr == ""
    return done.stdout

  run.workdir = tmp_path / "my run"
  return run


def test_readme_shows_the_script_of_the_paper(tmp_path):
  text = (ROOT / "launch" / "README.md").read_text(encoding="utf-8")
  transcript = re.search(
    r"^    \$ python -m launch\.slurm (.*)\n((?:    .*\n|\n)+)",
    text,
    re.MULTILINE,
  )
  done = subprocess.run(
    [sys.executable, "-m", "launch.slurm", *transcript[1].split()],
    capture_output=True,
    text=True,
    cwd=ROOT,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
  )
  assert done.returncode == 0, done.stderr
  shown = re.sub(r"^    ", "", transcript[2], flags=re.MULTILINE).strip()
  assert (
    shown.replace("/home/ada/emergence/.venv/bin/python", sys.executable)
    == done.stdout.strip()
  )


def put_command(folder: pathlib.Path, name: str, script: str) -> None:
  path = folder / name
  path.write_text(f"#!/bin/bash\n{script}\n")
  path.chmod(0o755)


def test_a_rerun_submits_what_is_missing_and_not_queued(
  launch, tmp_path, monkeypatch
):
  monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
  put_command(tmp_path, "sbatch", "echo 12")
  told = launch("--cells=" + ",".join(CELLS[:2]), "--time=1-0", "--gpus=2")
  assert "submitted 8 seeds in 2 cells as job 12, an array of 2 tasks" in told
  script = (launch.workdir / "slurm" / "0001.sh").read_text()
  assert "--devices" not in script
  assert script.count(" 0-3'\n") == 2  # Two blocks a task, for two GPUs.
  assert f"'--workdir={launch.workdir}'" in script
  name = json.loads((launch.workdir / "slurm" / "0001.json").read_text())[
    "name"
  ]

  put_command(tmp_path, "squeue", f"echo '{name}|1|PENDING'")
  put_command(tmp_path, "sacct", "echo '12_0|OUT_OF_MEMORY'")
  (launch.workdir / "slurm" / "0001-0.log").write_text("oom-kill event\n")
  table = tmp_path / "table.json"
  told = launch("--status", f"--json={table}")
  rows = {row["cell"]: row for row in json.loads(table.read_text())}
  assert [rows[cell]["failed"] for cell in CELLS] == [4, 0, 0, 0]
  assert [rows[cell]["waiting"] for cell in CELLS] == [0, 4, 0, 0]
  assert [rows[cell]["not_submitted"] for cell in CELLS] == [0, 0, 4, 4]
  assert (
    f"failed: {CELLS[0]} seeds 0-3, task 12_0 (OUT_OF_MEMORY): oom-kill"
    in (told)
  )
  assert "the same command without --status submits 12 seeds" in told

  put_command(tmp_path, "sbatch", "exit 1")
  script = launch("--dry_run", "--seeds=1-3", "--cpus=3")
  assert re.findall(r"^  '(count.*)'$", script, re.MULTILINE) == [
    f"{cell} 1-3" for cell in (CELLS[0], *CELLS[2:])
  ]
  assert "--devices=3" in script
  script = launch("--dry_run", "--seeds=1-3")
  assert "--devices=1" in script
  assert "--seeds=1-3" not in script
  put_command(tmp_path, "squeue", "echo 'cannot reach' >&2; exit 1")
  assert launch(code=1) == "error: squeue: cannot reach\n"


@pytest.fixture(scope="module")
def node():
  """A real Slurm; on CI its absence is a failure and no skip."""
  missing = [
    name
    for name in ("slurmctld", "slurmd", "munged")
    if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
  ]
  reason = ""
  if os.geteuid():
    reason = "only root can start Slurm's daemons"
  elif missing:
    reason = f"no {', '.join(missing)} here, see {NODE} install"
  if reason:
    if os.environ.get("CI"):
      pytest.fail(reason)
    pytest.skip(reason)
  # Not in pytest's folder, whose name is too long for a socket.
  folder = tempfile.mkdtemp(prefix="slurm-", dir="/tmp")
  started = subprocess.run(
    [NODE, "start", folder], capture_output=True, text=True
  )
  try:
    assert started.returncode == 0, started.stderr
    with pytest.MonkeyPatch.context() as patch:
      patch.setenv("SLURM_CONF", started.stdout.strip())
      yield
  finally:
    subprocess.run([NODE, "stop", folder], check=True)
    shutil.rmtree(folder)


def wait_until(condition: Callable[[], object], what: str) -> None:
  end = time.monotonic() + 240
  while not condition():
    assert time.monotonic() < end, f"waited in vain for {what}"
    time.sleep(0.05)


def slurm(*arguments: str) -> str:
  return subprocess.run(
    arguments, check=True, capture_output=True, text=True
  ).stdout


def queued(job: str) -> dict[str, str]:
  """The tasks of a job that are in the queue, and the state of each."""
  lines = slurm("squeue", "-h", "-r", "-o", "%F %K %T").splitlines()
  words = (line.split() for line in lines)
  return {index: state for found, index, state in words if found == job}


@pytest.mark.slow
@pytest.mark.usefixtures("node")
def test_tasks_requeued_cancelled_and_submitted_again_end_as_undisturbed(
  launch, tmp_path
):
  workdir = launch.workdir
  launch(
    f"--workdir={tmp_path / 'alone'}",
    f"--cells={CELLS[0]},{CELLS[1]}",
    "--devices=1",
    module="experiments.sweep",
  )

  flags = ("--cpus=1", "--blocks_per_task=2")
  told = launch(
    *(*flags, "--checkpoint_steps=500", "--time=1:00:00"),
    "--setup=export ODD='a b'",
  )
  job = re.search(r"as job (\d+), an array of 4 tasks", told)[1]
  # Each in the middle, when its second block has been saved.
  interrupt = {
    0: lambda: slurm("scontrol", "requeue", f"{job}_0"),
    1: lambda: slurm("scancel", f"{job}_1"),
  }

  def all_interrupted() -> bool:
    for i in list(interrupt):
      saved = workdir / "checkpoints" / CELLS[i] / "seeds-000002-000003"
      # Unlike pathlib's, this glob bears folders that go while it looks.
      if glob.glob(f"{saved}/*/*.safetensors"):
        interrupt.pop(i)()
    return not interrupt

  wait_until(all_interrupted, "second blocks")
  wait_until(lambda: "1" not in queued(job), "the end of the cancelled task")

  table = tmp_path / "table.json"
  told = launch("--status", f"--json={table}")
  requeued, cancelled, *_ = json.loads(table.read_text())
  assert requeued["failed"] == requeued["not_submitted"] == 0
  assert (cancelled["done"], cancelled["failed"]) == (2, 2)
  assert f"failed: {CELLS[1]} seeds 2-3, task {job}_1: " in told
  told = launch(*flags)
  assert "submitted 2 seeds in 1 cells as job" in told
  again = re.search(r"as job (\d+), an array of 1 tasks", told)[1]
  wait_until(lambda: not queued(job) and not queued(again), "the last task")

  rows = [line.split() for line in launch("--status").splitlines()]
  assert rows[1:] == [[cell, *"4 4 0 0 0 0".split()] for cell in CELLS]
  assert launch(*flags).startswith("nothing to submit\n")
  found, undisturbed = (
    pd.read_parquet(folder / "records").sort_values(
      ["width", "depth", "seed", "step", "test_length"], ignore_index=True
    )
    for folder in (workdir, tmp_path / "alone")
  )
  assert len(found) == 4 * 4 * 4 * 2
  disturbed = found[found["width"].isin([4, 8])].reset_index(drop=True)
  assert disturbed.equals(undisturbed)

  logs = {
    path.name: path.read_text() for path in (workdir / "slurm").glob("*.log")
  }
  assert set(logs) == {f"0001-{i}.log" for i in range(4)} | {"0002-0.log"}
  assert re.findall(r"start (\d)", logs["0001-0.log"]) == ["1", "2"]
  assert re.findall(r"start (\d)", logs["0001-1.log"]) == ["1"]
  assert (workdir / "log").read_text().count("go on from step") >= 2


@pytest.mark.slow
@pytest.mark.usefixtures("node")
def test_a_task_that_is_told_of_its_time_limit_is_queued_again(launch):
  flags = [f"--cells={CELLS[0]}", "--cpus=1", "--blocks_per_task=2"]
  told = launch(*flags, "--override=train.steps=4000000")
  job = re.search(r"as job (\d+),", told)[1]
  log = launch.workdir / "slurm" / "0001-0.log"
  wait_until(
    lambda: list((launch.workdir / "claims").rglob("block-*")), "training"
  )
  # As Slurm does it before a limit, which it looks at twice a minute.
  slurm("scancel", "--signal=TERM", "--batch", f"{job}_0")
  wait_until(lambda: "start 2" in log.read_text(), "the second start")
  slurm("scancel", job)
  wait_until(lambda: not queued(job), "the end of the cancelled job")
  assert log.read_text().count("start ") == 2


@pytest.mark.slow
@pytest.mark.usefixtures("node")
def test_srun_starts_one_population(tiny_file, tmp_path):
  done = subprocess.run(
    [
      *("srun", "--ntasks=2", sys.executable, "-m", "experiments.sweep"),
      *(f"--config={tiny_file}", f"--workdir={tmp_path}", "--distributed"),
      *(f"--cells={CELLS[0]}", "--override=train.steps=400"),
    ],
    capture_output=True,
    text=True,
    cwd=ROOT,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    timeout=240,
  )
  assert done.returncode == 0, done.stderr
  # The first process speaks for both.
  assert done.stdout.count("4 seeds in 1 cells to train") == 1
  assert "on 2 × cpu" in done.stdout
  assert set(pd.read_parquet(tmp_path / "records")["seed"]) == {0, 1, 2, 3}
  assert len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
  ("flags", "gpus"),
  [
    (["--ntasks=1", "--gres=gpu:4"], [[]]),
    (["--ntasks=2", "--gpus-per-task=1"], [[], []]),
    (["--ntasks=2", "--gpus-per-task=2"], [[], []]),
    (["--ntasks=2", "--gres=gpu:2"], [[0], [1]]),
    (["--ntasks=2", "--gres=gpu:4"], [[0, 1], [2, 3]]),
  ],
)
def test_srun_says_which_gpus_are_for_a_task(flags, gpus):
  # Short, as srun may cut long lines of one task by those of another.
  tell = (
    "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if"
    " k.startswith(('SLURM_STEP_T', 'SLURM_NODEID', 'SLURM_LOCALID',"
    " 'SLURM_PROCID', 'SLURM_GPUS_ON', 'CUDA_'))}))"
  )
  lines = slurm("srun", *flags, sys.executable, "-c", tell).splitlines()
  tasks = sorted(map(json.loads, lines), key=lambda x: x["SLURM_PROCID"])
  assert [processes.gpus_of_task(task) for task in tasks] == gpus


@pytest.mark.slow
@pytest.mark.usefixtures("node")
def test_what_slurm_refuses_is_one_line(launch):
  error = launch("--partition=elsewhere", code=1)
  assert "invalid partition specified: elsewhere" in error
  error = launch("--sbatch=--no-such-option", code=1)
  assert "--no-such-option" in error
