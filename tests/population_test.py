import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emergence import compilation, evaluate, hardware, population, train
from emergence.config import Cell
from emergence.overrides import override
from emergence.tasks import make_task

CELL = Cell("count", 8, 1)


def train_seeds(program, *blocks, **options):
  """Every snapshot of some seeds, with the final parameters fetched."""
  snapshots, params = [], None
  for stop in population.run(program, blocks, **options):
    if stop.snapshots:
      snapshots.append(joined(list(stop.snapshots.values())))
      params = snapshots[-1].params()
  return snapshots, params


def joined(parts):
  """One snapshot of the seeds of all blocks."""

  def join(*xs):
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *xs)

  return population.Snapshot(
    parts[0].step,
    *(join(*(p[field] for p in parts)) for field in (1, 2, 3)),
    lambda: join(*(p.params() for p in parts)),
  )


@pytest.fixture(scope="module")
def eight(program):
  """Seeds 0 to 7 in two full blocks, one on each device."""
  return train_seeds(program, [0, 1, 2, 3], [4, 5, 6, 7])


def member(result, row):
  """What is known of one seed: scores, losses and final parameters."""
  snapshots, params = result
  facts = [
    (*(score[row] for score in s.scores), s.train_loss[row], s.diverged[row])
    for s in snapshots
  ]
  return facts, jax.tree.map(lambda x: x[row], params)


def assert_bit_equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_members_differ_in_initialization_and_in_data(eight):
  _, params = eight
  flat = np.concatenate(
    [np.asarray(x).reshape(8, -1) for x in jax.tree.leaves(params)], axis=1
  )
  assert len(np.unique(flat, axis=0)) == 8
  losses = {float(loss) for loss in eight[0][1].train_loss}
  assert len(losses) == 8


def test_a_member_equals_its_seed_trained_without_vmap(tiny, eight):
  task = make_task(tiny.task)
  arch = compilation.make_architecture(tiny, CELL)
  init_state, train_step = train.make_train(tiny, task, arch)
  score = evaluate.make_evaluate(task, arch, tiny.task.test_lengths)
  step = jax.jit(train_step)
  state = init_state(*train.seed_keys(tiny.root_seed, 5, 5))
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


def test_another_mesh_gives_the_same_data_and_close_losses(tiny, eight):
  alone = compilation.compile_cell(tiny, CELL, hardware.local_devices(2)[:1])
  assert alone.num_blocks == 1
  found = member(train_seeds(alone, [4, 5, 6, 7]), 2)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
    found,
    member(eight, 6),
  )


def test_another_block_width_gives_close_losses(tiny, eight):
  wide = override(tiny, ["seeds.block=8"])
  program = compilation.compile_cell(wide, CELL, hardware.local_devices(2))
  snapshots, _ = train_seeds(program, list(range(8)))
  for snapshot, expected in zip(snapshots, eight[0]):
    np.testing.assert_allclose(
      snapshot.train_loss, expected.train_loss, rtol=1e-3
    )


@pytest.fixture(scope="module")
def long(config):
  """A program of more updates than batches are drawn for at a time."""
  steps = 2 * compilation.STEPS_DRAWN + 8
  config = override(config, [f"train.steps={steps}", "eval.num_points=1"])
  return compilation.compile_cell(config, CELL, hardware.local_devices(2))


def advanced(program, *counts):
  """Seeds 0 to 7 after so many updates at a time; their losses added up."""
  state = population._init(program, range(8))
  losses = population._put(program, np.zeros(8, np.float32))
  for count in counts:
    counts_N = population._put(program, np.full(8, count, np.int32))
    state, losses = program.advance(state, losses, counts_N)
  return jax.device_get((state.params, losses))


@pytest.mark.bits
def test_updates_are_the_same_bits_wherever_the_program_stops(long):
  drawn, steps = compilation.STEPS_DRAWN, long.config.train.steps
  whole = advanced(long, steps)
  for first in (drawn - 1, drawn, drawn + 1, 2 * drawn + 1):
    assert_bit_equal(advanced(long, first, steps - first), whole)


def test_each_update_has_the_batch_of_its_step(long):
  config = long.config
  task = make_task(config.task)
  init_state, train_step = train.make_train(config, task, long.arch)
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


@pytest.fixture(scope="module")
def at_once():
  """Compiles a config as on an accelerator: the seeds of a block at once."""

  def compile_at_once(config):
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(compilation, "over_seeds", lambda f, _: jax.vmap(f))
      return compilation.compile_cell(config, CELL, hardware.local_devices(2))

  return compile_at_once


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 3e-2)]
)
def test_seeds_trained_at_once_are_close_to_one_after_another(
  config, at_once, eight, dtype, tolerance
):
  program = at_once(override(config, [f"train.compute_dtype={dtype}"]))
  snapshots, _ = train_seeds(program, [0, 1, 2, 3], [4, 5, 6, 7])
  for found, expected in zip(snapshots[1:], eight[0][1:]):
    np.testing.assert_allclose(
      found.train_loss, expected.train_loss, rtol=tolerance
    )
    np.testing.assert_allclose(
      found.scores.nll_mean, expected.scores.nll_mean, rtol=tolerance
    )


def test_seeds_trained_at_once_do_not_touch_each_other(config, at_once):
  """As on an accelerator: any company, uneven numbers of updates, a NaN."""
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
  assert scores.exact_match[1].tolist() == [0.0, 0.0]
  params = jax.device_get(state.params)
  for row in (0, 2, 3, 4, 5, 6, 7):
    jax.tree.map(
      lambda a, b, row=row: np.testing.assert_array_equal(a[row], b[row]),
      params,
      eight[1],
    )


def test_divergence_is_reported_by_the_run(tiny):
  hot = override(
    tiny, ["train.learning_rate=1e38", "train.warmup_fraction=0.0"]
  )
  program = compilation.compile_cell(hot, CELL, hardware.local_devices(2))
  snapshots, _ = train_seeds(program, [0, 1])
  assert snapshots[0].diverged.tolist() == [False, False]
  assert snapshots[-1].diverged.tolist() == [True, True]


def test_likelihoods_that_overflow_are_divergence_from_the_last_update_on(
  tiny,
):
  """One update leaves parameters that are huge, but finite."""
  hot = override(
    tiny,
    [
      *["train.steps=1", "eval.num_points=1"],
      *["train.learning_rate=1e30", "train.warmup_fraction=0.0"],
    ],
  )
  program = compilation.compile_cell(hot, CELL, hardware.local_devices(2))
  snapshots, params = train_seeds(program, [0, 1])
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(params))
  assert np.isfinite(snapshots[-1].train_loss).all()
  assert snapshots[-1].diverged.tolist() == [True, True]


def test_padding_and_a_device_without_a_block_stand_still(program):
  padded, is_padding = population.pad_blocks([[3, 4]], 4, 2)
  assert padded == [3, 4, 4, 4, 3, 4, 4, 4]
  assert is_padding.tolist() == [False, False] + [True] * 6
  steps = []

  def advance(*args):
    state, losses = program.advance(*args)
    with jax.transfer_guard("allow"):
      steps.append(np.asarray(state.step).tolist())
    return state, losses

  for _ in population.run(program._replace(advance=advance), [[3, 4]]):
    pass
  assert steps[-1] == [6] * 2 + [0] * 6
  assert all(step[2:] == [0] * 6 for step in steps)


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_where_a_run_is_stopped_has_no_effect(program, eight, seconds):
  blocks = [0, 1, 2, 3], [4, 5, 6, 7]
  again = train_seeds(program, *blocks, seconds_between_stops=seconds)
  for row in range(8):
    assert_bit_equal(member(again, row), member(eight, row))


def run_until(program, blocks, last, starts=None):
  """Snapshots and states of blocks up to a step, one update a stop."""
  found = [[] for _ in blocks]
  for stop in population.run(
    program, blocks, starts, seconds_between_stops=0.0
  ):
    for i, snapshot in stop.snapshots.items():
      found[i].append(snapshot._replace(params=dict))
    if stop.steps[0] == last:
      return found, stop.capture()
  raise AssertionError


@pytest.mark.parametrize("step", range(6))
def test_blocks_go_on_from_any_step_to_the_same_bits(program, eight, step):
  blocks = [4, 5, 6, 7], [0, 1, 2, 3]
  before, states = run_until(program, blocks, step)
  after, params = train_seeds(program, *blocks, starts=states)
  snapshots = [joined(parts) for parts in zip(*before)] + after
  assert [s.step for s in snapshots] == [0, 2, 4, 6]
  for row in range(8):
    assert_bit_equal(
      member((snapshots, params), row), member(eight, (row + 4) % 8)
    )


def test_blocks_at_different_steps_go_on_together(program, eight):
  (_, before), (_, three) = run_until(program, [[0], [4, 5, 6, 7]], 3)
  found = {0: [], 1: list(before)}
  params = {}
  for stop in population.run(
    program, [[0, 1, 2, 3], [4, 5, 6, 7]], [None, three]
  ):
    for i, snapshot in stop.snapshots.items():
      found[i].append(snapshot)
      params[i] = snapshot.params()
  for i in range(2):
    assert [s.step for s in found[i]] == [0, 2, 4, 6]
    for row in range(4):
      assert_bit_equal(
        member((found[i], params[i]), row), member(eight, 4 * i + row)
      )


def test_a_block_that_is_given_up_is_left_alone(program):
  given_up, steps = set(), []
  for stop in population.run(
    program, [[0], [1]], given_up=given_up, seconds_between_stops=0.0
  ):
    steps.append(stop.steps)
    if stop.steps == (3, 3):
      given_up.add(0)
  assert steps[-1] == (3, 6)
  given_up = {0, 1}
  assert list(population.run(program, [[0], [1]], given_up=given_up)) == []


def test_what_is_captured_is_not_changed_by_going_on(program):
  stops = population.run(program, [[0], [1]], seconds_between_stops=0.0)
  captured, copies = [], []
  for stop in stops:
    captured.append(stop.capture())
    copies.append(jax.tree.map(np.copy, captured[-1]))
  assert_bit_equal(captured, copies)
  assert [c[0].step for c in captured] == [0, 1, 2, 3, 4, 5, 6]
  assert [c[0].state.step.tolist() for c in captured[:2]] == [[0], [1]]


@pytest.mark.parametrize("index", [0, 2, 3])
def test_what_goes_on_lies_where_the_program_wants_it(program, index):
  """Keys included: elsewhere, each call would move them."""
  _, states = run_until(program, [[0, 1], [2]], index)
  training = population._start(program, [[0, 1], [2]], states)
  expected = jax.tree.map(
    lambda x: (x.shape, x.dtype, x.sharding), program.state
  )
  found = jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), training.state)
  assert expected == found


def test_a_diverged_seed_stands_still_from_then_on(program, eight):
  """Seed 1 has lost its parameters when the run goes on."""
  _, (state, _) = run_until(program, [[0, 1, 2, 3], [4]], 3)
  for leaf in jax.tree.leaves(state.state.params):
    leaf[1] = np.nan
  snapshots, params = train_seeds(program, [0, 1, 2, 3], starts=[state])
  assert [s.diverged.tolist() for s in snapshots] == [
    [False, True] + [False] * 2
  ] * 2
  assert np.isnan([s.train_loss[1] for s in snapshots]).all()
  for row in (0, 2, 3):
    found = member((snapshots, params), row)
    expected = member(eight, row)
    assert_bit_equal(found[0], expected[0][2:])
    assert_bit_equal(found[1], expected[1])
  for stop in population.run(program, [[0, 1, 2, 3]], [state]):
    (last,) = stop.capture()
  assert last.step == 6
  assert last.state.step.tolist() == [6, 4, 6, 6]


def test_a_block_that_diverged_as_a_whole_goes_on_from_its_step(program):
  _, (state, _) = run_until(program, [[0, 1], [4]], 3)
  for leaf in jax.tree.leaves(state.state.params):
    leaf[:] = np.nan
  *_, at_5 = run_until(program, [[0, 1]], 5, [state])
  steps = [stop.steps for stop in population.run(program, [[0, 1]], at_5)]
  assert steps == [(6,)]


@pytest.mark.parametrize(
  "blocks", [[], [[]], [[0, 1, 2, 3, 4]], [[0], [1], [2]]]
)
def test_blocks_that_do_not_fit_are_refused(blocks):
  with pytest.raises(ValueError, match="expected 1 to 2 blocks"):
    population.pad_blocks(blocks, 4, 2)


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


def test_a_crossed_design_repeats_inits_and_data_in_its_pattern(tiny, program):
  config = override(
    tiny, ["seeds.design=crossed", "seeds.num_init=2", "seeds.num_data=4"]
  )
  program = program._replace(config=config)
  state = population._init(program, config.seeds.requested)
  first = jax.device_get(state.params)["embed"]["embedding"].reshape(8, -1)
  keys = np.asarray(jax.random.key_data(state.data_key))
  _, init_of = np.unique(first, axis=0, return_inverse=True)
  _, data_of = np.unique(keys, axis=0, return_inverse=True)
  for i in range(8):
    for j in range(8):
      assert (init_of[i] == init_of[j]) == (i // 4 == j // 4)
      assert (data_of[i] == data_of[j]) == (i % 4 == j % 4)
