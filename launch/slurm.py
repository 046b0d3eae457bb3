"""A sweep as an array job of Slurm.

  python -m launch.slurm --config=paper_count --workdir=DIR --gpus=1

Takes the flags of `experiments.sweep` and passes them on. A task of the array
trains some blocks of seeds of one cell; stopped by a time limit or preempted,
it saves and is queued again. The same command submits what is missing and
neither queued nor running, and with --status says where all of it stands.
"""

import sys

from absl import flags

from experiments import command, sweep
from experiments.sweep_request import Request
from launch import array, standing, submissions, sweep_command

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
_BLOCKS_PER_TASK = flags.DEFINE_integer(
  "blocks_per_task",
  None,
  "Blocks of seeds that a task trains; default one for each GPU or core.",
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
_STATUS = flags.DEFINE_bool(
  "status", False, "Only say which cells are done, running, waiting or failed."
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run",
  False,
  "Only print the script that would be submitted.",
  allow_override=True,
)


def main() -> None:
  if flags.FLAGS["json"].present and not _STATUS.value:
    raise ValueError("--json: only with --status")
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
  request = sweep_command.read_request()
  submitted = submissions.read(request.workdir)
  try:
    queue = submissions.queue(submitted)
  except OSError as error:
    if not _STATUS.value:
      raise
    print(f"warning: {error}", file=sys.stderr)
    queue = None
  found = standing.find(request, submitted, queue)
  if _STATUS.value:
    _show(request, found)
  else:
    _submit(request, submitted, found, resources)


def _show(request: Request, found: standing.Standing) -> None:
  print(standing.format_table(found))
  ends = standing.accounting(found)
  for lost in found.lost:
    print(standing.format_lost(request.workdir, lost, ends))
  left = standing.to_submit(found, request.config.seeds.block)
  if num_seeds := sum(item.num_seeds for item in left):
    print(f"the same command without --status submits {num_seeds} seeds")
  command.write_json(flags.FLAGS["json"].value, standing.to_rows(found))


def _submit(
  request: Request,
  submitted: list[submissions.Submission],
  found: standing.Standing,
  resources: array.Resources,
) -> None:
  work = standing.to_submit(found, request.config.seeds.block)
  if not work:
    print(f"nothing to submit\n{standing.format_table(found)}")
    return
  tasks = array.cut(work, _BLOCKS_PER_TASK.value or _num_devices(resources))
  number = submissions.next_number(submitted)
  stem = submissions.stem(request.workdir, number)
  script = array.script(
    submissions.name_of(request.workdir, number),
    tasks,
    _sweep(resources),
    stem,
    resources,
  )
  if _DRY_RUN.value:
    print(script, end="")
    return
  job = submissions.submit(request.workdir, number, tasks, script).job
  num_seeds = sum(item.num_seeds for item in work)
  print(
    f"submitted {num_seeds} seeds in {len(work)} cells as job {job}, an array"
    f" of {len(tasks)} tasks"
  )
  print(f"script  {stem}.sh\nlogs    {stem}-*.log")
  print("status  the same command with --status")
  print(f"cancel  scancel {job}")


def _sweep(resources: array.Resources) -> list[str]:
  arguments = sweep_command.make(without=("cells", "seeds"))
  # Where Slurm does not confine a task, it would take all cores of its node;
  # and a seed's bits depend on the number of devices.
  if not (array.asks_for_gpus(resources) or flags.FLAGS["devices"].present):
    arguments.append(f"--devices={resources.cpus or 1}")
  return arguments


def _num_devices(resources: array.Resources) -> int:
  """What a task trains at a time, as far as the flags tell."""
  if resources.gpus:
    return max(1, int(resources.gpus.rpartition(":")[2]))
  return resources.cpus or 1


if __name__ == "__main__":
  command.run(main)
