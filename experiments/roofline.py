"""What a study would cost on an accelerator, by arithmetic and not measured.

  python -m experiments.roofline --config=count_width --chip=h100

For every cell: floating-point operations and bytes of one step of one seed, the
seed-steps per second that the slower of the two allows, the seeds that fill
the chip, the seeds that fit in its memory, and the hours for all seeds. The
model is explained in experiments/accelerators.md; experiments.benchmark
measures the same on a chip that is there.
"""

import math
from typing import NamedTuple

from absl import flags

from emergence import config as config_lib
from emergence.config import Cell, Config
from emergence.population import compilation
from emergence.sweep import console
from emergence.training import model
from experiments import command

# An operation on a chip starts no sooner than this after the one before; the
# usual figure for a CUDA kernel.
_LAUNCH_SECONDS = 4e-6
# Rows and columns of the product that one core works on at a time.
_TILE = 128
# Matrix products of a layer, forward and backward, and as many operations again
# that XLA does not fuse into them.
_OPERATIONS_PER_LAYER = 2 * 3 * 6


class Chip(NamedTuple):
  """A chip, by its maker's data sheet.

  Attributes:
    name: of the chip.
    flops: floating-point operations per second of dense matrix products, by
      compute type, float32 with its matmul precision.
    bandwidth: of its memory, bytes per second.
    memory: bytes.
    num_cores: that work on tiles of a product at the same time.
  """

  name: str
  flops: dict[str, float]
  bandwidth: float
  memory: float
  num_cores: int


CHIPS = {
  # NVIDIA H100 SXM5 data sheet, without sparsity: bfloat16, TF32, float32.
  "h100": Chip(
    "H100 SXM",
    {
      "bfloat16": 989e12,
      "float32 (default)": 494e12,
      "float32 (high)": 494e12,
      "float32 (highest)": 67e12,
    },
    3.35e12,
    80e9,
    132,
  ),
  # Google Cloud TPU v5e system architecture. Its matrix unit takes bfloat16;
  # XLA makes a float32 product of one, three or six passes.
  "v5e": Chip(
    "TPU v5e",
    {
      "bfloat16": 197e12,
      "float32 (default)": 197e12,
      "float32 (high)": 197e12 / 3,
      "float32 (highest)": 197e12 / 6,
    },
    0.819e12,
    16e9,
    4,
  ),
}

_CONFIG = flags.DEFINE_string(
  "config", "count_width", "Name of a config, or a Python file."
)
_OVERRIDE = flags.DEFINE_multi_string(
  "override", [], "KEY=VALUE of a config field."
)
_CHIP = flags.DEFINE_enum("chip", "h100", sorted(CHIPS), "Which chip.")
_JSON = flags.DEFINE_string(
  "json", None, "File to write the rows to, with the keys of CellCost."
)


class CellCost(NamedTuple):
  """What one cell costs on one chip.

  Attributes:
    width: of the cell.
    depth: of the cell.
    flops: floating-point operations of one step of one seed.
    bytes: that one step of one seed moves to and from the chip's memory.
    seed_steps_per_second: what the slower of both allows.
    bound: `compute` or `memory`, whichever is the slower.
    seeds_to_fill: seeds that keep every core busy and spend less than a tenth
      of the time on launching operations.
    seeds_that_fit: in the chip's memory, without recomputation.
    hours: for all seeds of the config.
  """

  width: int
  depth: int
  flops: float
  bytes: float
  seed_steps_per_second: float
  bound: str
  seeds_to_fill: int
  seeds_that_fit: int
  hours: float


def main() -> None:
  config = command.load_config(_CONFIG.value, _OVERRIDE.value)
  chip = CHIPS[_CHIP.value]
  rows = [cost(config, cell, chip) for cell in config_lib.cells(config)]
  print(format_costs(config, chip, rows))
  command.write_json(_JSON.value, [row._asdict() for row in rows])


def cost(config: Config, cell: Cell, chip: Chip) -> CellCost:
  """The cost of one cell by the arithmetic of experiments/accelerators.md."""
  arch = compilation.make_setup(config, cell).arch
  batch_size, length = config.train.batch_size, config.task.context_length
  tokens, width = batch_size * length, arch.width
  flops = model.train_flops(arch, batch_size, length)
  # Kept for the backward pass, numbers a token: what the norms read and write,
  # q, k and v, what attention mixes, the MLP before and after GELU; and the
  # attention's logits and weights.
  per_layer = (7 + 2 * arch.config.mlp_ratio) * width
  per_layer += 2 * arch.num_heads * length
  outside = 2 * width + 2 * arch.vocab_size
  size = 2 if config.train.compute_dtype == "bfloat16" else 4
  kept = size * tokens * (arch.depth * per_layer + outside)
  num_params = model.num_params(arch)
  # Activations are written, read by the next operation and by the backward
  # pass, and so are their gradients, written and read. Parameters are read
  # forward and backward; their gradient is written and read; AdamW reads and
  # writes parameter and two moments.
  moved = 5 * kept + 4 * (2 + 2 + 6) * num_params
  state = 4 * 4 * num_params
  compute = flops / chip.flops[_compute_type(config)]
  memory = moved / chip.bandwidth
  seconds = max(compute, memory)
  tiles = math.ceil(tokens / _TILE) * math.ceil(width / _TILE)
  launches = _OPERATIONS_PER_LAYER * (arch.depth + 1) * _LAUNCH_SECONDS
  return CellCost(
    width,
    arch.depth,
    flops,
    moved,
    1 / seconds,
    "compute" if compute > memory else "memory",
    max(math.ceil(chip.num_cores / tiles), math.ceil(10 * launches / seconds)),
    int(0.8 * chip.memory / (kept + state)),
    config.seeds.count * config.train.steps * seconds / 3600,
  )


def format_costs(config: Config, chip: Chip, rows: list[CellCost]) -> str:
  """The table that the command prints."""
  header = "width depth GFLOP GB seed-steps/s bound fill fit hours".split()
  body = [
    [
      *(str(row.width), str(row.depth)),
      *(f"{row.flops / 1e9:.3g}", f"{row.bytes / 1e9:.3g}"),
      *(f"{row.seed_steps_per_second:,.0f}", row.bound),
      *(f"{row.seeds_to_fill}", f"{row.seeds_that_fit}", f"{row.hours:.3g}"),
    ]
    for row in rows
  ]
  train = config.train
  return "\n".join(
    [
      f"{chip.name}, {_compute_type(config)}: {config.seeds.count} seeds"
      f" × {train.steps:,} steps of {train.batch_size} ×"
      f" {config.task.context_length} tokens",
      console.align(header, body),
      f"all cells: {sum(row.hours for row in rows):.3g} hours of one chip",
    ]
  )


def _compute_type(config: Config) -> str:
  kind = config.train.compute_dtype
  return (
    f"{kind} ({config.train.matmul_precision})" if kind == "float32" else kind
  )


if __name__ == "__main__":
  command.run(main)
