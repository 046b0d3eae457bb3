"""The mains of experiments/ and launch/ as processes, and what they print.

Each process is forked from a server that has imported what takes seconds, so
that it starts in some milliseconds.
"""

import multiprocessing
import os
import pathlib
import re
import runpy
import signal
import sys
import tempfile
import textwrap
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
  [
    *("emergence.sweep.sweep", "emergence.export", "emergence.tables"),
    *("emergence.report.analysis_sections", "emergence.report.sweep_sections"),
    *("pandas", "pyarrow.parquet"),
  ]
)


class Result(NamedTuple):
  """How a main has ended."""

  returncode: int
  stdout: str
  stderr: str


class Main:
  """A main in a process of its own."""

  def __init__(
    self,
    module: str,
    *flags,
    patch: str = "",
    cwd: pathlib.Path = ROOT,
    **environment: str,
  ):
    """Starts it.

    Args:
      module: such as `experiments.sweep`.
      *flags: of the command line.
      patch: Python to run first in the new process; the main does not run if
        it exits.
      cwd: working directory.
      **environment: more variables. Those of JAX are read when it is imported,
        which is before.
    """
    assert not any(name.startswith("JAX") for name in environment)
    self._folder = tempfile.TemporaryDirectory()
    self._outputs = [pathlib.Path(self._folder.name, x) for x in ("out", "err")]
    # One device, whatever the tests have.
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"} | environment
    self.process = _SERVER.Process(
      target=_run,
      args=(module, list(map(str, flags)), patch, str(cwd)),
      kwargs={"outputs": self._outputs, "environment": environment},
      daemon=True,  # Does not outlive the tests.
    )
    self.process.start()

  def send_signal(self, number: signal.Signals) -> None:
    os.kill(self.process.pid, number)

  def is_running(self) -> bool:
    return self.process.is_alive()

  def end(self) -> Result:
    """Waits for its end."""
    self.process.join(300)
    if self.process.is_alive():
      self.process.kill()
      raise TimeoutError("a main did not end within 300 s")
    output, errors = (path.read_text() for path in self._outputs)
    self._folder.cleanup()
    return Result(self.process.exitcode, output, errors)


def run_main(module: str, *flags, **options) -> Result:
  """Runs a main to its end; takes what `Main` takes."""
  return Main(module, *flags, **options).end()


def run_sweep(*flags, main="sweep") -> Result:
  return run_main(f"experiments.{main}", *flags)


def sweep_command(*flags, main="sweep") -> list[str]:
  """The command that starts a main of experiments/ with flags."""
  return [sys.executable, "-m", f"experiments.{main}", *map(str, flags)]


def overridden(flags, more) -> list[str]:
  """The flags, without those that `more` sets too, and more."""
  own = {flag.partition("=")[0] for flag in more}
  return [flag for flag in flags if flag.partition("=")[0] not in own] + [*more]


def assert_one_line_error(result, code, *parts):
  """Nothing but one line of stderr, which names what is wrong."""
  assert result.returncode == code, result.stderr
  lines = result.stderr.strip().splitlines()
  assert len(lines) == 1, result.stderr
  for part in ("error: ", *parts):
    assert part in lines[0]
  assert result.stdout == ""


def read_transcript(command: str) -> tuple[str, str]:
  """The words after a command in launch/README.md, and what it prints there."""
  text = (ROOT / "launch" / "README.md").read_text(encoding="utf-8")
  shown = rf"^    \$ {re.escape(command)} (.*)\n((?:    .*\n|\n)+)"
  found = re.search(shown, text, re.MULTILINE)
  assert found, f"no transcript of {command}"
  return found[1], textwrap.dedent(found[2]).strip()


def _run(module, flags, patch, cwd, *, outputs, environment):
  """Becomes a main; in the new process."""
  for number, path in enumerate(outputs, start=1):
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, number)
    os.close(file)
  os.environ.clear()
  os.environ.update(environment)
  os.chdir(cwd)
  signal.signal(signal.SIGHUP, signal.SIG_DFL)
  signal.signal(signal.SIGINT, signal.default_int_handler)
  sys.argv = [module, *flags]
  exec(patch, {})
  runpy.run_module(module, run_name="__main__", alter_sys=True)
