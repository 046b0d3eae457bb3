"""The command line of a sweep for other processes or machines."""

import os
import sys
from collections.abc import Callable

from absl import flags

from emergence.storage import records
from emergence.storage.files import is_remote
from emergence.sweep.pending import Request
from experiments import sweep

# Flags that a launcher does not pass on: it sets or does these itself.
_NOT_PASSED = ("dry_run", "json", "shard", "status")
_OF_ONE_POPULATION = (
  "distributed",
  "coordinator",
  "num_processes",
  "process_id",
)


def read_request() -> Request:
  """The request of the flags, if several processes can share its work.

  Raises:
    ValueError: the flags do not fit together, or the work directory is in a
      bucket or holds another experiment.
  """
  values = flags.FLAGS
  if values["shard"].present:
    raise ValueError("--shard: a launcher divides the work itself")
  if values["status"].present:
    raise ValueError("--status: use experiments.sweep with the same flags")
  for name in _OF_ONE_POPULATION:
    if values[name].present and values[name].value is not False:
      raise ValueError(
        f"--{name}: the processes of a launcher share only the work directory;"
        " launch/README.md says how to train one population on many processes"
      )
  request = sweep.read_request()
  if is_remote(request.workdir):
    raise ValueError(
      "--workdir: these workers need a local or shared file system, not"
      f" {request.workdir}; use launch.tpu_vm, or experiments.sweep with"
      " --shard=I/N on each of N machines"
    )
  if values["dry_run"].value:
    records.require_same_experiment(request.config, request.workdir)
  else:
    records.quarantine_corrupt(request.workdir, request.config)
  return request


def make() -> list[str]:
  """The command of a sweep with our flags, paths made absolute."""
  return [sys.executable, "-m", sweep.__name__, *given_flags()]


def given_flags(locate: Callable[[str], str] = os.path.abspath) -> list[str]:
  """Those of our flags that go to the sweep, as `--name=value`.

  Args:
    locate: maps a local path (config file or work directory) to the path that
      the sweep will use.
  """
  arguments = []
  for flag in flags.FLAGS.flags_by_module_dict()[sweep.__name__]:
    if not flag.present or flag.name in _NOT_PASSED:
      continue
    if _is_path(flag):
      arguments.append(f"--{flag.name}={locate(str(flag.value))}")
    elif isinstance(flag, flags.MultiFlag):
      arguments += [f"--{flag.name}={value}" for value in flag.value or []]
    else:
      arguments.append(flag.serialize())
  return arguments


def _is_path(flag: flags.Flag) -> bool:
  """Whether the value of a flag is a path on this machine."""
  value = str(flag.value)
  return (flag.name == "workdir" and not is_remote(value)) or (
    flag.name == "config" and value.endswith(".py")
  )
