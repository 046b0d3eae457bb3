import functools
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from emergence.config import Cell, override
from emergence.population import compilation, hardware

CELL = Cell.parse("count/width-8/depth-1")

# Compiles, spoils what was kept, and compiles again; prints the cache folder.
PROGRAM = """
import warnings
import jax
from emergence.population import compilation
warnings.simplefilter("error")
folder = compilation.enable_cache()
f = lambda x: [x := jax.numpy.sin(x @ x) for _ in range(3)][-1]
for number in (1, 2):
  jax.clear_caches()
  jax.jit(f).lower(jax.ShapeDtypeStruct((8, 8), "float32")).compile()
  (entry,) = folder.glob("*-cache")
  if number == 1:
    entry.write_bytes(entry.read_bytes()[:100])
print(folder)
"""


def test_a_chunk_is_one_compiled_program_that_moves_nothing(program):
  """Whatever its number of steps, and it donates the state."""
  assert isinstance(program.advance, jax.stages.Compiled)
  seeds, losses, counts = jax.device_put(
    (np.arange(8, dtype=np.int32), np.zeros(8, "f4"), np.ones(8, "i4")),
    program.sharding,
  )
  state = program.init(seeds, seeds)
  with jax.transfer_guard("disallow"):
    new_state, _ = program.advance(state, losses, counts)
  assert all(x.is_deleted() for x in jax.tree.leaves(state.params))
  for leaf in jax.tree.leaves(new_state.params):
    assert leaf.sharding.spec == jax.sharding.PartitionSpec("seeds")
    assert len(leaf.sharding.device_set) == 2


@pytest.mark.parametrize(
  ("option", "value"),
  [("jax_enable_x64", True), ("jax_threefry_partitionable", False)],
)
def test_an_environment_that_would_change_the_data_is_refused(
  tiny, option, value
):
  jax.config.update(option, value)
  try:
    with pytest.raises(ValueError, match=f"unset {option.upper()}"):
      compilation.make_setup(tiny, CELL)
  finally:
    jax.config.update(option, not value)


def test_another_root_seed_gives_each_seed_another_init_and_other_data(tiny):
  states = [
    compilation.seed_functions(
      compilation.make_setup(override(tiny, [f"root_seed={root}"]), CELL)
    ).init(3, 3)
    for root in (0, 1)
  ]
  one, other = (jax.tree.leaves(state.params) for state in states)
  assert any((a != b).any() for a, b in zip(one, other, strict=True))
  one, other = (jax.random.key_data(state.data_key) for state in states)
  assert (one != other).any()


@pytest.mark.parametrize(
  ("room", "is_shared", "fits"),
  [(2, True, True), (1.9, True, False), (1, False, True)],
)
def test_blocks_that_do_not_fit_are_refused(
  tiny, program, monkeypatch, room, is_shared, fits
):
  """On CPU two devices share the memory, on accelerators each has its own."""
  devices = hardware.local_devices(2)
  assert hardware.memory_budget(devices)[0] > 2 * program.bytes_per_device > 0
  budget = int(room * program.bytes_per_device), is_shared
  monkeypatch.setattr(compilation, "_compile", lambda *given: program)
  monkeypatch.setattr(hardware, "memory_budget", lambda devices: budget)
  if fits:
    assert compilation.compile_cell(tiny, CELL, devices) == program
  else:
    with pytest.raises(
      compilation.DoesNotFitError, match=r"lower seeds\.block"
    ):
      compilation.compile_cell(tiny, CELL, devices)


def test_a_program_lowers_for_a_gpu(config):
  """Where there is none; the barriers that only help a CPU are gone."""
  setup = compilation.make_setup(config, CELL)
  parts = compilation.lowerings(setup, hardware.local_devices(1))
  one_seed = compilation.seed_functions(setup)
  per_seed = functools.partial(jax.ShapeDtypeStruct, (config.seeds.block,))
  counts = per_seed(np.float32), per_seed(np.int32)
  for function, *given in (
    (one_seed.init, counts[1], counts[1]),
    (one_seed.advance, parts.state, *counts),
    (one_seed.evaluate, parts.state.params),
  ):
    mapped = jax.jit(compilation.over_seeds(function, "cuda"))
    exported = jax.export.export(mapped, platforms=["cuda"])(*given)
    assert exported.platforms == ("cuda",)
    assert "optimization_barrier" not in exported.mlir_module()


def test_what_is_compiled_is_kept_and_a_damaged_entry_is_no_error(tmp_path):
  outside = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
  process = subprocess.run(
    [sys.executable, "-c", PROGRAM],
    env=outside | {"XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
  )
  assert (process.stderr, process.returncode) == ("", 0)
  folder = pathlib.Path(process.stdout.strip())
  assert folder.parent == tmp_path / "emergence"
