"""What was submitted to Slurm for a work directory, and what has become of it.

`slurm/0001.json` in the work directory says what each task of the first array
is, `slurm/0001.sh` is its script, and `slurm/0001-3.log` what its task 3 wrote.
A file is written before sbatch is called, so that no job is ever forgotten.
"""

import hashlib
import json
import os
import pathlib
import re
import subprocess
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from etils import epath

from emergence.config import Cell
from emergence.records import write_atomically
from launch.array import Task

_SECONDS_TO_ANSWER = 120
_WAITING = (
  "PENDING",
  "REQUEUED",
  "REQUEUE_FED",
  "REQUEUE_HOLD",
  "SPECIAL_EXIT",
)


class Submission(NamedTuple):
  """A job array.

  Attributes:
    number: counts from 1 in a work directory.
    name: of the job; no other work directory has it.
    job: Slurm's number of it; None where it was not heard.
    tasks: of the array, in the order of their indices.
  """

  number: int
  name: str
  job: str | None
  tasks: list[Task]

  def log(self, workdir: epath.Path, index: int) -> pathlib.Path:
    """Where a task writes."""
    return pathlib.Path(f"{stem(workdir, self.number)}-{index}.log")


def stem(workdir: epath.Path, number: int) -> str:
  """The start of the paths of all files of a submission."""
  return os.path.abspath(os.path.join(workdir, "slurm", f"{number:04d}"))


def name_of(workdir: epath.Path, number: int) -> str:
  """The name of a job: its work directory, a hash of the path, a number."""
  path = os.path.abspath(workdir)
  short = re.sub(r"[^A-Za-z0-9._]+", "-", os.path.basename(path))[:40]
  digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:6]
  return f"{short}-{digest}-{number:04d}"


def read(workdir: epath.Path) -> list[Submission]:
  """All submissions of a work directory, the first one first.

  Raises:
    ValueError: a file cannot be read.
  """
  found = []
  for path in sorted(pathlib.Path(workdir, "slurm").glob("[0-9]*.json")):
    try:
      content = json.loads(path.read_text())
      tasks = [
        Task(Cell.parse(task["cell"]), [int(seed) for seed in task["seeds"]])
        for task in content["tasks"]
      ]
      found.append(
        Submission(int(path.stem), content["name"], content["job"], tasks)
      )
    except (OSError, KeyError, TypeError, ValueError) as error:
      raise ValueError(
        f"{path} does not say what was submitted; delete it, and its tasks"
        f" count as never submitted: {error}"
      ) from error
  return found


def next_number(submissions: Sequence[Submission]) -> int:
  """The number of the submission that comes after these."""
  return submissions[-1].number + 1 if submissions else 1


def submit(
  workdir: epath.Path, number: int, tasks: list[Task], script: str
) -> Submission:
  """Hands a script to sbatch.

  Args:
    workdir: the work directory.
    number: of the submission.
    tasks: of the array.
    script: whose name is `name_of` that number.

  Raises:
    OSError: there is no sbatch, it refuses, or the file system does.
  """
  submission = Submission(number, name_of(workdir, number), None, tasks)
  path = pathlib.Path(f"{stem(workdir, number)}.json")
  script_path = path.with_suffix(".sh")
  path.parent.mkdir(parents=True, exist_ok=True)
  try:
    # Of two that submit at the same time one is too late.
    with path.open("x") as file:
      file.write(_to_json(submission))
  except FileExistsError:
    raise OSError(f"{path} was written just now; look with --status") from None
  try:
    script_path.write_text(script)
    answer = _call(["sbatch", "--parsable", str(script_path)])
  except _RefusedError as error:
    path.unlink(missing_ok=True)
    script_path.unlink(missing_ok=True)
    hint = ""
    if "array" in str(error):
      hint = f"; {len(tasks)} tasks, see --blocks_per_task"
    raise OSError(f"{error}{hint}") from None
  # With several clusters, that of the job follows.
  submission = submission._replace(job=answer.strip().split(";")[0])
  write_atomically(epath.Path(path), _to_json(submission).encode())
  return submission


def queue(submissions: Sequence[Submission]) -> dict[tuple[int, int], bool]:
  """Which tasks Slurm has in its queue, and whether they run.

  Returns:
    By number of the submission and index of the task, whether it runs already.

  Raises:
    OSError: Slurm does not answer.
  """
  if not submissions:
    return {}
  numbers = {submission.name: submission.number for submission in submissions}
  answer = _call(
    [
      *("squeue", "--array", "--noheader", "--format=%j|%K|%T"),
      f"--name={','.join(numbers)}",
    ]
  )
  found = {}
  for line in answer.splitlines():
    name, index, state = (*line.strip().split("|"), "", "")[:3]
    if name in numbers and index.isdecimal():
      found[numbers[name], int(index)] = state not in _WAITING
  return found


def accounting(jobs: Iterable[str]) -> dict[str, str]:
  """How tasks ended, such as `TIMEOUT`, by `12_3`; {} without accounting."""
  try:
    answer = _call(
      [
        *("sacct", "--allocations", "--noheader", "--parsable2"),
        *("--format=JobID,State", f"--jobs={','.join(jobs)}"),
      ]
    )
  except OSError:
    return {}
  pairs = (line.split("|") for line in answer.splitlines())
  return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


class _RefusedError(OSError):
  """A command of Slurm ended with an error, or is not there."""


def _call(arguments: Sequence[str]) -> str:
  """What a command of Slurm prints."""
  name = arguments[0]
  try:
    done = subprocess.run(
      arguments, capture_output=True, text=True, timeout=_SECONDS_TO_ANSWER
    )
  except FileNotFoundError:
    raise _RefusedError(
      f"there is no {name} here; run this on a machine of the cluster from"
      " which jobs are submitted"
    ) from None
  except OSError as error:
    raise _RefusedError(f"{name} cannot be run: {error.strerror}") from None
  except subprocess.TimeoutExpired:
    raise OSError(
      f"{name} has not answered for {_SECONDS_TO_ANSWER} s; try again later"
    ) from None
  if done.returncode:
    said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
    raise _RefusedError(said if name in said else f"{name}: {said}")
  return done.stdout


def _to_json(submission: Submission) -> str:
  content = {
    "name": submission.name,
    "job": submission.job,
    "tasks": [
      {"cell": str(task.cell), "seeds": task.seeds} for task in submission.tasks
    ],
  }
  return json.dumps(content)
