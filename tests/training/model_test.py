import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emergence.config import ModelConfig
from emergence.training import model
from emergence.training.model import Architecture

ARCH = Architecture(ModelConfig(head_dim=8), width=16, depth=2, vocab_size=11)
# Others are compared with GPT-NeoX, see gpt_neox_reference_test.py.
WITHOUT_ROTARY = dataclasses.replace(
  ARCH,
  config=ModelConfig(head_dim=8, parallel_residual=False, rotary_fraction=0.0),
)


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


def numpy_model(params, arch, tokens_L):
  """The same network written again in plain numpy, one token list at a time.

  Returns the logits, and the attention weights by layer, [N, H, L, L].
  """
  weights_NHLL = np.zeros((arch.depth, arch.num_heads, *2 * np.shape(tokens_L)))
  p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
  K = arch.config.head_dim

  def norm(x_LD, weights):
    centred = x_LD - x_LD.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * weights["scale"] + weights["bias"]

  def linear(x, weights):
    return x @ weights["kernel"] + weights["bias"]

  def rotate(vector_K, position):
    rotated, half = vector_K.copy(), arch.rotary_dim // 2
    for i in range(half):
      angle = position * 10_000 ** (-i / half)
      pair = complex(vector_K[i], vector_K[i + half]) * np.exp(1j * angle)
      rotated[i], rotated[i + half] = pair.real, pair.imag
    return rotated

  def attend(x_LD, layer, weights_HLL):
    heads = []
    qkv_LHE = linear(x_LD, layer["qkv"]).reshape(len(x_LD), -1, 3 * K)
    for h in range(arch.num_heads):
      q, k, v = np.split(qkv_LHE[:, h], 3, axis=-1)
      q = np.stack([rotate(row, i) for i, row in enumerate(q)])
      k = np.stack([rotate(row, i) for i, row in enumerate(k)])
      rows = []
      for i in range(len(x_LD)):
        score = q[i] @ k[: i + 1].T / np.sqrt(K)
        weight = np.exp(score - score.max())
        rows.append(weight @ v[: i + 1] / weight.sum())
        weights_HLL[h, i, : i + 1] = weight / weight.sum()
      heads.append(np.stack(rows))
    return linear(np.concatenate(heads, -1), layer["attention_out"])

  def mlp(x_LD, layer):
    from scipy.special import erf

    h = linear(x_LD, layer["mlp_in"])
    return linear(0.5 * h * (1 + erf(h / np.sqrt(2))), layer["mlp_out"])

  x_LD = p["embed"]["embedding"][np.asarray(tokens_L)]
  for i in range(arch.depth):
    layer = p["layers"][i]
    normed_LD = norm(x_LD, layer["attention_norm"])
    attention = attend(normed_LD, layer, weights_NHLL[i])
    if arch.config.parallel_residual:
      x_LD = x_LD + attention + mlp(norm(x_LD, layer["mlp_norm"]), layer)
    else:
      x_LD = x_LD + attention
      x_LD = x_LD + mlp(norm(x_LD, layer["mlp_norm"]), layer)
  return norm(x_LD, p["final_norm"]) @ p["unembed"]["kernel"], weights_NHLL


@pytest.mark.parametrize("arch", [ARCH, WITHOUT_ROTARY])
def test_logits_and_attention_weights_agree_with_plain_numpy(arch):
  params = random_params(arch)
  tokens_BL = random_tokens(3, 9)
  logits_BLV = apply(params, arch, tokens_BL)
  weigh = jax.jit(model.attention_weights, static_argnums=1)
  weights_NBHLL = np.stack(weigh(params, arch, tokens_BL))
  for b, tokens_L in enumerate(tokens_BL):
    found = logits_BLV[b], weights_NBHLL[:, b]
    for a, expected in zip(found, numpy_model(params, arch, tokens_L)):
      np.testing.assert_allclose(a, expected, rtol=2e-4, atol=2e-5)


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
