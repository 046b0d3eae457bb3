import types

import pytest

from emergence import config as config_lib
from emergence.config import Cell
from emergence.population import compilation, hardware, population
from emergence.sweep import estimate, pending


@pytest.fixture
def work(tiny):
  return [
    pending.Work(cell, pending.cut_blocks(range(24), 4))
    for cell in config_lib.cells(tiny)
  ]


@pytest.fixture(autouse=True)
def measured(monkeypatch):
  """A step of a cell takes depth + 1 seconds, an evaluation takes ten."""

  def compile_cell(config, cell, devices):
    mesh = types.SimpleNamespace(size=len(devices))
    num_bytes = 1000 * (cell.depth + 1)
    return compilation.Program(*[None] * 3, mesh, *[None] * 3, num_bytes, None)

  seconds_per_step = lambda program: program.bytes_per_device / 1000
  monkeypatch.setattr(compilation, "compile_cell", compile_cell)
  monkeypatch.setattr(population, "seconds_per_step", seconds_per_step)
  monkeypatch.setattr(population, "seconds_per_evaluation", lambda _: 10.0)


def test_time_is_steps_times_rounds_of_blocks(tiny, work):
  shallow, deep = estimate.estimate(tiny, work, hardware.local_devices(2))
  # Six blocks on two devices are three rounds of six steps and of
  # evaluations at steps 0, 2, 4 and 6.
  assert (shallow.cell, deep.cell) == tuple(config_lib.cells(tiny))
  assert shallow.seconds == 3 * (2 * 6 + 40)
  assert deep.seconds == 3 * (3 * 6 + 40)
  assert (shallow.num_seeds, shallow.bytes_per_block) == (24, 2000)
  assert shallow.is_measured
  assert deep.is_measured


def test_a_cell_that_is_too_slow_to_time_is_extrapolated(tiny, work):
  big = pending.Work(Cell.parse("count/width-512/depth-2"), [[0]])
  small = work[0]._replace(blocks=[[0]])
  found = estimate.estimate(tiny, [big, small], hardware.local_devices(2))
  assert [e.is_measured for e in found] == [False, True]
  flops = [
    estimate._step_flops(compilation.make_setup(tiny, item.cell))
    for item in (big, small)
  ]
  assert found[0].bytes_per_block is None
  ratio = flops[0] / flops[1]
  assert found[0].seconds == pytest.approx(found[1].seconds * ratio)
