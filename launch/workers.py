"""Processes on this machine: started, watched, told to stop, waited for."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from experiments import stopping

_POLL_SECONDS = 0.1
_STOP_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")


class Worker(NamedTuple):
  """A process to start.

  Attributes:
    arguments: the command.
    environment: variables that it has beside ours.
    cores: of the machine, those that it may use; all of ours if None.
  """

  arguments: Sequence[str]
  environment: Mapping[str, str]
  cores: frozenset[int] | None


class Outcome(NamedTuple):
  """How the workers have ended.

  Attributes:
    signal: that told us to stop, if one did.
    code: of the first worker that failed by itself, 0 if none has.
    num_unfinished: workers that were killed or stopped, but not by us.
  """

  signal: signal.Signals | None
  code: int
  num_unfinished: int


class _Running(NamedTuple):
  name: str
  process: subprocess.Popen
  log: pathlib.Path
  log_start: int


def run(
  workers: Sequence[Worker],
  logs: pathlib.Path,
  on_wait: Callable[[int], None] = lambda running: None,
) -> Outcome:
  """Runs workers until all have ended; says on stderr which failed, and why.

  SIGTERM, SIGINT and SIGHUP are passed on as SIGTERM, and a further SIGINT as
  SIGINT, at which a sweep saves nothing more. From the main thread only.

  Args:
    workers: the processes.
    logs: folder for what they write, `worker-0.log` and so on; appended to.
    on_wait: called several times a second with the number of workers running.

  Raises:
    OSError: a worker cannot be started; those that were are stopped first.
  """
  logs.mkdir(parents=True, exist_ok=True)
  running: list[_Running] = []
  code = num_unfinished = 0
  with _noting_signals() as received:
    num_passed_on = 0
    try:
      for i, worker in enumerate(workers):
        if not received:
          running.append(_start(worker, f"worker {i}", logs))
      while running:
        for number in received[num_passed_on:]:
          _send(running, number if num_passed_on else signal.SIGTERM)
          num_passed_on += 1
        for ended in [r for r in running if r.process.poll() is not None]:
          running.remove(ended)
          failure, unfinished = _tell(ended, len(running), bool(received))
          code, num_unfinished = code or failure, num_unfinished + unfinished
        on_wait(len(running))
        time.sleep(_POLL_SECONDS)
    except BaseException:
      _send(running, signal.SIGTERM)
      for ended in running:
        ended.process.wait()
      raise
  first = signal.Signals(received[0]) if received else None
  return Outcome(first, code, num_unfinished)


def _start(worker: Worker, name: str, logs: pathlib.Path) -> _Running:
  log = logs / f"{name.replace(' ', '-')}.log"
  with log.open("ab") as file, _confined_to(worker.cores):
    start = file.tell()
    process = subprocess.Popen(
      worker.arguments,
      stdin=subprocess.DEVNULL,
      stdout=file,
      stderr=subprocess.STDOUT,
      env=os.environ | worker.environment,
      # Ctrl-C reaches a whole session, and is ours to pass on.
      start_new_session=True,
    )
    return _Running(name, process, log, start)


def _tell(
  ended: _Running, num_running: int, stopping_all: bool
) -> tuple[int, bool]:
  """Says how a worker failed; its code if so, and whether it was cut short."""
  code = ended.process.returncode
  if code == 0 or (stopping_all and _is_stopped(code)):
    return 0, False
  if code == stopping.EXIT_CODE:
    what = f"{ended.name} was stopped by a signal"
  elif code < 0:
    what = f"{ended.name} was killed by {_name_of(-code)}"
    if -code == signal.SIGKILL:
      what += ", as when memory runs out"
  else:
    reason = last_line(ended.log, ended.log_start) or "it said nothing"
    what = f"{ended.name} failed with exit code {code}: {reason}"
  others = "; the others take its blocks over" if num_running else ""
  print(f"{what}{others} ({ended.log})", file=sys.stderr, flush=True)
  cut_short = code < 0 or code == stopping.EXIT_CODE
  return (0, True) if cut_short else (code, False)


def _name_of(number: int) -> str:
  try:
    return signal.Signals(number).name
  except ValueError:  # Those for real time have none, but for two.
    return f"signal {number}"


def _is_stopped(code: int) -> bool:
  # Before it can handle them, signals end a process as they end any.
  return code == stopping.EXIT_CODE or -code in (signal.SIGTERM, signal.SIGINT)


def last_line(log: pathlib.Path, start: int = 0) -> str:
  """The last line of a log from a byte on that is not empty; '' if none is."""
  with contextlib.suppress(OSError), log.open("rb") as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(start, size - 4096))
    # A progress line is rewritten from its start.
    lines = file.read().decode(errors="replace").replace("\r", "\n").split("\n")
    return next((x.strip() for x in reversed(lines) if x.strip()), "")
  return ""


def _send(running: Sequence[_Running], number: int) -> None:
  for worker in running:
    worker.process.send_signal(number)


@contextlib.contextmanager
def _noting_signals() -> Iterator[list[int]]:
  """Collects signals that ask us to stop, instead of ending at them."""
  received: list[int] = []
  earlier = {}
  for name in _STOP_SIGNALS:
    number = getattr(signal, name, None)
    # What nohup and its like have us ignore stays ignored.
    if number and signal.getsignal(number) is not signal.SIG_IGN:
      earlier[number] = signal.signal(
        number, lambda number, frame: received.append(number)
      )
  try:
    yield received
  finally:
    for number, handler in earlier.items():
      signal.signal(number, handler)


@contextlib.contextmanager
def _confined_to(cores: frozenset[int] | None) -> Iterator[None]:
  """Has processes that this thread starts run on some cores only."""
  if cores is None:
    yield
    return
  before = os.sched_getaffinity(0)
  os.sched_setaffinity(0, cores)
  try:
    yield
  finally:
    os.sched_setaffinity(0, before)
