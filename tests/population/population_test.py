"""Each seed of a population is the same whatever seeds train beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emergence.config import override
from emergence.population import compilation, hardware, population
from tests.populations import (
  CELL,
  assert_bit_equal,
  member,
  train_seeds,
)


def test_members_differ_in_initialization_and_in_data(eight):
  _, params = eight
  flat = np.concatenate(
    [np.asarray(x).reshape(8, -1) for x in jax.tree.leaves(params)], axis=1
  )
  assert len(np.unique(flat, axis=0)) == 8
  losses = {float(loss) for loss in eight[0][1].train_loss}
  assert len(losses) == 8


@pytest.mark.bits
@pytest.mark.parametrize(
  ("blocks", "row"),
  [
    (([6],), 0),
    (([9, 8], [7, 6, 5]), 3),
    (([4, 5, 6, 7], [0, 1, 2, 3]), 2),
  ],
)
def test_a_seed_is_the_same_bits_in_any_company(program, eight, blocks, row):
  assert_bit_equal(member(train_seeds(program, *blocks), row), member(eight, 6))


def test_another_mesh_gives_the_same_data_and_close_losses(programs, eight):
  alone = programs[1][CELL]
  assert alone.num_blocks == 1
  found = member(train_seeds(alone, [4, 5, 6, 7]), 2)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
    found,
    member(eight, 6),
  )


@pytest.fixture(scope="module")
def at_once(config):
  """Compiled as on an accelerator: the seeds of a block at once."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(compilation, "over_seeds", lambda f, _: jax.vmap(f))
    return compilation.compile_cell(config, CELL, hardware.local_devices(2))


def test_seeds_trained_at_once_do_not_touch_each_other(at_once, eight):
  """As on an accelerator: any company, uneven numbers of steps, a NaN."""
  program = at_once
  together = train_seeds(program, [0, 1, 2, 3], [4, 5, 6, 7])
  for found, expected in zip(together[0][1:], eight[0][1:]):
    for a, b in (
      (found.train_loss, expected.train_loss),
      (found.scores.nll_mean, expected.scores.nll_mean),
    ):
      np.testing.assert_allclose(a, b, rtol=1e-3)
  alone = train_seeds(program, [6])
  assert_bit_equal(member(alone, 0), member(together, 6))
  state = population._init(program, range(8))
  first = jax.device_get(state.params)
  poisoned = jax.tree.map(lambda x: x.at[1].set(jnp.nan), state.params)
  state = state._replace(params=jax.device_put(poisoned, program.sharding))
  losses = population._put(program, np.zeros(8, np.float32))
  counts = population._put(program, np.array([6, 6, 0, 3] * 2, np.int32))
  state, losses = program.advance(state, losses, counts)
  params, losses = jax.device_get((state.params, losses))
  assert state.step.tolist() == [6, 6, 0, 3] * 2
  assert np.isnan(losses).tolist() == [False, True] + [False] * 6
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a[[2, 6]], b[[2, 6]]),
    params,
    first,
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a[[0, 4]], b[[0, 4]]),
    params,
    together[1],
  )


def test_padding_and_a_device_without_a_block_take_no_steps(program):
  padded = population.pad_blocks([[3, 4]], 4, 2)
  assert padded == [3, 4, 4, 4, 3, 4, 4, 4]
  steps = []

  def advance(*args):
    state, losses = program.advance(*args)
    with jax.transfer_guard("allow"):
      steps.append(np.asarray(state.step).tolist())
    return state, losses

  train_seeds(program._replace(advance=advance), [3, 4])
  assert steps[-1] == [6] * 2 + [0] * 6
  assert all(step[2:] == [0] * 6 for step in steps)


@pytest.mark.parametrize(
  ("design", "same_init", "same_data"),
  [
    ("paired", False, False),
    ("fixed_init", True, False),
    ("fixed_data", False, True),
  ],
)
def test_designs_hold_one_source_of_randomness(
  tiny, program, design, same_init, same_data
):
  config = override(tiny, [f"seeds.design={design}"])
  state = population._init(program._replace(config=config), range(8))
  first = jax.device_get(state.params)["embed"]["embedding"]
  keys = jax.random.key_data(state.data_key)
  assert len(np.unique(first.reshape(8, -1), axis=0)) == (1 if same_init else 8)
  assert len(np.unique(keys, axis=0)) == (1 if same_data else 8)
