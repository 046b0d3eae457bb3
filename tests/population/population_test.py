"""Each seed of a population is the same whatever seeds train beside it."""

import jax
import numpy as np
import pytest

from emergence.config import override
from emergence.population import compilation, hardware, population
from tests.populations import (
  CELL,
  assert_bit_equal,
  member,
  run_until,
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
  """As on an accelerator; see also the diverged seed below."""
  together = train_seeds(at_once, [0, 1, 2, 3], [4, 5, 6, 7])
  for found, expected in zip(together[0][1:], eight[0][1:]):
    for a, b in (
      (found.train_loss, expected.train_loss),
      (found.scores.nll_mean, expected.scores.nll_mean),
    ):
      np.testing.assert_allclose(a, b, rtol=1e-3)
  alone = train_seeds(at_once, [6])
  assert_bit_equal(member(alone, 0), member(together, 6))


@pytest.mark.parametrize(
  "name", [pytest.param("program", marks=pytest.mark.bits), "at_once"]
)
def test_a_diverged_seed_takes_no_steps_and_touches_no_other(name, request):
  """Seed 1 has lost its parameters when the run goes on."""
  program = request.getfixturevalue(name)
  whole = train_seeds(program, [0, 1, 2, 3], [4, 5, 6, 7])
  _, (state, _) = run_until(program, [[0, 1, 2, 3], [4]], 3)
  for leaf in jax.tree.leaves(state.state.params):
    leaf[1] = np.nan
  snapshots, params = train_seeds(program, [0, 1, 2, 3], states=[state])
  assert [s.diverged.tolist() for s in snapshots] == [
    [False, True] + [False] * 2
  ] * 2
  assert np.isnan([s.train_loss[1] for s in snapshots]).all()
  for scores in (s.scores for s in snapshots):
    assert scores.exact_match[1].tolist() == [0, 0]
    assert scores.token_accuracy[1].tolist() == [0, 0]
    assert np.isnan([scores.nll_mean[1], scores.min_token_log_prob[1]]).all()
  for row in (0, 2, 3):
    found = member((snapshots, params), row)
    expected = member(whole, row)
    assert_bit_equal(found[0], expected[0][2:])
    assert_bit_equal(found[1], expected[1])
  _, (last,) = run_until(program, [[0, 1, 2, 3]], 6, [state])
  assert last.step == 6
  assert last.state.step.tolist() == [6, 4, 6, 6]


def test_a_seed_whose_likelihood_overflows_at_one_length_has_diverged(program):
  def evaluate(params):
    scores, finite_N = program.evaluate(params)
    nll_NP = np.array(scores.nll_sum)
    nll_NP[2, 1] = np.inf
    return scores._replace(nll_sum=nll_NP), finite_N

  overflows = program._replace(evaluate=evaluate)
  ((first, *_),), _ = run_until(overflows, [[0, 1, 2, 3]], 0)
  assert first.diverged.tolist() == [False, False, True, False]


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
