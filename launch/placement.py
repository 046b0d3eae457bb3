"""Divides the GPUs or cores of this machine between processes."""

import importlib.metadata
import os
import subprocess
from collections.abc import Sequence
from typing import NamedTuple


class Place(NamedTuple):
  """The part of the machine that one worker uses.

  Attributes:
    gpus: its GPUs, as CUDA_VISIBLE_DEVICES names them; None without GPUs.
    cores: the cores that the worker is bound to; None with GPUs.
    devices: number of JAX devices that the worker makes of its cores; None with
      GPUs.
  """

  gpus: tuple[str, ...] | None
  cores: frozenset[int] | None
  devices: int | None


def divide(
  num_workers: int, gpus: Sequence[str], cores: Sequence[int]
) -> list[Place]:
  """Divides a machine between workers.

  Every worker gets the same number of JAX devices, because the bits of a seed
  depend on it; leftover cores go to the first workers.

  Args:
    num_workers: number of workers.
    gpus: GPUs that JAX would use; empty if it would use the cores.
    cores: cores that this process may use.

  Raises:
    ValueError: there are fewer GPUs or cores than workers.
  """
  units, name = (gpus, "GPU") if gpus else (cores, "core")
  if num_workers > len(units):
    raise ValueError(
      f"--num_workers={num_workers}: each needs a {name} of its own, and we may"
      f" use {len(units)} here"
    )
  each, leftover = divmod(len(units), num_workers)
  if gpus:
    return [
      Place(tuple(gpus[i * each : (i + 1) * each]), None, None)
      for i in range(num_workers)
    ]
  places, first = [], 0
  for i in range(num_workers):
    last = first + each + (i < leftover)
    places.append(Place(None, frozenset(cores[first:last]), each))
    first = last
  return places


def visible_gpus() -> list[str]:
  """The NVIDIA GPUs that JAX would use, found without initializing JAX."""
  platforms = os.environ.get("JAX_PLATFORMS", "")
  if platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
    return []
  plugins = importlib.metadata.entry_points(group="jax_plugins")
  if not any("cuda" in plugin.name for plugin in plugins):
    return []
  if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
    return [gpu for gpu in named.split(",") if gpu not in ("", "-1")]
  try:
    listed = subprocess.run(
      ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
      capture_output=True,
      text=True,
      timeout=60,
      check=True,
    )
  except (OSError, subprocess.SubprocessError):
    return []
  return listed.stdout.split()


def usable_cores() -> list[int]:
  """The cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))
