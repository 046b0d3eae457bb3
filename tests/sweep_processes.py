"""Sweeps as processes: started, suspended, killed, and what they leave.

A sweep is suspended (SIGSTOP) where a test wants it in mid-run: it keeps its
locks, and how fast the machine is does not matter.
"""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pandas as pd

from tests.mains import sweep_command

# For processes that compile at once: quick to compile, slow to run.
FAST_COMPILE = (
  "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

_CONFIG = """
from emergence.config import *
config = Config(
  task=TaskConfig(max_train_length=4, test_lengths=(4, 6), vocab_size=12,
                  context_length=24),
  model=ModelConfig(head_dim=4),
  train=TrainConfig(steps={steps}, batch_size=2),
  eval=EvalConfig(num_points={num_points}),
  seeds=SeedsConfig(block={block}, count={count}),
  grid=GridConfig(widths={widths}, depths={depths}),
)
"""
_PATCHED = "{}\nfrom experiments import command, sweep\ncommand.run(sweep.main)"
_EVENT = re.compile(
  r"(\w+/width-\d+/depth-\d+): seeds (\d+) to (\d+)"
  r" (start|continue|have finished)(?: from step (\d+))?"
)


def tiny_config(**sizes) -> str:
  """A config file of cells that are too small to learn anything.

  Args:
    **sizes: steps, num_points, block, count; depths and widths, where they are
      not (1,) and (8,).
  """
  return _CONFIG.format(**({"depths": (1,), "widths": (8,)} | sizes))


class Sweep:
  """A sweep as a process, whose output goes to files."""

  def __init__(
    self, folder: pathlib.Path, flags: list[str], patch: str, environment: dict
  ):
    name = f"{len(list(folder.iterdir())) // 2:03d}"
    self._errors = folder / f"{name}.stderr"
    self._output = folder / f"{name}.stdout"
    command = sweep_command(*flags)
    if patch:
      command = [sys.executable, "-c", _PATCHED.format(patch), *flags]
    with self._errors.open("w") as errors, self._output.open("w") as output:
      self._popen = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
      )
    self.pid = self._popen.pid

  @property
  def stderr(self) -> str:
    return self._errors.read_text(errors="replace")

  @property
  def stdout(self) -> str:
    return self._output.read_text(errors="replace")

  def end(self) -> int:
    """Its exit code, once it has ended."""
    return self._popen.wait(400)

  def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
    """Sends a signal, to a suspended sweep too, and waits for the end."""
    self._popen.send_signal(number)
    self._popen.send_signal(signal.SIGCONT)
    return self.end()

  def resume(self) -> None:
    self._popen.send_signal(signal.SIGCONT)

  def run_until(self, is_so: Callable[[], bool]) -> None:
    """Returns once something is so."""
    while not is_so():
      assert self._popen.poll() is None, f"it ended before that: {self.stderr}"
      time.sleep(0.005)

  def suspend_when(self, is_so: Callable[[], bool]) -> None:
    """Suspends it at a moment when something is so, and stays so."""
    while True:
      self.run_until(is_so)
      self._popen.send_signal(signal.SIGSTOP)
      how = os.WSTOPPED | os.WEXITED | os.WNOWAIT
      os.waitid(os.P_PID, self.pid, how)
      if is_so():
        return
      self.resume()


@contextlib.contextmanager
def starting(
  folder: pathlib.Path, *always: str
) -> Iterator[Callable[..., Sweep]]:
  """Gives a function that starts sweeps; none outlives the context.

  It takes more flags than those that all sweeps have, some Python to run first
  in the new process (`patch`), and environment variables.
  """
  folder.mkdir()
  with contextlib.ExitStack() as stack:

    def start(*flags: str, patch: str = "", **environment: str) -> Sweep:
      sweep = Sweep(folder, [*always, *flags], patch, environment)
      stack.callback(sweep.kill)
      return sweep

    yield start


class Event(NamedTuple):
  """What a log says of a block: `start`, `continue` or `have finished`."""

  block: str
  what: str
  step: int


def events(workdir: pathlib.Path, log: str | None = None) -> list[Event]:
  """What the logs say of blocks, in their order; one log if it is named."""
  paths = [workdir / log] if log else [*workdir.glob("logs/*.log")]
  paths += [] if log else [workdir / "log"]
  text = "".join(path.read_text() for path in paths if path.exists())
  return [
    Event(f"{cell}/seeds-{int(a):06d}-{int(b):06d}", what, int(step or 0))
    for cell, a, b, what, step in _EVENT.findall(text)
  ]


def resumed_steps(workdir: pathlib.Path) -> list[int]:
  """The steps of the checkpoints that blocks went on from."""
  return [event.step for event in events(workdir) if event.what == "continue"]


def records_of(workdir: pathlib.Path) -> dict[str, bytes]:
  """The bytes of the records files by their paths in the work directory."""
  paths = workdir.glob("records/*/*/*/seeds-*.parquet")
  return {str(path.relative_to(workdir)): path.read_bytes() for path in paths}


def different(workdir: pathlib.Path, expected: dict[str, bytes]) -> list[str]:
  """The records files that are missing, too many or not the same bytes."""
  found = records_of(workdir)
  names = {*found, *expected}
  return sorted(x for x in names if found.get(x) != expected.get(x))


def saved_steps(workdir: pathlib.Path, block: str) -> list[pathlib.Path]:
  """The finished checkpoints of a block, such as …/seeds-000000-000003."""
  folder = workdir / "checkpoints" / block
  return sorted(path for path in folder.glob("*") if path.name.isdecimal())


def is_saved(
  workdir: pathlib.Path,
  before: int,
  log: str = "log",
  min_saves: int = 1,
  min_records: int = 0,
) -> bool:
  """Whether the block that a log names last is in training, and saved.

  It must have `min_saves` checkpoints or more, the last of them of a step below
  `before`, and the directory `min_records` files of records.
  """
  found = events(workdir, log)
  if not found or found[-1].what == "have finished":
    return False
  saved = saved_steps(workdir, found[-1].block)
  return (
    len(saved) >= min_saves
    and 0 < int(saved[-1].name) < before
    and len(records_of(workdir)) >= min_records
  )


def assert_each_seed_once(
  workdir: pathlib.Path, count: int, num_cells: int = 1, ends_lost: int = 0
) -> None:
  """All seeds of all cells have records; none was trained to the end twice.

  But for `ends_lost` blocks that lost their records, or never got them.
  """
  frame = pd.read_parquet(workdir / "records")
  key = ["width", "depth", "seed", "step", "test_set"]
  assert not frame.duplicated(key).any()
  seeds = frame.groupby(["width", "depth"])["seed"].unique()
  assert [sorted(found) for found in seeds] == [[*range(count)]] * num_cells
  ends = [e.block for e in events(workdir) if e.what == "have finished"]
  assert 0 < len(ends) <= len(set(ends)) + ends_lost
