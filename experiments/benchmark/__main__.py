"""Measures seed-steps per second of our code, plain JAX and PyTorch, in turns.

  python -m experiments.benchmark --shape=16/3/8x64,64/4/32x64 --json=FILE

The README beside this file explains the sides and the columns.
"""

import os

import jax
from absl import flags

from emergence.population import compilation, hardware
from experiments import command
from experiments.benchmark import measure, table
from experiments.benchmark.shapes import make_config

_SHAPE = flags.DEFINE_multi_string(
  "shape",
  ["16/3/8x64", "32/2/8x64", "64/4/32x64", "256/4/16x128"],
  "Shape to measure, width/depth/batch x tokens. Separate several with commas,"
  " or repeat the flag.",
)
_SIDES = flags.DEFINE_list(
  "sides", list(measure.SIDES), f"What to measure: {', '.join(measure.SIDES)}."
)
_CONFIG = flags.DEFINE_string(
  "config",
  "quickstart",
  "Config that sets everything that a shape does not: a name or a Python file.",
)
_OVERRIDE = flags.DEFINE_multi_string(
  "override",
  [],
  "KEY=VALUE: set a key of the config, even one that the shape sets.",
)
_SEEDS = flags.DEFINE_list(
  "seeds",
  [],
  "Numbers of seeds with which to measure the side `ours`, such as 16,512;"
  " default one block on each device.",
)
_ROUNDS = flags.DEFINE_integer(
  "rounds",
  5,
  "How many times to measure each side; the sides take turns.",
  lower_bound=1,
)
_SECONDS = flags.DEFINE_float(
  "seconds", 3.0, "Length of a measurement in seconds.", lower_bound=0.01
)
_JSON = flags.DEFINE_string(
  "json",
  None,
  "File to write the rows to, with the keys of the benchmark's README.",
)


def main() -> None:
  shapes = [x.strip() for text in _SHAPE.value for x in text.split(",")]
  for side in _SIDES.value:
    if side not in measure.SIDES:
      raise ValueError(
        f"--sides: no side {side!r}; choose from {', '.join(measure.SIDES)}"
      )
  sides = [side for side in measure.SIDES if side in _SIDES.value]
  cells = [
    make_config(shape, _CONFIG.value, _OVERRIDE.value) for shape in shapes
  ]
  for config, cell in cells:
    compilation.make_setup(config, cell)
  seed_counts = [_seed_count(text) for text in _SEEDS.value]
  command.require_writable(_JSON.value)
  # No cache, because compile time is measured; no preallocation, because
  # PyTorch shares the GPU.
  jax.config.update("jax_enable_compilation_cache", False)
  os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
  devices = hardware.local_devices()
  print(f"{len(devices)} × {devices[0].device_kind}", flush=True)
  skipped = [side for side in sides if side.startswith("torch-")]
  if skipped and (reason := measure.torch_is_missing(devices)):
    print(f"skipping {', '.join(skipped)}: {reason}")
    sides = [side for side in sides if side not in skipped]
  settings = measure.Settings(
    sides, devices, seed_counts, _ROUNDS.value, _SECONDS.value
  )
  rows, versions = [], measure.versions()
  for shape, (config, cell) in zip(shapes, cells, strict=True):
    say = lambda text, shape=shape: print(f"{shape}: {text}", flush=True)
    found = measure.measure(config, cell, settings, say)
    found = [{"shape": shape} | row for row in found]
    print(f"\n{table.format_tables(found)}\n", flush=True)
    rows += [row | {"versions": versions} for row in found]
    # After each shape, as one takes minutes and the run may be stopped.
    command.write_json(_JSON.value, rows)


def _seed_count(text: str) -> int:
  if not text.strip().isdecimal() or int(text) < 1:
    raise ValueError(
      f"--seeds expects numbers such as 16 or 16,512, got {text!r}"
    )
  return int(text)


if __name__ == "__main__":
  command.run(main)
