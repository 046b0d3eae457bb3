import json
import time

import pytest

from emergence.sweep import console, time_budget

DEVICES = {"platform": "cpu", "kind": "cpu", "count": 2}


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


def test_a_run_is_one_file_however_often_it_is_written(workdir):
  file = time_budget.RunFile(workdir, DEVICES)
  watch = time_budget.Stopwatch()
  file.write(8, 800, watch)
  watch.add("train", 2.5)
  written = file.write(16, 1600, watch)
  time_budget.RunFile(workdir, DEVICES).write(4, 400, time_budget.Stopwatch())
  first, second = sorted(time_budget.read_runs(workdir), key=lambda r: -r.seeds)
  assert first == written
  assert (first.seeds, first.devices) == (16, DEVICES)
  assert (second.seeds, second.seed_steps) == (4, 400)
  total = time_budget.total_seconds([first, second])
  assert total["train"] == pytest.approx(2.5)


WITHOUT_PHASES = time_budget.SweepRun("t", 1, 1, {"train": 1.0}, {}, {})


@pytest.mark.parametrize("content", ["", json.dumps(WITHOUT_PHASES._asdict())])
def test_a_file_that_is_no_run_is_named(workdir, content):
  (workdir / "runs").mkdir()
  (workdir / "runs" / "x.json").write_text(content)
  with pytest.raises(ValueError, match=r"runs/x\.json is not the file of a"):
    time_budget.read_runs(workdir)


def test_a_budget_reads_as_one_line():
  seconds = {"compile": 5.0, "train": 90.0, "write": 0.2, "other": 4.8}
  assert console.format_budget(seconds) == (
    "1:40 min: compile 5 %, train 90 %, write 0 %, other 5 %; after compiling,"
    " training takes 94.7 %"
  )
