"""Memory and time of a sweep on this machine, measured before it starts."""

from collections.abc import Sequence
from typing import NamedTuple

from emergence.config import Cell, Config
from emergence.population import compilation, population
from emergence.population.compilation import Setup
from emergence.population.hardware import Device
from emergence.sweep.pending import Work
from emergence.training import model

# A cell whose single step of one block is predicted to take longer than this
# is not timed but extrapolated.
_LONGEST_PROBE_SECONDS = 5.0


class Estimate(NamedTuple):
  """The cost of one cell.

  Attributes:
    cell: the cell.
    num_params: parameters of one model.
    num_seeds: pending seeds.
    bytes_per_block: memory of one block; None where the cell was not compiled.
    seconds: to train and evaluate the pending seeds, without compiling; None
      where a block does not fit in memory.
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
  """Times a few steps and an evaluation of each cell, the cheapest first.

  Args:
    config: the experiment.
    work: what is pending.
    devices: the devices that would train it.

  Returns:
    One estimate a cell, in the order of `work`.
  """
  setups = [compilation.make_setup(config, item.cell) for item in work]
  cheapest_first = sorted(
    zip(setups, work, strict=True), key=lambda pair: _step_flops(pair[0])
  )
  estimates: dict[Cell, Estimate] = {}
  # Of one block on each device, per floating-point operation of a step.
  step_rate = total_rate = None
  for setup, item in cheapest_first:
    flops, steps = _step_flops(setup), setup.config.train.steps
    seconds = total_rate and flops * steps * total_rate
    bytes_per_block = None
    is_measured = False
    if step_rate is None or flops * step_rate <= _LONGEST_PROBE_SECONDS:
      try:
        program = compilation.compile_cell(config, item.cell, devices)
      except compilation.DoesNotFitError as error:
        bytes_per_block, seconds = error.bytes_per_block, None
      else:
        bytes_per_block = program.bytes_per_device
        step_seconds = population.seconds_per_step(program)
        seconds = steps * step_seconds + len(
          setup.config.eval_steps
        ) * population.seconds_per_evaluation(program)
        step_rate, total_rate = step_seconds / flops, seconds / flops / steps
        is_measured = True
    num_rounds = -(-len(item.blocks) // len(devices))
    estimates[item.cell] = Estimate(
      item.cell,
      model.num_params(setup.arch),
      item.num_seeds,
      bytes_per_block,
      seconds and seconds * num_rounds,
      is_measured,
    )
  return [estimates[item.cell] for item in work]


def _step_flops(setup: Setup) -> float:
  """Floating-point operations of one step of one seed."""
  config = setup.config
  return model.train_flops(
    setup.arch, config.train.batch_size, config.task.context_length
  )
