import json
import os
import pathlib
import subprocess
import sys

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


def run_sweep(*flags, **environment) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, "-m", "experiments.sweep", *map(str, flags)],
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
  for name in ("config.json", "log", "figures/ridgeline.png"):
    assert (tmp_path / "run" / name).stat().st_size > 0
  frame = pd.read_parquet(tmp_path / "run" / "records")
  assert set(frame["seed"]) == {0, 1, 2, 3}

  second = run_sweep(*flags, "--devices=2")
  assert second.returncode == 0
  assert "nothing left to train" in second.stdout
  assert "step" not in second.stdout.split("after 4 steps")[0]

  other = run_sweep(*flags, "--override=train.learning_rate=0.5")
  assert_one_line_error(
    other, 2, "train.learning_rate is 0.002 there and 0.5 here"
  )


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
    (["--config=quickstart", "--workdir=/x", "oops"], ["'oops'"]),
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
  assert_one_line_error(result, 1, str(tmp_path / "file"))


def test_help_explains_each_flag():
  result = run_sweep("--help")
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

  from emergence import sweep
  from experiments import configs

  names = [m.name for m in pkgutil.iter_modules(configs.__path__)]
  assert "quickstart" in names
  for name in names:
    config = command.load_config(name)
    assert isinstance(config, Config)
    sweep.check(config)


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
