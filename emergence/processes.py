"""Several processes that train one population, each with devices of its own.

`jax.distributed` joins them; every one runs the same program on the same blocks
and calls the same functions here in the same order. The first one decides, and
writes what all share. With one process everything here is free.
"""

import json
from typing import Any

import jax
import numpy as np

Array = jax.Array

# After so many seconds without a sign of life a process counts as dead.
_HEARTBEAT_SECONDS = 30


def join(
  coordinator: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
) -> None:
  """Joins the processes, before anything touches a device.

  Args:
    coordinator: HOST:PORT of the first process; where None, what Slurm, a TPU
      slice or another system that JAX knows says of all three.
    num_processes: how many there are.
    process_id: which one this is, from 0.

  Raises:
    ValueError: nothing says what the processes are.
    RuntimeError: they do not come together.
  """
  jax.distributed.initialize(
    coordinator,
    num_processes,
    process_id,
    heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
  )


def is_first() -> bool:
  """Whether this process is the one that decides and writes."""
  return jax.process_index() == 0


def agree(value: Any) -> Any:
  """What the first process has given here, in all of them; plain JSON."""
  if jax.process_count() == 1:
    return value
  content = np.frombuffer(json.dumps(value).encode(), np.uint8)
  size = int(_broadcast(np.array(content.size, np.int32)))
  padded = np.zeros(size, np.uint8)
  padded[: content.size] = content[:size]
  return json.loads(_broadcast(padded).tobytes())


def any_of(*flags: bool) -> tuple[bool, ...]:
  """For each flag, whether it is set in some process."""
  if jax.process_count() == 1:
    return flags
  from jax.experimental import multihost_utils

  gathered = multihost_utils.process_allgather(np.array(flags, bool))
  return tuple(bool(flag) for flag in gathered.any(axis=0))


def fetch(tree: Any) -> Any:
  """Arrays that are spread over the devices of all processes, as numpy's."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  from jax.experimental import multihost_utils

  return multihost_utils.process_allgather(tree, tiled=True)


def fetch_own(x: Array) -> np.ndarray:
  """A copy of what an array has on the devices of this process.

  Rows of other processes are zero.
  """
  own = np.zeros(x.shape, x.dtype)
  for part in x.addressable_shards:
    own[part.index] = part.data
  return own


def _broadcast(value: np.ndarray) -> np.ndarray:
  from jax.experimental import multihost_utils

  return multihost_utils.broadcast_one_to_all(value)
