"""Sweep, report and export as commands, on a sweep that trains."""

import json
import pathlib
import signal

import pandas as pd
import pytest

from tests.mains import assert_one_line_error, run_sweep
from tests.sweep_processes import is_saved, resumed_steps, starting


@pytest.fixture(scope="module")
def tiny_file(write_config) -> pathlib.Path:
  return write_config(steps=4, num_points=2, block=2, count=4)


def test_the_command_trains_tells_and_does_nothing_the_second_time(
  tiny_file, tmp_path
):
  flags = [f"--config={tiny_file}", f"--workdir={tmp_path / 'run'}"]
  first = run_sweep(*flags, f"--json={tmp_path / 'table.json'}", "--devices=2")
  assert first.returncode == 0, first.stderr
  assert "step 4/4" in first.stdout
  assert "seed-steps/s" in first.stdout
  assert "share ≥ 20%" in first.stdout
  assert first.stderr == ""
  (row,) = json.loads((tmp_path / "table.json").read_text())
  assert (row["width"], row["depth"], row["n_seeds"]) == (8, 1, 4)
  assert "4 seeds in" in first.stdout
  assert "train " in first.stdout
  for name in ("config.json", "log"):
    assert (tmp_path / "run" / name).stat().st_size > 0
  assert len(list((tmp_path / "run" / "runs").iterdir())) == 1
  frame = pd.read_parquet(tmp_path / "run" / "records")
  assert set(frame["seed"]) == {0, 1, 2, 3}

  written = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
  second = run_sweep(*flags, "--devices=1")
  assert written == {
    p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")
  }
  assert second.returncode == 0
  assert "nothing left to train" in second.stdout
  assert "step" not in second.stdout.split("after 4 steps")[0]

  other = run_sweep(*flags, "--override=train.learning_rate=0.5")
  assert_one_line_error(
    other, 2, "train.learning_rate is 0.002 there and 0.5 here"
  )
  late = run_sweep(*flags, "--keep_params=final")
  assert_one_line_error(late, 2, "4 of these seeds were trained")


def test_sigterm_saves_and_the_same_command_finishes(write_config, tmp_path):
  config = write_config(steps=400, num_points=2, block=2, count=2)
  workdir = tmp_path / "run"
  flags = [f"--config={config}", f"--workdir={workdir}", "--devices=1"]
  with starting(tmp_path / "output", *flags, "--checkpoint_steps=20") as start:
    sweep = start()
    sweep.suspend_when(lambda: is_saved(workdir, before=300))
    assert sweep.kill(signal.SIGTERM) == 75, sweep.stderr
    assert sweep.last_line == "stopped by SIGTERM; the same command continues"
    assert not (workdir / "records").exists()
    again = start()
    assert again.end() == 0, again.stderr
  (step,) = resumed_steps(workdir)
  assert 0 < step < 400
  assert set(pd.read_parquet(workdir / "records")["seed"]) == {0, 1}


def test_a_report_is_written_once_and_a_seed_is_exported(tiny_file, tmp_path):
  workdir = tmp_path / "run"
  run_sweep(
    f"--config={tiny_file}", f"--workdir={workdir}", "--keep_params=final"
  )
  table = tmp_path / "table.json"
  first = run_sweep(f"--workdir={workdir}", f"--json={table}", main="report")
  assert first.returncode == 0, first.stderr
  assert first.stderr == ""
  assert first.stdout.endswith(f"report  {workdir}/report.html\n")
  rows = json.loads(table.read_text())
  assert [row["metric"] for row in rows][:2] == [
    "exact_match",
    "token_accuracy",
  ]
  assert {row["n_seeds"] for row in rows} == {4}
  for name in ("summary.csv", "summary.json", "trajectories.csv"):
    assert (workdir / name).stat().st_size > 0
  names = {path.stem for path in (workdir / "figures").glob("*.png")}
  assert {"distribution-exact-match", "summaries", "length-curves"} <= names
  written = {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}
  run_sweep(f"--workdir={workdir}", main="report")
  assert written == {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}

  flags = [f"--workdir={workdir}", "--cell=count/width-8/depth-1", "--seed=3"]
  result = run_sweep(*flags, f"--json={table}", main="export")
  assert result.returncode == 0, result.stderr
  folder = workdir / "exports/count/width-8/depth-1/seed-000003-step-00000004"
  assert json.loads(table.read_text())["folder"] == str(folder)
  assert "at length 6" in result.stdout
  assert {p.name for p in folder.iterdir()} == {
    *("model.safetensors", "config.json"),
    *("tokenizer.json", "tokenizer_config.json"),
  }


def test_a_directory_that_cannot_be_written_is_one_line(tiny_file, tmp_path):
  # A file in the way refuses everybody, the superuser included.
  (tmp_path / "file").write_text("")
  result = run_sweep(
    f"--config={tiny_file}", f"--workdir={tmp_path / 'file' / 'run'}"
  )
  assert result.returncode == 1
  assert result.stderr == f"error: Not a directory: {tmp_path / 'file'}/run\n"
  flags = [f"--config={tiny_file}", f"--workdir={tmp_path / 'run'}"]
  result = run_sweep(*flags, f"--json={tmp_path / 'none' / 'table.json'}")
  assert result.returncode == 1
  assert result.stderr.startswith("error: --json: ")
  assert not (tmp_path / "run" / "records").exists()


def test_a_platform_that_is_not_there_is_one_line(tiny_file, tmp_path):
  result = run_sweep(
    f"--config={tiny_file}", f"--workdir={tmp_path}", JAX_PLATFORMS="bogus"
  )
  assert_one_line_error(result, 1, "bogus")


def test_a_dry_run_prints_and_writes_nothing(tiny_file, tmp_path):
  result = run_sweep(
    f"--config={tiny_file}", f"--workdir={tmp_path / 'run'}", "--dry_run"
  )
  assert result.returncode == 0, result.stderr
  for part in ("count/width-8/depth-1", "MiB", "all cells", "params"):
    assert part in result.stdout
  assert not (tmp_path / "run").exists()
