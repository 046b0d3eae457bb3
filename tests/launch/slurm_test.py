"""`python -m launch.slurm`: the script, run by bash, and by a real Slurm.

The tests marked slow start a real Slurm of one node, see slurm_node.sh.
"""

import glob
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

from tests.mains import (
  ROOT,
  assert_one_line_error,
  overridden,
  read_transcript,
  run_main,
)
from tests.sweep_processes import FAST_COMPILE, different, records_of

NODE = ROOT / "tests" / "slurm_node.sh"

WIDTHS = (8, 16)
CELLS = [f"count/width-{width}/depth-1" for width in WIDTHS]


# Says what it was given; ends as it is told.
SRUN = """\
#!/bin/bash
shift 4  # --cpus-per-task, python, -m, experiments.sweep
printf '%s\\n' "$@"
exit $CODE
"""


def test_a_task_runs_its_shard_and_is_queued_again_if_it_was_stopped(
  launch, tmp_path, monkeypatch
):
  for name, script in {
    "sbatch": "#!/bin/bash\necho $*",
    "srun": SRUN,
    "scontrol": "#!/bin/sh\necho scontrol $*",
  }.items():
    (tmp_path / name).write_text(f"{script}\n")
    (tmp_path / name).chmod(0o755)
  monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
  override = "--override=train.learning_rate_by_width={8: 0.1}"
  told = launch(override, "--setup=echo ready", "--sbatch=--account=lab")
  path = launch.workdir / "slurm" / "sweep.sh"
  assert f"--account=lab {path}\n" in told
  environment = {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "1"}
  for code in (0, 75, 143, 1):
    done = subprocess.run(
      ["bash", path],
      capture_output=True,
      text=True,
      env=os.environ | environment | {"CODE": str(code)},
    )
    ready, _, *lines = done.stdout.splitlines()
    assert (ready, done.stderr, done.returncode) == ("ready", "", code)
    requeue = ["scontrol requeue Incomplete 12_1"] * (code in (75, 143))
    assert lines == [
      *(f"--workdir={launch.workdir}", override),
      *("--devices=1", "--shard=1/8", *requeue),
    ]


@pytest.fixture(scope="module")
def tiny_file(write_config) -> pathlib.Path:
  return write_config(steps=4000, num_points=3, block=2, count=8, widths=WIDTHS)


@pytest.fixture
def launch(tiny_file, tmp_path):
  """Runs the launcher on a directory whose name needs quotes."""
  flags = [f"--config={tiny_file}", f"--workdir={tmp_path / 'my run'}"]

  def run(*more, module="launch.slurm") -> str:
    done = run_main(module, *overridden(flags, more))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout

  run.workdir = tmp_path / "my run"
  return run


def test_readme_shows_the_script_of_the_paper():
  words, shown = read_transcript("python -m launch.slurm")
  done = run_main("launch.slurm", *words.split())
  assert done.returncode == 0, done.stderr
  python = "/home/ada/emergence/.venv/bin/python"
  assert done.stdout.strip() == shown.replace(python, sys.executable)


def test_shards_are_cut_from_the_cells_and_seeds_asked_for(launch):
  flags = (f"--cells={','.join(CELLS)}", "--seeds=1-3", "--dry_run")
  script = launch(*flags)
  assert "--array=0-3 " in script
  assert "  --seeds=1-3 \\\n" in script
  assert "  --devices=1 \\\n" in script
  assert "--array=0-1 " in launch(*flags, "--gpus=a100:2", "--cpus=9")
  assert "--array=0-2%2 " in launch(*flags, "--num_shards=3", "--max_running=2")
  words = ("--config=quickstart", "--workdir=runs", "--sbatch=--array=0-9%2")
  result = run_main("launch.slurm", *words)
  assert_one_line_error(result, 2, "give --num_shards and --max_running")
  assert not launch.workdir.exists()


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


def wait_until(
  condition: Callable[[], object], what: str, period: float = 0.05
) -> None:
  end = time.monotonic() + 600
  while not condition():
    assert time.monotonic() < end, f"waited in vain for {what}"
    time.sleep(period)


def slurm(*arguments: str) -> str:
  return subprocess.run(
    arguments, check=True, capture_output=True, text=True
  ).stdout


def queued(job: str) -> bool:
  """Whether tasks of a job are in the queue."""
  return job in slurm("squeue", "-h", "-r", "-o", "%F").split()


def wait_for_end(job: str) -> None:
  # Each look is a process and a request to the daemon that is waited for.
  wait_until(lambda: not queued(job), f"the end of job {job}", period=0.5)


def job_of(told: str) -> str:
  return re.search(r"Submitted batch job (\d+)\n", told)[1]


@pytest.mark.slow
@pytest.mark.usefixtures("node")
def test_a_rerun_trains_the_shards_that_were_lost_as_if_undisturbed(
  launch, tmp_path
):
  alone, workdir = tmp_path / "alone", launch.workdir
  seeds = "--seeds=0-3"
  launch(
    *(f"--workdir={alone}", "--devices=1", seeds), module="experiments.sweep"
  )
  flags = ("--num_shards=2", "--checkpoint_steps=250", seeds)
  told = launch(*flags, "--time=1:00:00", "--setup=export ODD='a b'")
  assert "\nsubmitted 2 of 2 shards\n" in told
  job = job_of(told)
  # Each in the middle of its second group, which is its last.
  interrupt = {
    0: lambda: slurm("scontrol", "requeue", f"{job}_0"),
    1: lambda: slurm("scancel", f"{job}_1"),
  }

  def all_interrupted() -> bool:
    for i in list(interrupt):
      # Each shard has a block of each cell.
      seeds = f"{2 * i:06d}-{2 * i + 1:06d}"
      # Unlike pathlib's, this glob bears folders that go while it looks.
      if glob.glob(f"{workdir}/checkpoints/{CELLS[1]}/seeds-{seeds}/*"):
        interrupt.pop(i)()
    return not interrupt

  wait_until(all_interrupted, "second groups")
  wait_for_end(job)
  told = launch(*flags)
  assert "\nsubmitted 1 of 2 shards\n" in told
  again = job_of(told)
  wait_for_end(again)
  assert launch(*flags).startswith("nothing to submit: ")

  assert different(workdir, records_of(alone)) == []
  assert len(records_of(workdir)) == 4
  logs = [(workdir / "slurm" / f"task-{i}.log").read_text() for i in range(2)]
  assert [log.count("to train, in blocks") for log in logs] == [2, 2]


@pytest.mark.slow
@pytest.mark.usefixtures("node")
def test_a_task_saves_before_its_time_limit_and_is_queued_again(launch):
  flags = (
    *(f"--cells={CELLS[0]}", "--num_shards=1", "--time=2"),
    *("--override=train.steps=100000000", "--sbatch=--signal=TERM@30"),
  )
  job = job_of(launch(*flags))
  log = launch.workdir / "slurm" / "task-0.log"
  starts = lambda: log.exists() and log.read_text().count("to train, in")
  wait_until(lambda: starts() == 2, "the second start")
  assert "stopped by SIGTERM; run the same command again" in log.read_text()
  slurm("scancel", job)
  wait_for_end(job)
  assert starts() == 2


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
    env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": FAST_COMPILE},
    timeout=240,
  )
  assert done.returncode == 0, done.stderr
  # The first process speaks for both.
  assert done.stdout.count("8 seeds in 1 cells to train") == 1
  assert "on 2 × cpu" in done.stdout
  assert set(pd.read_parquet(tmp_path / "records")["seed"]) == {*range(8)}
  assert len(list((tmp_path / "runs").iterdir())) == 1
