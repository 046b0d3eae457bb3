"""The mains of experiments/ as processes, and how one refuses."""

import os
import subprocess
import sys


def sweep_command(*flags, main="sweep") -> list[str]:
  """What starts a main with flags."""
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
  """Nothing but one line of stderr, which names what is wrong."""
  assert result.returncode == code, result.stderr
  lines = result.stderr.strip().splitlines()
  assert len(lines) == 1, result.stderr
  for part in ("error: ", *parts):
    assert part in lines[0]
  assert result.stdout == ""
