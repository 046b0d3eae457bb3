"""A sweep as an array job of Slurm.

  python -m launch.slurm --config=count_width --workdir=DIR --gpus=1

Takes the flags of `experiments.sweep`. Task I of the array trains
`--shard=I/N`; stopped by a time limit or preempted, it saves and is queued
again. The same command submits the shards that are not finished, once no task
of the work directory is in the queue.
"""

import collections
import hashlib
import os
import pathlib
import re
import shlex
import subprocess
from collections.abc import Sequence

from absl import flags
from etils import epath

from emergence.sweep import pending
from experiments import command, sweep
from launch import array, sweep_command

flags.adopt_module_key_flags(sweep)
_PARTITION = flags.DEFINE_string(
  "partition", None, "Partition, or several with commas."
)
_TIME = flags.DEFINE_string(
  "time", None, "Time limit of a task: 90 (minutes), 1:30:00, 2-12:00:00."
)
_GPUS = flags.DEFINE_string(
  "gpus", None, "GPUs of a task, such as 1 or a100:2."
)
_CPUS = flags.DEFINE_integer(
  "cpus",
  None,
  "Cores of a task; default one. Without GPUs each trains one block of seeds.",
  lower_bound=1,
)
_MEM = flags.DEFINE_string("mem", None, "Memory of a task, such as 16G.")
_THROTTLE = flags.DEFINE_integer(
  "throttle", None, "How many tasks run at once at most.", lower_bound=1
)
_NUM_SHARDS = flags.DEFINE_integer(
  "num_shards",
  None,
  "Shards, each of which is a task of the array; default as many as there are"
  " rounds of blocks, with a block for each GPU or core of a task.",
  lower_bound=1,
)
_STOP_SECONDS = flags.DEFINE_integer(
  "stop_seconds",
  120,
  "Stop and save so long before the time limit.",
  lower_bound=10,
  upper_bound=65535,
)
_SBATCH = flags.DEFINE_multi_string(
  "sbatch", [], "Another option of sbatch, such as --sbatch=--account=lab."
)
_SETUP = flags.DEFINE_multi_string(
  "setup", [], "A line of bash to run first, such as 'module load cuda'."
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run",
  False,
  "Only print the script that would be submitted.",
  allow_override=True,
)

_SECONDS_TO_ANSWER = 120


def main() -> None:
  if flags.FLAGS["json"].present:
    raise ValueError("--json: use experiments.sweep --status")
  resources = array.Resources(
    _PARTITION.value,
    _TIME.value,
    _GPUS.value,
    _CPUS.value,
    _MEM.value,
    _THROTTLE.value,
    _STOP_SECONDS.value,
    _SBATCH.value,
    _SETUP.value,
  )
  array.check(resources)
  num_devices = _num_devices(resources)
  request = sweep_command.read_request()
  name = _job_name(request.workdir)
  # Asked before the records are read, so that no task ends in between.
  queue = {} if _DRY_RUN.value else _count_queued(name)
  if queue:
    for job, count in queue.items():
      print(f"job {job} has {count} tasks queued or running")
    print("nothing submitted; wait for their end, or scancel them")
    return
  shards, num_shards = pending.unfinished_shards(
    request, num_devices, _NUM_SHARDS.value
  )
  if not shards:
    print(
      "nothing to submit: what was asked for has its records in"
      f" {request.workdir}"
    )
    return
  arguments = sweep_command.make()
  if not flags.FLAGS["devices"].present:
    # Even if a node has more: shards are cut by the number of devices.
    arguments.append(f"--devices={num_devices}")
  folder = pathlib.Path(os.path.abspath(request.workdir), "slurm")
  script = array.script(
    name, shards, num_shards, arguments, f"{folder}/task", resources
  )
  if _DRY_RUN.value:
    print(script, end="")
    return
  job = _submit(script, folder / "sweep.sh")
  print(f"submitted {len(shards)} of {num_shards} shards as job {job}")
  print(f"script  {folder}/sweep.sh\nlogs    {folder}/task-*.log")
  print(f"status  {shlex.join([*sweep_command.make(), '--status'])}")
  print(f"cancel  scancel {job}")


def _num_devices(resources: array.Resources) -> int:
  """How many devices a task trains on; ValueError if that is not known."""
  found = flags.FLAGS["devices"].value or array.num_devices(resources)
  if found is None:
    raise ValueError(
      "--sbatch asks for GPUs: use --gpus instead, or give their number with"
      " --devices"
    )
  return found


def _job_name(workdir: epath.Path) -> str:
  """The name of a work directory's jobs: its own, and a hash of its path."""
  path = os.path.realpath(workdir)
  short = re.sub(r"[^A-Za-z0-9._]+", "-", os.path.basename(path))[:40]
  digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:6]
  return f"{short}-{digest}"


def _count_queued(name: str) -> dict[str, int]:
  """How many tasks are in the queue, for each job of a name."""
  answer = _call(
    ["squeue", "--array", "--noheader", "--format=%F", f"--name={name}"]
  )
  return dict(collections.Counter(answer.split()))


def _submit(script: str, path: pathlib.Path) -> str:
  """Writes a script and submits it; returns the number of the job."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(script)
  try:
    answer = _call(["sbatch", "--parsable", str(path)])
  except OSError as error:
    if not re.search("array|submit limit", str(error)):
      raise
    raise OSError(
      f"{error}; a smaller --num_shards makes a smaller array"
    ) from None
  # With several clusters, that of the job follows.
  return answer.strip().split(";")[0]


def _call(arguments: Sequence[str]) -> str:
  """The output of a command of Slurm; OSError if it fails or is missing."""
  name = arguments[0]
  try:
    done = subprocess.run(
      arguments, capture_output=True, text=True, timeout=_SECONDS_TO_ANSWER
    )
  except FileNotFoundError:
    raise OSError(
      f"there is no {name} here; run this on a login node of the cluster"
    ) from None
  except subprocess.TimeoutExpired:
    raise OSError(
      f"{name} has not answered for {_SECONDS_TO_ANSWER} s; try again later"
    ) from None
  if done.returncode:
    said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
    raise OSError(said if name in said else f"{name}: {said}")
  return done.stdout


if __name__ == "__main__":
  command.run(main)
