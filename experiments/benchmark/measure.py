"""One shape: every side is compiled, compared, and measured in turns."""

import contextlib
import functools
import importlib.metadata
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from emergence.config import Cell, Config
from emergence.population import compilation
from emergence.population.hardware import Device
from emergence.storage import records
from emergence.training import model
from experiments.benchmark import jax_sides, table, timing, torch_workers
from experiments.benchmark.ablations import ABLATIONS, ablated
from experiments.benchmark.jax_sides import Side

OURS, ONE_SEED = "ours", "jax"
PER_CORE = "-per-core"
EAGER = ("torch-eager", f"torch-eager{PER_CORE}")
SIDES = (
  OURS,
  *ABLATIONS,
  ONE_SEED,
  *(
    f"torch-{variant}{suffix}"
    for variant in ("eager", "compile", "vmap", "vmap-compile")
    for suffix in ("", PER_CORE)
  ),
)

# Batches that PyTorch finds in memory, and then starts over.
_NUM_BATCHES = 16
_GEMM_SIZE = 2048
# At width 64, where losses are a few nats. Rounding grows as the root of the
# number of terms of a sum; an approximate GELU is to be noticed at any width.
# bfloat16 has three digits.
_TOLERANCES = {"float32": 5e-5, "bfloat16": 5e-2}


class Options(NamedTuple):
  """How to measure.

  Attributes:
    sides: of `SIDES`.
    devices: of ours; JAX takes the first of them for one seed.
    threads: cores that PyTorch uses, in one process or in one process each.
    seed_counts: seeds of ours in a measurement; one block a device if empty.
    rounds: measurements of each side.
    seconds: of each measurement.
  """

  sides: tuple[str, ...]
  devices: Sequence[Device]
  threads: int
  seed_counts: tuple[int, ...] = ()
  rounds: int = 5
  seconds: float = 3.0


def measure(
  config: Config,
  cell: Cell,
  options: Options,
  torch_peak: float,
  say: Callable[[str], None],
) -> list[dict[str, Any]]:
  """Measures one shape.

  Args:
    config: the experiment, `seeds.block` included.
    cell: its cell.
    options: what to measure and how long.
    torch_peak: what `torch_gemm` returns.
    say: is told what is going on.

  Returns:
    Rows with the keys of the benchmark's README, apart from `shape`.

  Raises:
    RuntimeError: a side computes other losses than ours.
  """
  arch = compilation.make_setup(config, cell).arch
  flops = model.train_flops(
    arch, config.train.batch_size, config.task.context_length
  )
  with contextlib.ExitStack() as stack:
    sides, failures, differences = _start(config, cell, options, stack, say)
    if not sides:
      return [_empty_row(n) | {"error": error} for n, error in failures.items()]
    say(f"measuring, {options.rounds} rounds")
    # A disturbance would lower a peak that is measured once.
    parts: dict[Any, Callable[[float], float]] = {
      "gemm": jax_sides.gemm(
        options.devices,
        _GEMM_SIZE,
        config.train.compute_dtype,
        config.train.matmul_precision,
      )
    }
    if any(name == OURS for name, _ in sides):
      parts["data"] = jax_sides.data_alone(
        config, cell, options.devices
      ).measure
    found = timing.in_turns(
      {key: side.measure for key, side in sides.items()} | parts,
      options.rounds,
      options.seconds,
    )
  peak = max(torch_peak, found["gemm"].rounds.max())
  base = _base({key: found[key] for key in sides})
  rows = []
  for key, side in sides.items():
    name, _ = key
    rates = found[key]
    low = middle = high = data = math.nan
    if base:
      middle, low, high = timing.ratio(rates, found[base])
    if name == OURS:
      data, _, _ = timing.ratio(rates, found["data"])
    rows.append(
      _empty_row(name)
      | {
        "seeds": side.seeds,
        "seed_steps_per_second": table.finite(rates.median),
        "rounds": [table.finite(rate) for rate in rates.rounds.tolist()],
        "spread": table.finite(rates.spread),
        "ratio": table.finite(middle),
        "ratio_low": table.finite(low),
        "ratio_high": table.finite(high),
        "ratio_to": base and base[0],
        "gemm_flops_per_second": peak,
        "peak_fraction": table.finite(rates.median * flops / peak),
        "data_fraction": table.finite(data),
        "compile_seconds": side.compile_seconds,
        "memory_per_seed_bytes": side.bytes_per_seed,
        "loss_difference": differences.get(name),
        "block": config.seeds.block,
        "device": side.devices,
      }
    )
  failed = [_empty_row(n) | {"error": error} for n, error in failures.items()]
  return rows + failed


def check_agreement(
  name: str,
  theirs: np.ndarray,
  ours: np.ndarray,
  compute_dtype: str,
  width: int,
) -> float:
  """The largest difference of losses, [seeds, steps], of two sides.

  Raises:
    RuntimeError: it is more than rounding explains.
  """
  difference = float(np.abs(theirs - ours).max())
  allowed = _TOLERANCES[compute_dtype] * math.sqrt(width / 64)
  if not difference <= allowed:
    step = int(np.abs(theirs - ours).max(axis=0).argmax())
    raise RuntimeError(
      f"{name} does not compute what ours does: losses differ by"
      f" {difference:.1e} within {theirs.shape[1]} steps, most at step {step};"
      f" {allowed:.1e} is allowed"
    )
  return difference


def torch_gemm(config: Config, options: Options) -> float:
  """PyTorch's rate of a product of large matrices, FLOP/s; 0 without it."""
  device = torch_device(options.devices)
  wanted = any(name.startswith("torch-") for name in options.sides)
  if not wanted or device is None or not torch_workers.is_installed():
    return 0.0
  with contextlib.suppress(RuntimeError):
    return torch_workers.gemm_flops_per_second(
      _GEMM_SIZE, config.train.compute_dtype, options.threads, device
    )
  return 0.0


_Key = tuple[str, int]
_Sides = dict[_Key, Side]


def _base(found: dict[_Key, timing.Rates]) -> _Key | None:
  """What rates are compared with: PyTorch, or else ours; None if alone."""
  eager = [key for key in found if key[0] in EAGER]
  if eager:
    return max(eager, key=lambda key: found[key].median)
  ours = [key for key in found if key[0] == OURS]
  return min(ours) if ours and len(found) > 1 else None


def _start(
  config: Config,
  cell: Cell,
  options: Options,
  stack: contextlib.ExitStack,
  say: Callable[[str], None],
) -> tuple[_Sides, dict[str, str], dict[str, float]]:
  """Compiles all sides and compares their losses with ours.

  Returns:
    By name and seeds, what can be measured; by name, why the others cannot,
    and the largest difference of a loss.
  """
  sides: _Sides = {}
  failures, differences = {}, {}
  counts = options.seed_counts or (len(options.devices) * config.seeds.block,)
  check = jax_sides.for_check(config, cell.width)

  @functools.cache
  def losses() -> np.ndarray:
    say("training a few steps to compare losses")
    return jax_sides.first_losses(check, cell, options.devices[0])

  def compare(name: str, theirs: np.ndarray) -> None:
    differences[name] = check_agreement(
      name, theirs, losses(), config.train.compute_dtype, cell.width
    )
    say(f"{name}: losses within {differences[name]:.1e} of ours")

  def add_ours(name: str) -> None:
    say(f"compiling {name}")
    for side in jax_sides.ours(config, cell, options.devices, counts):
      sides[name, side.seeds] = side

  if OURS in options.sides:
    add_ours(OURS)
  for name in (name for name in options.sides if name in ABLATIONS):
    with ablated(name):
      add_ours(name)
      theirs = jax_sides.first_losses(check, cell, options.devices[0])
    compare(name, theirs)
  if ONE_SEED in options.sides:
    say("compiling jax")
    sides[ONE_SEED, 1] = jax_sides.one_seed(config, cell, options.devices[0])
  names = [name for name in options.sides if name.startswith("torch-")]
  if not names:
    return sides, failures, differences
  if not torch_workers.is_installed():
    return sides, dict.fromkeys(names, "PyTorch is not installed"), differences
  device = torch_device(options.devices)
  if device is None:
    failure = "PyTorch is compared on CPUs and GPUs"
    return sides, dict.fromkeys(names, failure), differences
  data = jax_sides.draw_data(
    check, cell, max(config.seeds.block, jax_sides.CHECK_SEEDS), _NUM_BATCHES
  )
  for name in names:
    say(f"compiling {name}")
    is_per_core = name.endswith(PER_CORE)
    setting = torch_workers.Setting(
      name.removeprefix("torch-").removesuffix(PER_CORE),
      options.threads if is_per_core else 1,
      1 if is_per_core else options.threads,
      device,
      compilation.make_setup(config, cell).arch,
      config.train,
      check.train,
    )
    try:
      side, theirs = stack.enter_context(torch_workers.started(setting, data))
    except RuntimeError as error:
      failures[name] = str(error)
      continue
    sides[name, side.seeds] = side
    compare(name, theirs)
  return sides, failures, differences


def torch_device(devices: Sequence[Device]) -> str | None:
  """PyTorch's name of the kind of these devices; None where it has none."""
  return {"cpu": "cpu", "gpu": "cuda"}.get(devices[0].platform)


def versions() -> dict[str, str]:
  """Versions of the code and the libraries, PyTorch's where it is there."""
  found = records.versions()
  with contextlib.suppress(importlib.metadata.PackageNotFoundError):
    found["torch_version"] = importlib.metadata.version("torch")
  return found


def _empty_row(side: str) -> dict[str, Any]:
  """A row of a side that was not measured."""
  keys = (
    "seeds", "seed_steps_per_second", "rounds", "spread", "ratio", "ratio_low",
    "ratio_high", "ratio_to", "gemm_flops_per_second", "peak_fraction",
    "data_fraction", "compile_seconds", "memory_per_seed_bytes",
    "loss_difference", "block", "device", "error",
  )  # fmt: skip
  return {"side": side} | dict.fromkeys(keys)
