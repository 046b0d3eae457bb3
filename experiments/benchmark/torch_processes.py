"""PyTorch in processes of its own, one per device.

In one process JAX and PyTorch would compete for threads and memory. And small
models train fastest with one process of one thread on each core.
"""

import concurrent.futures
import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from emergence.config import TrainConfig
from emergence.training.model import Architecture
from experiments.benchmark import timing
from experiments.benchmark.jax_sides import CHECK_SEEDS, Data, Side

# How this process measures, if it is a PyTorch process.
_measure: Callable[[float], float] | None = None


@contextlib.contextmanager
def started(
  name: str,
  devices: Sequence[str],
  arch: Architecture,
  train: TrainConfig,
  data: Data,
) -> Iterator[tuple[Side, np.ndarray]]:
  """Starts the processes of a side; they end with the context.

  Args:
    name: of the side, `torch-` and a variant of `torch_sides.Trainer`.
    devices: PyTorch's names of the devices, one for each process.
    arch: the architecture.
    train: optimizer and schedule of the check.
    data: the data of all seeds; a variant without vmap measures the first seed.

  Yields:
    The side, and the losses of the check, [seeds, steps].

  Raises:
    RuntimeError: PyTorch fails.
  """
  variant = name.removeprefix("torch-")
  context = multiprocessing.get_context("spawn")
  # On Ctrl-C these processes end without a traceback.
  end_at_once = (signal.SIGINT, signal.SIG_DFL)
  with contextlib.ExitStack() as stack:
    processes = [
      stack.enter_context(
        concurrent.futures.ProcessPoolExecutor(
          1, context, signal.signal, end_at_once
        )
      )
      for _ in devices
    ]
    starting = [
      process.submit(_set_up, variant, arch, train, data, device)
      for process, device in zip(processes, devices, strict=True)
    ]
    ready = [future.result() for future in starting]
    seeds, compile_seconds, losses = ready[0]

    def measure(seconds: float) -> float:
      rates = [process.submit(_rate, seconds) for process in processes]
      return sum(future.result() for future in rates)

    side = Side(
      name,
      len(devices) * seeds,
      measure,
      compile_seconds if variant.endswith("compile") else None,
      f"{len(devices)} × {devices[0]}",
    )
    yield side, losses


def _set_up(variant: str, *args: Any) -> tuple[int, float, np.ndarray]:
  """Builds a trainer; its seeds per step, compile seconds and check losses."""
  global _measure
  try:
    from experiments.benchmark import torch_sides

    trainer = torch_sides.Trainer(variant, *args)
    start = time.perf_counter()
    trainer.seconds(1)
    compile_seconds = timing.seconds_since(start)
    losses = trainer.losses(CHECK_SEEDS)
    _measure = timing.rate_of(trainer.seconds, trainer.seeds_per_step)
  except Exception as error:  # Not all of PyTorch's can be pickled.
    line, *_ = str(error).strip().splitlines() or [""]
    raise RuntimeError(f"{type(error).__name__}: {line}") from None
  return trainer.seeds_per_step, compile_seconds, losses


def _rate(seconds: float) -> float:
  assert _measure
  return _measure(seconds)
