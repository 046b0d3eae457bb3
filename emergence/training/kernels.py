"""Causal attention by fused kernels of accelerators.

The kernels keep the L × L weights on the chip. The plain form in `ops` writes
them to memory and reads them again.
"""

import functools
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp

from emergence.training import ops

Array = jax.Array

# The kernels take lengths that are a multiple of this.
_LANES = 128


def causal_attention(
  q_BHLK: Array, k_BHLK: Array, v_BHLK: Array, precision: str, platform: str
) -> Array:
  """Computes `ops.causal_attention`, by a kernel if the platform has one.

  Args:
    q_BHLK: queries, already divided by √K.
    k_BHLK: keys.
    v_BHLK: values.
    precision: XLA's precision of all matrix products.
    platform: JAX's name of the platform. If L is a multiple of 128, `tpu` uses
      JAX's splash attention, and `gpu` uses cuDNN's kernel for bfloat16 values
      if K is a multiple of 8 up to 128. All other cases use the plain form.

  Returns:
    [B, H, L, K] of the type of the values.
  """
  if q_BHLK.shape[2] % _LANES == 0:
    if platform == "tpu":
      return splash_attention(q_BHLK, k_BHLK, v_BHLK, precision)
    K = v_BHLK.shape[3]
    is_known = v_BHLK.dtype == jnp.bfloat16 and K % 8 == 0 and K <= 128
    if platform == "gpu" and is_known:
      q_BLHK, k_BLHK, v_BLHK = (
        x.swapaxes(1, 2) for x in (q_BHLK, k_BHLK, v_BHLK)
      )
      mixed_BLHK = jax.nn.dot_product_attention(
        q_BLHK,
        k_BLHK,
        v_BLHK,
        scale=1.0,
        is_causal=True,
        implementation="cudnn",
      )
      return mixed_BLHK.swapaxes(1, 2)
  return ops.causal_attention(q_BHLK, k_BHLK, v_BHLK, precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def splash_attention(
  q_BHLK: Array,
  k_BHLK: Array,
  v_BHLK: Array,
  precision: str,
  interpret: bool = False,
) -> Array:
  """Computes `ops.causal_attention` by JAX's kernel for TPUs.

  Args:
    q_BHLK: queries, already divided by √K; L is a multiple of 128.
    k_BHLK: keys.
    v_BHLK: values.
    precision: XLA's precision of all matrix products.
    interpret: run the kernel in Pallas' interpreter, on any device.

  Returns:
    [B, H, L, K] of the type of the values.
  """
  with _precision(precision, v_BHLK.dtype):
    return _splash(q_BHLK.shape, interpret)(q_BHLK, k_BHLK, v_BHLK)


def _splash_forward(q_BHLK, k_BHLK, v_BHLK, precision, interpret):
  with _precision(precision, v_BHLK.dtype):
    return jax.vjp(_splash(q_BHLK.shape, interpret), q_BHLK, k_BHLK, v_BHLK)


def _splash_backward(precision, interpret, pull_back, dmixed_BHLK):
  # This is traced after the context of `_splash_forward` has ended.
  with _precision(precision, dmixed_BHLK.dtype):
    return pull_back(dmixed_BHLK)


splash_attention.defvjp(_splash_forward, _splash_backward)


def _precision(precision: str, dtype: jnp.dtype):
  """Returns the context that sets the precision of the kernel's products."""
  is_default = precision == "default" or dtype == jnp.bfloat16
  return jax.default_matmul_precision("default" if is_default else "highest")


def _splash(
  shape: tuple[int, ...], interpret: bool
) -> Callable[[Array, Array, Array], Array]:
  # Imported late: it takes a second, and a CPU never needs it.
  from jax.experimental.pallas.ops.tpu import splash_attention as splash

  _, num_heads, length, _ = shape
  mask = splash.MultiHeadMask([splash.CausalMask((length, length))] * num_heads)
  block = next(n for n in (512, 384, 256, _LANES) if length % n == 0)
  layout = splash.QKVLayout.SEQ_MINOR
  sizes = splash.BlockSizes(
    block_q=_LANES,
    block_kv=block,
    block_q_dkv=block,
    block_kv_dkv=block,
    use_fused_bwd_kernel=True,
    # In the other layout, heads of 64 would be padded to 128.
    q_layout=layout,
    k_layout=layout,
    v_layout=layout,
  )
  kernel = splash.make_splash_mha_single_device(
    mask, block_sizes=sizes, interpret=interpret
  )
  return jax.vmap(cast(Callable, kernel))
