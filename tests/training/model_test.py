"""What GPT-NeoX does not show, see gpt_neox_reference_test.py."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emergence.config import ModelConfig
from emergence.training import kernels, model
from emergence.training.model import Architecture

ARCH = Architecture(ModelConfig(head_dim=8), width=16, depth=2, vocab_size=11)


init = jax.jit(model.init, static_argnums=1)
apply = jax.jit(model.apply, static_argnums=1)


def random_params(arch, std=0.3):
  """Parameters at a scale at which every part of the model matters."""
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    mean = float("scale" in jax.tree_util.keystr(path))
    return rng.normal(mean, std, leaf.shape).astype(np.float32)

  shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), arch))
  return jax.tree_util.tree_map_with_path(draw, shapes)


def random_tokens(*shape):
  return np.random.default_rng(1).integers(11, size=shape, dtype=np.int32)


def test_attention_weights_are_those_that_mix_the_values(monkeypatch):
  plain, seen = kernels.causal_attention, []

  def attend(q_BHLK, k_BHLK, v_BHLK, *settings):
    mixed_BHLK = plain(q_BHLK, k_BHLK, v_BHLK, *settings)
    seen.append((v_BHLK, mixed_BHLK))
    return mixed_BHLK

  monkeypatch.setattr(kernels, "causal_attention", attend)
  params = jax.tree.map(jnp.asarray, random_params(ARCH))
  tokens_BL = random_tokens(3, 9)
  model.apply(params, ARCH, tokens_BL)
  mixed_by_layer = list(seen)
  weights = model.attention_weights(params, ARCH, tokens_BL)
  for weights_BHLL, (v_BHLK, mixed_BHLK) in zip(
    weights, mixed_by_layer, strict=True
  ):
    np.testing.assert_allclose(
      weights_BHLL @ v_BHLK, mixed_BHLK, rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(weights_BHLL.sum(axis=-1), 1, rtol=1e-4)


def test_without_rotary_positions_one_layer_sees_no_order():
  config = ModelConfig(head_dim=8, rotary_fraction=0.0)
  tokens_BL = random_tokens(1, 7)
  moved_BL = tokens_BL[:, [3, 0, 5, 1, 4, 2, 6]]
  for rotary, sees_order in ((config, False), (ARCH.config, True)):
    arch = dataclasses.replace(ARCH, config=rotary, depth=1)
    one, other = (
      apply(random_params(arch), arch, x_BL)[0, -1]
      for x_BL in (tokens_BL, moved_BL)
    )
    assert (np.abs(one - other).max() > 1e-3) == sees_order


def test_a_loss_cannot_see_the_future():
  params = random_params(ARCH)
  tokens_BL = random_tokens(1, 7)

  def loss(table_LV, position):
    """Loss at a position, with every input token on a table of its own."""
    # One embedding row for each position turns inputs into something that a
    # gradient can be taken of.
    with_rows = dict(params, embed={"embedding": table_LV})
    positions_BL = jnp.arange(7)[None]
    logits_BLV = model.apply(with_rows, ARCH, positions_BL)
    return jax.nn.log_softmax(logits_BLV)[0, position, 3]

  table_LV = params["embed"]["embedding"][tokens_BL[0]]
  gradient_at = jax.jit(jax.grad(loss))
  for position in range(7):
    gradient = gradient_at(table_LV, position)
    seen = np.abs(gradient).max(axis=1) > 0
    assert seen.tolist() == [i <= position for i in range(7)]


def test_initialization_has_the_standard_deviation_of_the_config():
  arch = dataclasses.replace(ARCH, width=64, vocab_size=200)
  params = jax.device_get(init(jax.random.key(0), arch))
  for path, leaf in jax.tree.leaves_with_path(params):
    name = jax.tree_util.keystr(path)
    if leaf.ndim == 2:
      assert abs(float(leaf.std()) / 0.02 - 1) < 0.05, name
      assert abs(float(leaf.mean())) < 0.001, name
    else:
      assert (leaf == (1 if "scale" in name else 0)).all(), name


def test_no_two_matrices_share_their_draws():
  params = jax.device_get(init(jax.random.key(0), ARCH))
  firsts = [
    float(leaf.ravel()[0]) for leaf in jax.tree.leaves(params) if leaf.ndim == 2
  ]
  assert len(set(firsts)) == len(firsts) == 2 + 4 * ARCH.depth


def test_depths_share_embeddings_and_common_layers():
  shallow = init(jax.random.key(0), dataclasses.replace(ARCH, depth=1))
  deep = init(jax.random.key(0), dataclasses.replace(ARCH, depth=3))
  del deep["layers"][1], deep["layers"][2]
  assert jax.tree.all(jax.tree.map(np.array_equal, shallow, deep))


def test_the_flop_count_is_that_of_the_compiler():
  arch = dataclasses.replace(ARCH, width=64, depth=3, vocab_size=32)
  tokens_BL = jnp.zeros((4, 32), jnp.int32)
  params = random_params(arch)
  cost = jax.jit(lambda p: model.apply(p, arch, tokens_BL)).lower(params)
  counted = cost.compile().cost_analysis()["flops"]
  forward = model.train_flops(arch, 4, 32) / 3
  # Norms, softmax and GELU come on top.
  assert forward < counted < 1.35 * forward


def test_bfloat16_products_stay_near_float32():
  params = random_params(ARCH, std=0.1)
  tokens_BL = random_tokens(2, 9)
  exact = apply(params, ARCH, tokens_BL)
  rough = apply(
    params, dataclasses.replace(ARCH, compute_dtype="bfloat16"), tokens_BL
  )
  assert rough.dtype == jnp.float32
  difference = np.abs(exact - rough).max() / np.abs(exact).max()
  assert 0 < difference < 0.05


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.02)]
)
def test_a_tpu_computes_the_same_by_three_products(dtype, tolerance):
  arch = dataclasses.replace(ARCH, depth=1, compute_dtype=dtype)
  params, tokens_BL = random_params(arch), random_tokens(2, 9)

  def of_platform(platform):
    own = dataclasses.replace(arch, platform=platform)
    loss = lambda params: jnp.sum(jnp.sin(model.apply(params, own, tokens_BL)))
    return jax.tree.leaves(jax.jit(jax.value_and_grad(loss))(params))

  for a, b in zip(of_platform("tpu"), of_platform("cpu")):
    assert np.linalg.norm(a - b) < tolerance * np.linalg.norm(b)
