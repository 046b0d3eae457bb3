import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emergence.config import Cell
from emergence.population import compilation
from emergence.training import kernels, ops, train


def draw(dtype, length=256):
  """Queries, keys and values of two seeds."""
  keys = jax.random.split(jax.random.key(0), 3)
  return tuple(
    2 * jax.random.normal(key, (2, 1, 2, length, 8), dtype) for key in keys
  )


def value_and_gradients(attention, q, k, v):
  """Of each seed, with the attention itself."""

  def loss(q, k, v):
    mixed = attention(q, k, v)
    return jnp.sum(jnp.sin(mixed.astype(jnp.float32))), mixed

  each = jax.vmap(jax.grad(loss, (0, 1, 2), has_aux=True))
  gradients, mixed = jax.jit(each)(q, k, v)
  return mixed, *gradients


def assert_same(found, expected, tolerance):
  for a, b in zip(found, expected):
    assert a.dtype == b.dtype
    error = np.linalg.norm(np.float32(a) - np.float32(b))
    assert error < tolerance * np.linalg.norm(np.float32(b))


def test_splash_attention_is_the_plain_one():
  qkv = draw("float32")
  splash = functools.partial(
    kernels.splash_attention, precision="highest", interpret=True
  )
  plain = functools.partial(ops.causal_attention, precision="highest")
  assert_same(
    value_and_gradients(splash, *qkv),
    value_and_gradients(plain, *qkv),
    1e-5,
  )


def test_a_platform_without_a_kernel_has_the_plain_form(monkeypatch):
  monkeypatch.setattr(kernels, "splash_attention", None)
  short = [x[0] for x in draw("bfloat16", 24)]
  thin = [x[0, ..., :4] for x in draw("bfloat16")]
  for platform, qkv in (
    ("cpu", [x[0] for x in draw("bfloat16")]),
    ("gpu", [x[0] for x in draw("float32")]),
    ("gpu", short),
    ("gpu", thin),
    ("tpu", short),
  ):
    found = kernels.causal_attention(*qkv, "highest", platform)
    expected = ops.causal_attention(*qkv, "highest")
    np.testing.assert_array_equal(found, expected)


def test_a_gpu_has_the_kernel_of_cudnn_in_bfloat16(monkeypatch):
  """Here JAX's plain form of the same function stands in for it."""
  whole = jax.nn.dot_product_attention

  def stand_in(*args, implementation, **options):
    assert implementation == "cudnn"
    return whole(*args, implementation="xla", **options)

  monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)
  qkv = draw("bfloat16")
  assert_same(
    value_and_gradients(
      lambda *x: kernels.causal_attention(*x, "highest", "gpu"), *qkv
    ),
    value_and_gradients(lambda *x: ops.causal_attention(*x, "highest"), *qkv),
    0.03,
  )


@pytest.mark.parametrize("precision", ["HIGHEST", "DEFAULT"])
def test_all_products_of_splash_attention_have_the_precision(precision):
  """Those of its gradient, too, which is traced later."""
  x = jnp.ones((1, 1, 128, 8))

  def loss(q, k, v):
    return kernels.splash_attention(q, k, v, precision.lower()).sum()

  text = str(jax.make_jaxpr(jax.grad(loss, (0, 1, 2)))(x, x, x))
  found = re.findall(r"precision=\((.*?), (.*?)\)", text)
  # Two forward, five backward, and the softmax's sum.
  assert found == [(f"Precision.{precision}",) * 2] * 8


def test_a_cpu_trains_by_the_program_of_the_plain_form(config, monkeypatch):
  """The same text before optimization, as records are trained anew in CI."""

  def program(platform):
    setup = compilation.make_setup(config, Cell.parse("count/width-8/depth-1"))
    arch = dataclasses.replace(setup.arch, platform=platform)
    init_state, train_step = train.make_train(setup.config, arch)
    sample = train.make_sampler(setup.config, setup.task)

    def step(key):
      return train_step(init_state(key, key), sample(key, 0))

    return jax.jit(step).lower(jax.random.key(0)).as_text()

  found = program("cpu")
  assert found != program("tpu")
  monkeypatch.setattr(
    kernels,
    "causal_attention",
    lambda q, k, v, precision, platform: ops.causal_attention(
      q, k, v, precision
    ),
  )
  assert found == program("cpu")
