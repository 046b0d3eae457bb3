"""Decoder-only transformer with rotary positions, for one seed.

Shape suffixes, here and everywhere: B batch, L length, D width, H heads,
K head dimension, F hidden dimension of the MLP, V vocabulary, S seeds,
P evaluation lengths.

The defaults of `ModelConfig` are the GPT-NeoX block (Black et al. 2022,
arXiv 2204.06745): LayerNorm before each sublayer, biases, exact GELU, attention
and MLP in parallel, RoPE on the first quarter of each head, untied embeddings.
"""

import dataclasses
import itertools
import math
from typing import cast

import jax
import jax.numpy as jnp
from flax import nnx

from emergence.config import ModelConfig
from emergence.training import kernels, ops

Array = jax.Array
Params = dict

ROTARY_BASE = 10_000.0
LAYER_NORM_EPSILON = 1e-5

# Modules give the structure; `_draw_matrices` gives the values.
_ZEROS = nnx.initializers.zeros_init()


@dataclasses.dataclass(frozen=True)
class Architecture:
  """Everything that fixes the shape and arithmetic of one model.

  Attributes:
    config: the options that do not change with scale.
    width: dimension of the residual stream, a multiple of the head dimension.
    depth: number of layers.
    vocab_size: number of token ids.
    matmul_precision: XLA's precision of float32 matrix products.
    compute_dtype: type of matrix products; parameters stay float32.
    platform: JAX's name of the platform whose kernels and layouts are used;
      the function that is computed is the same on all.

  Raises:
    ValueError: the head dimension does not divide the width.
  """

  config: ModelConfig
  width: int
  depth: int
  vocab_size: int
  matmul_precision: str = "highest"
  compute_dtype: str = "float32"
  platform: str = "cpu"

  def __post_init__(self):
    head_dim = self.config.head_dim
    if self.width % head_dim:
      below = self.width // head_dim * head_dim
      valid = [str(w) for w in (below, below + head_dim) if w]
      raise ValueError(
        f"grid.widths: model.head_dim = {head_dim} does not divide the width"
        f" {self.width}; the nearest valid widths are {' and '.join(valid)}"
      )

  @property
  def num_heads(self) -> int:
    return self.width // self.config.head_dim

  @property
  def rotary_dim(self) -> int:
    """Rotated dimensions of a head, rounded down to an even number."""
    return int(self.config.head_dim * self.config.rotary_fraction) // 2 * 2


def init(key: Array, arch: Architecture) -> Params:
  """Draws the parameters of one model.

  Every matrix is normal with standard deviation `init_std`, biases are zero.
  Layer i gets the same key whatever the depth, so that models of one width and
  one key share their embeddings and the layers that both have.

  Args:
    key: typed PRNG key.
    arch: the architecture.

  Returns:
    Nested dict of float32 arrays.
  """
  outer_key, layers_key = jax.random.split(key)
  no_layers = dataclasses.replace(arch, depth=0)
  params = _draw_matrices(outer_key, _Transformer(no_layers), arch)
  keys = jax.vmap(lambda i: jax.random.fold_in(layers_key, i))(
    jnp.arange(arch.depth)
  )
  layers = jax.vmap(lambda key: _draw_matrices(key, _Layer(arch), arch))(keys)
  params["layers"] = {
    i: jax.tree.map(lambda x, i=i: x[i], layers) for i in range(arch.depth)
  }
  return params


def apply(params: Params, arch: Architecture, tokens_BL: Array) -> Array:
  """Computes next-token logits, float32 [B, L, V], of int32 [B, L] tokens."""
  with jax.default_matmul_precision(arch.matmul_precision):
    return _module(params, arch)(tokens_BL)


def attention_weights(
  params: Params, arch: Architecture, tokens_BL: Array
) -> list[Array]:
  """Computes the attention weights of each layer, [B, H, L, L].

  Entry [b, h, l, m] is the weight of position m at position l.
  """
  transformer, found = _module(params, arch), []
  with jax.default_matmul_precision(arch.matmul_precision):
    x_BLD = transformer.embed(tokens_BL)
    for layer in transformer.layers:
      found.append(layer.attention_weights(x_BLD))
      x_BLD = layer(x_BLD)
  return found


def _module(params: Params, arch: Architecture) -> "_Transformer":
  abstract = nnx.eval_shape(lambda: _Transformer(arch))
  graph, state = nnx.split(abstract)
  nnx.replace_by_pure_dict(state, params)
  return nnx.merge(graph, state)


def num_params(arch: Architecture) -> int:
  """Returns the number of parameters."""
  shapes = jax.eval_shape(lambda: init(jax.random.key(0), arch))
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def train_flops(arch: Architecture, batch_size: int, length: int) -> float:
  """Floating-point operations of the matrix products of one training step.

  Forward and backward count as three times the forward pass; the causal half
  of attention that is masked counts too, because it is computed. Embedding
  look-ups, norms and the optimizer are left out (Kaplan et al. 2020,
  arXiv 2001.08361, section 2.1).
  """
  width, hidden = arch.width, arch.width * arch.config.mlp_ratio
  layer = 4 * width * width + 2 * width * hidden + 2 * length * width
  per_token = arch.depth * layer + width * arch.vocab_size
  return 3.0 * 2.0 * per_token * batch_size * length


def _draw_matrices(
  key: Array, module: nnx.Module, arch: Architecture
) -> Params:
  """Returns a module's parameters, with matrices drawn at random."""
  # One call draws all of them, because a call for each takes longer to compile
  # than the training step.
  params = nnx.to_pure_dict(nnx.state(module))
  leaves, structure = jax.tree.flatten(params)
  sizes = [leaf.size if leaf.ndim == 2 else 0 for leaf in leaves]
  normal = arch.config.init_std * jax.random.normal(key, (sum(sizes),))
  ends = itertools.accumulate(sizes)
  drawn = [
    normal[end - size : end].reshape(leaf.shape) if size else leaf
    for leaf, size, end in zip(leaves, sizes, ends, strict=True)
  ]
  return jax.tree.unflatten(structure, drawn)


class _Transformer(nnx.Module):
  def __init__(self, arch: Architecture):
    self.embed = nnx.Embed(
      arch.vocab_size, arch.width, embedding_init=_ZEROS, rngs=nnx.Rngs(0)
    )
    self.unembed = _linear(arch, arch.width, arch.vocab_size, use_bias=False)
    self.final_norm = _layer_norm(arch)
    self.layers = nnx.List([_Layer(arch) for _ in range(arch.depth)])

  def __call__(self, tokens_BL: Array) -> Array:
    x_BLD = self.embed(tokens_BL)
    for layer in self.layers:
      x_BLD = layer(x_BLD)
    return self.unembed(self.final_norm(x_BLD)).astype(jnp.float32)


class _Layer(nnx.Module):
  def __init__(self, arch: Architecture):
    hidden = arch.width * arch.config.mlp_ratio
    self.arch = arch
    self.attention_norm = _layer_norm(arch)
    self.qkv = _linear(arch, arch.width, 3 * arch.width)
    self.attention_out = _linear(arch, arch.width, arch.width)
    self.mlp_norm = _layer_norm(arch)
    self.mlp_in = _linear(arch, arch.width, hidden)
    self.mlp_out = _linear(arch, hidden, arch.width)

  def __call__(self, x_BLD: Array) -> Array:
    attention_BLD = self._attention(self.attention_norm(x_BLD))
    if self.arch.config.parallel_residual:
      return x_BLD + attention_BLD + self._mlp(self.mlp_norm(x_BLD))
    x_BLD = x_BLD + attention_BLD
    return x_BLD + self._mlp(self.mlp_norm(x_BLD))

  def _attention(self, x_BLD: Array) -> Array:
    B, L, D = x_BLD.shape
    mixed_BHLK = cast(
      Array,
      kernels.causal_attention(
        *self._queries_keys_values(x_BLD),
        self.arch.matmul_precision,
        self.arch.platform,
      ),
    )
    return self.attention_out(mixed_BHLK.swapaxes(1, 2).reshape(B, L, D))

  def attention_weights(self, x_BLD: Array) -> Array:
    """Computes the weights, [B, H, L, L], from the input of the layer."""
    q_BHLK, k_BHLK, v_BHLK = self._queries_keys_values(
      self.attention_norm(x_BLD)
    )
    # With the identity matrix as values, attention returns its weights.
    L = x_BLD.shape[1]
    one_BHLL = jnp.broadcast_to(jnp.eye(L), (*v_BHLK.shape[:2], L, L))
    return cast(
      Array,
      ops.causal_attention(
        q_BHLK, k_BHLK, one_BHLL, self.arch.matmul_precision
      ),
    )

  def _queries_keys_values(self, x_BLD: Array) -> tuple[Array, Array, Array]:
    B, L, _ = x_BLD.shape
    H, K = self.arch.num_heads, self.arch.config.head_dim
    # Each head's query, key and value are adjacent, as in GPT-NeoX.
    if self.arch.platform == "tpu":
      q_BLHK, k_BLHK, v_BLHK = self._three_products(x_BLD)
    else:
      q_BLHK, k_BLHK, v_BLHK = jnp.split(
        self.qkv(x_BLD).reshape(B, L, H, 3 * K), 3, axis=-1
      )
    q_BLHK = _rotate(q_BLHK, self.arch.rotary_dim) / math.sqrt(K)
    k_BLHK = _rotate(k_BLHK, self.arch.rotary_dim)
    q_BHLK, k_BHLK, v_BHLK = (
      x.swapaxes(1, 2) for x in (q_BLHK, k_BLHK, v_BLHK)
    )
    return q_BHLK, k_BHLK, v_BHLK

  def _three_products(self, x_BLD: Array) -> list[Array]:
    """Computes queries, keys and values, [B, L, H, K] each, for a TPU."""
    # To split the result of one product, and its gradient, the TPU's compiler
    # copies it several times: 8.8 GB in all for 8 seeds of width 64 and one
    # layer, where three products take 6.1.
    H, K = self.arch.num_heads, self.arch.config.head_dim
    dtype = jnp.dtype(self.arch.compute_dtype)
    kernel_DHK = self.qkv.kernel[...].astype(dtype).reshape(-1, H, 3 * K)
    bias_HK = (
      cast(nnx.Param, self.qkv.bias)[...].astype(dtype).reshape(H, 3 * K)
    )
    return [
      jnp.einsum(
        "bld,dhk->blhk",
        x_BLD.astype(dtype),
        part_DHK,
        precision=self.arch.matmul_precision,
      )
      + part_HK[None, None]
      for part_DHK, part_HK in zip(
        jnp.split(kernel_DHK, 3, axis=-1),
        jnp.split(bias_HK, 3, axis=-1),
        strict=True,
      )
    ]

  def _mlp(self, x_BLD: Array) -> Array:
    return self.mlp_out(ops.gelu(self.mlp_in(x_BLD)))


def _rotate(x_BLHK: Array, rotary_dim: int) -> Array:
  """Applies rotary position embedding to the first `rotary_dim` dimensions."""
  # Dimension i is paired with i + rotary_dim / 2 (Su et al. 2021,
  # arXiv 2104.09864, in the layout of GPT-NeoX).
  if not rotary_dim:
    return x_BLHK
  half = rotary_dim // 2
  position_L11 = jnp.arange(x_BLHK.shape[1])[:, None, None]
  angle_L1R = position_L11 * ROTARY_BASE ** -(
    jnp.arange(half)[None, None, :] / half
  )
  cos_1L1R = jnp.cos(angle_L1R)[None].astype(x_BLHK.dtype)
  sin_1L1R = jnp.sin(angle_L1R)[None].astype(x_BLHK.dtype)
  a, b, rest = jnp.split(x_BLHK, [half, rotary_dim], axis=-1)
  return jnp.concatenate(
    [a * cos_1L1R - b * sin_1L1R, b * cos_1L1R + a * sin_1L1R, rest], axis=-1
  )


def _layer_norm(arch: Architecture) -> nnx.LayerNorm:
  return nnx.LayerNorm(arch.width, epsilon=LAYER_NORM_EPSILON, rngs=nnx.Rngs(0))


def _linear(
  arch: Architecture, num_in: int, num_out: int, use_bias: bool = True
) -> nnx.Linear:
  return nnx.Linear(
    num_in,
    num_out,
    use_bias=use_bias,
    kernel_init=_ZEROS,
    dtype=jnp.dtype(arch.compute_dtype),
    precision=arch.matmul_precision,
    dot_general=ops.dot_general,
    rngs=nnx.Rngs(0),
  )
