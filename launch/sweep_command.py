"""The command of a sweep that other machines or processes are to run."""

import os
import sys
from collections.abc import Callable, Collection

from absl import flags

from emergence.storage import records
from emergence.storage.files import is_remote
from emergence.sweep.pending import Request
from experiments import sweep

# What a launcher decides or does itself.
_NOT_PASSED = ("dry_run", "json", "shard", "status")
_OF_ONE_POPULATION = (
  "distributed",
  "coordinator",
  "num_processes",
  "process_id",
)


def read_request() -> Request:
  """What the flags ask for, where several processes can share it.

  Raises:
    ValueError: it makes no sense, the work directory is in no file system, or
      it holds another experiment.
  """
  values = flags.FLAGS
  if values["shard"].present:
    raise ValueError("--shard: a launcher divides the work itself")
  if values["status"].present:
    raise ValueError("--status: use experiments.sweep with the same flags")
  for name in _OF_ONE_POPULATION:
    if values[name].present and values[name].value is not False:
      raise ValueError(
        f"--{name}: what a launcher starts shares nothing but the work"
        " directory; launch/README.md says how one population is started over"
        " many processes"
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
  """The command of a sweep with the flags given to us, paths made absolute."""
  return [sys.executable, "-m", sweep.__name__, *given_flags()]


def given_flags(
  without: Collection[str] = (), locate: Callable[[str], str] = os.path.abspath
) -> list[str]:
  """The flags of a sweep that were given to us, as its command takes them.

  What a launcher decides or does itself, such as `--dry_run`, is left out.

  Args:
    without: names of further flags to leave out.
    locate: where a path of this machine, of a config file or a work directory,
      is for whoever runs the command.

  Returns:
    `--name=value` for each, in the order of their definition; a flag that may
    be repeated is, and a list has commas.
  """
  arguments = []
  for flag in flags.FLAGS.flags_by_module_dict()[sweep.__name__]:
    if not flag.present or flag.name in (*_NOT_PASSED, *without):
      continue
    if _is_path(flag):
      arguments.append(f"--{flag.name}={locate(str(flag.value))}")
    elif isinstance(flag, flags.MultiFlag):
      arguments += [f"--{flag.name}={value}" for value in flag.value or []]
    else:
      arguments.append(flag.serialize())
  return arguments


def _is_path(flag: flags.Flag) -> bool:
  """Whether a flag names a place on this machine."""
  value = str(flag.value)
  return (flag.name == "workdir" and not is_remote(value)) or (
    flag.name == "config" and value.endswith(".py")
  )
