"""The same training step in PyTorch, as a good user of it would write it.

One seed at a time: scaled_dot_product_attention, a fused AdamW, a foreach
clip, a learning rate computed beforehand, batches that are in memory before
the clock starts. `torch.compile` of model and loss, and `torch.func.vmap` over
seeds that share one step, are variants of it.
"""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from emergence.config import TrainConfig
from emergence.training.model import Architecture
from experiments.benchmark.jax_sides import Data
from experiments.benchmark.torch_model import Transformer, to_state_dict

NO_TARGET = -100  # What cross_entropy leaves out.


def learning_rates(config: TrainConfig, width: int) -> list[float]:
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


class Trainer:
  """Trains the seeds of `Data`; one at a time, or all in one step.

  The variants `eager` and `compile` take one seed after another, `vmap` and
  `vmap-compile` all of them at once.

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
    self._device = torch.device(device)
    torch.set_float32_matmul_precision(
      "highest" if train.matmul_precision == "highest" else "high"
    )
    self._is_low_precision = train.compute_dtype != "float32"
    self._grad_clip, self._decay = train.grad_clip, train.weight_decay
    self._is_vmap = variant.startswith("vmap")
    self._initial = {
      name: value.to(device)
      for name, value in to_state_dict(data.params).items()
    }
    tokens = torch.tensor(data.tokens_SNBL, device=device).long()
    is_answer = torch.tensor(data.is_answer_SNBL, device=device)
    # The last token goes in too, although nothing follows it: as in ours,
    # because products of 64 rows are faster than those of 63.
    self._inputs = tokens
    targets = torch.where(is_answer, tokens, NO_TARGET)
    self._targets = functional.pad(targets[..., 1:], (0, 1), value=NO_TARGET)
    num_seeds, self._num_batches = tokens.shape[:2]
    self.seeds_per_step = num_seeds if self._is_vmap else 1
    self._network = Transformer(arch, self._inputs.shape[-1]).to(device)
    self._loss: Callable[..., Any]
    self._loss = self._vmapped_loss() if self._is_vmap else self._batch_loss
    if variant.endswith("compile"):
      # Compiles from nothing, as ours does: a cache would hide the time.
      torch.compiler.config.force_disable_caches = True
      # Kernels of small models are short; CUDA graphs launch them at once.
      mode = "reduce-overhead" if device == "cuda" else "default"
      self._loss = torch.compile(self._loss, fullgraph=True, mode=mode)
    self._reset()

  def losses(self, rates: Sequence[float], num_seeds: int) -> np.ndarray:
    """Trains seeds at these learning rates; losses, [num_seeds, steps]."""
    seeds = [0] if self._is_vmap else range(num_seeds)
    found = []
    for seed in seeds:
      self._reset(seed)
      steps = [
        self._step(i, rate, seed).cpu().numpy().copy()
        for i, rate in enumerate(rates)
      ]
      found.append(np.stack(steps, axis=-1))
    losses = found[0] if self._is_vmap else np.stack(found)
    return losses[:num_seeds]

  def seconds(self, num_steps: int, rates: Sequence[float]) -> float:
    """Wall time of so many steps, the first of a training run left out."""
    self._reset()
    self._step(0, rates[0])  # Makes the state of the optimizer.
    self._wait()
    start = time.perf_counter()
    for i in range(num_steps):
      self._step(i % self._num_batches, rates[i % len(rates)])
    self._wait()
    return time.perf_counter() - start

  def bytes_per_seed(self) -> int:
    """Peak memory of a step: parameters, optimizer state, activations."""
    self._reset()
    self._step(0, 0.0)
    states = self._optimizer.state.values()
    tensors = [*self._params.values()]
    tensors += [value for state in states for value in state.values()]
    resident = sum(x.numel() * x.element_size() for x in tensors)
    if self._device.type == "cuda":
      self._wait()
      torch.cuda.reset_peak_memory_stats()
      before = torch.cuda.memory_allocated()
      self._step(0, 0.0)
      self._wait()
      peak = torch.cuda.max_memory_allocated() - before
    else:
      with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
      ) as profile:
        self._step(0, 0.0)
      peak = now = 0
      results: Any = profile.profiler
      for event in results.kineto_results.events():
        if event.name() == "[memory]":
          now += event.nbytes()
          peak = max(peak, now)
    return (resident + peak) // self.seeds_per_step

  def _batch_loss(
    self, inputs_BL: torch.Tensor, targets_BL: torch.Tensor
  ) -> torch.Tensor:
    """Mean cross-entropy over the answer tokens, in nats."""
    with torch.autocast(
      self._device.type, torch.bfloat16, enabled=self._is_low_precision
    ):
      logits_BLV = self._network(inputs_BL)
    return functional.cross_entropy(
      logits_BLV.flatten(0, 1).float(),
      targets_BL.flatten(),
      ignore_index=NO_TARGET,
    )

  def _vmapped_loss(self) -> Callable[..., Any]:
    """params, batches -> (gradients, losses), each with a leading axis S."""
    network = _Loss(self._network, self._batch_loss)

    def loss(params, inputs_BL, targets_BL):
      named = {f"network.{name}": value for name, value in params.items()}
      batch = (inputs_BL, targets_BL)
      return torch.func.functional_call(network, named, batch)

    return torch.func.vmap(torch.func.grad_and_value(loss))

  def _reset(self, seed: int = 0) -> None:
    """Back to the initial parameters of one seed, or of all under vmap."""
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
    is_matrix = lambda p: p.ndim - self._is_vmap >= 2
    params = list(self._params.values())
    self._optimizer = torch.optim.AdamW(
      [
        {"params": [p for p in params if is_matrix(p)]},
        {
          "params": [p for p in params if not is_matrix(p)],
          "weight_decay": 0.0,
        },
      ],
      lr=0.0,
      betas=(0.9, 0.999),
      eps=1e-8,
      weight_decay=self._decay,
      fused=True,
    )

  def _step(self, batch: int, rate: float, seed: int = 0) -> torch.Tensor:
    """One update; the loss before it, [] or, under vmap, [S]."""
    for group in self._optimizer.param_groups:
      group["lr"] = rate
    if self._is_vmap:
      losses = self._vmapped_backward(batch)
    else:
      losses = self._loss(self._inputs[seed, batch], self._targets[seed, batch])
      losses.backward()
      nn.utils.clip_grad_norm_(
        self._network.parameters(), self._grad_clip, foreach=True
      )
    self._optimizer.step()
    self._optimizer.zero_grad()
    return losses.detach()

  def _vmapped_backward(self, batch: int) -> torch.Tensor:
    """Fills the gradients of all seeds; their losses, [S]."""
    # The fused attention for CPUs cannot be batched; it would run in a loop.
    is_cpu = self._device.type == "cpu"
    with sdpa_kernel(SDPBackend.MATH) if is_cpu else contextlib.nullcontext():
      params = {name: p.detach() for name, p in self._params.items()}
      batches = self._inputs[:, batch], self._targets[:, batch]
      with torch.no_grad():
        grads, losses = self._loss(params, *batches)
    _clip_each_seed(list(grads.values()), self._grad_clip)
    for name, parameter in self._params.items():
      parameter.grad = grads[name]
    return losses

  def _wait(self) -> None:
    if self._device.type == "cuda":
      torch.cuda.synchronize()


class _Loss(nn.Module):
  """A loss as a module, for `functional_call` to swap its parameters."""

  def __init__(self, network: nn.Module, loss: Callable[..., torch.Tensor]):
    super().__init__()
    self.network = network
    self.loss = loss

  def forward(self, *batch: torch.Tensor) -> torch.Tensor:
    return self.loss(*batch)


def _clip_each_seed(grads: list[torch.Tensor], largest: float) -> None:
  """Scales each seed's gradient down to a global norm of at most `largest`."""
  norms_S = torch.stack([g.flatten(1).norm(dim=1) for g in grads]).norm(dim=0)
  scale_S = (largest / (norms_S + 1e-6)).clamp(max=1.0)
  scales = [scale_S.view(-1, *[1] * (g.ndim - 1)) for g in grads]
  torch._foreach_mul_(grads, scales)  # pyright: ignore[reportPrivateImportUsage]


def use_threads(count: int) -> None:
  """Fixes the number of threads that this process computes on."""
  torch.set_num_threads(count)


def gemm_flops_per_second(
  size: int, dtype: str, device: str, seconds: float = 0.5
) -> float:
  """The rate of a product of two square matrices on all threads."""
  a = torch.randn(size, size, device=device).to(getattr(torch, dtype))
  best, deadline = math.inf, time.perf_counter() + seconds
  while time.perf_counter() < deadline:
    start = time.perf_counter()
    torch.matmul(a, a)
    if device == "cuda":
      torch.cuda.synchronize()
    best = min(best, time.perf_counter() - start)
  return 2 * size**3 / best
