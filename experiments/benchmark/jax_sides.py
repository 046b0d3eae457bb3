"""What runs in JAX: our own population, one seed at a time, its parts.

Nothing here is another implementation: the population is that of the sweep,
and one seed at a time is its training step without the population.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from emergence.config import Cell, Config, SeedsConfig
from emergence.population import compilation, population
from emergence.population.hardware import Device
from emergence.sweep import pending
from emergence.training import train
from experiments.benchmark import timing

Array = jax.Array

CHECK_STEPS, CHECK_SEEDS = 10, 2


class Side(NamedTuple):
  """Something that trains seeds, compiled and ready to be measured.

  Attributes:
    seeds: how many it trains in a measurement.
    measure: seconds -> seed-steps per second.
    compile_seconds: until it is ready to train; None where nothing is
      compiled.
    bytes_per_seed: of a seed that is computed: its own share of parameters and
      optimizer state, and of what is needed besides in a step.
    devices: what it runs on, for people.
  """

  seeds: int
  measure: Callable[[float], float]
  compile_seconds: float | None
  bytes_per_seed: int
  devices: str


class Data(NamedTuple):
  """S seeds to train, in numpy, as our own side draws them.

  Attributes:
    params: of each seed, a nested dict with a leading axis S.
    tokens_SNBL: N batches of contexts for each seed, used in turn.
    is_answer_SNBL: the tokens to predict.
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
  """The population as a sweep runs it, group of blocks after group.

  Args:
    config: the experiment.
    cell: its cell.
    devices: all of one kind.
    seed_counts: how many seeds to train in a measurement, a side for each.
  """
  start = time.perf_counter()
  program = compilation.compile_cell(config, cell, devices)
  compile_seconds = timing.seconds_since(start)

  def make_loop(num_seeds: int) -> Callable[[int], float]:
    blocks = pending.cut_blocks(range(num_seeds), config.seeds.block)
    size = program.num_blocks
    groups = [blocks[i : i + size] for i in range(0, len(blocks), size)]

    def loop(num_steps: int) -> float:
      return sum(
        chunk.train_seconds
        for group in groups
        for chunk in _train(_with_steps(program, num_steps), group)
      )

    return loop

  return [
    Side(
      num_seeds,
      timing.rate_of(make_loop(num_seeds), num_seeds),
      compile_seconds,
      _bytes_per_seed(program),
      f"{program.num_blocks} × {devices[0].device_kind}",
    )
    for num_seeds in seed_counts
  ]


def _bytes_per_seed(program: compilation.Program) -> int:
  block = program.config.seeds.block
  state = program.state
  own = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
  own //= block * program.num_blocks
  besides = program.bytes_per_device - own * block
  is_vmapped = compilation.is_vmapped(program.mesh.devices.flat[0].platform)
  return own + (besides // block if is_vmapped else besides)


def one_seed(config: Config, cell: Cell, device: Device) -> Side:
  """One seed after another: what `ours` does with each, on one device.

  A compiled loop, as a user of plain JAX does best, over batches drawn several
  at a time.
  """
  setup = compilation.make_setup(config, cell)
  functions = compilation.seed_functions(setup)
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

  analysis = compiled.memory_analysis()
  leaves = jax.tree.leaves((state.params, state.opt_state))
  return Side(
    1,
    timing.rate_of(loop, 1),
    compile_seconds,
    sum(x.nbytes for x in leaves)
    + (analysis.temp_size_in_bytes if analysis else 0),
    f"1 × {device.device_kind}",
  )


def data_alone(config: Config, cell: Cell, devices: Sequence[Device]) -> Side:
  """Of a step of `ours`, the drawing of the batch and nothing else."""
  setup = compilation.make_setup(config, cell)
  sample = train.make_sampler(config, setup.task)
  seeds = len(devices) * config.seeds.block

  def draw_one_seed(seed: Array, num_steps: Array) -> Array:
    _, data_key = train.seed_keys(config.root_seed, seed, seed)

    def body(group: Array, total: Array) -> Array:
      steps = group * compilation.STEPS_DRAWN + jnp.arange(
        compilation.STEPS_DRAWN
      )
      batches = jax.vmap(sample, (None, 0))(data_key, steps)
      # Everything is used, or the compiler would leave it out.
      return total + jnp.sum(batches.tokens_L * batches.is_answer_L)

    num_groups = -(-num_steps // compilation.STEPS_DRAWN)
    return jax.lax.fori_loop(0, num_groups, body, jnp.int32(0))

  over_devices = jax.shard_map(
    compilation.over_seeds(draw_one_seed, devices[0].platform),
    mesh=Mesh(np.array(devices), ("seeds",)),
    in_specs=PartitionSpec("seeds"),
    out_specs=PartitionSpec("seeds"),
    check_vma=False,
  )
  start = time.perf_counter()
  seeds_S = jnp.arange(seeds, dtype=jnp.int32)
  draw = jax.jit(over_devices)
  jax.block_until_ready(draw(seeds_S, jnp.zeros(seeds, jnp.int32)))
  compile_seconds = timing.seconds_since(start)

  def loop(num_steps: int) -> float:
    steps = jnp.full(seeds, num_steps, jnp.int32)
    start = time.perf_counter()
    jax.block_until_ready(draw(seeds_S, steps))
    return timing.seconds_since(start)

  return Side(seeds, timing.rate_of(loop, seeds), compile_seconds, 0, "")


def draw_data(
  config: Config, cell: Cell, num_seeds: int, num_batches: int
) -> Data:
  """Initial parameters and the first batches of the seeds from 0 on."""
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


def for_check(config: Config, width: int) -> Config:
  """The same experiment over `CHECK_STEPS` steps in which every part matters.

  The learning rate rises to its peak and comes down again, so that the losses
  depend on schedule, decay and clip, and parameters begin at a scale at which
  attention is sharp and the MLP far from linear.
  """
  return dataclasses.replace(
    config,
    model=dataclasses.replace(config.model, init_std=1.5 / math.sqrt(width)),
    train=dataclasses.replace(
      config.train, steps=CHECK_STEPS, warmup_fraction=0.3
    ),
    eval=dataclasses.replace(config.eval, num_points=CHECK_STEPS),
    seeds=SeedsConfig(block=CHECK_SEEDS, count=CHECK_SEEDS),
  )


def first_losses(config: Config, cell: Cell, device: Device) -> np.ndarray:
  """Losses of a config made `for_check` in our population, [seeds, steps]."""
  program = compilation.compile_cell(config, cell, [device])
  chunks = _train(program, [range(CHECK_SEEDS)])
  snapshots = [chunk.snapshots[0] for chunk in chunks if chunk.snapshots]
  return np.stack([s.train_loss for s in snapshots if s.step], axis=1)


def gemm(
  devices: Sequence[Device], size: int, dtype: str, precision: str
) -> Callable[[float], float]:
  """A product of two square matrices on each device at a time.

  Returns:
    seconds -> the best rate within so many, in FLOP/s.
  """
  mesh = Mesh(np.array(devices), ("seeds",))
  spec = PartitionSpec("seeds")
  a = jnp.ones((len(devices), size, size), jnp.dtype(dtype))
  a = jax.device_put(a, jax.sharding.NamedSharding(mesh, spec))

  def product(a: Array) -> Array:
    with jax.default_matmul_precision(precision):
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
    return len(devices) * 2 * size**3 / best

  return measure


def _with_steps(
  program: compilation.Program, steps: int
) -> compilation.Program:
  """The compiled program, to be run for so many steps between evaluations."""
  config = program.config
  return program._replace(
    config=dataclasses.replace(
      config,
      train=dataclasses.replace(config.train, steps=steps),
      eval=dataclasses.replace(config.eval, num_points=1),
    )
  )


def _train(
  program: compilation.Program, blocks: Sequence[Sequence[int]]
) -> list[population.Chunk]:
  """Trains blocks of seeds to the end."""
  training, chunks = population.start(program, blocks), []
  while not training.is_done:
    training, chunk = population.train_chunk(training)
    chunks.append(chunk)
  return chunks
