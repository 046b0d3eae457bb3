import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from emergence.config import Config
from experiments import command

TINY = """
from emergence.config import *
config = Config(
  task=TaskConfig(max_train_length=4, test_lengths=(4, 6), vocab_size=12,
                  context_length=24),
  model=ModelConfig(head_dim=4),
  train=TrainConfig(steps=4, batch_size=2),
  eval=EvalConfig(num_points=2),
  seeds=SeedsConfig(block=2, count=4),
  grid=GridConfig(widths=(8,), depths=(1,)),
)
"""


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp("config") / "tiny.py"
  path.write_text(TINY)
  return path


def sweep_command(*flags, main="sweep") -> list[str]:
  return [sys.executable, "-m", f"experiments.{main}", *map(str, flags)]


def run_sweep(
  *flags, main="sweep", **environment
) -> subprocess.CompletedProcess:
  return subprocess.run(
    sweep_command(*flags, main=main),
    capture_output=True,
    text=True,
    env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
    timeout=300,
  )


def assert_one_line_error(result, code, *parts):
  assert result.returncode == code, result.stderr
  lines = result.stderr.strip().splitlines()
  assert len(lines) == 1, result.stderr
  for part in ("error: ", *parts):
    assert part in lines[0]
  assert result.stdout == ""


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
    *("model.safetensors", "config.json", "README.md"),
    *("tokenizer.json", "tokenizer_config.json"),
  }


@pytest.mark.parametrize(
  ("main", "flags", "parts"),
  [
    ("report", [], ["--workdir"]),
    ("report", ["--workdir="], ["--workdir is empty"]),
    ("report", ["--workdir=/no/such"], ["not a readable config"]),
    ("export", ["--workdir=/x", "--cell=count/width-8/depth-1"], ["--seed"]),
    (
      "export",
      ["--workdir=/x", "--cell=8/1", "--seed=1"],
      ["--cell: a cell reads like count/width-32/depth-4, got '8/1'"],
    ),
    (
      "export",
      ["--workdir=/no/such", "--cell=count/width-8/depth-1", "--seed=1"],
      ["not a readable config"],
    ),
  ],
)
def test_a_mistake_in_another_main_is_one_line(main, flags, parts):
  assert_one_line_error(run_sweep(*flags, main=main), 2, *parts)


def test_a_sweep_that_was_interrupted_ends_as_one_that_was_not(
  tiny_file, tmp_path
):
  flags = [f"--config={tiny_file}", "--devices=1"]
  flags += [f"--override={x}" for x in ("seeds.count=8", "train.steps=1000")]
  run_sweep(*flags, f"--workdir={tmp_path / 'whole'}")
  # Where the tests run in the background, the child would ignore it too.
  handler = signal.signal(signal.SIGINT, signal.default_int_handler)
  process = subprocess.Popen(
    sweep_command(*flags, f"--workdir={tmp_path / 'cut'}"),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
  )
  signal.signal(signal.SIGINT, handler)
  folder = tmp_path / "cut" / "records"
  while process.poll() is None and not list(folder.rglob("seeds-*.parquet")):
    time.sleep(0.002)
  process.send_signal(signal.SIGINT)
  _, stderr = process.communicate(timeout=60)
  assert process.returncode == 75
  assert stderr == "stopped by SIGINT; the same command continues\n"
  assert len(list(folder.rglob("seeds-*.parquet"))) < 4
  run_sweep(*flags, f"--workdir={tmp_path / 'cut'}")
  whole, cut = (
    pd.read_parquet(tmp_path / name / "records") for name in ("whole", "cut")
  )
  assert whole.equals(cut)
  assert set(whole["seed"]) == set(range(8))


@pytest.mark.skipif(
  not os.path.exists("/dev/full"), reason="no /dev/full on this system"
)
def test_a_full_disk_is_one_line_and_keeps_what_is_finished(
  tiny_file, tmp_path
):
  flags = [f"--config={tiny_file}", f"--workdir={tmp_path}"]
  run_sweep(*flags, "--override=seeds.count=2")
  (tmp_path / "log").unlink()
  (tmp_path / "log").symlink_to("/dev/full")
  result = run_sweep(*flags)
  assert result.returncode == 1
  assert result.stderr == "error: No space left on device\n"
  assert set(pd.read_parquet(tmp_path / "records")["seed"]) == {0, 1}


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


@pytest.mark.parametrize(
  ("flags", "parts"),
  [
    (["--confg=quickstart"], ["confg", "config"]),
    (["--config=quickstart"], ["--workdir"]),
    (["--config=quickstrat", "--workdir=/x"], ["did you mean quickstart"]),
    (["--config=/no/such.py", "--workdir=/x"], ["no file /no/such.py"]),
    (
      ["--config=quickstart", "--workdir=/x", "--override=train.step=5"],
      ["did you mean train.steps"],
    ),
    (
      ["--config=quickstart", "--workdir=/x", "--keep_params=some"],
      ["none|final|all"],
    ),
    (["--config=quickstart", "--workdir=/x", "--devices=0"], ["--devices"]),
    (["--config=quickstart", "--workdir=/x", "--seeds=a-b"], ["--seeds"]),
    (
      ["--config=quickstart", "--workdir=/x", "--cells=count/width-16/depth-9"],
      ["count/width-16/depth-9 is not in the grid"],
    ),
    (
      ["--config=quickstart", "--workdir=/x", "--cells=depth-9"],
      ["reads like count/width-32/depth-4"],
    ),
    (
      ["--config=quickstart", "--workdir=/x", "--shard=4/4"],
      ["--shard reads like 0/4, from 0/N to N−1/N"],
    ),
    (
      ["--config=quickstart", "--workdir=/x", "--shard=0/4", "--distributed"],
      ["--shard: processes of one population, --distributed, train the same"],
    ),
    (
      ["--config=quickstart", "--workdir=gs://x/y", "--cooperate"],
      ["--cooperate needs a work directory in a local or shared file system"],
    ),
    (["--config=quickstart", "--workdir=/x", "oops"], ["'oops'"]),
    (["--config=quickstart", "--workdir="], ["--workdir is empty"]),
    (
      [
        "--config=quickstart",
        "--workdir=/x",
        "--override=seeds.first=2147483647",
      ],
      ["seeds.count must be"],
    ),
    (
      [
        "--config=quickstart",
        "--workdir=/x",
        "--override=grid.depths={[1]: 2}",
      ],
      ["grid.depths must be a list"],
    ),
    (
      ["--config=quickstart", "--workdir=/x", "--override=grid.widths=[17]"],
      ["nearest valid widths"],
    ),
  ],
)
def test_a_mistake_is_one_line_and_code_two(flags, parts):
  assert_one_line_error(run_sweep(*flags), 2, *parts)


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


@pytest.mark.parametrize(
  ("error", "code", "first_and_last"),
  [
    ("ValueError('one\\nline')", 2, ["error: one line"] * 2),
    (
      "KeyError('a defect')",
      1,
      ["Traceback (most recent call last):", "KeyError: 'a defect'"],
    ),
  ],
)
def test_what_fails_at_once_says_so_and_runs_nothing_more(
  error, code, first_and_last
):
  script = f"""
import atexit
from experiments import command
atexit.register(print, "at exit")
print("before", end="")
try:
  raise {error}
except Exception as error:
  command.fail_at_once(error)
"""
  done = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, text=True
  )
  assert (done.returncode, done.stdout) == (code, "before")
  lines = done.stderr.splitlines()
  assert [lines[0], lines[-1]] == first_and_last


def test_where_json_can_be_written(tmp_path):
  for path in (None, "/dev/null", str(tmp_path / "new.json")):
    command.require_writable(path)
  for path in (str(tmp_path), str(tmp_path / "none" / "new.json")):
    with pytest.raises(OSError, match=f"--json: {path} cannot"):
      command.require_writable(path)


def test_help_explains_each_flag():
  result = run_sweep("--help")
  assert result.returncode == 0
  for flag in [
    "config",
    "workdir",
    "override",
    "seeds",
    "keep_params",
    "dry_run",
    "json",
  ]:
    assert f"--{flag}" in result.stdout or f"--[no]{flag}" in result.stdout


@pytest.mark.parametrize(
  ("text", "seeds"),
  [
    ("7", [7]),
    ("0-3", [0, 1, 2, 3]),
    ("9, 0,3-5,4", [0, 3, 4, 5, 9]),
  ],
)
def test_seeds_are_read(text, seeds):
  assert command.parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1-", "-3", "3-1", "1,,2", "1.5"])
def test_bad_seeds_are_refused(text):
  with pytest.raises(ValueError, match="--seeds"):
    command.parse_seeds(text)


def test_every_named_config_can_be_built():
  import pkgutil

  from emergence import backlog
  from experiments import configs

  names = [m.name for m in pkgutil.iter_modules(configs.__path__)]
  assert "quickstart" in names
  for name in names:
    config = command.load_config(name)
    assert isinstance(config, Config)
    backlog.check(config)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("x = 1", "defines no `config`"),
    ("config = 3", "defines no `config`"),
    ("1 / 0", "ZeroDivisionError"),
    ("config = ", "SyntaxError"),
  ],
)
def test_a_config_file_that_is_none_is_named(tmp_path, content, message):
  path = tmp_path / "bad.py"
  path.write_text(content)
  with pytest.raises(ValueError, match=f"bad.py.*{message}"):
    command.load_config(str(path))
