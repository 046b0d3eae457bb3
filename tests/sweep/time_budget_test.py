import json
import time

import pytest

from emergence.sweep import console, time_budget


def test_phases_and_the_rest_add_up_to_the_time_that_passed():
  start = time.monotonic()
  watch = time_budget.Stopwatch()
  with watch.phase("compile"):
    time.sleep(0.03)
  time.sleep(0.02)
  watch.add("train", 0.001)
  watch.add("train", 0.002)
  seconds = watch.seconds()
  passed = time.monotonic() - start
  assert seconds["compile"] >= 0.03
  assert seconds["train"] == pytest.approx(0.003)
  assert seconds["other"] >= 0.015
  assert 0.05 <= sum(seconds.values()) <= passed


def test_a_file_that_is_no_run_is_named(workdir):
  run = time_budget.SweepRun("t", 1, 1, {"train": 1.0}, {}, {})
  (workdir / "runs").mkdir()
  (workdir / "runs" / "x.json").write_text(json.dumps(run._asdict()))
  with pytest.raises(ValueError, match=r"runs/x\.json does not describe a"):
    time_budget.read_runs(workdir)


def test_a_budget_reads_as_one_line():
  seconds = {"compile": 5.0, "train": 90.0, "write": 0.2, "other": 4.8}
  assert console.format_budget(seconds) == (
    "1:40 min: compile 5 %, train 90 %, write 0 %, other 5 %; training takes"
    " 94.7 % of the time after compilation"
  )
