"""Several processes on this machine that share the work of one sweep.

  python -m launch.local --config=quickstart --workdir=DIR --num_workers=2

Takes the flags of `experiments.sweep` and passes them on. Each worker has GPUs
of its own, or cores of its own where there is no GPU. The same command
continues.
"""

import importlib.metadata
import os
import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from emergence import records
from experiments import command, stopping, sweep
from launch import sweep_command, workers

flags.adopt_module_key_flags(sweep)
_NUM_WORKERS = flags.DEFINE_integer(
  "num_workers",
  None,
  "Processes to start. GPUs, or cores where there is none, are divided between"
  " them.",
  lower_bound=1,
  required=True,
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run",
  False,
  "Only print the commands of the workers.",
  allow_override=True,
)

_SECONDS_BETWEEN_LINES = 10.0


class Place(NamedTuple):
  """What a worker has to itself.

  Attributes:
    gpus: as CUDA_VISIBLE_DEVICES names them; None where it gets cores.
    cores: it may run on these; None where that is left to the system.
    devices: what JAX is to make of the cores; None where it gets GPUs.
  """

  gpus: tuple[str, ...] | None
  cores: frozenset[int] | None
  devices: int | None


def main() -> int:
  request = sweep_command.read_request()
  command.require_writable(flags.FLAGS["json"].value)
  places = divide(_NUM_WORKERS.value, visible_gpus(), usable_cores())
  staff = [make_worker(place) for place in places]
  if _DRY_RUN.value:
    for worker in staff:
      print(describe(worker))
    return 0
  seeds_left = _count_left(request)
  if not seeds_left:
    print(
      f"nothing left to train in {request.workdir}: what was asked for has its"
      " records"
    )
    sweep.show_table(request)
    return 0
  logs = pathlib.Path(request.workdir) / "logs"
  print(
    f"{seeds_left} seeds to train by {len(staff)} workers; what they say is in"
    f" {logs}",
    flush=True,
  )
  outcome = workers.run(staff, logs, _ProgressLine(request, seeds_left))
  if outcome.code:
    return outcome.code
  if outcome.signal:
    print(
      f"stopped by {outcome.signal.name}; the same command continues",
      file=sys.stderr,
    )
    return stopping.EXIT_CODE
  if seeds_left := _count_left(request):
    raise OSError(f"{seeds_left} seeds are left; the same command continues")
  sweep.show_table(request)
  return 0


def divide(
  num_workers: int, gpus: Sequence[str], cores: Sequence[int]
) -> list[Place]:
  """Divides a machine between workers.

  Every worker gets as many devices of JAX as any other, for a seed's bits
  depend on that number; cores that are over are for whoever needs threads.

  Args:
    num_workers: how many.
    gpus: GPUs that JAX would use; empty where it would use the cores.
    cores: cores that we may use.

  Raises:
    ValueError: there are fewer GPUs or cores than workers.
  """
  units, name = (gpus, "GPU") if gpus else (cores, "core")
  if num_workers > len(units):
    raise ValueError(
      f"--num_workers={num_workers}: each needs a {name} of its own, and we may"
      f" use {len(units)} here"
    )
  each, over = divmod(len(units), num_workers)
  if gpus:
    return [
      Place(tuple(gpus[i * each : (i + 1) * each]), None, None)
      for i in range(num_workers)
    ]
  places, first = [], 0
  for i in range(num_workers):
    last = first + each + (i < over)
    places.append(Place(None, frozenset(cores[first:last]), each))
    first = last
  return places


def visible_gpus() -> list[str]:
  """The NVIDIA GPUs that JAX would use, without waking one."""
  platforms = os.environ.get("JAX_PLATFORMS", "")
  if platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
    return []
  plugins = importlib.metadata.entry_points(group="jax_plugins")
  if not any("cuda" in plugin.name for plugin in plugins):
    return []
  if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
    return [gpu for gpu in named.split(",") if gpu not in ("", "-1")]
  try:
    listed = subprocess.run(
      ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
      capture_output=True,
      text=True,
      timeout=60,
      check=True,
    )
  except (OSError, subprocess.SubprocessError):
    return []
  return listed.stdout.split()


def usable_cores() -> list[int]:
  """The cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))


def make_worker(place: Place) -> workers.Worker:
  """The sweep that the flags ask for, in its place."""
  arguments = sweep_command.make()
  environment = {}
  if place.gpus is not None:
    environment["CUDA_VISIBLE_DEVICES"] = ",".join(place.gpus)
  elif not flags.FLAGS["devices"].present:
    arguments.append(f"--devices={place.devices}")
  # Not every system can confine a process.
  cores = place.cores if hasattr(os, "sched_setaffinity") else None
  return workers.Worker(arguments, environment, cores)


def describe(worker: workers.Worker) -> str:
  """A worker as a line for a shell."""
  words = [f"{name}={text}" for name, text in worker.environment.items()]
  if worker.cores is not None:
    words += ["taskset", "--cpu-list", ",".join(map(str, sorted(worker.cores)))]
  return shlex.join([*words, *worker.arguments])


def _count_left(request: sweep.Request) -> int:
  return sum(item.num_seeds for item in sweep.remaining(request))


class _ProgressLine:
  """Says now and then how many seeds have their records."""

  def __init__(self, request: sweep.Request, seeds_left: int):
    self._request = request
    self._total = len(request.cells) * len(request.seeds)
    self._told = self._total - seeds_left
    self._looked = time.monotonic()

  def __call__(self, num_running: int) -> None:
    now = time.monotonic()
    if now - self._looked < _SECONDS_BETWEEN_LINES:
      return
    self._looked = now
    wanted = set(self._request.seeds)
    done = sum(
      len(wanted & records.recorded_seeds(self._request.workdir, cell))
      for cell in self._request.cells
    )
    if done > self._told:
      print(
        f"{done} of {self._total} seeds done, {num_running} workers", flush=True
      )
      self._told = done


if __name__ == "__main__":
  command.run(main)
