"""The script of a Slurm job array whose task I trains shard I of a sweep."""

import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from emergence.storage import records
from experiments import stopping


class Resources(NamedTuple):
  """Resources of each task; None leaves one to Slurm's default.

  Attributes:
    partition: one or several, with commas.
    time: limit, as Slurm writes it.
    gpus: GPUs, such as `1` or `a100:2`.
    cpus: cores.
    mem: memory, such as `16G`.
    throttle: how many tasks run at once.
    stop_seconds: a task is told to stop so long before its time limit.
    options: further options of sbatch, each like `--account=lab`.
    setup: lines of bash to run first.
  """

  partition: str | None = None
  time: str | None = None
  gpus: str | None = None
  cpus: int | None = None
  mem: str | None = None
  throttle: int | None = None
  stop_seconds: int = 120
  options: Sequence[str] = ()
  setup: Sequence[str] = ()


# Options that this script sets itself.
_OURS = (
  *("array", "job-name", "output", "open-mode", "signal", "wrap"),
  *("nodes", "ntasks", "ntasks-per-node", "requeue", "no-requeue"),
  "clusters",  # Its queue is not the one that we look at.
)
# Options that have a flag of their own, because we need their value.
_FLAGS = {"cpus-per-task": "--cpus", "time": "--time"}


def num_devices(resources: Resources) -> int | None:
  """GPUs of a task, else its cores; None if `options` ask for GPUs."""
  if resources.gpus:
    return int(resources.gpus.rpartition(":")[2])
  asks_for_gpus = any(
    re.match(
      r"--(gpus|(gres|tres-per-\w+)=(.*[,:/])?(gpu|mps|shard)\b)", option
    )
    for option in resources.options
  )
  return None if asks_for_gpus else resources.cpus or 1


def check(resources: Resources) -> None:
  """Raises ValueError for values that a task would fail with.

  What sbatch itself refuses is left to it.
  """
  gpus = resources.gpus
  if gpus and not re.fullmatch(r"([^\s:,]+:)?[1-9][0-9]*", gpus):
    raise ValueError(f"--gpus reads like 2 or a100:2, got {gpus!r}")
  for option in resources.options:
    match = re.fullmatch(r"--([a-z][a-z0-9-]*)(=[^\n]*)?", option)
    if not match:
      raise ValueError(
        f"--sbatch reads like --sbatch=--account=lab, got {option!r}"
      )
    # sbatch takes the start of a name for the whole.
    if any(ours.startswith(match[1]) for ours in _OURS):
      raise ValueError(f"--sbatch: --{match[1]} is set by launch.slurm")
    for theirs, flag in _FLAGS.items():
      if theirs.startswith(match[1]):
        raise ValueError(f"--sbatch: use {flag} instead of --{match[1]}")
  if resources.time is not None:
    seconds = seconds_of(resources.time)
    if seconds <= resources.stop_seconds:
      raise ValueError(
        f"--time={resources.time} leaves no time to train: a task stops"
        f" {resources.stop_seconds} s before its limit; see --stop_seconds"
      )


def seconds_of(time: str) -> int:
  """Seconds of a limit such as `90` (minutes), `1:30:00`, `2-12` or `2-12:30`.

  Raises:
    ValueError: it is not written like that.
  """
  match = re.fullmatch(
    r"(?:([0-9]+)-)?([0-9]+)(?::([0-9]+))?(?::([0-9]+))?", time
  )
  if not match:
    raise ValueError(
      "--time reads like 90 (minutes), 1:30:00 or 2-12:00:00 (days), got"
      f" {time!r}"
    )
  days, *parts = (int(part or 0) for part in match.groups())
  if match[1] is None and match[4] is None:
    # Minutes, or minutes and seconds, unless there are three numbers.
    parts = [0, *parts[:2]]
  hours, minutes, seconds = parts
  return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def script(
  name: str,
  shards: Sequence[int],
  num_shards: int,
  arguments: Sequence[str],
  log: str,
  resources: Resources,
) -> str:
  """The text of a batch script.

  Args:
    name: of the job.
    shards: the shards to train, increasing; each is a task of the array.
    num_shards: how many shards there are.
    arguments: the sweep, without its shard.
    log: the start of the name of a task's log, to which `-3.log` is added.
    resources: of each task.

  Raises:
    ValueError: Slurm cannot write to a log of such a name.
  """
  if re.search(r"[\\\n]", log):
    raise ValueError(f"Slurm cannot write a log to {log!r}; use another name")
  indices = ",".join(
    f"{own[0]}-{own[-1]}" if len(own) > 1 else str(own[0])
    for own in records.consecutive_ranges(shards)
  )
  limit = f"%{resources.throttle}" if resources.throttle else ""
  options = [
    f"--job-name={name}",
    f"--array={indices}{limit}",
    f"--output={log.replace('%', '%%')}-%a.log",
    "--open-mode=append",
    "--requeue",
    f"--signal=B:TERM@{resources.stop_seconds}",
    "--nodes=1",
    "--ntasks=1",
  ]
  requested = {
    "partition": resources.partition,
    "time": resources.time,
    "gpus": resources.gpus,
    "cpus-per-task": resources.cpus,
    "mem": resources.mem,
  }
  options += [f"--{key}={value}" for key, value in requested.items() if value]
  options += resources.options
  return _SCRIPT.format(
    options="\n".join(f"#SBATCH {_quote(option)}" for option in options),
    num_shards=num_shards,
    setup="".join(f"{line}\n" for line in resources.setup),
    command="".join(
      _separate(word) + shlex.quote(word) for word in arguments
    ).lstrip(),
    stopped=stopping.EXIT_CODE,
  )


def _separate(word: str) -> str:
  return " \\\n  " if word.startswith("--") else " "


def _quote(option: str) -> str:
  """An option, quoted as sbatch (not bash) reads it from a script."""
  if re.fullmatch(r"[\w%@:=,./+-]+", option):
    return option
  escaped = option.replace("\\", "\\\\").replace('"', '\\"')
  return f'"{escaped}"'


_SCRIPT = """\
#!/bin/bash
{options}

shard=$SLURM_ARRAY_TASK_ID/{num_shards}
task=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID
start=$((${{SLURM_RESTART_COUNT:-0}} + 1))
echo "$(date +%FT%T) $task on $HOSTNAME, start $start: shard $shard"

# {stopped}: stopped, with all saved; 143: before there was anything to save.
# That is queued again, unless it was cancelled.
end_with() {{
  if [ "$1" = {stopped} ] || [ "$1" = 143 ]; then
    scontrol requeue Incomplete "$task" || true
  fi
  exit "$1"
}}

# Before the time limit, and at preemption if it is told, Slurm signals this
# shell, which passes it on, once: repeated, it can make `wait` forget the code.
sweep= interrupted=
trap 'interrupted=yes; if [ "$sweep" ]; then pass_on; fi' TERM
pass_on() {{
  trap "" TERM
  kill -TERM "$sweep" 2> /dev/null || true
}}

{setup}[ ! "$interrupted" ] || end_with 143
{command} \\
  --shard="$shard" &
sweep=$!
[ ! "$interrupted" ] || pass_on

# A signal ends `wait`, and the sweep takes a moment to save.
while true; do
  interrupted= code=0
  wait "$sweep" || code=$?
  [ "$interrupted" ] && [ "$code" -gt 128 ] || break
done
end_with "$code"
"""
