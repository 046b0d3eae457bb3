"""PyTorch in processes of its own, as many at a time as a user would start.

JAX and PyTorch would share threads and memory in one process, and one seed on
one core each is how PyTorch uses several cores best where models are small.
"""

import contextlib
import importlib.util
import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import numpy as np

from emergence.config import TrainConfig
from emergence.training.model import Architecture
from experiments.benchmark import timing
from experiments.benchmark.jax_sides import CHECK_SEEDS, Data, Side

_PATIENCE_SECONDS = 10.0


class Setting(NamedTuple):
  """One way to train in PyTorch.

  Attributes:
    variant: eager, compile, vmap or vmap-compile.
    processes: how many at a time.
    threads: of each.
    device: cpu or cuda.
    arch: the architecture.
    train: optimizer and schedule.
    check_train: those of the check.
  """

  variant: str
  processes: int
  threads: int
  device: str
  arch: Architecture
  train: TrainConfig
  check_train: TrainConfig


class _Ready(NamedTuple):
  """What a worker knows when it is ready to be measured."""

  compile_seconds: float | None
  bytes_per_seed: int
  losses: np.ndarray
  seeds: int


class _Failure(NamedTuple):
  """Why a worker could not do its work, in one line."""

  message: str


def is_installed() -> bool:
  """Whether PyTorch can be imported."""
  return importlib.util.find_spec("torch") is not None


@contextlib.contextmanager
def started(setting: Setting, data: Data) -> Iterator[tuple[Side, np.ndarray]]:
  """Starts the processes of a side and ends them with the block.

  Args:
    setting: what to train and how.
    data: of all seeds; without vmap a process trains the first of them.

  Yields:
    The side, and the losses of the check, [seeds, steps].

  Raises:
    RuntimeError: PyTorch refuses.
  """
  context = multiprocessing.get_context("spawn")
  workers = []
  with contextlib.ExitStack() as stack:
    for _ in range(setting.processes):
      here, there = context.Pipe()
      process = context.Process(
        target=_serve, args=(there, setting, data), daemon=True
      )
      process.start()
      there.close()
      stack.callback(_end, process, here)
      workers.append(here)
    ready = [_receive(worker) for worker in workers]

    def measure(seconds: float) -> float:
      for worker in workers:
        worker.send(seconds)
      return sum(_receive(worker) for worker in workers)

    side = Side(
      setting.processes * ready[0].seeds,
      measure,
      ready[0].compile_seconds,
      max(r.bytes_per_seed for r in ready),
      f"{setting.processes} × {setting.threads} threads, {setting.device}",
    )
    yield side, ready[0].losses


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Sends what C++ writes to stderr nowhere; the profiler says when it runs."""
  kept = os.dup(2)
  with open(os.devnull, "w") as nowhere:
    os.dup2(nowhere.fileno(), 2)
  try:
    yield
  finally:
    os.dup2(kept, 2)
    os.close(kept)


def gemm_flops_per_second(
  size: int, dtype: str, threads: int, device: str
) -> float:
  """The rate of PyTorch's product of two square matrices.

  Raises:
    RuntimeError: PyTorch refuses.
  """
  context = multiprocessing.get_context("spawn")
  here, there = context.Pipe()
  process = context.Process(
    target=_multiply, args=(there, size, dtype, threads, device), daemon=True
  )
  process.start()
  there.close()
  try:
    return _receive(here)
  finally:
    _end(process, here)


def _multiply(
  parent: Connection, size: int, dtype: str, threads: int, device: str
) -> None:
  with _reporting(parent):
    from experiments.benchmark import torch_sides

    torch_sides.use_threads(threads)
    parent.send(torch_sides.gemm_flops_per_second(size, dtype, device))


def _serve(parent: Connection, setting: Setting, data: Data) -> None:
  """The life of a worker: gets ready, then measures whenever it is asked."""
  with _reporting(parent):
    warnings.simplefilter("ignore")
    with _quiet():
      from experiments.benchmark import torch_sides

      torch_sides.use_threads(setting.threads)
      width = setting.arch.width
      rates = torch_sides.learning_rates(setting.train, width)
      check_rates = torch_sides.learning_rates(setting.check_train, width)
      trainer = torch_sides.Trainer(
        setting.variant, setting.arch, setting.train, data, setting.device
      )
      start = time.perf_counter()
      trainer.seconds(1, rates)
      compile_seconds = timing.seconds_since(start)
      losses = trainer.losses(check_rates, CHECK_SEEDS)
      is_compiled = setting.variant.endswith("compile")
      ready = _Ready(
        compile_seconds if is_compiled else None,
        trainer.bytes_per_seed(),
        losses,
        trainer.seeds_per_step,
      )
      measure = timing.rate_of(
        lambda steps: trainer.seconds(steps, rates), trainer.seeds_per_step
      )
    parent.send(ready)
    while (seconds := parent.recv()) is not None:
      parent.send(measure(seconds))


@contextlib.contextmanager
def _reporting(parent: Connection) -> Iterator[None]:
  """Sends an error to the parent instead of printing it."""
  try:
    yield
  except (EOFError, KeyboardInterrupt):
    pass  # The parent has gone, or is about to.
  except Exception as error:
    lines = str(error).strip().splitlines() or [""]
    parent.send(_Failure(f"{type(error).__name__}: {lines[0]}"))


def _end(process: BaseProcess, worker: Connection) -> None:
  """Lets a worker leave by itself, as compilers have processes of their own."""
  with contextlib.suppress(OSError):
    worker.send(None)
  process.join(timeout=_PATIENCE_SECONDS)
  process.terminate()
  process.join()


def _receive(worker: Connection) -> Any:
  try:
    answer = worker.recv()
  except EOFError:
    raise RuntimeError("the process of PyTorch has died") from None
  if isinstance(answer, _Failure):
    raise RuntimeError(answer.message)
  return answer
