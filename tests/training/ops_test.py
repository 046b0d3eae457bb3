"""In float32 the gradients are those of GPT-NeoX, which the model has."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from emergence.training import ops


def normal(*shape, seed=0):
  values = np.random.default_rng(seed).standard_normal(shape)
  return jnp.asarray(values, jnp.float32)


def gradients(loss):
  """Of all three arguments, in one compiled program."""
  return jax.jit(jax.grad(loss, (0, 1, 2)))


def test_gelu_and_its_slope_are_those_of_the_normal_distribution():
  x = np.linspace(-12, 12, 4001)
  found, slope = jax.jit(jax.vmap(jax.value_and_grad(ops.gelu)))(
    jnp.asarray(x, jnp.float32)
  )
  cdf, pdf = scipy.stats.norm.cdf(x), scipy.stats.norm.pdf(x)
  np.testing.assert_allclose(found, x * cdf, rtol=1e-6, atol=2e-6)
  np.testing.assert_allclose(slope, cdf + x * pdf, rtol=1e-6, atol=2e-6)


attention = jax.jit(ops.causal_attention, static_argnums=3)


@pytest.fixture(scope="module")
def qkv():
  return tuple(3 * normal(2, 3, 5, 4, seed=seed) for seed in range(3))


def test_attention_in_bfloat16_keeps_its_type_and_is_near(qkv):
  low = tuple(x.astype(jnp.bfloat16) for x in qkv)
  high = tuple(x.astype(jnp.float32) for x in low)

  def loss(precision, q, k, v):
    mixed = ops.causal_attention(q, k, v, precision)
    return jnp.sum(jnp.sin(mixed.astype(jnp.float32)))

  mixed = attention(*low, "default")
  assert mixed.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    mixed.astype(np.float32), attention(*high, "highest"), atol=0.05
  )
  found = gradients(functools.partial(loss, "default"))(*low)
  expected = gradients(functools.partial(loss, "highest"))(*high)
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
