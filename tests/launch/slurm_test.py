"""`python -m launch.slurm`: with commands that stand in for Slurm, and with it.

The tests marked slow start a real Slurm of one node, see slurm_node.sh.
"""

import contextlib
import glob
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import pandas as pd
import pytest

from emergence.population import processes
from tests.mains import ROOT, assert_one_line_error, overridden, run_main

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
    done = run_main(module, *overridden(flags, more))
    if code:
      assert_one_line_error(done, code)
      return done.stderr
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout

  run.workdir = tmp_path / "my run"
  return run


def test_readme_shows_the_script_of_the_paper():
  text = (ROOT / "launch" / "README.md").read_text(encoding="utf-8")
  transcript = re.search(
    r"^    \$ python -m launch\.slurm (.*)\n((?:    .*\n|\n)+)",
    text,
    re.MULTILINE,
  )
  done = run_main("launch.slurm", *transcript[1].split())
  assert done.returncode == 0, done.stderr
  shown = re.sub(r"^    ", "", transcript[2], flags=re.MULTILINE).strip()
  assert (
    shown.replace("/home/ada/emergence/.venv/bin/python", sys.executable)
    == done.stdout.strip()
  )


@pytest.fixture
def commands(tmp_path, monkeypatch):
  """Puts a script in the place of one of Slurm's commands."""
  monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

  def put(name: str, script: str) -> None:
    path = tmp_path / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)

  put("squeue", "true")
  put("sbatch", "echo '12;cluster'")
  return put


def test_a_task_for_each_group_of_blocks_is_submitted(launch, commands):
  told = launch("--time=1-0", "--gpus=2")
  assert told.startswith("submitted 4 of 4 shards as job 12\n")
  script = (launch.workdir / "slurm" / "sweep.sh").read_text()
  # Two blocks a task, for two GPUs.
  assert "#SBATCH --array=0-3\n" in script
  assert "\nshard=$SLURM_ARRAY_TASK_ID/4\n" in script
  assert "  --devices=2 \\\n" in script
  assert f"  '--workdir={launch.workdir}' \\\n" in script


def test_shards_are_cut_from_the_cells_and_seeds_asked_for(launch, commands):
  flags = (f"--cells={','.join(CELLS[:2])}", "--seeds=1-3", "--dry_run")
  commands("sbatch", "exit 1")
  script = launch(*flags)
  assert "#SBATCH --array=0-3\n" in script
  assert "  --seeds=1-3 \\\n" in script
  assert "  --devices=1 \\\n" in script
  assert "#SBATCH --array=0-1\n" in launch(*flags, "--cpus=2")
  assert "#SBATCH --array=0-2\n" in launch(*flags, "--num_shards=3")
  assert not launch.workdir.exists()


def test_gpus_whose_number_is_unknown_are_refused(launch):
  error = launch("--sbatch=--gres=gpu:2", code=2)
  assert "--sbatch asks for GPUs: use --gpus instead" in error


@pytest.mark.parametrize(
  ("name", "script", "error"),
  [
    ("squeue", "echo 'cannot reach' >&2; exit 1", "squeue: cannot reach"),
    ("sbatch", "exit 4", "sbatch: exit code 4"),
    (
      "sbatch",
      "echo 'sbatch: Invalid job array' >&2; exit 1",
      "sbatch: Invalid job array; a smaller --num_shards makes a smaller array",
    ),
  ],
)
def test_what_slurm_refuses_is_one_line(launch, commands, name, script, error):
  commands(name, script)
  assert launch(code=1) == f"error: {error}\n"


def test_without_slurm_it_is_said_where_to_go(launch, monkeypatch):
  monkeypatch.setenv("PATH", "/nowhere")
  assert "no squeue here; run this on a login node" in launch(code=1)


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
  end = time.monotonic() + 600
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


def job_of(told: str) -> str:
  return re.search(r"as job (\d+)\n", told)[1]


def kill_sweep(workdir: pathlib.Path, shard: str) -> None:
  """Kills the process that trains a shard, as when memory runs out."""
  wanted = {os.fsencode(f"--workdir={workdir}"), f"--shard={shard}".encode()}
  for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    with contextlib.suppress(OSError):
      if wanted <= set(path.read_bytes().split(b"\0")):
        os.kill(int(path.parent.name), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.usefixtures("node")
def test_a_rerun_trains_the_shards_that_were_lost_as_if_undisturbed(
  launch, tmp_path
):
  alone, workdir = tmp_path / "alone", launch.workdir
  launch(f"--workdir={alone}", "--devices=1", module="experiments.sweep")
  flags = ("--cpus=1", "--num_shards=4", "--checkpoint_steps=500")
  told = launch(*flags, "--time=1:00:00", "--setup=export ODD='a b'")
  assert told.startswith("submitted 4 of 4 shards as job ")
  job = job_of(told)
  # Each in the middle of its second group, which is its last.
  interrupt = {
    0: lambda: slurm("scontrol", "requeue", f"{job}_0"),
    1: lambda: slurm("scancel", f"{job}_1"),
    2: lambda: kill_sweep(workdir, "2/4"),
  }

  def all_interrupted() -> bool:
    for i in list(interrupt):
      # The blocks of a cell are for two shards.
      cell, seeds = CELLS[2 + i // 2], f"{i % 2 * 2:06d}-{i % 2 * 2 + 1:06d}"
      # Unlike pathlib's, this glob bears folders that go while it looks.
      if glob.glob(f"{workdir}/checkpoints/{cell}/seeds-{seeds}/*"):
        interrupt.pop(i)()
    return not interrupt

  wait_until(all_interrupted, "second groups")
  wait_until(lambda: not queued(job), "the end of the job")
  told = launch(*flags)
  assert told.startswith("submitted 2 of 4 shards as job ")
  script = (workdir / "slurm" / "sweep.sh").read_text()
  assert "#SBATCH --array=1-2\n" in script
  again = job_of(told)
  wait_until(lambda: not queued(again), "the last task")
  assert launch(*flags).startswith("nothing to submit: ")

  found, undisturbed = (
    pd.read_parquet(folder / "records").sort_values(
      ["width", "depth", "seed", "step", "test_length"], ignore_index=True
    )
    for folder in (workdir, alone)
  )
  assert len(found) == 4 * 4 * 4 * 2
  assert found.equals(undisturbed)
  logs = [workdir / "slurm" / f"task-{i}.log" for i in range(4)]
  starts = [re.findall(r"start (\d)", log.read_text()) for log in logs]
  assert starts == [["1", "2"], ["1", "1"], ["1", "1"], ["1"]]


@pytest.mark.slow
@pytest.mark.usefixtures("node")
def test_a_task_saves_before_its_time_limit_and_is_queued_again(launch):
  flags = (
    *(f"--cells={CELLS[0]}", "--num_shards=1", "--cpus=1"),
    *("--override=train.steps=100000000", "--time=2", "--stop_seconds=30"),
  )
  job = job_of(launch(*flags))
  assert launch(*flags) == (
    f"job {job} has 1 tasks queued or running\n"
    "nothing submitted; wait for their end, or scancel them\n"
  )
  log = launch.workdir / "slurm" / "task-0.log"
  wait_until(
    lambda: log.exists() and "start 2" in log.read_text(), "the second start"
  )
  assert "stopped by SIGTERM; the same command continues" in log.read_text()
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
def test_srun_says_which_gpus_are_for_a_task():
  # Short, as srun may cut long lines of one task by those of another.
  tell = (
    "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if"
    " k.startswith(('SLURM_STEP_T', 'SLURM_NODEID', 'SLURM_LOCALID',"
    " 'SLURM_PROCID', 'SLURM_GPUS_ON', 'CUDA_'))}))"
  )
  for flags, gpus in (
    ("--ntasks=1 --gres=gpu:4", [[]]),
    ("--ntasks=2 --gpus-per-task=1", [[], []]),
    ("--ntasks=2 --gres=gpu:2", [[0], [1]]),
    ("--ntasks=2 --gres=gpu:4", [[0, 1], [2, 3]]),
  ):
    told = slurm("srun", *flags.split(), sys.executable, "-c", tell)
    tasks = sorted(
      map(json.loads, told.splitlines()), key=lambda x: x["SLURM_PROCID"]
    )
    assert [processes.gpus_of_task(task) for task in tasks] == gpus
