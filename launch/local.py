"""Several processes on this machine that share the work of one sweep.

  python -m launch.local --config=quickstart --workdir=DIR --num_workers=2

Takes the flags of `experiments.sweep` and passes them on. Each worker has GPUs
of its own, or cores of its own where there is no GPU. The same command
continues.
"""

import os
import pathlib
import shlex
import sys
import time

from absl import flags

from emergence import records
from experiments import command, stopping, sweep, sweep_request
from launch import placement, sweep_command, workers

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


def main() -> int:
  request = sweep_command.read_request()
  command.require_writable(flags.FLAGS["json"].value)
  places = placement.divide(
    _NUM_WORKERS.value, placement.visible_gpus(), placement.usable_cores()
  )
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


def make_worker(place: placement.Place) -> workers.Worker:
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


def _count_left(request: sweep_request.Request) -> int:
  return sum(item.num_seeds for item in sweep_request.remaining(request))


class _ProgressLine:
  """Says now and then how many seeds have their records."""

  def __init__(self, request: sweep_request.Request, seeds_left: int):
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
    try:
      done = sum(
        len(wanted & records.recorded_seeds(self._request.workdir, cell))
        for cell in self._request.cells
      )
    except OSError:
      return  # No reason to end those who train.
    if done > self._told:
      print(
        f"{done} of {self._total} seeds done, {num_running} workers", flush=True
      )
      self._told = done


if __name__ == "__main__":
  command.run(main)
