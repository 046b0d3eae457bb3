"""The same training step in PyTorch, as a good user of it would write it.

It uses scaled_dot_product_attention, a fused AdamW and a foreach clip of the
gradient. Learning rates are computed and batches are in memory before the clock
starts.
"""

import contextlib
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from emergence.config import TrainConfig
from emergence.training.model import Architecture
from experiments.benchmark import timing
from experiments.benchmark.jax_sides import Data
from experiments.benchmark.torch_model import Transformer, to_state_dict

_NO_TARGET = -100  # Ignored by cross_entropy.


class Trainer:
  """Trains the seeds of `Data`, one at a time or all in one step.

  The variants `eager` and `compile` take one seed after another. `vmap` and
  `vmap-compile` take all of them at once.

  Args:
    variant: one of these four.
    arch: the architecture.
    train: optimizer and schedule, which starts over after `train.steps` steps.
    data: of all seeds.
    device: PyTorch's name of it. On `cpu` the process computes on one thread.

  Attributes:
    seeds_per_step: how many seeds a step advances.
  """

  def __init__(
    self,
    variant: str,
    arch: Architecture,
    train: TrainConfig,
    data: Data,
    device: str,
  ):
    warnings.simplefilter("ignore")  # Advice of the compiler.
    self._device = torch.device(device)
    if device == "cpu":
      torch.set_num_threads(1)
    torch.set_float32_matmul_precision(
      "highest" if train.matmul_precision == "highest" else "high"
    )
    self._train = train
    self._rates = _learning_rates(train, arch.width)
    self._is_vmap = variant.startswith("vmap")
    self._initial = {
      name: value.to(device)
      for name, value in to_state_dict(data.params).items()
    }
    # The last token goes in too although it predicts nothing, as in our code:
    # products of 64 rows are faster than those of 63.
    self._inputs = torch.tensor(data.tokens_SNBL, device=device).long()
    is_answer = torch.tensor(data.is_answer_SNBL, device=device)
    targets = torch.where(is_answer, self._inputs, _NO_TARGET)
    self._targets = functional.pad(targets[..., 1:], (0, 1), value=_NO_TARGET)
    num_seeds, self._num_batches, _, length = self._inputs.shape
    self.seeds_per_step = num_seeds if self._is_vmap else 1
    self._network = Transformer(arch, length).to(device)
    self._loss: Callable[..., Any] = self._batch_loss
    if self._is_vmap:
      self._loss = torch.func.vmap(torch.func.grad_and_value(self._batch_loss))
    if variant.endswith("compile"):
      # No cache, as for our code: compile time is measured.
      torch.compiler.config.force_disable_caches = True
      # Kernels of small models are short; CUDA graphs launch them at once.
      mode = "default" if device == "cpu" else "reduce-overhead"
      self._loss = torch.compile(self._loss, fullgraph=True, mode=mode)
    self._reset(0)

  def losses(self, num_seeds: int) -> np.ndarray:
    """Trains seeds for the whole schedule; their losses [num_seeds, steps]."""
    found = []
    for seed in range(1 if self._is_vmap else num_seeds):
      self._reset(seed)
      steps = range(len(self._rates))
      losses = [self._step(i, seed).cpu().numpy().copy() for i in steps]
      found.append(np.stack(losses, axis=-1).reshape(-1, len(losses)))
    return np.concatenate(found)[:num_seeds]

  def seconds(self, num_steps: int) -> float:
    """Wall time of `num_steps` steps after the first of a training run."""
    self._reset(0)
    self._step(0, 0)  # Makes the state of the optimizer.
    self._wait()
    start = time.perf_counter()
    for i in range(num_steps):
      self._step(i, 0)
    self._wait()
    return timing.seconds_since(start)

  def _batch_loss(
    self,
    params: dict[str, torch.Tensor] | None,
    inputs_BL: torch.Tensor,
    targets_BL: torch.Tensor,
  ) -> torch.Tensor:
    """Mean cross-entropy over answer tokens in nats, with `params` if given."""
    is_low_precision = self._train.compute_dtype != "float32"
    with torch.autocast(
      self._device.type, torch.bfloat16, enabled=is_low_precision
    ):
      if params is None:
        logits_BLV = self._network(inputs_BL)
      else:
        logits_BLV = torch.func.functional_call(
          self._network, params, inputs_BL
        )
    return functional.cross_entropy(
      logits_BLV.flatten(0, 1).float(),
      targets_BL.flatten(),
      ignore_index=_NO_TARGET,
    )

  def _reset(self, seed: int) -> None:
    """Restores the initial parameters of one seed, or of all under vmap."""
    if self._is_vmap:
      self._params = {
        name: nn.Parameter(value.clone())
        for name, value in self._initial.items()
      }
    else:
      self._params = dict(self._network.named_parameters())
      with torch.no_grad():
        for name, parameter in self._params.items():
          parameter.copy_(self._initial[name][seed])
    params = list(self._params.values())
    is_decayed = lambda p: self._train.decay_all or p.ndim - self._is_vmap >= 2
    rest = [p for p in params if not is_decayed(p)]
    self._optimizer = torch.optim.AdamW(
      [
        {"params": [p for p in params if is_decayed(p)]},
        {"params": rest, "weight_decay": 0.0},
      ],
      lr=0.0,
      betas=(0.9, 0.999),
      eps=1e-8,
      weight_decay=self._train.weight_decay,
      fused=True,
    )

  def _step(self, index: int, seed: int) -> torch.Tensor:
    """Takes a training step; the loss before it, [] or, under vmap, [S]."""
    for group in self._optimizer.param_groups:
      group["lr"] = self._rates[index % len(self._rates)]
    batch = index % self._num_batches
    if self._is_vmap:
      losses = self._vmapped_backward(batch)
    else:
      losses = self._loss(
        None, self._inputs[seed, batch], self._targets[seed, batch]
      )
      losses.backward()
      nn.utils.clip_grad_norm_(
        self._network.parameters(), self._train.grad_clip, foreach=True
      )
    self._optimizer.step()
    self._optimizer.zero_grad()
    return losses.detach()

  def _vmapped_backward(self, batch: int) -> torch.Tensor:
    """Sets the gradients of all seeds and returns their losses, [S]."""
    # The fused attention for CPUs cannot be batched; it would run in a loop.
    is_cpu = self._device.type == "cpu"
    with sdpa_kernel(SDPBackend.MATH) if is_cpu else contextlib.nullcontext():
      params = {name: p.detach() for name, p in self._params.items()}
      batches = self._inputs[:, batch], self._targets[:, batch]
      with torch.no_grad():
        grads, losses = self._loss(params, *batches)
    _clip_each_seed(list(grads.values()), self._train.grad_clip)
    for name, parameter in self._params.items():
      parameter.grad = grads[name]
    return losses

  def _wait(self) -> None:
    if self._device.type == "cuda":
      torch.cuda.synchronize(self._device)


def _learning_rates(config: TrainConfig, width: int) -> list[float]:
  """The rate of each step: a linear warm-up, then a cosine to zero."""
  peak = config.learning_rate_at(width)
  warmup = min(round(config.warmup_fraction * config.steps), config.steps - 1)
  rates = []
  for step in range(config.steps):
    if step < warmup:
      rates.append(peak * step / warmup)
    else:
      done = (step - warmup) / (config.steps - warmup)
      rates.append(peak * 0.5 * (1 + math.cos(math.pi * done)))
  return rates


def _clip_each_seed(grads: list[torch.Tensor], largest: float) -> None:
  """Scales each seed's gradient down to a global norm of at most `largest`."""
  norms_S = torch.stack([g.flatten(1).norm(dim=1) for g in grads]).norm(dim=0)
  scale_S = (largest / (norms_S + 1e-6)).clamp(max=1.0)
  scales = [scale_S.view(-1, *[1] * (g.ndim - 1)) for g in grads]
  torch._foreach_mul_(grads, scales)  # pyright: ignore[reportPrivateImportUsage]
