"""Sweep, analysis and export as commands, and what they refuse."""

import json
import pathlib

import pandas as pd
import pytest

from tests.mains import assert_one_line_error, run_main, run_sweep


@pytest.fixture(scope="module")
def tiny_file(write_config):
  return write_config(steps=4, num_points=2, block=2, count=4)


def times(folder):
  """When each file of a folder was written."""
  return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_command_trains_tells_and_does_nothing_the_second_time(
  tiny_file, tmp_path
):
  workdir = tmp_path / "run"
  flags = [f"--config={tiny_file}", f"--workdir={workdir}"]
  dry = run_sweep(*flags, "--dry_run")
  for part in ("count/width-8/depth-1", "MiB", "all cells", "params"):
    assert part in dry.stdout
  assert not workdir.exists()

  first = run_sweep(*flags, f"--json={tmp_path / 'table.json'}", "--devices=2")
  assert (first.returncode, first.stderr) == (0, "")
  for part in ("step 4/4", "seed-steps/s", "share ≥ 20%", "4 seeds in"):
    assert part in first.stdout
  (row,) = json.loads((tmp_path / "table.json").read_text())
  assert (row["width"], row["depth"], row["n_seeds"]) == (8, 1, 4)
  for name in ("config.json", "log"):
    assert (workdir / name).stat().st_size > 0
  assert len(list((workdir / "runs").iterdir())) == 1
  frame = pd.read_parquet(workdir / "records")
  assert set(frame["seed"]) == {0, 1, 2, 3}

  written = times(workdir)
  second = run_sweep(*flags, "--devices=1")
  assert second.returncode == 0
  assert "nothing left to train" in second.stdout
  assert times(workdir) == written

  late = run_sweep(*flags, "--keep_params=final")
  assert_one_line_error(late, 2, "4 of the requested seeds were trained")


def test_a_sweep_is_analyzed_and_a_seed_exported(finished_copy, tmp_path):
  workdir, table = pathlib.Path(finished_copy), tmp_path / "table.json"
  written = times(workdir)
  flags = [f"--records={workdir}", f"--out={tmp_path / 'out'}"]
  result = run_main("experiments.analyze", *flags, "--resamples=100")
  assert (result.returncode, result.stderr) == (0, "")
  assert times(workdir) == written
  content = json.loads((tmp_path / "out" / "summary.json").read_text())
  assert content["condition"] == "test length 6, after 6 steps"
  summary = pd.read_csv(tmp_path / "out" / "summary.csv")
  assert set(summary["n_seeds"]) == {8}

  flags = [f"--workdir={workdir}", "--cell=count/width-8/depth-1", "--seed=3"]
  result = run_sweep(*flags, f"--json={table}", main="export")
  assert result.returncode == 0, result.stderr
  folder = workdir / "exports/count/width-8/depth-1/seed-000003-step-00000006"
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


# The main, its flags, and what its line of stderr says.
SWEEP = "--config=quickstart --workdir=/x"
REFUSALS = [
  ("sweep", "--confg=quickstart", "Did you mean: config ?"),
  ("sweep", f"{SWEEP} --override=train.step=5", "did you mean train.steps"),
  ("sweep", f"{SWEEP} --shard=4/4", "expects I/N, from 0/N to N−1/N"),
  ("report", "--workdir=/no/such", "there is no /no/such/config.json"),
  ("export", "--workdir=/x --cell=8/1 --seed=1", "--cell: a cell is written"),
  ("reproduce", "--figures --train", "one of --train, --collect and --figures"),
]


@pytest.mark.parametrize(("main", "flags", "part"), REFUSALS)
def test_a_mistake_is_one_line_and_code_two(main, flags, part):
  result = run_main(f"experiments.{main}", *flags.split())
  assert_one_line_error(result, 2, part)
