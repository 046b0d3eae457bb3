"""Several processes that train one population, each with devices of its own.

`jax.distributed` connects them. All run the same program on the same blocks and
call the functions here in the same order. Process 0 decides, and writes the
shared files. With one process all functions return at once.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

Array = jax.Array

# How long the processes wait for each other at the start.
_START_SECONDS = 300
_LOST = (
  "another process of this population has ended or cannot be reached; run the"
  " same commands again to continue"
)


def join(
  coordinator: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
  num_cpu_devices: int | None = None,
) -> None:
  """Connects the processes; to be called before anything uses a device.

  Args:
    coordinator: HOST:PORT of process 0; if None, JAX detects all three from
      Slurm, a TPU slice or another system that it knows.
    num_processes: how many there are.
    process_id: which one this is, from 0.
    num_cpu_devices: CPU devices of this process; if None, the cores that srun
      gives to a task, or one.

  Raises:
    ValueError: the processes are not known, or the arguments are invalid.
    RuntimeError: they do not connect.
  """
  cores = int(os.environ.get("SLURM_CPUS_PER_TASK", 1))
  jax.config.update("jax_num_cpu_devices", num_cpu_devices or cores)
  # Disable JAX's SIGTERM handler: we checkpoint on SIGTERM ourselves.
  jax.config.update("jax_enable_preemption_service", False)
  try:
    jax.distributed.initialize(
      coordinator,
      num_processes,
      process_id,
      initialization_timeout=_START_SECONDS,
    )
  except ValueError as error:
    raise ValueError(
      "--distributed: JAX cannot find out how many processes there are; start"
      " them with srun or on all workers of a TPU slice, or give --coordinator,"
      f" --num_processes and --process_id ({error})"
    ) from error


def is_first() -> bool:
  """Whether this is process 0, which writes shared files; see also `agree`."""
  return jax.process_index() == 0


def agree(value: Any) -> Any:
  """Returns in every process the value, plain JSON, that process 0 passes."""
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

  with _with_others():
    gathered = multihost_utils.process_allgather(np.array(flags, bool))
  return tuple(bool(flag) for flag in gathered.any(axis=0))


def fetch(tree: Any) -> Any:
  """Gathers arrays from the devices of all processes as numpy arrays."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  from jax.experimental import multihost_utils

  with _with_others():
    return multihost_utils.process_allgather(tree, tiled=True)


def fetch_own(x: Array) -> np.ndarray:
  """Copies the rows of an array that are on devices of this process.

  The rows of other processes are zero.
  """
  own = np.zeros(x.shape, x.dtype)
  for part in x.addressable_shards:
    own[part.index] = part.data
  return own


def _broadcast(value: np.ndarray) -> np.ndarray:
  from jax.experimental import multihost_utils

  with _with_others():
    return multihost_utils.broadcast_one_to_all(value)


@contextlib.contextmanager
def _with_others() -> Iterator[None]:
  """Raises a failed collective operation as a RuntimeError."""
  try:
    yield
  except Exception as error:
    raise RuntimeError(f"{_LOST} ({error})") from error
