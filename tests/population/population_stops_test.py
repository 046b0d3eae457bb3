"""How steps are cut into chunks, and where a block goes on, change nothing."""

import jax
import numpy as np
import pytest

from emergence.config import override
from emergence.population import compilation, hardware, population
from emergence.training import evaluate, train
from tests.populations import (
  CELL,
  assert_bit_equal,
  joined,
  member,
  run_until,
  train_seeds,
)
from tests.sweeps import make_drawing_train


@pytest.fixture(scope="module")
def long(config):
  """A program of more steps than batches are drawn for at a time."""
  steps = 2 * compilation.STEPS_DRAWN + 8
  config = override(config, [f"train.steps={steps}", "eval.num_points=2"])
  return compilation.compile_cell(config, CELL, hardware.local_devices(2))


def advanced(program, *counts):
  """Seeds 0 to 7 after so many steps at a time; their losses added up."""
  state = population._init(program, range(8))
  losses = population._put(program, np.zeros(8, np.float32))
  for count in counts:
    counts_N = population._put(program, np.full(8, count, np.int32))
    state, losses = program.advance(state, losses, counts_N)
  return jax.device_get((state.params, losses))


@pytest.mark.bits
def test_steps_are_the_same_bits_wherever_the_program_stops(long):
  drawn, steps = compilation.STEPS_DRAWN, long.config.train.steps
  whole = advanced(long, steps)
  for first in (drawn - 1, drawn, 2 * drawn + 1):
    assert_bit_equal(advanced(long, first, steps - first), whole)


def test_a_member_equals_its_seed_trained_without_vmap(long):
  """Each step on a batch of its own, those drawn later too."""
  _, _, task, arch = compilation.make_setup(long.config, CELL)
  lengths = long.config.task.test_lengths
  score = jax.jit(evaluate.make_evaluate(task, arch, lengths))
  init_state, train_step = make_drawing_train(long.config, arch)
  step = jax.jit(train_step)
  state = jax.jit(init_state)(*train.seed_keys(long.config.root_seed, 5, 5))
  losses = []
  for _ in range(long.config.train.steps):
    state, loss = step(state)
    losses.append(float(loss))
  snapshots, params = train_seeds(long, [0, 1, 2, 3], [4, 5, 6, 7])
  # The arithmetic is fused otherwise, so equal up to rounding.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a[5], b, rtol=1e-3, atol=1e-4),
    params,
    state.params,
  )
  expected = score(state.params).nll_sum
  found = snapshots[-1].scores.nll_sum[5]
  np.testing.assert_allclose(found, expected, rtol=1e-3)
  means = np.mean(np.reshape(losses, (2, -1)), axis=1)
  found = [float(s.train_loss[5]) for s in snapshots[1:]]
  np.testing.assert_allclose(found, means, rtol=1e-4)


@pytest.mark.parametrize("step", [3, 4])
def test_blocks_go_on_from_any_step_to_the_same_bits(program, eight, step):
  """Up to it in chunks of one step, then in longer ones."""
  blocks = [4, 5, 6, 7], [0, 1, 2, 3]
  before, states = run_until(program, blocks, step)
  after, params = train_seeds(program, *blocks, states=states)
  snapshots = [joined(parts) for parts in zip(*before)] + after
  assert [s.step for s in snapshots] == [0, 2, 4, 6]
  for row in range(8):
    assert_bit_equal(
      member((snapshots, params), row), member(eight, (row + 4) % 8)
    )


def test_blocks_at_different_steps_go_on_together(program, eight):
  (_, before), (_, three) = run_until(program, [[0], [4, 5, 6, 7]], 3)
  blocks = [0, 1, 2, 3], [4, 5, 6, 7]
  training = population.start(program, blocks, [None, three])
  found = {0: [], 1: list(before)}
  while not training.is_done:
    training, chunk = population.train_chunk(training)
    for i, snapshot in chunk.snapshots.items():
      found[i].append(snapshot)
  for i in range(2):
    assert [s.step for s in found[i]] == [0, 2, 4, 6]
    seeds = found[i], population.fetch_params(training, i)
    for row in range(4):
      assert_bit_equal(member(seeds, row), member(eight, 4 * i + row))


def test_a_training_that_has_gone_on_cannot_be_used_again(program):
  """Its arrays are donated: an error, never the numbers of another step."""
  first, _ = population.train_chunk(population.start(program, [[0]]))
  later, _ = population.train_chunk(first)
  with pytest.raises(RuntimeError, match="use the Training that it"):
    population.train_chunk(first)
  with pytest.raises(RuntimeError, match="deleted"):
    population.capture(first)
  assert population.capture(later)[0].step == 1
