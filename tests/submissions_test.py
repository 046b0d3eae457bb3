"""What is submitted, with commands of Slurm that note how they are called."""

import json
import os

import pytest
from etils import epath

from emergence.config import Cell
from launch import submissions
from launch.array import Task

TASKS = [
  Task(Cell.parse("count/width-8/depth-1"), [0, 1]),
  Task(Cell.parse("count/width-8/depth-2"), [4]),
]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
  """Sets what a command of Slurm does; returns the calls so far."""
  folder = tmp_path / "bin"
  folder.mkdir()
  monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
  calls = folder / "calls"

  def command(name: str, script: str) -> None:
    path = folder / name
    path.write_text(f'#!/bin/bash\necho "$0 $*" >> {calls}\n{script}\n')
    path.chmod(0o755)

  def called() -> list[str]:
    text = calls.read_text() if calls.exists() else ""
    return text.replace(f"{folder}/", "").splitlines()

  command.called = called
  return command


@pytest.fixture
def workdir(tmp_path) -> epath.Path:
  return epath.Path(tmp_path / "my runs")


def submit(workdir, number=1):
  return submissions.submit(workdir, number, TASKS, "#!/bin/bash\n")


def test_what_is_submitted_is_remembered(slurm, workdir):
  slurm("sbatch", "echo '12;cluster'")
  first = submit(workdir)
  second = submit(workdir, submissions.next_number([first]))
  assert (first.number, first.job, first.tasks) == (1, "12", TASKS)
  assert submissions.read(workdir) == [first, second]
  assert slurm.called() == [
    f"sbatch --parsable {workdir}/slurm/{number:04d}.sh" for number in (1, 2)
  ]
  assert (workdir / "slurm/0001.sh").read_text() == "#!/bin/bash\n"
  assert str(first.log(workdir, 1)) == f"{workdir}/slurm/0001-1.log"


def test_the_file_is_there_before_the_job_is(slurm, workdir):
  """So that a job whose launcher was killed is found by its name."""
  path = workdir / "slurm/0001.json"
  slurm("sbatch", f"cp '{path}' '{path}.then'; echo 12")
  submission = submit(workdir)
  then = json.loads((workdir / "slurm/0001.json.then").read_text())
  assert then["name"] == submission.name
  assert then["job"] is None
  assert len(then["tasks"]) == 2


def test_names_tell_directories_apart(workdir, tmp_path):
  other = epath.Path(tmp_path / "other" / "my runs")
  names = [
    submissions.name_of(*x) for x in [(workdir, 1), (workdir, 2), (other, 1)]
  ]
  assert len(set(names)) == 3
  assert all(name.startswith("my-runs-") for name in names)


@pytest.mark.parametrize(
  ("script", "message"),
  [
    (
      "echo 'sbatch: error: invalid partition' >&2; exit 1",
      "^sbatch: error: invalid partition$",
    ),
    (
      "echo 'sbatch: error: Invalid job array specification' >&2; exit 1",
      "specification; 2 tasks, see --blocks_per_task",
    ),
    ("exit 4", "sbatch: exit code 4"),
  ],
)
def test_what_sbatch_refuses_leaves_nothing(slurm, workdir, script, message):
  slurm("sbatch", script)
  with pytest.raises(OSError, match=message):
    submit(workdir)
  assert list((workdir / "slurm").iterdir()) == []
  assert submissions.read(workdir) == []


def test_without_slurm_it_is_said_where_to_go(workdir, monkeypatch):
  monkeypatch.setenv("PATH", "/nowhere")
  with pytest.raises(OSError, match="no sbatch here; run this on a machine of"):
    submit(workdir)
  assert submissions.read(workdir) == []


def test_an_sbatch_that_cannot_be_run_has_submitted_nothing(
  tmp_path, workdir, monkeypatch
):
  (tmp_path / "sbatch").touch(mode=0o600)
  monkeypatch.setenv("PATH", str(tmp_path))
  with pytest.raises(OSError, match="sbatch cannot be run: Permission denied"):
    submit(workdir)
  assert submissions.read(workdir) == []


def test_of_two_at_once_one_is_refused(slurm, workdir):
  slurm("sbatch", "echo 12")
  submit(workdir)
  with pytest.raises(OSError, match=r"0001\.json was written just now"):
    submit(workdir)
  assert len(slurm.called()) == 1


def test_the_queue_is_asked_by_name_and_tells_who_runs(slurm, workdir):
  slurm("sbatch", "echo 12")
  submitted = [submit(workdir, number) for number in (1, 2)]
  first, second = (s.name for s in submitted)
  lines = [
    f"{first}|0|RUNNING",
    f"{first}|1|PENDING",
    f"{second}|1|COMPLETING",
    f"{second}|0|REQUEUE_HOLD",
    "other|3|RUNNING",
    "",
  ]
  slurm("squeue", _print(lines))
  assert submissions.queue(submitted) == {
    (1, 0): True,
    (1, 1): False,
    (2, 1): True,
    (2, 0): False,
  }
  assert f"--name={first},{second}" in slurm.called()[-1]


def _print(lines: list[str]) -> str:
  return "\n".join(f"echo '{line}'" for line in lines)


def test_where_nothing_was_submitted_nobody_is_asked(slurm):
  slurm("squeue", "exit 1")
  assert submissions.queue([]) == {}
  assert slurm.called() == []


def test_a_queue_that_does_not_answer_is_an_error(slurm, workdir):
  slurm("sbatch", "echo 12")
  slurm("squeue", "echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1")
  with pytest.raises(OSError, match="squeue: slurm_load_jobs error: Unable"):
    submissions.queue([submit(workdir)])


def test_accounting_tells_how_tasks_ended_where_there_is_any(slurm):
  slurm("sacct", _print(["12_0|TIMEOUT", "12_1|CANCELLED by 7"]))
  assert submissions.accounting(["12"]) == {
    "12_0": "TIMEOUT",
    "12_1": "CANCELLED by 7",
  }
  slurm("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
  assert submissions.accounting(["12"]) == {}


def test_a_damaged_file_is_named(workdir):
  path = workdir / "slurm" / "0003.json"
  path.parent.mkdir(parents=True)
  path.write_text('{"tasks": [')
  with pytest.raises(ValueError, match=r"0003\.json does not say what was"):
    submissions.read(workdir)
