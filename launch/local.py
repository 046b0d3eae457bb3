"""One sweep divided between several processes of this machine.

  python -m launch.local --config=quickstart --workdir=DIR --num_workers=2

Takes the flags of `experiments.sweep`. Worker i of N trains `--shard=i/N`, on
GPUs of its own, or on cores of its own where there is no GPU. The same command
continues.
"""

import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from absl import flags

from emergence.sweep import pending
from experiments import command, stopping, sweep
from launch import placement, sweep_command

flags.adopt_module_key_flags(sweep)
_NUM_WORKERS = flags.DEFINE_integer(
  "num_workers",
  None,
  "Processes to start. They divide the GPUs of this machine, or its cores if it"
  " has no GPU.",
  lower_bound=1,
  required=True,
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run",
  False,
  "Only print the commands of the workers.",
  allow_override=True,
)

_MAX_RESTARTS = 3
_POLL_SECONDS = 0.1


def main() -> int:
  request = sweep_command.read_request()
  command.require_writable(flags.FLAGS["json"].value)
  places = placement.divide(
    _NUM_WORKERS.value, placement.visible_gpus(), placement.usable_cores()
  )
  logs = pathlib.Path(request.workdir) / "logs"
  workers = [
    Worker(f"{i}/{len(places)}", place, logs) for i, place in enumerate(places)
  ]
  if _DRY_RUN.value:
    for worker in workers:
      print(shlex.join(worker.command))
    return 0
  if num_left := sum(work.num_seeds for work in pending.find(request)):
    print(
      f"{num_left} seeds to train by {len(workers)} workers; logs in {logs}",
      flush=True,
    )
    logs.mkdir(parents=True, exist_ok=True)
    code, stopped_by = _run(workers)
    if code:
      return code
    if stopped_by:
      print(
        f"stopped by {stopped_by.name}; the same command continues",
        file=sys.stderr,
      )
      return stopping.EXIT_CODE
  else:
    print(
      f"nothing left to train in {request.workdir}: what was asked for has its"
      " records"
    )
  sweep.show_table(request)
  return 0


class Worker:
  """The process of one shard, restarted when a signal kills it.

  Attributes:
    command: the command of the process.
    process: the latest process.
    num_starts: how often it was started.
  """

  process: subprocess.Popen

  def __init__(self, shard: str, place: placement.Place, logs: pathlib.Path):
    """Prepares the command; `start` starts it.

    Args:
      shard: such as `0/2`.
      place: the GPUs or cores of the process.
      logs: folder of the file that its stdout and stderr are appended to.
    """
    self.num_starts = 0
    self._name = f"worker {shard.partition('/')[0]}"
    self._output = logs / f"shard-{shard.replace('/', '-of-')}.out"
    self._output_start = 0
    self.command = [*sweep_command.make(), f"--shard={shard}"]
    if place.gpus is not None:
      gpus = ",".join(place.gpus)
      self.command[:0] = ["env", f"CUDA_VISIBLE_DEVICES={gpus}"]
      return
    if not flags.FLAGS["devices"].present:
      self.command.append(f"--devices={place.devices}")
    if place.cores and shutil.which("taskset"):  # Linux alone has it.
      cores = ",".join(map(str, sorted(place.cores)))
      self.command[:0] = ["taskset", "-c", cores]

  def start(self) -> None:
    """Starts the process; OSError if that fails."""
    with self._output.open("ab") as file:
      self._output_start = file.tell()
      self.process = subprocess.Popen(
        self.command,
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.STDOUT,
        # Keeps Ctrl-C from the workers: we pass it on ourselves.
        start_new_session=True,
      )
    self.num_starts += 1

  def say(self, what: str) -> None:
    """Prints on stderr what became of it, and the last line of its output."""
    said = _last_line(self._output, self._output_start) or "it wrote nothing"
    line = f"{self._name} {what}: {said} ({self._output})"
    print(line, file=sys.stderr, flush=True)


def _run(workers: Sequence[Worker]) -> tuple[int, signal.Signals | None]:
  """Runs workers until all have ended.

  Returns:
    The exit code of the first that failed, 0 if none did, and the signal that
    asked us to stop, if one did.
  """
  code, num_passed_on = 0, 0
  running: list[Worker] = []
  with _noting_signals() as received:
    try:
      for worker in workers:
        if not received:
          worker.start()
          running.append(worker)
      while running:
        for number in received[num_passed_on:]:
          # At a second Ctrl-C a sweep saves nothing more.
          is_hurried = num_passed_on and number == signal.SIGINT
          for worker in running:
            worker.process.send_signal(number if is_hurried else signal.SIGTERM)
          num_passed_on += 1
        for worker in list(running):
          ended = worker.process.poll()
          if ended is None or _restart(worker, ended, bool(received)):
            continue
          running.remove(worker)
          if not _is_well(ended, bool(received)):
            code = code or (ended if ended > 0 else 1)
        time.sleep(_POLL_SECONDS)
    except BaseException:
      for worker in running:
        worker.process.terminate()
      for worker in running:
        worker.process.wait()
      raise
  return code, signal.Signals(received[0]) if received else None


def _is_well(code: int, is_stopping: bool) -> bool:
  """Whether a worker has ended as it should."""
  # Until a sweep handles signals, they end it as they end any process.
  stopped = (stopping.EXIT_CODE, -signal.SIGTERM, -signal.SIGINT)
  return code == 0 or (is_stopping and code in stopped)


def _restart(worker: Worker, code: int, is_stopping: bool) -> bool:
  """Restarts a worker that a signal has killed; prints how it failed."""
  if _is_well(code, is_stopping):
    return False
  if code > 0:
    worker.say(f"failed with exit code {code}")
    return False
  name = f"signal {-code}"
  with contextlib.suppress(ValueError):  # Most real-time signals have no name.
    name = signal.Signals(-code).name
  if is_stopping or worker.num_starts > _MAX_RESTARTS:
    worker.say(f"was killed by {name} at start {worker.num_starts}")
    return False
  worker.say(f"was killed by {name} and is started again")
  worker.start()
  return True


def _last_line(output: pathlib.Path, start: int) -> str:
  """The last line that is not empty, from byte `start` on; '' if none."""
  with contextlib.suppress(OSError), output.open("rb") as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(start, size - 4096))
    # A progress line is rewritten from its start.
    lines = file.read().decode(errors="replace").replace("\r", "\n").split("\n")
    return next((x.strip() for x in reversed(lines) if x.strip()), "")
  return ""


@contextlib.contextmanager
def _noting_signals() -> Iterator[list[int]]:
  """Collects the signals that ask us to stop, instead of dying of them."""
  received: list[int] = []
  earlier = {}
  for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    # Signals that nohup ignores for us stay ignored.
    if signal.getsignal(number) is not signal.SIG_IGN:
      earlier[number] = signal.signal(
        number, lambda number, frame: received.append(number)
      )
  try:
    yield received
  finally:
    for number, handler in earlier.items():
      signal.signal(number, handler)


if __name__ == "__main__":
  command.run(main)
