"""A sweep as an array job of Slurm.

  python -m launch.slurm --config=count_width --workdir=DIR --gpus=1

Takes the flags of `experiments.sweep`. Task I of the array trains
`--shard=I/N`; stopped by a time limit or preempted, it saves and is queued
again. The same command submits the shards that are not finished.
"""

import os
import pathlib
import shlex
import shutil
import subprocess

from absl import flags

from emergence.storage import records
from emergence.sweep import pending
from experiments import command, stopping, sweep
from launch import sweep_command

flags.adopt_module_key_flags(sweep)
_GPUS = flags.DEFINE_string(
  "gpus", None, "GPUs of a task, such as 1 or a100:2."
)
_CPUS = flags.DEFINE_integer(
  "cpus",
  1,
  "Cores of a task. Without --gpus, each core trains one block of seeds.",
  lower_bound=1,
)
_TIME = flags.DEFINE_string(
  "time", None, "Time limit of a task: 90 (minutes), 1:30:00, 2-12:00:00."
)
_NUM_SHARDS = flags.DEFINE_integer(
  "num_shards",
  None,
  "Number of shards; each is one task of the array. By default a task trains"
  " one block on each of its GPUs or cores.",
  lower_bound=1,
)
_MAX_RUNNING = flags.DEFINE_integer(
  "max_running",
  None,
  "Most tasks that run at the same time; by default as many as Slurm starts.",
  lower_bound=1,
)
_SBATCH = flags.DEFINE_multi_string(
  "sbatch",
  [],
  "Another option of sbatch, such as --sbatch=--mem=16G; it overrides the same"
  " option of this launcher.",
)
_SETUP = flags.DEFINE_multi_string(
  "setup", [], "A line of bash to run first, such as 'module load cuda'."
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run",
  False,
  "Only print the script, and the command that would submit it.",
  allow_override=True,
)

# The script depends on these options of sbatch, so it needs our flags.
_OURS = {
  "--array": "--num_shards and --max_running",
  "--cpus-per-task": "--cpus",
  "--gpus": "--gpus",
}

_SCRIPT = """\
#!/bin/bash
{setup}trap : TERM  # Slurm may signal this shell, too; it waits for the sweep.
srun --cpus-per-task={cpus} {command} \\
  --shard=$SLURM_ARRAY_TASK_ID/{num_shards}
code=$?
# Exit code {stopped}: stopped after saving; 143: stopped before there was
# anything to save. Queue such a task again, unless it was cancelled.
if [ $code = {stopped} ] || [ $code = 143 ]; then
  scontrol requeue Incomplete ${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID
fi
exit $code
"""


def main() -> int:
  request = sweep_command.read_request()
  sweep_command.refuse("json")
  for option in _SBATCH.value:
    if ours := _OURS.get(option.partition("=")[0]):
      raise ValueError(f"--sbatch={option}: give {ours} instead")
  num_devices = flags.FLAGS["devices"].value or _num_devices()
  if not _DRY_RUN.value:
    records.quarantine_corrupt(request.workdir, request.config)
  shards, num_shards = pending.unfinished_shards(
    request, num_devices, _NUM_SHARDS.value
  )
  if not shards:
    print(f"nothing to submit: all seeds have records in {request.workdir}")
    return 0
  arguments = sweep_command.make()
  if not flags.FLAGS["devices"].present:
    # Shards depend on the number of devices, and a node may have more.
    arguments.append(f"--devices={num_devices}")
  script = _SCRIPT.format(
    setup="".join(f"{line}\n" for line in _SETUP.value),
    cpus=_CPUS.value,
    command=" \\\n  ".join(
      [shlex.join(arguments[:3]), *map(shlex.quote, arguments[3:])]
    ),
    num_shards=num_shards,
    stopped=stopping.EXIT_CODE,
  )
  folder = pathlib.Path(os.path.abspath(request.workdir), "slurm")
  ranges = records.consecutive_ranges(shards)
  array = ",".join(f"{r[0]}-{r[-1]}" for r in ranges)
  if _MAX_RUNNING.value:
    array += f"%{_MAX_RUNNING.value}"
  submit = [
    "sbatch",
    f"--job-name={folder.parent.name}",
    f"--array={array}",
    f"--output={folder}/task-%a.log",
    "--open-mode=append",
    "--requeue",
    "--signal=TERM@120",  # To the sweep, two minutes before the time limit.
    "--nodes=1",
    "--ntasks=1",
    f"--cpus-per-task={_CPUS.value}",
    *([f"--gpus={_GPUS.value}"] if _GPUS.value else []),
    *([f"--time={_TIME.value}"] if _TIME.value else []),
    *_SBATCH.value,
    str(folder / "sweep.sh"),
  ]
  if _DRY_RUN.value:
    print(f"{script}\n{shlex.join(submit)}")
    return 0
  if not shutil.which("sbatch"):
    raise ValueError(
      "sbatch is not installed here; run this where Slurm is, or add --dry_run"
    )
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "sweep.sh").write_text(script)
  if code := subprocess.run(submit).returncode:
    return code
  print(f"submitted {len(shards)} of {num_shards} shards")
  print(f"logs    {folder}/task-*.log")
  print(f"status  {shlex.join([*sweep_command.make(), '--status'])}")
  return 0


def _num_devices() -> int:
  """How many devices a task has: its GPUs, else its cores."""
  if not _GPUS.value:
    return _CPUS.value
  number = _GPUS.value.rpartition(":")[2]
  if not number.isdecimal():
    raise ValueError(
      f"--gpus expects a value such as 2 or a100:2, got {_GPUS.value!r}"
    )
  return int(number)


if __name__ == "__main__":
  command.run(main)
