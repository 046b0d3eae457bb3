"""The command line of a sweep for other processes or machines."""

import os
import sys
from collections.abc import Callable

from absl import flags

from emergence.storage.files import is_remote
from emergence.sweep.pending import Request
from experiments import sweep

# Flags that a launcher does not pass on: it sets or does these itself.
_NOT_PASSED = ("dry_run", "json", "shard", "status")

# Of no use to the processes that a launcher starts.
OF_PROCESSES = ("topology", "coordinator", "num_processes", "process_id")


def read_request() -> Request:
  """The request that the flags describe, for several processes to share.

  Raises:
    ValueError: the flags do not fit together, or the work directory is in a
      bucket.
  """
  refuse("shard", "status", "distributed", *OF_PROCESSES)
  request = sweep.read_request()
  if is_remote(request.workdir):
    raise ValueError(
      "--workdir: these workers need a local or shared file system, not"
      f" {request.workdir}; use launch.tpu_vm, or experiments.sweep with"
      " --shard=I/N on each of N machines"
    )
  return request


def refuse(*names: str) -> None:
  """Raises ValueError for flags of the sweep that a launcher does not take."""
  for name in names:
    if flags.FLAGS[name].present:
      raise ValueError(
        f"--{name} is for experiments.sweep; this launcher does not take it"
      )


def make() -> list[str]:
  """The command that runs a sweep with our flags, with absolute paths."""
  return [sys.executable, "-m", sweep.__name__, *given_flags()]


def given_flags(locate: Callable[[str], str] = os.path.abspath) -> list[str]:
  """The given flags that a launcher passes to the sweep, as `--name=value`.

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
