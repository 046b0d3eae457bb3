"""In float32 the gradients are those of GPT-NeoX, which the model has."""

import jax
import jax.numpy as jnp
import numpy as np

from emergence.training import ops


def normal(*shape, seed=0):
  values = np.random.default_rng(seed).standard_normal(shape)
  return jnp.asarray(values, jnp.float32)


def test_attention_in_bfloat16_keeps_its_type_and_is_near():
  qkv = [3 * normal(2, 3, 5, 4, seed=seed) for seed in range(3)]
  low = tuple(x.astype(jnp.bfloat16) for x in qkv)
  high = tuple(x.astype(jnp.float32) for x in low)

  def loss(precision, q, k, v):
    mixed = ops.causal_attention(q, k, v, precision)
    return jnp.sum(jnp.sin(mixed.astype(jnp.float32)))

  attention = jax.jit(ops.causal_attention, static_argnums=3)
  mixed = attention(*low, "default")
  assert mixed.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    mixed.astype(np.float32), attention(*high, "highest"), atol=0.05
  )
  gradients = jax.jit(jax.grad(loss, (1, 2, 3)), static_argnums=0)
  found, expected = gradients("default", *low), gradients("highest", *high)
  for a, b in zip(found, expected):
    assert a.dtype == jnp.bfloat16
    error = np.linalg.norm(a.astype(np.float32) - b) / np.linalg.norm(b)
    assert error < 0.04


def test_gradients_of_a_product_in_bfloat16_are_near():
  x, w = normal(6, 5), normal(5, 4, seed=1)
  dimensions = (((1,), (0,)), ((), ()))

  def loss(x, w):
    y = ops.dot_general(x, w, dimensions, precision="highest")
    return jnp.sum(jnp.sin(y.astype(jnp.float32)))

  low = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
  gradient = jax.jit(jax.grad(loss, (0, 1)))
  found = gradient(*low)
  expected = gradient(*(a.astype(jnp.float32) for a in low))
  for a, b in zip(found, expected):
    assert a.dtype == jnp.bfloat16
    error = np.linalg.norm(a.astype(np.float32) - b) / np.linalg.norm(b)
    assert error < 0.02
