"""How steps are cut into chunks, and where a block goes on, change nothing."""

import jax
import numpy as np
import pytest

from emergence.config import override
from emergence.population import compilation, hardware, population
from emergence.training import train
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
  config = override(config, [f"train.steps={steps}", "eval.num_points=1"])
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
  for first in (drawn - 1, drawn, drawn + 1, 2 * drawn + 1):
    assert_bit_equal(advanced(long, first, steps - first), whole)


def test_each_step_has_its_own_batch(long):
  config = long.config
  init_state, train_step = make_drawing_train(config, long.arch)
  step = jax.jit(train_step)
  params, losses = advanced(long, config.train.steps)
  for seed in (0, 5):
    state = init_state(*train.seed_keys(config.root_seed, seed, seed))
    total = 0.0
    for _ in range(config.train.steps):
      state, loss = step(state)
      total += float(loss)
    np.testing.assert_allclose(losses[seed], total, rtol=1e-5)
    jax.tree.map(
      lambda a, b, seed=seed: np.testing.assert_allclose(
        a[seed], b, rtol=1e-3, atol=1e-4
      ),
      params,
      state.params,
    )


@pytest.mark.parametrize("chunk_steps", [1, 1000])
def test_the_length_of_a_chunk_has_no_effect(program, eight, chunk_steps):
  blocks = [0, 1, 2, 3], [4, 5, 6, 7]
  again = train_seeds(program, *blocks, chunk_steps=chunk_steps)
  for row in range(8):
    assert_bit_equal(member(again, row), member(eight, row))


@pytest.mark.parametrize("step", [0, 3, 4])
def test_blocks_go_on_from_any_step_to_the_same_bits(program, eight, step):
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
  with pytest.raises(RuntimeError, match="use what that call returned"):
    population.train_chunk(first)
  with pytest.raises(RuntimeError, match="deleted"):
    population.capture(first)
  assert population.capture(later)[0].step == 1
