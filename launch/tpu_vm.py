"""Trains a sweep on a slice of Google Cloud TPUs, with its work in a bucket.

  python -m launch.tpu_vm --do=create --config=count_width
    --workdir=gs://BUCKET/DIR --zone=us-west4-a --accelerator_type=v5litepod-16

--do=create asks for a slice; run installs this source tree on its workers and
starts a shard on each; logs follows a worker; fetch copies the results here and
reports them; delete gives the slice back. All take the same flags; those of
experiments.sweep go to the workers. --dry_run only prints the commands.
"""

import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from experiments import command
from experiments import sweep as sweep_main
from launch import sweep_command

flags.adopt_module_key_flags(sweep_main)
_DO = flags.DEFINE_enum(
  "do",
  None,
  ["create", "run", "logs", "fetch", "delete"],
  "What to do: create requests the slice; run starts the sweep on each worker"
  " that is not running one; logs follows the log of a worker; fetch copies the"
  " results to --out and writes a report; delete deletes the slice.",
  required=True,
)
_NAME = flags.DEFINE_string(
  "name", "emergence", "Name of the slice and of its queued resource."
)
_ZONE = flags.DEFINE_string(
  "zone", None, "Zone, such as us-west4-a.", required=True
)
_PROJECT = flags.DEFINE_string(
  "project", None, "Google Cloud project; default: the one set in gcloud."
)
_ACCELERATOR_TYPE = flags.DEFINE_string(
  "accelerator_type",
  None,
  "Kind and size of the slice, such as v5litepod-16.",
  required=True,
)
_RUNTIME_VERSION = flags.DEFINE_string(
  "runtime_version",
  None,
  "Software version of the VMs; default: the one that Google names for JAX.",
)
_SPOT = flags.DEFINE_bool(
  "spot", False, "Request a spot slice, which is cheaper but can be preempted."
)
_CREATE_OPTION = flags.DEFINE_multi_string(
  "create_option",
  [],
  "Further option of gcloud compute tpus queued-resources create, such as"
  " --service-account=NAME.",
)
_SSH_OPTION = flags.DEFINE_multi_string(
  "ssh_option",
  [],
  "Further option of gcloud compute tpus tpu-vm ssh and scp, such as"
  " --internal-ip.",
)
_WORKER = flags.DEFINE_string(
  "worker", "0", "Index of the worker whose log to follow, or all."
)
_OUT = flags.DEFINE_string(
  "out",
  None,
  "Local folder to fetch to; default: runs/NAME, NAME being the last part of"
  " --workdir.",
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Only print the commands.", allow_override=True
)

TREE = pathlib.Path(__file__).parents[1]
# The part of the source tree that runs on the workers.
_SOURCE = "emergence experiments/*.py launch/*.py setup.py requirements.lock"
_BUNDLE = "emergence.bundle"
# A fixed name without spaces, which scp and the worker's shell quote
# differently.
_CONFIG_FILE = "emergence_config.py"

_RUNTIME_VERSIONS = {
  "v6e": "v2-alpha-tpuv6e",
  "v5p": "v2-alpha-tpuv5",
  "v5litepod": "v2-alpha-tpuv5-lite",
  **dict.fromkeys(("v2", "v3", "v4"), "tpu-ubuntu2204-base"),
}
# By default libtpu waits for all hosts of a slice. With these variables each
# host, of 4 chips, is a machine of its own.
_ALONE = (
  "env CLOUD_TPU_TASK_ID=0 TPU_PROCESS_BOUNDS=1,1,1"
  " TPU_CHIPS_PER_PROCESS_BOUNDS=2,2,1 TPU_VISIBLE_CHIPS=0,1,2,3"
).split()
# Ends the script if a sweep holds the lock `.running`. The kernel releases the
# lock however the sweep ends.
_LEAVE_RUNNING = (
  "flock -n .running true ||"
  ' { echo "$(hostname): a sweep is running and left alone"; exit 0; }'
)
# Installs the bundle in `~/emergence` of a worker; safe to repeat.
_INSTALL = "; ".join(
  [
    "set -e",
    "mkdir -p ~/emergence",
    "cd ~/emergence",
    _LEAVE_RUNNING,
    "git init -q",
    f"git fetch -q ~/{_BUNDLE} HEAD",
    "git checkout -q --force --detach FETCH_HEAD",
    # The images have older Pythons; uv downloads the requested one.
    "PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install -q --user uv",
    "python3 -m uv venv -q --allow-existing --python 3.12 .venv",
    "python3 -m uv pip install -q --python .venv/bin/python"
    " -r requirements.lock -e '.[tpu]'",
  ]
)


class Slice(NamedTuple):
  """A TPU slice, and what gcloud needs to reach it."""

  name: str
  zone: str
  project: str | None
  ssh_options: Sequence[str]

  def gcloud(self, command: str, *arguments: str) -> list[str]:
    """A command of `gcloud compute tpus` for this slice."""
    where = [f"--zone={self.zone}", "--quiet"]
    if self.project:
      where.append(f"--project={self.project}")
    return [*f"gcloud compute tpus {command}".split(), *arguments, *where]

  def ssh(self, script: str, worker: int | str = "all") -> list[str]:
    """A command that runs a shell script on workers."""
    options = [*self.ssh_options, f"--command={script}"]
    return self.gcloud("tpu-vm ssh", self.name, f"--worker={worker}", *options)

  def scp(self, path: str, name: str) -> list[str]:
    """A command that copies a local file to the home of all workers."""
    options = ["--worker=all", *self.ssh_options]
    return self.gcloud("tpu-vm scp", path, f"{self.name}:{name}", *options)


def main() -> None:
  _check_flags()
  tpu = Slice(_NAME.value, _ZONE.value, _PROJECT.value, _SSH_OPTION.value)
  workdir = flags.FLAGS.workdir.rstrip("/")
  match _DO.value:
    case "create":
      commands = [_create(tpu)]
      state = tpu.gcloud("queued-resources describe", tpu.name)
      done = f"requested; to see whether it is ACTIVE: {shlex.join(state)}"
    case "run":
      commands = _run(tpu)
      done = (
        "--do=logs shows the output of the workers; --do=run restarts workers"
        " that have ended"
      )
    case "logs":
      commands = [tpu.ssh("tail -n 100 -F ~/emergence/log", _WORKER.value)]
      done = ""
    case "fetch":
      out = _OUT.value or f"runs/{workdir.rpartition('/')[2]}"
      commands = _fetch(workdir, out)
      done = f"fetched {workdir} to {out}"
    case _:
      commands = [tpu.gcloud("queued-resources delete", tpu.name, "--force")]
      done = f"deleted the slice {tpu.name}; the results are still in {workdir}"
  if _DRY_RUN.value:
    print("\n".join(map(shlex.join, commands)))
    return
  if _DO.value == "run":
    _require_committed()
  for words in commands:
    _call(words)
  print(done)


def _check_flags() -> None:
  """Raises ValueError for flags that would fail only on a paid slice."""
  command.require_flags("workdir")
  values = flags.FLAGS
  if not values.workdir.startswith("gs://"):
    raise ValueError(
      "--workdir: the workers of a slice need a folder in a bucket, such as"
      f" gs://BUCKET/FOLDER, got {values.workdir}"
    )
  sweep_command.refuse("json", "shard", "status", *sweep_command.OF_PROCESSES)
  num_hosts(_ACCELERATOR_TYPE.value)
  sweep_main.read_request()  # Raises what each worker would raise.


def num_hosts(accelerator_type: str) -> int:
  """How many hosts (workers) a slice has.

  Args:
    accelerator_type: such as v5litepod-16 or v4-32. The number counts chips for
      v5litepod and v6e. For all other types it counts cores, two per chip.

  Raises:
    ValueError: the type does not have this form.
  """
  match = re.fullmatch(r"(v[0-9]+[a-z]*)-([1-9][0-9]{0,5})", accelerator_type)
  if not match:
    raise ValueError(
      "--accelerator_type expects a name such as v5litepod-16 or v4-32, got"
      f" {accelerator_type}"
    )
  kind, size = match[1], int(match[2])
  if kind in ("v5litepod", "v6e"):
    return 1 if size <= 8 else -(-size // 4)
  return max(1, size // 8)


def _create(tpu: Slice) -> list[str]:
  kind = _ACCELERATOR_TYPE.value.partition("-")[0]
  runtime_version = _RUNTIME_VERSION.value or _RUNTIME_VERSIONS.get(kind)
  if not runtime_version:
    raise ValueError(
      f"--runtime_version has no default for {kind}; choose one from"
      " https://cloud.google.com/tpu/docs/runtimes"
    )
  return tpu.gcloud(
    "queued-resources create",
    tpu.name,
    f"--node-id={tpu.name}",
    f"--accelerator-type={_ACCELERATOR_TYPE.value}",
    f"--runtime-version={runtime_version}",
    *(["--spot"] if _SPOT.value else []),
    *_CREATE_OPTION.value,
    "--async",
  )


def _run(tpu: Slice) -> list[list[str]]:
  bundle, config = str(TREE / _BUNDLE), flags.FLAGS.config
  commands = [
    ["git", "-C", str(TREE), "bundle", "create", "--quiet", bundle, "HEAD"],
    tpu.scp(bundle, _BUNDLE),
  ]
  if config.endswith(".py"):
    commands.append(tpu.scp(config, _CONFIG_FILE))
  commands.append(tpu.ssh(_INSTALL))
  sweep = [".venv/bin/python", "-m", sweep_main.__name__]
  sweep += sweep_command.given_flags(locate=lambda _: f"../{_CONFIG_FILE}")
  if flags.FLAGS.distributed:
    return [*commands, tpu.ssh(_start_script(sweep))]
  num = num_hosts(_ACCELERATOR_TYPE.value)
  alone = _ALONE if num > 1 else []
  return commands + [
    tpu.ssh(_start_script([*alone, *sweep, f"--shard={i}/{num}"]), i)
    for i in range(num)
  ]


def _fetch(workdir: str, out: str) -> list[list[str]]:
  copy = ["gcloud", "storage", "rsync", "--recursive"]
  return [
    ["mkdir", "-p", out],
    [*copy, "--exclude=checkpoints/.*", workdir, out],
    [sys.executable, "-m", "experiments.report", f"--workdir={out}"],
  ]


def _start_script(sweep: Sequence[str]) -> str:
  """A script that starts a sweep on a worker, detached from the connection."""
  start = (
    f"setsid flock -n .running {shlex.join(sweep)} >> log 2>&1 < /dev/null"
  )
  echo = 'echo "$(hostname): started"'
  return f"set -e; cd ~/emergence; {_LEAVE_RUNNING}; {start} & {echo}"


def _require_committed() -> None:
  """Raises ValueError if files that the workers need are not committed."""
  git = f"git status --porcelain --untracked-files=all -- {_SOURCE}"
  changed = subprocess.check_output(git.split(), cwd=TREE, text=True)
  if changed:
    raise ValueError(
      "the workers get the last commit; commit or stash these changes first:"
      f" {' '.join(changed.split()[1::2])}"
    )


def _call(words: Sequence[str]) -> None:
  """Runs a command on this terminal; OSError if it fails."""
  code = subprocess.run(words).returncode
  if code:
    shown = [word for word in words if not word.startswith("--command=")]
    raise OSError(
      f"this command failed with exit code {code}: {shlex.join(shown)}"
    )


if __name__ == "__main__":
  command.run(main)
