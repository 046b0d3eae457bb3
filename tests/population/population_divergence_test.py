"""Seeds that diverge are reported, take no more steps, and touch no other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emergence.population import population
from tests.populations import (
  assert_bit_equal,
  member,
  run_until,
  train_seeds,
)


@pytest.mark.bits
def test_one_diverged_seed_leaves_the_others_untouched(program, eight):
  state = population._init(program, [0, 1, 2, 3, 4, 5, 6, 7])
  is_one = jnp.arange(8) == 1

  def poison(x):
    mask = is_one.reshape(8, *[1] * (x.ndim - 1))
    return jnp.where(mask, jnp.nan, x)

  state = state._replace(params=jax.tree.map(poison, state.params))
  no_losses = population._put(program, np.zeros(8, np.float32))
  counts = population._put(program, np.full(8, 6, np.int32))
  state, losses = program.advance(state, no_losses, counts)
  scores, finite = jax.device_get(program.evaluate(state.params))
  assert finite.tolist() == [True, False] + [True] * 6
  assert np.isnan(losses[1])
  for wrong in (scores.exact_match, scores.token_accuracy):
    assert wrong[1].tolist() == [0.0, 0.0]
  for unknown in (scores.nll_mean, scores.min_token_log_prob):
    assert np.isnan(unknown[1]).all()
  params = jax.device_get(state.params)
  for row in (0, 2, 3, 4, 5, 6, 7):
    jax.tree.map(
      lambda a, b, row=row: np.testing.assert_array_equal(a[row], b[row]),
      params,
      eight[1],
    )


def test_a_diverged_seed_takes_no_more_steps(program, eight):
  """Seed 1 has lost its parameters when the run goes on."""
  _, (state, _) = run_until(program, [[0, 1, 2, 3], [4]], 3)
  for leaf in jax.tree.leaves(state.state.params):
    leaf[1] = np.nan
  snapshots, params = train_seeds(program, [0, 1, 2, 3], states=[state])
  assert [s.diverged.tolist() for s in snapshots] == [
    [False, True] + [False] * 2
  ] * 2
  assert np.isnan([s.train_loss[1] for s in snapshots]).all()
  for row in (0, 2, 3):
    found = member((snapshots, params), row)
    expected = member(eight, row)
    assert_bit_equal(found[0], expected[0][2:])
    assert_bit_equal(found[1], expected[1])
  _, (last,) = run_until(program, [[0, 1, 2, 3]], 6, [state])
  assert last.step == 6
  assert last.state.step.tolist() == [6, 4, 6, 6]
