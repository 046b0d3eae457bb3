"""The command of a sweep that other machines or processes are to run."""

import os
import sys
from collections.abc import Collection

from absl import flags

from emergence import sweep as sweep_lib
from emergence.claims import Claims
from experiments import sweep

# What a launcher decides or does itself.
_NOT_PASSED = ("cooperate", "dry_run", "json", "shard")


def read_request() -> sweep.Request:
  """What the flags ask for, where several processes can share it.

  Raises:
    ValueError: it makes no sense, the work directory is in no file system, or
      it holds another experiment.
  """
  if flags.FLAGS["shard"].present:
    raise ValueError("--shard: a launcher divides the work itself")
  request = sweep.read_request()
  Claims(request.workdir)  # Refuses what is no file system.
  sweep_lib.require_same_experiment(request.config, request.workdir)
  return request


def make(without: Collection[str] = ()) -> list[str]:
  """The arguments of a sweep that cooperates, with the flags given to us.

  Paths are absolute, for whoever runs it may be elsewhere.

  Args:
    without: names of flags that are left out.
  """
  arguments = [sys.executable, "-m", sweep.__name__, "--cooperate"]
  for flag in flags.FLAGS.flags_by_module_dict()[sweep.__name__]:
    if flag.present and flag.name not in (*_NOT_PASSED, *without):
      if _is_path(flag):
        arguments.append(f"--{flag.name}={os.path.abspath(flag.value)}")
      elif isinstance(flag, flags.MultiFlag):
        arguments += [f"--{flag.name}={value}" for value in flag.value]
      else:
        arguments.append(flag.serialize())
  return arguments


def _is_path(flag: flags.Flag) -> bool:
  return flag.name == "workdir" or (
    flag.name == "config" and flag.value.endswith(".py")
  )
