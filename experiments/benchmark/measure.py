"""One shape: every side is compiled, checked, and measured in turns."""

import contextlib
import importlib.metadata
import importlib.util
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from emergence.config import Cell, Config
from emergence.population import compilation
from emergence.population.hardware import Device
from emergence.storage import records
from emergence.training import model
from experiments.benchmark import jax_sides, timing, torch_processes
from experiments.benchmark.jax_sides import Side

SIDES = ("ours", "jax", "torch-eager", "torch-compile", "torch-vmap-compile")

# PyTorch gets this many batches in memory and repeats them.
_NUM_BATCHES = 16
# Largest allowed difference of losses (a few nats) at width 64. Rounding grows
# as the square root of the number of terms. An approximate GELU exceeds the
# limit at every width.
_TOLERANCES = {"float32": 5e-5, "bfloat16": 5e-2}


class Settings(NamedTuple):
  """How to measure.

  Attributes:
    sides: those of `SIDES` to measure.
    devices: for `ours`; the side `jax` uses the first of them.
    seed_counts: numbers of seeds to measure `ours` with; if empty, one block
      per device.
    rounds: measurements of each side.
    seconds: of each measurement.
  """

  sides: Sequence[str]
  devices: Sequence[Device]
  seed_counts: Sequence[int]
  rounds: int
  seconds: float


def measure(
  config: Config, cell: Cell, settings: Settings, say: Callable[[str], None]
) -> list[dict[str, Any]]:
  """Measures one shape.

  Args:
    config: the experiment, `seeds.block` included.
    cell: its cell.
    settings: what to measure and how long.
    say: called with each line of progress.

  Returns:
    One row per side, with the keys of the benchmark's README apart from `shape`
    and `versions`.

  Raises:
    RuntimeError: a side computes other losses than ours.
  """
  arch = compilation.make_setup(config, cell).arch
  flops = model.train_flops(
    arch, config.train.batch_size, config.task.context_length
  )
  with contextlib.ExitStack() as stack:
    sides = _start(config, cell, settings, stack, say)
    if not sides:
      return []
    say(f"measuring, {settings.rounds} rounds")
    # In turns with the sides: a disturbance could spoil a single measurement.
    gemm = jax_sides.gemm(settings.devices, config.train)
    *found, gemm_rates = timing.in_turns(
      [*(side.measure for side in sides), gemm],
      settings.rounds,
      settings.seconds,
    )
  peak = float(gemm_rates.max())
  names = [side.name for side in sides]
  base = names.index("torch-eager") if "torch-eager" in names else 0
  rows = []
  for side, rates in zip(sides, found, strict=True):
    ratios = rates / found[base]
    rate = float(np.median(rates))
    rows.append(
      {
        "side": side.name,
        "seeds": side.seeds,
        "block": config.seeds.block,
        "device": side.devices,
        "seed_steps_per_second": rate,
        "rounds": rates.tolist(),
        "ratio": float(np.median(ratios)),
        "ratio_low": float(ratios.min()),
        "ratio_high": float(ratios.max()),
        "ratio_to": names[base],
        "peak_fraction": rate * flops / peak,
        "gemm_flops_per_second": peak,
        "compile_seconds": side.compile_seconds,
        "loss_difference": side.loss_difference,
      }
    )
  return rows


def check_agreement(
  name: str,
  theirs: np.ndarray,
  ours: np.ndarray,
  compute_dtype: str,
  width: int,
) -> float:
  """The largest difference between the losses, [seeds, steps], of two sides.

  Raises:
    RuntimeError: the difference is more than rounding explains.
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


def torch_is_missing(devices: Sequence[Device]) -> str | None:
  """Why PyTorch cannot be compared here; None if it can."""
  if importlib.util.find_spec("torch") is None:
    return "PyTorch is not installed"
  if devices[0].platform not in ("cpu", "gpu"):
    return "PyTorch is compared only on CPUs and GPUs"
  return None


def versions() -> dict[str, str]:
  """Versions of the code and the libraries, PyTorch's if it is installed."""
  found = records.versions()
  with contextlib.suppress(importlib.metadata.PackageNotFoundError):
    found["torch_version"] = importlib.metadata.version("torch")
  return found


def _start(
  config: Config,
  cell: Cell,
  settings: Settings,
  stack: contextlib.ExitStack,
  say: Callable[[str], None],
) -> list[Side]:
  """Compiles all sides and compares the losses of PyTorch with ours."""
  sides = []
  first = settings.devices[0]
  if "ours" in settings.sides:
    say("compiling ours")
    counts = settings.seed_counts or [
      len(settings.devices) * config.seeds.block
    ]
    sides += jax_sides.ours(config, cell, settings.devices, counts)
  if "jax" in settings.sides:
    say("compiling jax")
    sides.append(jax_sides.one_seed(config, cell, first))
  names = [name for name in settings.sides if name.startswith("torch-")]
  if not names:
    return sides
  say("training a few steps to compare losses")
  check = jax_sides.for_check(config, cell.width)
  arch = compilation.make_setup(check, cell).arch
  ours = jax_sides.first_losses(check, cell, first)
  num_seeds = max(config.seeds.block, jax_sides.CHECK_SEEDS)
  data = jax_sides.draw_data(check, cell, num_seeds, _NUM_BATCHES)
  devices = [
    "cpu" if device.platform == "cpu" else f"cuda:{device.local_hardware_id}"
    for device in settings.devices
  ]
  for name in names:
    say(f"compiling {name}")
    try:
      side, theirs = stack.enter_context(
        torch_processes.started(name, devices, arch, check.train, data)
      )
    except RuntimeError as error:
      say(f"skipping {name}: {error}")
      continue
    difference = check_agreement(
      name, theirs, ours, config.train.compute_dtype, cell.width
    )
    say(f"{name}: losses within {difference:.1e} of ours")
    sides.append(side._replace(loss_difference=difference))
  return sides
