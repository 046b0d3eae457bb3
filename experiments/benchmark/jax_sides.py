"""The sides in JAX: the program of a sweep, and one seed at a time.

Both run the code of a sweep. One seed at a time is the sweep's training step
without the population.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from emergence.config import Cell, Config, SeedsConfig, TrainConfig
from emergence.population import compilation
from emergence.population.hardware import Device
from emergence.training import train
from experiments.benchmark import timing

Array = jax.Array

CHECK_STEPS, CHECK_SEEDS = 10, 2
_GEMM_SIZE = 2048


class Side(NamedTuple):
  """Something that trains seeds, compiled and ready to be measured.

  Attributes:
    name: of the side.
    seeds: how many it trains in a measurement.
    measure: function that takes the seconds to measure for and returns
      seed-steps per second.
    compile_seconds: seconds until it can train; None without a compiler.
    devices: a description of the devices.
    loss_difference: largest difference to our losses; None if not compared.
  """

  name: str
  seeds: int
  measure: Callable[[float], float]
  compile_seconds: float | None
  devices: str
  loss_difference: float | None = None


class Data(NamedTuple):
  """Initial parameters and batches of S seeds, as a sweep draws them, in numpy.

  Attributes:
    params: nested dict of arrays, each with a leading axis S.
    tokens_SNBL: N batches of contexts for each seed, used in turn.
    is_answer_SNBL: which tokens are predicted.
  """

  params: dict[str, Any]
  tokens_SNBL: np.ndarray
  is_answer_SNBL: np.ndarray


def ours(
  config: Config,
  cell: Cell,
  devices: Sequence[Device],
  seed_counts: Sequence[int],
) -> list[Side]:
  """Builds the side `ours`: a sweep's program, one round of blocks at a time.

  Args:
    config: the experiment.
    cell: its cell.
    devices: all of one kind.
    seed_counts: numbers of seeds to train in one measurement; each number
      makes one `Side`.
  """
  start = time.perf_counter()
  program = compilation.compile_cell(config, cell, devices)
  compile_seconds = timing.seconds_since(start)
  group = program.num_blocks * config.seeds.block

  def make_loop(num_seeds: int) -> Callable[[int], float]:
    def loop(num_steps: int) -> float:
      start = time.perf_counter()
      for first in range(0, num_seeds, group):
        seeds = np.arange(first, first + group)
        steps = np.where(seeds < num_seeds, num_steps, 0)
        _, losses = _advance(program, _init(program, seeds), steps)
        jax.block_until_ready(losses)
      return timing.seconds_since(start)

    return loop

  return [
    Side(
      "ours",
      num_seeds,
      timing.rate_of(make_loop(num_seeds), num_seeds),
      compile_seconds,
      f"{program.num_blocks} × {devices[0].device_kind}",
    )
    for num_seeds in seed_counts
  ]


def one_seed(config: Config, cell: Cell, device: Device) -> Side:
  """Builds the side `jax`: one seed in a compiled loop, as in plain JAX."""
  setup = compilation.make_setup(config, cell)
  arch = dataclasses.replace(setup.arch, platform=device.platform)
  functions = compilation.seed_functions(setup._replace(arch=arch))
  with jax.default_device(device):
    start = time.perf_counter()
    state = jax.jit(functions.init)(jnp.int32(0), jnp.int32(0))
    no_loss = jnp.float32(0)
    compiled = (
      jax.jit(functions.advance).lower(state, no_loss, jnp.int32(0)).compile()
    )
    compile_seconds = timing.seconds_since(start)

  def loop(num_steps: int) -> float:
    steps = jax.device_put(np.int32(num_steps), device)
    start = time.perf_counter()
    jax.block_until_ready(compiled(state, no_loss, steps))
    return timing.seconds_since(start)

  measure = timing.rate_of(loop, 1)
  return Side("jax", 1, measure, compile_seconds, f"1 × {device.device_kind}")


def for_check(config: Config, width: int) -> Config:
  """The experiment shortened to `CHECK_STEPS` steps, to compare losses.

  The learning rate goes up and down again, so that the losses depend on
  schedule, weight decay and clip. Initial parameters are large, so that
  attention is sharp and the MLP far from linear.
  """
  return dataclasses.replace(
    config,
    model=dataclasses.replace(config.model, init_std=1.5 / math.sqrt(width)),
    train=dataclasses.replace(
      config.train, steps=CHECK_STEPS, warmup_fraction=0.3
    ),
    eval=dataclasses.replace(config.eval, num_points=1),
    seeds=SeedsConfig(block=CHECK_SEEDS, count=CHECK_SEEDS),
  )


def first_losses(config: Config, cell: Cell, device: Device) -> np.ndarray:
  """Trains our population on a config of `for_check`; losses [seeds, steps]."""
  program = compilation.compile_cell(config, cell, [device])
  state = _init(program, np.arange(CHECK_SEEDS))
  losses = []
  for _ in range(CHECK_STEPS):
    state, losses_S = _advance(program, state, np.ones(CHECK_SEEDS))
    losses.append(np.asarray(losses_S))
  return np.stack(losses, axis=1)


def draw_data(
  config: Config, cell: Cell, num_seeds: int, num_batches: int
) -> Data:
  """Draws initial parameters and the first batches of seeds 0, 1, 2, …."""
  setup = compilation.make_setup(config, cell)
  init_state, _ = train.make_train(config, setup.arch)
  sample = train.make_sampler(config, setup.task)

  @jax.jit
  @jax.vmap
  def draw(seed: Array):
    state = init_state(*train.seed_keys(config.root_seed, seed, seed))
    batches = jax.vmap(sample, (None, 0))(
      state.data_key, jnp.arange(num_batches)
    )
    return state.params, batches.tokens_L, batches.is_answer_L

  return Data(*jax.device_get(draw(jnp.arange(num_seeds))))


def gemm(
  devices: Sequence[Device], config: TrainConfig
) -> Callable[[float], float]:
  """Compiles a product of two square matrices on all devices at once.

  Args:
    devices: all of one kind.
    config: the compute type and the precision.

  Returns:
    A function that takes a number of seconds, repeats the product for that long
    and returns the best rate in FLOP/s, all devices together.
  """
  mesh, spec = Mesh(np.array(devices), ("seeds",)), PartitionSpec("seeds")
  a = jax.device_put(
    jnp.ones((len(devices), _GEMM_SIZE, _GEMM_SIZE), config.compute_dtype),
    NamedSharding(mesh, spec),
  )

  def product(a: Array) -> Array:
    with jax.default_matmul_precision(config.matmul_precision):
      return a @ a

  multiply = jax.jit(
    jax.shard_map(product, mesh=mesh, in_specs=spec, out_specs=spec)
  )
  jax.block_until_ready(multiply(a))

  def measure(seconds: float) -> float:
    best, deadline = math.inf, time.perf_counter() + seconds
    while best == math.inf or time.perf_counter() < deadline:
      start = time.perf_counter()
      jax.block_until_ready(multiply(a))
      best = min(best, timing.seconds_since(start))
    return len(devices) * 2 * _GEMM_SIZE**3 / best

  return measure


def _init(program: compilation.Program, seeds: np.ndarray) -> train.TrainState:
  seeds_S = jax.device_put(seeds.astype(np.int32), program.sharding)
  return program.init(seeds_S, seeds_S)


def _advance(
  program: compilation.Program, state: train.TrainState, steps: np.ndarray
) -> tuple[train.TrainState, Array]:
  """Takes steps[s] steps of each seed s; returns states and summed losses."""
  no_loss_S = np.zeros(len(steps), np.float32)
  return program.advance(
    state,
    jax.device_put(no_loss_S, program.sharding),
    jax.device_put(steps.astype(np.int32), program.sharding),
  )
