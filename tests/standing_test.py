"""Where seeds stand, from records of which only names and hashes count."""

from typing import NamedTuple

import pyarrow as pa
import pytest
from etils import epath

from emergence import records
from emergence.backlog import Work
from emergence.config import Cell, Config
from emergence.identity import cell_hash
from launch import standing
from launch.array import Task
from launch.submissions import Submission

SHALLOW, DEEP = (
  Cell.parse("count/width-8/depth-1"),
  Cell.parse("count/width-8/depth-2"),
)


class Request(NamedTuple):
  config: Config
  workdir: epath.Path
  cells: list[Cell]
  seeds: list[int]


@pytest.fixture
def request_(tiny, tmp_path) -> Request:
  """Two cells of eight seeds; seeds 0 to 3 of the first have records."""
  workdir = epath.Path(tmp_path)
  table = pa.table({"seed": pa.array([0, 0, 1, 1, 2, 2, 3, 3], pa.int32())})
  provenance = {"cell_hash": cell_hash(tiny, SHALLOW)}
  records.write(workdir, SHALLOW, table, provenance)
  return Request(tiny, workdir, [SHALLOW, DEEP], list(range(8)))


def submission(number, *tasks, job="12"):
  return Submission(number, f"name-{number}", job, [Task(*x) for x in tasks])


def test_a_seed_stands_where_its_task_does(request_):
  submitted = [
    submission(
      1,
      (SHALLOW, [0, 1, 2, 3]),  # Done, so not lost.
      (SHALLOW, [4, 5, 6, 7]),
      (DEEP, [0, 1, 2, 3]),
      (DEEP, [4, 5]),
    )
  ]
  queue = {(1, 1): True, (1, 2): False}
  found = standing.find(request_, submitted, queue)
  assert standing.to_rows(found) == [
    {
      "cell": "count/width-8/depth-1",
      "seeds": 8,
      "done": 4,
      "running": 4,
      "waiting": 0,
      "failed": 0,
      "not_submitted": 0,
    },
    {
      "cell": "count/width-8/depth-2",
      "seeds": 8,
      "done": 0,
      "running": 0,
      "waiting": 4,
      "failed": 2,
      "not_submitted": 2,
    },
  ]
  assert [(x.index, x.task) for x in found.lost] == [(3, Task(DEEP, [4, 5]))]
  assert standing.to_submit(found, block=4) == [Work(DEEP, [[4, 5, 6, 7]])]
  table = standing.format_table(found).splitlines()
  assert table[0].split()[-3:] == ["failed", "not", "submitted"]
  assert table[2].split() == [str(DEEP), *"8 0 0 4 2 2".split()]


def test_a_lost_task_whose_seeds_are_queued_again_has_not_failed(request_):
  submitted = [submission(1, (DEEP, [0, 1])), submission(2, (DEEP, [0]))]
  found = standing.find(request_, submitted, {(2, 0): False})
  assert found.states[DEEP][0] == "waiting"
  assert found.states[DEEP][1] == "failed"
  assert [x.task.seeds for x in found.lost] == [[1]]


def test_without_an_answer_what_was_submitted_is_unknown(request_):
  submitted = [submission(1, (SHALLOW, [3, 4]), (DEEP, [0, 1]))]
  found = standing.find(request_, submitted, None)
  shallow, deep = standing.to_rows(found)
  assert (shallow["done"], shallow["unknown"]) == (4, 1)
  assert (deep["unknown"], deep["not_submitted"]) == (2, 6)
  assert shallow["failed"] == deep["failed"] == 0
  assert found.lost == []
  assert standing.to_submit(found, 4)[1] == Work(DEEP, [[2, 3], [4, 5, 6, 7]])


def test_the_first_task_may_outlive_a_later_one(request_):
  submitted = [submission(1, (DEEP, [0, 1])), submission(2, (DEEP, [0]))]
  found = standing.find(request_, submitted, {(1, 0): True})
  assert [found.states[DEEP][seed] for seed in (0, 1)] == ["running"] * 2
  assert found.lost == []


def test_of_tasks_lost_twice_the_last_one_is_told(request_):
  submitted = [submission(1, (DEEP, [0])), submission(2, (DEEP, [0]))]
  (lost,) = standing.find(request_, submitted, {}).lost
  assert lost.submission.number == 2


def test_what_is_not_asked_for_is_not_counted(request_):
  submitted = [
    submission(1, (DEEP, [0, 1]), (Cell.parse("count/width-16/depth-1"), [0]))
  ]
  found = standing.find(request_._replace(seeds=[1, 2]), submitted, {})
  assert found.states[DEEP] == {1: "failed", 2: "not submitted"}
  assert [x.task for x in found.lost] == [Task(DEEP, [1])]


def test_a_lost_task_is_told_with_its_end_and_last_words(request_):
  submitted = [submission(1, (DEEP, [0, 1]), job="12")]
  (lost,) = standing.find(request_, submitted, {}).lost
  workdir = request_.workdir
  line = standing.format_lost(workdir, lost, {"12_0": "OUT_OF_MEMORY"})
  log = f"{workdir}/slurm/0001-0.log"
  assert line == (
    "failed: count/width-8/depth-2 seeds 0-1, task 12_0 (OUT_OF_MEMORY): its"
    f" log is empty [{log}]"
  )
  (workdir / "slurm").mkdir()
  epath.Path(log).write_text("working\nerror: no space left\n")
  line = standing.format_lost(workdir, lost, {})
  assert "task 12_0: error: no space left [" in line
