import json
import os
import pathlib
import random
import subprocess
import sys

import pytest
from etils import epath

from emergence.storage import records
from experiments import kills, trial
from experiments.faults import midway
from experiments.faults.case import (
  NotPossible,
  flaws_of_refused,
  flaws_of_starved,
)
from experiments.faults.catalogue import CASES
from experiments.trial import Outcome


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> trial.Trial:
  return trial.prepare(tmp_path_factory.mktemp("torture"), 2, short=True)


def test_a_sweep_survives_kills_at_the_worst_moments(bench):
  result = kills.kill_again_and_again(bench, 2, 1, random.Random(0))
  assert result.flaws == []
  assert result.moments[kills.CHECKPOINT] >= 1
  assert result.moments[kills.RECORDS] >= 1


@pytest.mark.parametrize(
  ("output", "log", "moment"),
  [
    ("", "", "starting"),
    ("compiling\n", None, "compiling"),
    ("compiling\n", "", "compiling"),
    ("compiling\n", "\n", "compiling"),
    ("compiling\n", "12:", "compiling"),
    ("compiling\n", "12:00 count: seeds 0 to 3 compi", "compiling"),
    ("compiling\n", "12:00 count: seeds 0 to 3 compiling\n", "compiling"),
    ("compiling\n", "12:00 count: seeds 0 to 3 begin\n", "training"),
    ("compiling\n", "12:00 count: seeds 0 to 3 begin\n12:", "training"),
  ],
)
def test_a_kill_has_a_moment_whatever_it_left(tmp_path, output, log, moment):
  (tmp_path / "stdout").write_text(output)
  if log is not None:
    (tmp_path / "log").write_text(log)
  process = trial.Process(None, None, tmp_path / "stdout", 0.0, 0.0)
  assert kills.moment_of(process, tmp_path, set()) == moment


def test_records_that_differ_in_provenance_alone_are_told_apart(bench):
  workdir = midway.copy(bench, bench.folder / "undisturbed", "provenance")
  path = epath.Path(min(workdir.glob("records/*/*/*/*.parquet")))
  table, provenance = records.read_file(path)
  provenance["git_commit"] = "0" * 40
  path.write_bytes(records.encode(table, provenance))
  (flaw,) = bench.flaws(workdir)
  assert flaw.endswith("differs in nothing but its provenance: git_commit")
  path.write_bytes(records.encode(table.slice(1), provenance))
  assert bench.flaws(workdir)[0].endswith("differs")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CASES])
def test_each_fault_has_its_expected_outcome(bench, name):
  try:
    found = CASES[name].run(bench)
  except NotPossible as reason:
    pytest.skip(str(reason))
  assert found.flaws == [], found.happened


NO_HANDLES = "error: Too many open files: /x\n"
NO_MEMORY = "error: out of memory\n"
NO_BLAS = "OpenBLAS error: Memory allocation still failed after 10 retries\n"
TRACEBACK = "Traceback (most recent call last):\n"


@pytest.mark.parametrize(
  ("code", "errors", "refused", "starved"),
  [
    (1, NO_HANDLES, True, True),
    (1, NO_MEMORY, False, True),
    (-6, "terminate called after std::bad_alloc\n", False, True),
    (1, NO_BLAS, False, True),
    (1, TRACEBACK + NO_BLAS, False, False),
    (1, "OpenBLAS error: no threads\n", False, False),
    (-6, TRACEBACK, False, False),
    (-11, "", False, True),
    (-9, "", False, False),
    (-99, "", False, False),
    (-99, NO_HANDLES, False, False),
    (2, NO_HANDLES, False, False),
    (1, TRACEBACK + NO_HANDLES, False, False),
    (1, TRACEBACK + "MemoryError\n", False, False),
  ],
)
def test_an_end_that_is_not_promised_is_noticed(code, errors, refused, starved):
  outcome = Outcome(code, errors, 1.0)
  assert (not flaws_of_refused(outcome, "Too many open files")) == refused
  assert (not flaws_of_starved(outcome)) == starved


@pytest.fixture
def finished(tmp_path) -> tuple[trial.Trial, pathlib.Path]:
  """A directory of two blocks, without records, as if trained in two runs."""
  (tmp_path / "runs").mkdir()
  for i in range(2):
    run = json.dumps({"seeds": 4})
    (tmp_path / "runs" / f"{i}.json").write_text(run)
  write_log(tmp_path, ends=[0, 4])
  return trial.Trial(tmp_path, tmp_path / "config.py", 2, 100, 8), tmp_path


def write_log(workdir, ends):
  lines = [
    f"2026-11-25 04:25:53 count/width-8/depth-1: seeds {first} to {first + 3}"
    f" {what}\n"
    for first in ends
    for what in ("begin", "go on from step 7", "are trained")
  ]
  (workdir / "log").write_text("".join(lines))


def test_the_log_is_read(finished):
  _, workdir = finished
  found = [event[1:] for event in trial.events(workdir)]
  assert found[:3] == [
    (0, 3, "begin", 0),
    (0, 3, "go on", 7),
    (0, 3, "are trained", 0),
  ]
  assert len(found) == 6
  assert trial.ends_without_records(workdir) == 2
  assert trial.ends_without_records(workdir, first_event=3) == 1


def test_what_is_trained_twice_is_noticed_in_the_log(finished):
  bench, workdir = finished
  assert bench.trained_twice(workdir) == []
  write_log(workdir, ends=[0, 4, 4])
  (flaw,) = bench.trained_twice(workdir)
  assert "1 blocks were trained to the end again" in flaw
  assert bench.trained_twice(workdir, ends_lost=1) == []
  write_log(workdir, ends=[])
  assert bench.trained_twice(workdir)


def test_what_is_trained_twice_is_noticed_in_the_runs(finished):
  bench, workdir = finished
  (workdir / "runs" / "2.json").write_text(json.dumps({"seeds": 4}))
  assert bench.trained_twice(workdir) == ["the runs trained 12 seeds, of 8"]


def test_an_unknown_case_is_one_line():
  result = subprocess.run(
    [sys.executable, "-m", "experiments.torture", "--only=kil"],
    capture_output=True,
    text=True,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
  )
  assert result.returncode == 2
  assert result.stderr.startswith("error: --only: no case 'kil'; there are ki")
  assert result.stderr.count("\n") == 1
