"""`experiments.command`: what mains are given, and how they end."""

import os
import pkgutil
import subprocess
import sys

import pytest
from etils import epath

from emergence.sweep import pending
from experiments import command, configs

WORKDIR = epath.Path("unused")
MAIN = """
import atexit
from experiments import command
atexit.register(print, "at exit")
print("before", end="")
def main():
  {}
command.run(main)
"""


def run(body, **streams) -> subprocess.CompletedProcess:
  """How a main ends, and what runs at exit after it; in a real process."""
  pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
  return subprocess.run(
    [sys.executable, "-c", MAIN.format(body)],
    **pipes | streams,
    text=True,
    env=os.environ | {"PYTHONUNBUFFERED": ""},
    timeout=100,
  )


@pytest.mark.parametrize(
  ("error", "code", "line"),
  [
    ("MemoryError", 1, "error: out of memory"),
    ("RuntimeError('RESOURCE_EXHAUSTED')", 1, "error: RuntimeError: RESOURCE"),
  ],
)
def test_an_error_is_one_line(error, code, line):
  done = run(f"raise {error}")
  assert done.returncode == code
  assert done.stderr.startswith(line)
  assert done.stderr.count("\n") == 1


def test_a_failure_at_once_runs_nothing_at_exit():
  done = run("command.fail_at_once(ValueError('one\\nline'))")
  assert done.stderr == "error: one line\n"
  assert (done.returncode, done.stdout) == (2, "before")


def test_seeds_are_read_or_refused():
  assert command.parse_seed_ranges("9, 0,3-5,4") == [0, 3, 4, 5, 9]
  for text in ("", "1-", "-3", "3-1", "1,,2", "1.5"):
    with pytest.raises(ValueError, match="--seeds"):
      command.parse_seed_ranges(text)


def test_every_named_config_can_be_built():
  names = [m.name for m in pkgutil.iter_modules(configs.__path__)]
  assert "quickstart" in names
  for name in names:
    request = pending.make_request(command.load_config(name), WORKDIR)
  with pytest.raises(ValueError, match="depth-99 is not in the grid"):
    pending.make_request(request.config, WORKDIR, ["count/width-8/depth-99"])


@pytest.mark.parametrize(
  ("content", "message"),
  [("config = 3", "defines no `config`"), ("1 / 0", "ZeroDivisionError")],
)
def test_a_config_file_without_a_config_is_named(tmp_path, content, message):
  path = tmp_path / "bad.py"
  path.write_text(content)
  with pytest.raises(ValueError, match=f"bad.py.*{message}"):
    command.load_config(str(path))
  with pytest.raises(ValueError, match="did you mean quickstart"):
    command.load_config("quickstrat")
