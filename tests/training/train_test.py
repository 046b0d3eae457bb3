import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from emergence import config as config_lib
from emergence.config import TrainConfig, override
from emergence.population import compilation
from emergence.tasks import Example, sample_contexts
from emergence.training import model, train
from tests.sweeps import make_drawing_train


@pytest.fixture(scope="module")
def setup(tiny):
  cell = config_lib.cells(tiny)[0]
  _, _, task, arch = compilation.make_setup(tiny, cell)
  init_state, train_step = make_drawing_train(tiny, arch)
  return task, arch, jax.jit(init_state), jax.jit(train_step)


@functools.partial(jax.jit, static_argnums=0)
def contexts(task, key):
  return sample_contexts(task, key, 2, 24, True)


loss_of = jax.jit(train.answer_loss, static_argnums=1)


def test_the_loss_is_the_mean_over_answer_tokens_only(tiny, setup):
  task, arch, init_state, _ = setup
  params = init_state(*train.seed_keys(0, 0, 0)).params
  batch = contexts(task, jax.random.key(3))
  apply = jax.jit(model.apply, static_argnums=1)
  logits_BLV = apply(params, arch, batch.tokens_L)
  tokens_BL, is_answer_BL, log_probs_BLV = jax.device_get(
    (batch.tokens_L, batch.is_answer_L, jax.nn.log_softmax(logits_BLV))
  )
  terms = [
    -log_probs_BLV[b, i - 1, tokens_BL[b, i]]
    for b in range(2)
    for i in range(1, 24)
    if is_answer_BL[b, i]
  ]
  loss = loss_of(params, arch, batch)
  assert float(loss) == pytest.approx(np.mean(terms), rel=1e-5)
  # What is not an answer may change at the end, where nothing reads it.
  last_BL = jnp.arange(24)[None, :] == 23
  unscored = batch._replace(is_answer_L=batch.is_answer_L & ~last_BL)
  changed = unscored._replace(
    tokens_L=jnp.where(last_BL, task.pad, batch.tokens_L)
  )
  assert loss_of(params, arch, unscored) == loss_of(params, arch, changed)


def test_a_batch_without_answers_has_no_loss_and_no_gradient(tiny, setup):
  _, arch, init_state, _ = setup
  params = init_state(*train.seed_keys(0, 0, 0)).params
  batch = Example(
    jnp.zeros((2, 24), jnp.int32), jnp.zeros((2, 24), bool), jnp.zeros(2)
  )
  loss, grads = jax.jit(
    jax.value_and_grad(train.answer_loss), static_argnums=1
  )(params, arch, batch)
  assert loss == 0
  assert all((g == 0).all() for g in jax.tree.leaves(grads))


@pytest.mark.parametrize("decay_all", [False, True])
def test_a_step_is_that_of_the_adamw_paper(decay_all):
  """Loshchilov & Hutter's algorithm 2 by hand, over two steps."""
  config = TrainConfig(
    steps=10,
    warmup_fraction=0.2,
    learning_rate=0.5,
    weight_decay=0.3,
    decay_all=decay_all,
    grad_clip=2.0,
  )
  optimizer = train.make_optimizer(config, width=8)
  params = {"matrix": jnp.full((2, 2), 4.0), "bias": jnp.full(2, 4.0)}
  grads = {"matrix": jnp.full((2, 2), 3.0), "bias": jnp.full(2, 1.0)}
  clip = 2.0 / np.sqrt(4 * 9 + 2 * 1)
  state = optimizer.init(params)
  expected = {"matrix": 4.0, "bias": 4.0}
  m = {"matrix": 0.0, "bias": 0.0}
  v = dict(m)
  for t in (1, 2):
    updates, state = optimizer.update(grads, state, params)
    params = optax.apply_updates(params, updates)
    rate = 0.5 * (t - 1) / 2
    for name, decay in [("matrix", 0.3), ("bias", 0.3 * decay_all)]:
      g = clip * float(grads[name].ravel()[0])
      m[name] = 0.9 * m[name] + 0.1 * g
      v[name] = 0.999 * v[name] + 0.001 * g * g
      step = (m[name] / (1 - 0.9**t)) / (np.sqrt(v[name] / (1 - 0.999**t)))
      expected[name] -= rate * (step + decay * expected[name])
      np.testing.assert_allclose(params[name], expected[name], rtol=1e-5)


@pytest.mark.parametrize(("fraction", "steps"), [(0.999, 1), (0.1, 100)])
def test_any_warmup_leaves_a_schedule(fraction, steps):
  config = TrainConfig(
    steps=steps, warmup_fraction=fraction, grad_clip=1e9, weight_decay=0.0
  )
  optimizer = train.make_optimizer(config, width=8)
  params = {"w": jnp.ones((2, 2))}

  def step(carry, _):
    params, state = carry
    updates, state = optimizer.update(params, state, params)
    params = optax.apply_updates(params, updates)
    return (params, state), params["w"][0, 0]

  train_all = jax.jit(
    lambda p: jax.lax.scan(step, (p, optimizer.init(p)), None, length=steps)[1]
  )
  path = [1.0, *train_all(params).tolist()]
  rates = -np.diff(path)
  assert np.isfinite(rates).all()
  if steps == 100:
    warmup = min(round(fraction * steps), steps - 1)
    assert np.argmax(rates) == pytest.approx(warmup, abs=1)
    # Adam's first steps are the learning rate itself for a steady gradient.
    assert rates.max() == pytest.approx(config.learning_rate, rel=0.05)


def test_a_width_may_have_its_own_learning_rate():
  config = TrainConfig(
    steps=4, warmup_fraction=0.0, learning_rate_by_width={16: 0.25}
  )
  params = {"w": jnp.zeros(2)}
  moved = {}
  for width in (16, 32):
    optimizer = train.make_optimizer(config, width)
    updates, _ = optimizer.update(
      {"w": jnp.ones(2)}, optimizer.init(params), params
    )
    moved[width] = -float(updates["w"][0])
  assert moved[16] == pytest.approx(0.25, rel=1e-3)
  assert moved[32] == pytest.approx(config.learning_rate, rel=1e-3)


def test_the_batch_of_a_step_is_keyed_by_data_seed_and_step(tiny, setup):
  task, arch, init_state, step = setup
  init_key, data_key = train.seed_keys(0, 1, 2)
  state = init_state(init_key, data_key)
  losses = []
  for t in range(3):
    batch = contexts(task, jax.random.fold_in(data_key, t))
    expected = loss_of(state.params, arch, batch)
    state, loss = step(state)
    assert loss == pytest.approx(float(expected), rel=1e-6)
    losses.append(float(loss))
  assert len(set(losses)) == 3
  assert state.step == 3


def test_initialization_and_data_have_keys_of_their_own():
  def words(keys):
    return [tuple(jax.random.key_data(key).tolist()) for key in keys]

  base = words(train.seed_keys(0, 1, 2))
  assert base[0] != base[1]
  other_init = words(train.seed_keys(0, 3, 2))
  assert [a == b for a, b in zip(other_init, base)] == [False, True]
  other_data = words(train.seed_keys(0, 1, 3))
  assert [a == b for a, b in zip(other_data, base)] == [True, False]
  assert words(train.seed_keys(1, 1, 2))[0] != base[0]
  # The same number names different streams for the two.
  assert len({*words(train.seed_keys(0, 5, 5))}) == 2


def test_training_learns_the_train_lengths(tiny):
  config = override(
    tiny, ["train.steps=150", "train.learning_rate=0.01", "train.batch_size=8"]
  )
  cell = config_lib.Cell.parse("count/width-16/depth-1")
  _, _, task, arch = compilation.make_setup(config, cell)
  init_state, train_step = make_drawing_train(config, arch)
  state = init_state(*train.seed_keys(0, 0, 0))
  state, losses = jax.jit(
    lambda s: jax.lax.scan(lambda s, _: train_step(s), s, None, length=150)
  )(state)
  assert losses[0] == pytest.approx(np.log(len(task.symbols)), rel=0.05)
  assert losses[-20:].mean() < 1.0


def test_all_products_of_a_step_have_the_precision_asked_for(tiny):
  config = override(tiny, ["train.matmul_precision=high"])
  cell = config_lib.cells(config)[0]
  functions = compilation.seed_functions(compilation.make_setup(config, cell))
  state = jax.eval_shape(functions.init, 0, 0)
  step = jax.make_jaxpr(functions.advance)(state, jnp.float32(0), 1)
  found = list(products(step.jaxpr))
  asked = jax.lax.Precision("high")
  # Forward and backward of six in the layer and of the unembedding, at least.
  assert len(found) >= 3 * 7
  assert {eqn.params["precision"] for eqn in found} == {(asked, asked)}


def products(jaxpr):
  """Every matrix product of a program, those of its loops included."""
  for eqn in jaxpr.eqns:
    if eqn.primitive.name == "dot_general":
      yield eqn
    for value in jax.tree.leaves(
      list(eqn.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
    ):
      if hasattr(value, "eqns"):
        yield from products(value)
      elif hasattr(value, "jaxpr"):
        yield from products(value.jaxpr)
