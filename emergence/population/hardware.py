"""The devices of this process, and the memory that they have."""

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import jax

from emergence.population import host_memory

# A jax.Device; the name jax exports is no type to type checkers.
Device = Any

# Left to everything that the compiled programs do not account for: the runtime,
# the other programs of the sweep, fragmentation.
_USABLE_SHARE = 0.8


def local_devices(count: int | None = None) -> list[Device]:
  """The devices of this process; on CPU, one for each core.

  Call it before anything else touches a device: JAX fixes the number of CPU
  devices when it first needs one.

  Args:
    count: how many to use; all of them where None. On CPU it may exceed the
      number of cores.

  Raises:
    ValueError: fewer devices than asked for.
  """
  with contextlib.suppress(RuntimeError):  # Raised once devices are in use.
    jax.config.update("jax_num_cpu_devices", count or num_cores())
  devices = jax.local_devices()
  if count is not None and not 1 <= count <= len(devices):
    raise ValueError(
      f"--devices={count}: this machine has {len(devices)}"
      f" {devices[0].platform} devices"
    )
  return devices[:count]


def memory_budget(devices: Sequence[Device]) -> tuple[int, bool]:
  """Bytes that blocks may use, and whether the devices share them.

  CPU devices share the host's free memory; accelerators have their own, as
  their allocator reports it, in the process that they belong to alone.
  """
  if devices[0].platform == "cpu":
    return int(_USABLE_SHARE * host_memory.available()), True
  own = [d for d in devices if d.process_index == jax.process_index()]
  limits = [(d.memory_stats() or {}).get("bytes_limit") for d in own]
  known = [limit for limit in limits if limit]
  # A device that does not report its memory is left to fail by itself.
  return (int(_USABLE_SHARE * min(known)) if known else 2**62), False


def num_cores() -> int:
  """The CPU cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
