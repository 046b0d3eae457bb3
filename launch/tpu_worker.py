"""What a worker of a TPU slice is told to do, and the part of it done there.

A worker has the source in `~/emergence`, its environment in `.venv` there, and
in `.launch` what is left by

  python -m launch.tpu_worker start TASK WORKER COMMAND…
  python -m launch.tpu_worker state TASK
  python -m launch.tpu_worker forget
  python -m launch.tpu_worker stop

namely `log`, `pid`, `exit_code`, `worker`, its index, and `task`, the name of
what it was last told to train. Nothing but Python is needed for that.
"""

import hashlib
import os
import pathlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence

FOLDER = "emergence"
BUNDLE = "emergence.bundle"
PATCH = "emergence.patch"
LEFT = ".launch"

_PYTHON = ".venv/bin/python"
_HERE = [_PYTHON, "-m", "launch.tpu_worker"]
_FORGET = shlex.join([*_HERE, "forget"])

# A slice of several hosts is one machine to libtpu, which waits for all of them
# to take part. This makes each host, which has 4 chips there, one of its own:
# process 0 of 1, whatever its number in the slice.
_ALONE = (
  "CLOUD_TPU_TASK_ID=0",
  "TPU_PROCESS_BOUNDS=1,1,1",
  "TPU_CHIPS_PER_PROCESS_BOUNDS=2,2,1",
  "TPU_VISIBLE_CHIPS=0,1,2,3",
)


def install(source: str | None, ref: str, python: str) -> str:
  """Gets the source of git from a URL or the copied bundle, and installs it.

  Args:
    source: URL; None for the bundle.
    ref: commit, tag or branch there.
    python: version of Python, 3.11 or newer.
  """
  where = shlex.quote(source) if source else f"~/{BUNDLE}"
  lines = [
    f"mkdir -p ~/{FOLDER}/{LEFT}",
    f"cd ~/{FOLDER}",
    "git init --quiet",
    f"git fetch --quiet {where} {shlex.quote(ref)}",
    "git checkout --quiet --force --detach FETCH_HEAD",
    # The patch of an earlier time may have brought files that git did not know.
    f"git clean -fdq -e .venv -e {LEFT}",
    *([] if source else [f"(! [ -s ~/{PATCH} ] || git apply ~/{PATCH})"]),
    # The images come with older Pythons; uv brings the one that is asked for.
    "PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv",
    f"python3 -m uv venv --quiet --allow-existing --python {python} .venv",
    f"python3 -m uv pip install --quiet --python {_PYTHON}"
    " -r requirements.lock -e '.[tpu]'",
    f"touch {LEFT}/installed",
    # What was done with another source may not be done with this one.
    _FORGET,
  ]
  return " && ".join(lines)


def task_name(sweep: Sequence[str], num_workers: int) -> str:
  """Tells one thing to train from another."""
  text = "\n".join([*sweep, str(num_workers)])
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def start(
  sweep: Sequence[str], worker: int, num_workers: int, shards: bool
) -> str:
  """Starts a worker's part of a sweep, so that it outlives the connection.

  Does nothing where it runs, or has ended well; but of one program over all of
  them, those that have ended have to take part again.

  Args:
    sweep: flags of experiments.sweep.
    worker: its index.
    num_workers: how many there are.
    shards: each trains blocks of its own, and is a machine of its own;
      otherwise all take part in one program.
  """
  scripts = [f"cd ~/{FOLDER}"]
  words = [*_HERE, "start", task_name(sweep, num_workers), str(worker)]
  if shards and num_workers > 1:
    words += ["env", *_ALONE]
  words += [_PYTHON, "-m", "experiments.sweep", *sweep]
  if shards:
    words.append(f"--shard={worker}/{num_workers}")
  else:
    scripts.append(_FORGET)
  return " && ".join([*scripts, shlex.join(words)])


def state(sweep: Sequence[str], num_workers: int, anew: bool = False) -> str:
  """Prints one line, such as `worker 3 running`.

  The index is ? where it is not known. The states are absent (nothing is
  installed), idle, running, busy (with something else), died (without a word),
  and `exit N`.

  Args:
    sweep: flags of experiments.sweep.
    num_workers: how many workers there are.
    anew: what does not run is idle, however it ended.
  """
  ask = shlex.join([*_HERE, "state", task_name(sweep, num_workers)])
  ask = f"{_FORGET} && {ask}" if anew else ask
  return (
    f"cd ~/{FOLDER}/{LEFT} 2> /dev/null && [ -f installed ] && cd .. && {ask}"
    " || echo worker '?' absent"
  )


def stop() -> str:
  """Has a sweep save what it trains and end, which may take a minute."""
  return f"cd ~/{FOLDER} && {shlex.join([*_HERE, 'stop'])}"


def log(lines: int = 100) -> str:
  """Shows the last lines of a worker's log, and those to come."""
  return f"tail -n {lines} -F ~/{FOLDER}/{LEFT}/log"


def report(workdir: str) -> str:
  """Writes the report of a work directory, beside a sweep that has the TPU."""
  words = [_PYTHON, "-m", "experiments.report", f"--workdir={workdir}"]
  return f"cd ~/{FOLDER} && JAX_PLATFORMS=cpu {shlex.join(words)}"


def main(arguments: Sequence[str]) -> int:
  """What is done on the worker; returns the exit code."""
  folder = pathlib.Path(LEFT)
  folder.mkdir(exist_ok=True)
  match arguments:
    case ["start", task, worker, *command]:
      found = _find_state(folder, task)
      if found not in ("running", "busy", "exit 0"):
        _start(folder, task, worker, command)
        found = "started"
      print(f"worker {worker} {found}")
    case ["state", task]:
      worker = _read(folder / "worker") or "?"
      print(f"worker {worker} {_find_state(folder, task)}")
    case ["forget"]:
      if not _running(folder):
        (folder / "task").unlink(missing_ok=True)
    case ["stop"]:
      if pid := _running(folder):
        os.kill(pid, signal.SIGTERM)
    case ["keep", *command]:
      (folder / "exit_code").write_text(str(_keep(command)))
    case _:
      print(__doc__, file=sys.stderr)
      return 2
  return 0


def _start(
  folder: pathlib.Path, task: str, worker: str, command: Sequence[str]
) -> None:
  (folder / "exit_code").unlink(missing_ok=True)
  (folder / "worker").write_text(worker)
  (folder / "task").write_text(task)
  with (folder / "log").open("a") as log:
    process = subprocess.Popen(
      [sys.executable, "-m", "launch.tpu_worker", "keep", *command],
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=subprocess.STDOUT,
      start_new_session=True,
    )
  (folder / "pid").write_text(str(process.pid))


def _keep(command: Sequence[str]) -> int:
  """Runs a command and passes SIGTERM on to it; returns its exit code."""
  process = None
  is_stopped = False

  def stop(*_: object) -> None:
    nonlocal is_stopped
    is_stopped = True
    if process:
      process.terminate()

  signal.signal(signal.SIGTERM, stop)
  process = subprocess.Popen(command)
  if is_stopped:
    process.terminate()
  code = process.wait()
  return code if code >= 0 else 128 - code


def _find_state(folder: pathlib.Path, task: str) -> str:
  is_task = _read(folder / "task") == task
  if _running(folder):
    return "running" if is_task else "busy"
  if not is_task:
    return "idle"
  code = _read(folder / "exit_code")
  return f"exit {code}" if code else "died"


def _running(folder: pathlib.Path) -> int | None:
  """The process that keeps a sweep; none where it is gone."""
  pid = _read(folder / "pid")
  try:
    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
  except OSError:
    return None
  # Another one may have got its number since.
  return int(pid) if b"launch.tpu_worker" in words else None


def _read(file: pathlib.Path) -> str:
  return file.read_text().strip() if file.exists() else ""


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
