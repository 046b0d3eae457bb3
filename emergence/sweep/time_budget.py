"""The time budget of each run of a sweep, in a file per run.

The file `runs/20261125-004512-1a2b3c4d.json` says when the run started, what it
trained, on which devices, and how long each phase took. Records hold no times,
so that the same run writes the same bytes.
"""

import contextlib
import datetime
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from etils import epath

from emergence.storage.files import write_atomically
from emergence.storage.records import versions

PHASES = ("compile", "train", "evaluate", "write")


class Stopwatch:
  """Adds up the seconds that a run spends in each of `PHASES`."""

  def __init__(self):
    self._start = time.monotonic()
    self._seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)

  def add(self, phase: str, seconds: float) -> None:
    """Adds seconds that the caller has measured."""
    self._seconds[phase] += seconds

  @contextlib.contextmanager
  def phase(self, phase: str) -> Iterator[None]:
    """Adds the seconds of a `with` block, even if it ends with an error."""
    start = time.monotonic()
    try:
      yield
    finally:
      self.add(phase, time.monotonic() - start)

  def seconds(self) -> dict[str, float]:
    """Seconds by phase, then `other`; they add up to the time since start."""
    total = time.monotonic() - self._start
    other = max(0.0, total - sum(self._seconds.values()))
    return self._seconds | {"other": other}


class SweepRun(NamedTuple):
  """One run of a sweep in a work directory.

  Attributes:
    started: UTC, such as 2026-11-25T00:45:12Z.
    seeds: number of seeds that it trained to the end.
    seed_steps: training steps, summed over those seeds.
    seconds: wall time by phase of `PHASES`, and `other`. Time spent on seeds
      that it did not finish is included, unless the run was killed.
    devices: platform, kind and count of the devices.
    versions: of the code and its libraries.
  """

  started: str
  seeds: int
  seed_steps: int
  seconds: dict[str, float]
  devices: dict[str, Any]
  versions: dict[str, str]


class RunFile:
  """The file of the current run, rewritten as it proceeds."""

  def __init__(self, workdir: epath.Path, devices: Mapping[str, Any]):
    now = datetime.datetime.now(datetime.UTC)
    name = f"{now:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}.json"
    self._path = workdir / "runs" / name
    self._path.parent.mkdir(parents=True, exist_ok=True)
    self._started = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    self._devices = dict(devices)

  def write(self, seeds: int, seed_steps: int, watch: Stopwatch) -> SweepRun:
    """Rewrites the file with what the run has done so far, and returns that."""
    seconds = {name: round(s, 3) for name, s in watch.seconds().items()}
    run = SweepRun(
      self._started, seeds, seed_steps, seconds, self._devices, versions()
    )
    content = json.dumps(run._asdict(), indent=2)
    write_atomically(self._path, content.encode())
    return run


def read_runs(workdir: epath.PathLike) -> list[SweepRun]:
  """The runs of a work directory, the earliest first.

  Raises:
    ValueError: a JSON file in `runs/` does not describe a run.
    OSError: the machine cannot read a file.
  """
  runs = []
  for path in sorted((epath.Path(workdir) / "runs").glob("*.json")):
    try:
      run = SweepRun(**json.loads(path.read_text()))
      total_seconds([run])
    except (KeyError, TypeError, ValueError) as error:
      raise ValueError(
        f"{path} does not describe a run of a sweep ({error}); delete the file,"
        " and the report leaves out the time of that run"
      ) from error
    runs.append(run)
  return runs


def total_seconds(runs: Sequence[SweepRun]) -> dict[str, float]:
  """Seconds by phase over several runs."""
  return {
    phase: sum(run.seconds[phase] for run in runs)
    for phase in (*PHASES, "other")
  }
