"""What a sweep will cost on this machine, before it is started."""

from collections.abc import Sequence
from typing import NamedTuple

from emergence.config import Cell, Config, cell_config
from emergence.population import compilation, population
from emergence.population.hardware import Device
from emergence.sweep.backlog import Work
from emergence.training import model

# A cell whose single update of one block is predicted to take longer than this
# is not timed but extrapolated.
_LONGEST_PROBE_SECONDS = 5.0


class Estimate(NamedTuple):
  """The cost of one cell.

  Attributes:
    cell: the cell.
    num_params: parameters of one model.
    num_seeds: seeds left to train.
    bytes_per_block: memory of one block; None where the cell was not compiled.
    seconds: training time of what is left, without compiling; None where a
      block does not fit in memory.
    is_measured: timed on this machine, else extrapolated from the measured
      cell before it by the floating-point operations of a step.
  """

  cell: Cell
  num_params: int
  num_seeds: int
  bytes_per_block: int | None
  seconds: float | None
  is_measured: bool


def estimate(
  config: Config, work: Sequence[Work], devices: Sequence[Device]
) -> list[Estimate]:
  """Times a few updates of each cell, the cheapest first.

  Args:
    config: the experiment.
    work: what is left to train.
    devices: the devices that would train it.

  Returns:
    One estimate a cell, in the order of `work`.
  """
  estimates: dict[Cell, Estimate] = {}
  seconds_per_flop = None
  for item in sorted(work, key=lambda item: _step_flops(config, item.cell)):
    arch = compilation.make_architecture(config, item.cell)
    flops = _step_flops(config, item.cell)
    predicted = seconds_per_flop and flops * seconds_per_flop
    bytes_per_block, num_blocks, seconds = None, len(devices), predicted
    is_measured = False
    if predicted is None or predicted <= _LONGEST_PROBE_SECONDS:
      try:
        program = compilation.compile_cell(config, item.cell, devices)
      except compilation.DoesNotFitError as error:
        bytes_per_block, seconds = error.bytes_per_block, None
      else:
        bytes_per_block = program.bytes_per_device
        num_blocks = program.num_blocks
        seconds = population.seconds_per_step(program)
        seconds_per_flop = seconds / flops
        is_measured = True
    steps = cell_config(config, item.cell).train.steps
    num_groups = -(-len(item.blocks) // num_blocks)
    estimates[item.cell] = Estimate(
      item.cell,
      model.num_params(arch),
      item.num_seeds,
      bytes_per_block,
      seconds and seconds * num_groups * steps,
      is_measured,
    )
  return [estimates[item.cell] for item in work]


def _step_flops(config: Config, cell: Cell) -> float:
  """Floating-point operations of one update of one seed."""
  arch = compilation.make_architecture(config, cell)
  config = cell_config(config, cell)
  return model.train_flops(
    arch,
    config.train.batch_size,
    config.task.context_length,
  )
