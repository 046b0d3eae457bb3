"""One sweep divided between several processes of this machine.

  python -m launch.local --config=quickstart --workdir=DIR --num_workers=2

Takes the flags of `experiments.sweep`. Worker i of N trains `--shard=i/N`, on
GPUs of its own, or on cores of its own where there is no GPU. The same command
continues.
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence

from absl import flags

from emergence.population import hardware
from experiments import command, sweep
from experiments.stopping import EXIT_CODE, StopRequest
from launch import sweep_command

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

_POLL_SECONDS = 0.1


def main() -> int:
  request = sweep_command.read_request()
  command.require_writable(flags.FLAGS["json"].value)
  commands = divide(_NUM_WORKERS.value, find_gpus(), hardware.usable_cores())
  if _DRY_RUN.value:
    print("\n".join(map(shlex.join, commands)))
    return 0
  logs = pathlib.Path(request.workdir) / "logs"
  print(f"{len(commands)} workers; their output is in {logs}", flush=True)
  logs.mkdir(parents=True, exist_ok=True)
  with StopRequest() as should_stop:
    codes = _run(commands, logs, should_stop)
    if should_stop():
      print(should_stop.message(), file=sys.stderr)
      return EXIT_CODE
  for i, code in enumerate(codes):
    if code:
      how = f"signal {-code}" if code < 0 else f"exit code {code}"
      print(f"worker {i} ended with {how}; see {logs}", file=sys.stderr)
  if any(codes):
    return max(1, *codes)
  sweep.show_table(request)
  return 0


def divide(
  num_workers: int, gpus: Sequence[str], cores: Sequence[int]
) -> list[list[str]]:
  """The commands of the workers, each with its own part of the machine.

  Every worker gets the same number of JAX devices, because the bits of a seed
  depend on it.

  Args:
    num_workers: number of workers.
    gpus: GPUs that JAX would use, as `CUDA_VISIBLE_DEVICES` names them; empty
      if it would use the cores.
    cores: cores that this process may use.

  Raises:
    ValueError: there are fewer GPUs or cores than workers.
  """
  units = gpus or [str(core) for core in cores]
  each = len(units) // num_workers
  if not each:
    raise ValueError(
      f"--num_workers={num_workers}: each worker needs a"
      f" {'GPU' if gpus else 'core'} of its own, and only {len(units)} may be"
      " used here"
    )
  commands = []
  for i in range(num_workers):
    own = ",".join(units[i * each : (i + 1) * each])
    words = [*sweep_command.make(), f"--shard={i}/{num_workers}"]
    if gpus:
      words[:0] = ["env", f"CUDA_VISIBLE_DEVICES={own}"]
    else:
      if not flags.FLAGS["devices"].present:
        words.append(f"--devices={each}")
      if shutil.which("taskset"):  # Only on Linux.
        words[:0] = ["taskset", "-c", own]
    commands.append(words)
  return commands


def find_gpus() -> list[str]:
  """The GPUs that JAX uses here, as CUDA_VISIBLE_DEVICES names them."""
  code = (
    "import jax; print(*(d.id for d in jax.devices() if d.platform=='gpu'))"
  )
  # In another process, as JAX reserves memory on the GPUs that it lists.
  found = subprocess.check_output([sys.executable, "-c", code], text=True)
  named = os.environ.get("CUDA_VISIBLE_DEVICES")
  return named.split(",") if named and found.split() else found.split()


def _run(
  commands: Sequence[Sequence[str]], logs: pathlib.Path, stop: StopRequest
) -> list[int]:
  """Runs the workers until all have ended, and returns their exit codes."""
  processes = []
  for i, words in enumerate(commands):
    with (logs / f"shard-{i}-of-{len(commands)}.out").open("ab") as output:
      processes.append(
        subprocess.Popen(
          words,
          stdin=subprocess.DEVNULL,
          stdout=output,
          stderr=subprocess.STDOUT,
          # Keeps Ctrl-C from the workers: we pass it on ourselves.
          start_new_session=True,
        )
      )
  is_told = False
  while any(process.poll() is None for process in processes):
    if stop() and not is_told:
      is_told = True
      for process in processes:
        process.terminate()
    time.sleep(_POLL_SECONDS)
  return [process.returncode for process in processes]


if __name__ == "__main__":
  command.run(main)
