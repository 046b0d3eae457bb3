"""Where the seeds of a sweep under Slurm stand, and which tasks were lost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from etils import epath

from emergence import records
from emergence.backlog import Work, cut_blocks
from emergence.config import Cell
from emergence.console import align
from launch import submissions, workers
from launch.array import Task, format_seeds
from launch.submissions import Submission

if TYPE_CHECKING:
  from experiments.sweep_request import Request

STATES = ("done", "running", "waiting", "failed", "not submitted")
UNKNOWN = "unknown"


class Lost(NamedTuple):
  """A task that has left the queue without the records of its seeds.

  Attributes:
    task: its cell, and those of its seeds that nobody else has taken.
    submission: of its array.
    index: within it.
  """

  task: Task
  submission: Submission
  index: int


class Standing(NamedTuple):
  """Where a sweep stands.

  Attributes:
    states: of each seed of each cell, one of `STATES`; `UNKNOWN` of those that
      were submitted where Slurm does not answer.
    lost: the last task of each seed that failed.
  """

  states: dict[Cell, dict[int, str]]
  lost: list[Lost]


def find(
  request: "Request",
  submitted: Sequence[Submission],
  queue: Mapping[tuple[int, int], bool] | None,
) -> Standing:
  """Where each seed stands, going by records and by Slurm's queue.

  Args:
    request: the cells and seeds in question.
    submitted: all submissions of the work directory.
    queue: what `submissions.queue` found before this is called: a task that
      ends in between has its records by now. None if Slurm does not answer.

  Raises:
    ValueError: records cannot be read or belong to another experiment.
  """
  config, workdir = request.config, request.workdir
  cells, seeds = request.cells, request.seeds
  wanted = set(seeds)
  states: dict[Cell, dict[int, str]] = {}
  for cell in cells:
    done = records.finished_seeds(workdir, config, cell)
    states[cell] = {seed: "done" for seed in seeds if seed in done}
  tasks = [(s, i) for s in reversed(submitted) for i in range(len(s.tasks))]
  known = lambda pair: (pair[0].number, pair[1]) in (queue or ())
  lost = []
  # What is in the queue is not lost, whatever became of it before.
  for submission, index in sorted(tasks, key=known, reverse=True):
    task = submission.tasks[index]
    state = UNKNOWN
    if queue is not None:
      runs = queue.get((submission.number, index))
      state = {True: "running", False: "waiting", None: "failed"}[runs]
    of_cell = states.get(task.cell, {})
    own = [s for s in task.seeds if s in wanted and s not in of_cell]
    if task.cell in states and own:
      of_cell.update(dict.fromkeys(own, state))
      if state == "failed":
        lost.append(Lost(Task(task.cell, own), submission, index))
  for of_cell in states.values():
    for seed in seeds:
      of_cell.setdefault(seed, "not submitted")
  return Standing(states, lost)


def to_submit(standing: Standing, block: int) -> list[Work]:
  """What no task in the queue will train, cut by `seeds.block`."""
  work = []
  for cell, states in standing.states.items():
    missing = [s for s, x in states.items() if x in ("failed", "not submitted")]
    if missing:
      work.append(Work(cell, cut_blocks(sorted(missing), block)))
  return work


def to_rows(standing: Standing) -> list[dict[str, Any]]:
  """Of each cell, its name and how many seeds it has in each state."""
  counts = {c: Counter(x.values()) for c, x in standing.states.items()}
  is_unknown = any(UNKNOWN in count for count in counts.values())
  states = (*STATES, *([UNKNOWN] if is_unknown else []))
  return [
    {"cell": str(cell), "seeds": count.total()}
    | {state.replace(" ", "_"): count[state] for state in states}
    for cell, count in counts.items()
  ]


def format_table(standing: Standing) -> str:
  """The rows as a table."""
  rows = to_rows(standing)
  header = [name.replace("_", " ") for name in rows[0]]
  return align(header, [[str(x) for x in row.values()] for row in rows])


def format_lost(
  workdir: epath.Path, lost: Lost, ends: Mapping[str, str]
) -> str:
  """A line about a lost task: what it was, how it ended, its last words."""
  job = f"{lost.submission.job or lost.submission.name}_{lost.index}"
  log = lost.submission.log(workdir, lost.index)
  said = workers.last_line(log) or "its log is empty"
  how = f" ({ends[job]})" if job in ends else ""
  return (
    f"failed: {lost.task.cell} seeds {format_seeds(lost.task.seeds)}, task"
    f" {job}{how}: {said} [{log}]"
  )


def accounting(standing: Standing) -> dict[str, str]:
  """How the lost tasks ended, where Slurm keeps accounts."""
  jobs = {lost.submission.job for lost in standing.lost if lost.submission.job}
  return submissions.accounting(sorted(jobs)) if jobs else {}
