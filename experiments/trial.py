"""A small sweep for real: its processes, its work directory, its outcome.

What it trains is too small to learn anything. Its cells have four blocks, which
take long enough to be killed, and save twenty checkpoints on their way.
"""

import collections
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
  import pyarrow as pa

_ROOT = pathlib.Path(__file__).parents[1]

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

_EVENT = re.compile(
  r"(\w+/width-\d+/depth-\d+): seeds (\d+) to (\d+)"
  r" (begin|go on|are trained)(?: from step (\d+))?"
)


class Outcome(NamedTuple):
  """How a process ended.

  Attributes:
    code: exit code; negative the number of the signal that killed it.
    errors: what it wrote to stderr.
    seconds: that it ran.
  """

  code: int
  errors: str
  seconds: float

  @property
  def last_line(self) -> str:
    lines = self.errors.strip().splitlines()
    return lines[-1] if lines else ""

  @property
  def is_clear_error(self) -> bool:
    """Ended with an error that is one line and no traceback."""
    return (
      self.code in (1, 2)
      and self.last_line.startswith("error: ")
      and "Traceback" not in self.errors
    )


class Event(NamedTuple):
  """What the log says of a block: `begin`, `go on` or `are trained`."""

  cell: str
  first: int
  last: int
  what: str
  step: int

  @property
  def block(self) -> tuple[str, int, int]:
    return self.cell, self.first, self.last


@dataclasses.dataclass
class Process:
  """A sweep that is running."""

  popen: subprocess.Popen
  errors: pathlib.Path
  output: pathlib.Path
  start: float
  wall_start: float

  def end(self, timeout: float = 300.0) -> Outcome:
    """Waits for it; kills it after so many seconds."""
    try:
      code = self.popen.wait(timeout)
    except subprocess.TimeoutExpired:
      self.popen.kill()
      self.popen.wait()
      code = -99
    seconds = time.monotonic() - self.start
    return Outcome(code, self.errors.read_text(errors="replace"), seconds)

  def kill(self, number: signal.Signals = signal.SIGKILL) -> Outcome:
    self.popen.send_signal(number)
    return self.end()


class Trial(NamedTuple):
  """Where the sweeps of a torture are, and what an undisturbed one leaves.

  Attributes:
    folder: of everything.
    config: file of the config.
    devices: of each sweep.
    steps: updates of a seed.
    seeds: of all cells together.
    records: bytes of the files that an undisturbed sweep leaves, by path.
  """

  folder: pathlib.Path
  config: pathlib.Path
  devices: int
  steps: int
  seeds: int
  records: Mapping[str, bytes] = types.MappingProxyType({})

  def start(
    self,
    workdir: pathlib.Path,
    *flags: str,
    main: str = "sweep",
    environment: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
  ) -> Process:
    """Starts a main on a work directory, always with the same command.

    Args:
      workdir: the work directory.
      *flags: of the sweep, instead of `--devices`.
      main: sweep or report.
      environment: variables to set.
      prepare: called in the new process before it starts.
    """
    logs = self.folder / "output"
    logs.mkdir(exist_ok=True)
    name = f"{len(list(logs.iterdir())):05d}"
    errors, output = logs / f"{name}.stderr", logs / f"{name}.stdout"
    command = [sys.executable, "-m", f"experiments.{main}"]
    command += [f"--workdir={workdir}"]
    if main == "sweep":
      command += [f"--config={self.config}"]
      command += [f"--checkpoint_steps={self.steps // 20}"]
      command += flags or [f"--devices={self.devices}"]
    settings = {
      "JAX_PLATFORMS": "cpu",
      "JAX_COMPILATION_CACHE_DIR": str(self.folder / "compiled"),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
      "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    with errors.open("w") as err, output.open("w") as out:
      start, wall_start = time.monotonic(), time.time()
      popen = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        cwd=_ROOT,
        env=os.environ | settings | dict(environment or {}),
        preexec_fn=prepare,
      )
    return Process(popen, errors, output, start, wall_start)

  def run(self, workdir: pathlib.Path, *flags: str, **options: Any) -> Outcome:
    """Starts the sweep and waits for its end."""
    return self.start(workdir, *flags, **options).end()

  def new(self, name: str) -> pathlib.Path:
    """A path for a work directory that is not there yet."""
    path = self.folder / name
    if path.exists():
      shutil.rmtree(path)
    return path

  def flaws(self, workdir: pathlib.Path) -> list[str]:
    """What distinguishes a finished directory from an undisturbed one."""
    found = records_of(workdir)
    flaws = [f"{name} is missing" for name in self.records.keys() - found]
    flaws += [f"{name} is too many" for name in found.keys() - self.records]
    flaws += [
      f"{name} differs{_how(workdir / name, self.records[name])}"
      for name in sorted(found.keys() & self.records)
      if found[name] != self.records[name]
    ]
    left = [p for p in (workdir / "checkpoints").rglob("*") if p.is_file()]
    flaws += [f"{left[0]} is left over"] if left else []
    return flaws + self._flaws_of_table(workdir)

  def trained_twice(
    self, workdir: pathlib.Path, ends_lost: int = 0
  ) -> list[str]:
    """Signs that something was trained to the end more often than need be.

    Two counts that do not depend on each other: the ends of blocks in the log,
    and the seeds in the files of the runs.

    Args:
      workdir: a finished work directory.
      ends_lost: how often a process was killed after the last update of a
        block and before its records were there.
    """
    ends = collections.Counter(
      event.block for event in events(workdir) if event.what == "are trained"
    )
    flaws = []
    if not ends:
      flaws.append("the log tells of no block that was trained")
    again = sum(ends.values()) - len(ends)
    if again > ends_lost:
      flaws.append(
        f"{again} blocks were trained to the end again, and {ends_lost} ends"
        " lost"
      )
    seeds = sum(seeds_of_runs(workdir))
    if seeds > self.seeds:
      flaws.append(f"the runs trained {seeds} seeds, of {self.seeds}")
    return flaws

  def _flaws_of_table(self, workdir: pathlib.Path) -> list[str]:
    """Seeds that stand in two files, or lack; as any reader would see them."""
    import pandas as pd

    try:
      frame = pd.read_parquet(workdir / "records")
    except (OSError, ValueError) as error:
      return [f"pandas cannot read the records: {error}"]
    key = ["task", "width", "depth", "seed", "step", "test_length"]
    flaws = []
    if frame.duplicated(key).any():
      flaws.append("a row stands in two files")
    seeds = len(frame[["width", "depth", "seed"]].drop_duplicates())
    if seeds != self.seeds:
      flaws.append(f"{seeds} seeds have records, of {self.seeds}")
    return flaws


def tiny_config(
  steps: int,
  num_points: int,
  block: int,
  count: int,
  depths: tuple[int, ...] = (1,),
  widths: tuple[int, ...] = (8,),
) -> str:
  """A config file of cells that are too small to learn anything.

  Args:
    steps: updates of a seed.
    num_points: evaluations of a seed.
    block: seeds of a block.
    count: seeds of a cell.
    depths: with `widths`, those of the grid.
    widths: with `depths`, those of the grid.
  """
  return _CONFIG.format(
    steps=steps,
    num_points=num_points,
    block=block,
    count=count,
    depths=depths,
    widths=widths,
  )


def prepare(folder: pathlib.Path, devices: int, short: bool = False) -> Trial:
  """Writes the config and trains the undisturbed sweep.

  Args:
    folder: of everything.
    devices: of each sweep.
    short: one cell of seeds that are trained for half as long, not two.

  Raises:
    RuntimeError: the sweep fails even when nothing disturbs it.
  """
  folder.mkdir(parents=True, exist_ok=True)
  config = folder / "config.py"
  steps, depths = (2000, (1,)) if short else (4000, (1, 2))
  config.write_text(tiny_config(steps, 20, block=4, count=16, depths=depths))
  trial = Trial(folder, config, devices, steps, 16 * len(depths))
  outcome = trial.run(trial.new("undisturbed"))
  if outcome.code != 0:
    raise RuntimeError(f"an undisturbed sweep fails: {outcome.errors}")
  return trial._replace(records=records_of(folder / "undisturbed"))


def _how(path: pathlib.Path, expected: bytes) -> str:
  """The provenance in which a file differs, if the records are the same."""
  from etils import epath

  from emergence.storage import records

  place = epath.Path(path)
  try:
    found = records.read_file(place)
    wanted = records.decode(place, expected)
  except ValueError:
    return ""
  if not _same_rows(found.table, wanted.table):
    return ""
  here, there = found.provenance, wanted.provenance
  keys = [k for k in sorted({*here, *there}) if here.get(k) != there.get(k)]
  return f" in nothing but its provenance: {', '.join(keys)}"


def _same_rows(table: "pa.Table", other: "pa.Table") -> bool:
  """Whether tables are the same to the last bit; NaN is itself, −0 is not 0."""
  from emergence.storage import records

  encoded = [records.encode(x, {}) for x in (table, other)]
  return encoded[0] == encoded[1]


def records_of(workdir: pathlib.Path) -> dict[str, bytes]:
  """Bytes of the records files by their path in the work directory."""
  return {
    str(path.relative_to(workdir)): path.read_bytes()
    for path in sorted(workdir.glob("records/*/*/*/seeds-*.parquet"))
  }


def events(workdir: pathlib.Path) -> list[Event]:
  """What the logs say of blocks, in their order."""
  paths = [*workdir.glob("log"), *sorted(workdir.glob("logs/*.log"))]
  text = "".join(path.read_text(errors="replace") for path in paths)
  return [
    Event(m[1], int(m[2]), int(m[3]), m[4], int(m[5] or 0))
    for m in _EVENT.finditer(text)
  ]


def seeds_of_runs(workdir: pathlib.Path) -> list[int]:
  """How many seeds each run trained to the end, as runs/ has it."""
  files = sorted(workdir.glob("runs/*.json"))
  return [json.loads(path.read_text())["seeds"] for path in files]


def ends_without_records(workdir: pathlib.Path, first_event: int = 0) -> int:
  """Blocks that the log says are trained, and that have no records."""
  ended = {
    event.block
    for event in events(workdir)[first_event:]
    if event.what == "are trained"
  }
  return sum(
    not (
      workdir / "records" / cell / f"seeds-{first:06d}-{last:06d}.parquet"
    ).exists()
    for cell, first, last in ended
  )
