"""`experiments.command`: what mains are given, and how they end."""

import os
import subprocess
import sys

import pytest
from etils import epath

from emergence.config import Config
from experiments import command
from tests.mains import assert_one_line_error, run_sweep


@pytest.mark.parametrize(
  ("main", "flags", "parts"),
  [
    ("report", [], ["--workdir"]),
    ("report", ["--workdir="], ["--workdir is empty"]),
    ("report", ["--workdir=/no/such"], ["there is no /no/such/config.json"]),
    ("export", ["--workdir=/x", "--cell=count/width-8/depth-1"], ["--seed"]),
    (
      "export",
      ["--workdir=/x", "--cell=8/1", "--seed=1"],
      ["--cell: a cell reads like count/width-32/depth-4, got '8/1'"],
    ),
    (
      "export",
      ["--workdir=/no/such", "--cell=count/width-8/depth-1", "--seed=1"],
      ["there is no /no/such/config.json"],
    ),
  ],
)
def test_a_mistake_in_another_main_is_one_line(main, flags, parts):
  assert_one_line_error(run_sweep(*flags, main=main), 2, *parts)


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
      [
        "--config=quickstart",
        "--workdir=/x",
        "--override=grid.axes={'x': [1]}",
      ],
      ["grid.axes: 'x' cannot be an axis"],
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


@pytest.mark.skipif(
  not os.path.exists("/dev/full"), reason="no /dev/full on this system"
)
@pytest.mark.parametrize("full", ["stdout", "stderr"])
def test_what_cannot_be_told_ends_the_process_all_the_same(full):
  script = """
import atexit
from experiments import command
atexit.register(print, "at exit")
print("before")
def main():
  command.fail_at_once(ValueError("why"))
command.run(main)
"""
  with open("/dev/full", "w") as device:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    done = subprocess.run(
      [sys.executable, "-c", script],
      **streams | {full: device},
      text=True,
      env=os.environ | {"PYTHONUNBUFFERED": ""},
      timeout=100,
    )
  assert done.returncode == 2
  if full == "stdout":
    assert done.stderr == "error: why\n"
  else:
    assert "at exit" not in done.stdout


@pytest.mark.parametrize(
  ("error", "line"),
  [
    ("MemoryError", "error: out of memory\n"),
    ("MemoryError('3 bytes')", "error: out of memory: 3 bytes\n"),
    (
      "SystemError('no exception set')",
      "error: a library failed, maybe for lack of memory: no exception set\n",
    ),
    (
      "OSError(12, 'Cannot allocate memory', 'x')",
      "error: Cannot allocate memory: x\n",
    ),
    (
      "RuntimeError('RESOURCE_EXHAUSTED: 8 GiB')",
      "error: RuntimeError: RESOURCE_EXHAUSTED: 8 GiB\n",
    ),
  ],
)
def test_a_lack_of_memory_is_one_line_whatever_it_would_break_at_exit(
  error, line
):
  script = f"""
import atexit
from experiments import command

def main():
  atexit.register(lambda: bytes(2**62))
  raise {error}

command.run(main)
"""
  done = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, text=True
  )
  assert (done.returncode, done.stderr) == (1, line)


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

  from emergence.sweep import pending
  from experiments import configs

  names = [m.name for m in pkgutil.iter_modules(configs.__path__)]
  assert "quickstart" in names
  for name in names:
    config = command.load_config(name)
    assert isinstance(config, Config)
    pending.make_request(config, epath.Path("unused"))


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
