"""Memory and time of a sweep on this machine, measured before it starts."""

from collections.abc import Sequence
from typing import NamedTuple

from emergence.config import Cell, Config
from emergence.population import compilation, population
from emergence.population.compilation import Setup
from emergence.population.hardware import Device
from emergence.sweep.pending import Work
from emergence.training import model

# A cell is extrapolated, not timed, if one step of one block is predicted to
# take longer than this.
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
    is_measured: whether `seconds` was timed on this machine. If not, it is
      extrapolated from a cheaper, timed cell in proportion to the FLOPs.
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
  """Estimates the cost of each cell from a few timed steps and an evaluation.

  Args:
    config: the experiment.
    work: the pending blocks of each cell.
    devices: the devices that would train them.

  Returns:
    One estimate a cell, in the order of `work`.
  """
  setups = [compilation.make_setup(config, item.cell) for item in work]
  cheapest_first = sorted(
    zip(setups, work, strict=True), key=lambda pair: _step_flops(pair[0])
  )
  estimates: dict[Cell, Estimate] = {}
  # Seconds per FLOP of a seed, with one block on each device: for steps alone,
  # and for steps with evaluations.
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
