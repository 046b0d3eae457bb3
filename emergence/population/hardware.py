"""The devices that train, and the memory that blocks of seeds may use."""

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import jax
import psutil

# A jax.Device, which type checkers do not accept as a type.
Device = Any

# The rest is for what the compiled programs do not account for: the runtime,
# the other programs of the sweep, fragmentation.
USABLE_SHARE = 0.8


def local_devices(count: int | None = None) -> list[Device]:
  """The devices of this process; on CPU, one for each core.

  Call it before anything else touches a device: JAX fixes the number of CPU
  devices when it first needs one.

  Args:
    count: how many to use; all of them where None. On CPU it may exceed the
      number of cores.

  Raises:
    ValueError: fewer devices than asked for.
    RuntimeError: Slurm gave this process GPUs, but JAX finds none.
  """
  with contextlib.suppress(RuntimeError):  # Raised once devices are in use.
    jax.config.update("jax_num_cpu_devices", count or len(usable_cores()))
  devices = jax.local_devices()
  gpus = os.environ.get("SLURM_STEP_GPUS") or os.environ.get("SLURM_JOB_GPUS")
  is_chosen = jax.config.values["jax_platforms"]
  if gpus and not is_chosen and devices[0].platform == "cpu":
    raise RuntimeError(
      f"Slurm gave this process the GPUs {gpus}, but JAX finds none; install"
      " the extra [cuda], or set JAX_PLATFORMS=cpu to train on the CPU"
    )
  if count is not None and not 1 <= count <= len(devices):
    raise ValueError(
      f"--devices={count}: this machine has {len(devices)}"
      f" {devices[0].platform} devices"
    )
  return devices[:count]


def all_devices(limit: int | None = None) -> list[Device]:
  """The devices of all processes.

  Args:
    limit: how many of each process; all of them where None.

  Raises:
    ValueError: a process has fewer.
  """
  if limit is None:
    return jax.devices()
  found = []
  for i in range(jax.process_count()):
    own = jax.local_devices(process_index=i)
    if limit > len(own):
      raise ValueError(
        f"--devices={limit}: process {i} has {len(own)} {own[0].platform}"
        " devices"
      )
    found += own[:limit]
  return found


def describe(devices: Sequence[Device]) -> dict[str, str | int]:
  """Platform, kind and count of devices, as files record them."""
  return {
    "platform": devices[0].platform,
    "kind": devices[0].device_kind,
    "count": len(devices),
  }


def memory_budget(devices: Sequence[Device]) -> tuple[int, bool]:
  """Returns the bytes that blocks may use, and whether devices share them.

  CPU devices share the host's free memory. Each accelerator has its own, whose
  size is reported only in the process to which the device belongs.
  """
  if devices[0].platform == "cpu":
    return int(USABLE_SHARE * psutil.virtual_memory().available), True
  own = [d for d in devices if d.process_index == jax.process_index()]
  limits = [(d.memory_stats() or {}).get("bytes_limit") for d in own]
  known = [limit for limit in limits if limit]
  # Without a reported limit nothing is refused; allocation may fail later.
  return (int(USABLE_SHARE * min(known)) if known else 2**62), False


def usable_cores() -> list[int]:
  """The CPU cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))
