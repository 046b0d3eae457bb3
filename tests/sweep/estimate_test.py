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


def fake_program(cell, devices, seconds):
  arch_seconds = seconds[cell.depth]
  return compilation.Program(
    *[None] * 3, _Mesh(len(devices)), *[None] * 3, 1000 * arch_seconds, None
  )


class _Mesh:
  def __init__(self, size):
    self.size = size


def test_time_is_steps_times_rounds_of_blocks(tiny, work, monkeypatch):
  monkeypatch.setattr(
    compilation,
    "compile_cell",
    lambda config, cell, devices: fake_program(cell, devices, {1: 2, 2: 3}),
  )
  monkeypatch.setattr(
    population, "seconds_per_step", lambda p: p.bytes_per_device / 1000
  )
  monkeypatch.setattr(population, "seconds_per_evaluation", lambda p: 10.0)
  devices = hardware.local_devices(2)
  shallow, deep = estimate.estimate(tiny, work, devices)
  # Six blocks on two devices are three rounds of six steps and of
  # evaluations at steps 0, 2, 4 and 6.
  assert (shallow.cell, deep.cell) == tuple(config_lib.cells(tiny))
  assert (shallow.seconds, deep.seconds) == (
    3 * (2 * 6 + 40),
    3 * (3 * 6 + 40),
  )
  assert (shallow.num_seeds, shallow.bytes_per_block) == (24, 2000)
  assert shallow.is_measured
  assert deep.is_measured


def test_a_cell_that_is_too_slow_to_time_is_extrapolated(
  tiny, work, monkeypatch
):
  big = pending.Work(Cell.parse("count/width-512/depth-2"), [[0]])
  monkeypatch.setattr(
    compilation,
    "compile_cell",
    lambda config, cell, devices: fake_program(cell, devices, {1: 1}),
  )
  monkeypatch.setattr(population, "seconds_per_step", lambda p: 1.0)
  monkeypatch.setattr(population, "seconds_per_evaluation", lambda p: 2.0)
  found = estimate.estimate(tiny, [big, work[0]], hardware.local_devices(2))
  assert [e.is_measured for e in found] == [False, True]
  flops = [
    estimate._step_flops(compilation.make_setup(tiny, item.cell))
    for item in (big, work[0])
  ]
  assert found[0].bytes_per_block is None
  assert found[0].seconds == pytest.approx((6 + 4 * 2) * flops[0] / flops[1])
