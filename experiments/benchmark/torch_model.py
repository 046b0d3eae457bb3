"""The model of `training.model` in PyTorch, with its names and shapes."""

from typing import Any

import numpy as np
import torch
from flax import traverse_util
from torch import nn
from torch.nn import functional

from emergence.training.model import (
  LAYER_NORM_EPSILON,
  ROTARY_BASE,
  Architecture,
)


class Transformer(nn.Module):
  """The model of `training.model`, whose modules have the same names."""

  def __init__(self, arch: Architecture, length: int):
    super().__init__()
    self.embed = nn.Embedding(arch.vocab_size, arch.width)
    self.layers = nn.ModuleList(Layer(arch, length) for _ in range(arch.depth))
    self.final_norm = nn.LayerNorm(arch.width, LAYER_NORM_EPSILON)
    self.unembed = nn.Linear(arch.width, arch.vocab_size, bias=False)

  def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
    x_BLD = self.embed(tokens_BL)
    for layer in self.layers:
      x_BLD = layer(x_BLD)
    return self.unembed(self.final_norm(x_BLD))


class Layer(nn.Module):
  """A transformer layer; attention and MLP are in parallel or in sequence."""

  cos_LR: torch.Tensor
  sin_LR: torch.Tensor

  def __init__(self, arch: Architecture, length: int):
    super().__init__()
    hidden = arch.width * arch.config.mlp_ratio
    self.num_heads, self.head_dim = arch.num_heads, arch.config.head_dim
    self.rotary_dim = arch.rotary_dim
    self.is_parallel = arch.config.parallel_residual
    self.attention_norm = nn.LayerNorm(arch.width, LAYER_NORM_EPSILON)
    self.qkv = nn.Linear(arch.width, 3 * arch.width)
    self.attention_out = nn.Linear(arch.width, arch.width)
    self.mlp_norm = nn.LayerNorm(arch.width, LAYER_NORM_EPSILON)
    self.mlp_in = nn.Linear(arch.width, hidden)
    self.mlp_out = nn.Linear(hidden, arch.width)
    half = self.rotary_dim // 2
    frequency_R = ROTARY_BASE ** -(torch.arange(half) / max(half, 1))
    angle_LR = (torch.arange(length)[:, None] * frequency_R).repeat(1, 2)
    self.register_buffer("cos_LR", angle_LR.cos(), persistent=False)
    self.register_buffer("sin_LR", angle_LR.sin(), persistent=False)

  def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
    attention_BLD = self.attention(self.attention_norm(x_BLD))
    if self.is_parallel:
      return x_BLD + attention_BLD + self.mlp(self.mlp_norm(x_BLD))
    x_BLD = x_BLD + attention_BLD
    return x_BLD + self.mlp(self.mlp_norm(x_BLD))

  def attention(self, x_BLD: torch.Tensor) -> torch.Tensor:
    B, L, D = x_BLD.shape
    # Each head's query, key and value stand together, as in GPT-NeoX.
    qkv = self.qkv(x_BLD).view(B, L, self.num_heads, 3 * self.head_dim)
    q, k, v = qkv.transpose(1, 2).split(self.head_dim, dim=-1)
    mixed_BHLK = functional.scaled_dot_product_attention(
      self.rotate(q), self.rotate(k), v, is_causal=True
    )
    return self.attention_out(mixed_BHLK.transpose(1, 2).reshape(B, L, D))

  def mlp(self, x_BLD: torch.Tensor) -> torch.Tensor:
    return self.mlp_out(functional.gelu(self.mlp_in(x_BLD)))

  def rotate(self, x_BHLK: torch.Tensor) -> torch.Tensor:
    if not self.rotary_dim:
      return x_BHLK
    turned, rest = x_BHLK.split(
      [self.rotary_dim, self.head_dim - self.rotary_dim], dim=-1
    )
    a, b = turned.chunk(2, dim=-1)
    cos_LR, sin_LR = (x.to(x_BHLK.dtype) for x in (self.cos_LR, self.sin_LR))
    turned = turned * cos_LR + torch.cat([-b, a], dim=-1) * sin_LR
    return torch.cat([turned, rest], dim=-1)


def to_state_dict(params: dict[str, Any]) -> dict[str, torch.Tensor]:
  """Converts our parameters to a PyTorch state dict; keeps leading axes."""
  state = {}
  for (*module, leaf), value in traverse_util.flatten_dict(params).items():
    tensor = torch.tensor(np.asarray(value))
    if leaf == "kernel":  # PyTorch stores [out, in].
      tensor = tensor.transpose(-1, -2).contiguous()
    name = "bias" if leaf == "bias" else "weight"
    state[".".join([*map(str, module), name])] = tensor
  return state
