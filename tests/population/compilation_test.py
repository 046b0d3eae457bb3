import jax
import numpy as np
import pytest

from emergence.config import Cell
from emergence.population import compilation, hardware

CELL = Cell.parse("count/width-8/depth-1")


def along_seeds(program, value, kind):
  """The same value for each of eight seeds."""
  return jax.device_put(np.full(8, value, kind), program.sharding)


def sum_and_counts(program, num_steps):
  """What `advance` takes after the state: no loss so far, and updates."""
  return (
    along_seeds(program, 0, np.float32),
    along_seeds(program, num_steps, np.int32),
  )


def init(program):
  """The state of seeds 0 to 7."""
  seeds = jax.device_put(np.arange(8, dtype=np.int32), program.sharding)
  return program.init(seeds, seeds)


def test_any_number_of_steps_runs_in_one_compiled_program(program):
  state = init(program)
  assert isinstance(program.advance, jax.stages.Compiled)
  for num_steps in (1, 3, 2):
    state, _ = program.advance(state, *sum_and_counts(program, num_steps))
  assert state.step.tolist() == [6] * 8
  one_go = init(program)
  one_go, _ = program.advance(one_go, *sum_and_counts(program, 6))
  jax.tree.map(
    np.testing.assert_array_equal,
    jax.device_get(state.params),
    jax.device_get(one_go.params),
  )


def test_the_state_is_donated_and_the_chunk_moves_nothing(program):
  state = init(program)
  losses, counts = sum_and_counts(program, 1)
  with jax.transfer_guard("disallow"):
    new_state, _ = program.advance(state, losses, counts)
  assert all(x.is_deleted() for x in jax.tree.leaves(state.params))
  for leaf in jax.tree.leaves(new_state.params):
    assert leaf.sharding.spec == jax.sharding.PartitionSpec("seeds")
    assert len(leaf.sharding.device_set) == 2


@pytest.mark.parametrize(
  ("need", "devices", "budget", "blocks"),
  [
    (10, 4, (100, True), 4),
    (30, 4, (100, True), 3),
    (101, 4, (100, True), 0),
    (100, 4, (100, False), 4),
    (101, 4, (100, False), 0),
    (0, 2, (100, True), 2),
  ],
)
def test_blocks_together_are_planned_from_memory(need, devices, budget, blocks):
  assert compilation.plan_blocks(need, devices, budget) == blocks


def test_scarce_memory_takes_fewer_devices_or_says_what_to_do(
  tiny, program, monkeypatch
):
  devices = hardware.local_devices(2)
  assert hardware.memory_budget(devices)[0] > program.bytes_per_device > 0
  room = lambda blocks: lambda _: (int(blocks * program.bytes_per_device), True)
  on_mesh = lambda config, cell, devices: program._replace(
    mesh=jax.sharding.Mesh(devices, "seeds")
  )
  monkeypatch.setattr(compilation, "_compile", on_mesh)
  monkeypatch.setattr(hardware, "memory_budget", room(1.5))
  assert compilation.compile_cell(tiny, CELL, devices).num_blocks == 1
  monkeypatch.setattr(hardware, "memory_budget", room(0.5))
  with pytest.raises(ValueError, match=r"lower\s+seeds\.block"):
    compilation.compile_cell(tiny, CELL, devices)
