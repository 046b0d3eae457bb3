"""Each seed of a population is the same whatever seeds train beside it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emergence.config import override
from emergence.population import compilation, hardware, population
from emergence.training import evaluate, train
from tests.populations import (
  CELL,
  assert_bit_equal,
  member,
  train_seeds,
)
from tests.sweeps import make_drawing_train


def test_members_differ_in_initialization_and_in_data(eight):
  _, params = eight
  flat = np.concatenate(
    [np.asarray(x).reshape(8, -1) for x in jax.tree.leaves(params)], axis=1
  )
  assert len(np.unique(flat, axis=0)) == 8
  losses = {float(loss) for loss in eight[0][1].train_loss}
  assert len(losses) == 8


def test_a_member_equals_its_seed_trained_without_vmap(tiny, eight):
  _, _, task, arch = compilation.make_setup(tiny, CELL)
  init_state, train_step = make_drawing_train(tiny, arch)
  score = jax.jit(evaluate.make_evaluate(task, arch, tiny.task.test_lengths))
  step = jax.jit(train_step)
  state = jax.jit(init_state)(*train.seed_keys(tiny.root_seed, 5, 5))
  losses = []
  for _ in range(tiny.train.steps):
    state, loss = step(state)
    losses.append(float(loss))
  snapshots, params = eight
  # The arithmetic is fused otherwise, so equal up to rounding.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a[5], b, atol=2e-5),
    params,
    state.params,
  )
  scores = score(state.params)
  np.testing.assert_allclose(
    snapshots[-1].scores.nll_sum[5], scores.nll_sum, rtol=1e-4
  )
  expected = np.mean(np.reshape(losses, (3, 2)), axis=1)
  found = [float(s.train_loss[5]) for s in snapshots[1:]]
  np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.bits
@pytest.mark.parametrize(
  ("blocks", "row"),
  [
    (([6],), 0),
    (([6, 2],), 0),
    (([3, 6, 1, 0],), 1),
    (([9, 8], [7, 6, 5]), 3),
    (([4, 5, 6, 7], [0, 1, 2, 3]), 2),
  ],
)
def test_a_seed_is_the_same_bits_in_any_company(program, eight, blocks, row):
  assert_bit_equal(member(train_seeds(program, *blocks), row), member(eight, 6))


@pytest.mark.bits
def test_the_same_run_twice_is_the_same_bits(program, eight):
  again = train_seeds(program, [0, 1, 2, 3], [4, 5, 6, 7])
  for row in range(8):
    assert_bit_equal(member(again, row), member(eight, row))


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
def at_once():
  """Compiles a config as on an accelerator: the seeds of a block at once."""

  @functools.cache
  def compile_at_once(config):
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(compilation, "over_seeds", lambda f, _: jax.vmap(f))
      return compilation.compile_cell(config, CELL, hardware.local_devices(2))

  return compile_at_once


def test_seeds_trained_at_once_are_close_to_one_after_another(
  config, at_once, eight
):
  program, tolerance = at_once(config), 1e-3
  snapshots, _ = train_seeds(program, [0, 1, 2, 3], [4, 5, 6, 7])
  for found, expected in zip(snapshots[1:], eight[0][1:]):
    np.testing.assert_allclose(
      found.train_loss, expected.train_loss, rtol=tolerance
    )
    np.testing.assert_allclose(
      found.scores.nll_mean, expected.scores.nll_mean, rtol=tolerance
    )


def test_seeds_trained_at_once_do_not_touch_each_other(config, at_once):
  """As on an accelerator: any company, uneven numbers of steps, a NaN."""
  program = at_once(config)
  together = train_seeds(program, [0, 1, 2, 3], [4, 5, 6, 7])
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
