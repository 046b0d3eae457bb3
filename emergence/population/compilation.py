"""Compiles a cell for a block of seeds on each device.

Only this module maps over seeds: with `vmap`, or on CPU with `lax.map`, which
runs the seeds of a block one after another. Both compute the same, and
`lax.map` is faster on CPU. One compiled program advances `seeds.block` seeds on
each device of a mesh with the single axis `seeds`; the devices never
communicate. Compiled programs are cached on disk, so that a resumed sweep
starts at once.
"""

import concurrent.futures
import dataclasses
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from emergence import tasks
from emergence.config import Cell, Config, cell_config
from emergence.population import hardware, processes
from emergence.population.hardware import Device
from emergence.tasks import Task
from emergence.training import evaluate, train
from emergence.training.evaluate import Scores
from emergence.training.model import Architecture, Params
from emergence.training.train import TrainState

Array = jax.Array

_AXIS = "seeds"
_SHARDED = PartitionSpec(_AXIS)

# Batches drawn at a time: random bits take many small operations, whose latency
# an accelerator would pay in each step.
STEPS_DRAWN = 16

_CACHE_OPTION = "jax_compilation_cache_dir"

# Options that change what `jax.random` draws, and their defaults.
_RANDOM_BITS = {"jax_enable_x64": False, "jax_threefry_partitionable": True}


class DoesNotFitError(ValueError):
  """Blocks of seeds need more memory than their devices have.

  Attributes:
    bytes_per_block: what one block needs.
  """

  def __init__(self, message: str, bytes_per_block: int):
    super().__init__(message)
    self.bytes_per_block = bytes_per_block


class Setup(NamedTuple):
  """The task and the architecture of a cell.

  Attributes:
    cell: the cell.
    config: the experiment of this cell alone, see `config.cell_config`.
    task: the task.
    arch: the architecture.
  """

  cell: Cell
  config: Config
  task: Task
  arch: Architecture


class Program(NamedTuple):
  """One cell, compiled for a mesh of D devices with `block` seeds on each.

  Attributes:
    cell: the cell.
    config: the experiment of this cell alone, see `config.cell_config`.
    arch: the architecture of the cell.
    mesh: the devices, on the axis `seeds`.
    init: (init seeds, data seeds), int32 [D·block] each -> TrainState.
    advance: (TrainState, sum of losses, float32 [D·block], number of steps,
      int32 [D·block]) -> (TrainState, sum of losses); donates the first two.
    evaluate: params -> (Scores, whether all params are finite, bool [D·block]).
    bytes_per_device: what one device needs to hold and run its block.
    state: shapes, types and shardings of the TrainState.
  """

  cell: Cell
  config: Config
  arch: Architecture
  mesh: Mesh
  init: Callable[[Array, Array], TrainState]
  advance: Callable[[TrainState, Array, Array], tuple[TrainState, Array]]
  evaluate: Callable[[Params], tuple[Scores, Array]]
  bytes_per_device: int
  state: TrainState

  @property
  def sharding(self) -> NamedSharding:
    """The sharding of arrays over seeds: one block of rows per device."""
    return NamedSharding(self.mesh, _SHARDED)

  @property
  def num_blocks(self) -> int:
    """Number of blocks that run together, one per device."""
    return self.mesh.size

  def is_here(self, place: int) -> bool:
    """Whether device `place` of the mesh belongs to this process."""
    return self.mesh.devices.flat[place].process_index == jax.process_index()


def make_setup(config: Config, cell: Cell) -> Setup:
  """Builds the task and the architecture of a cell.

  Raises:
    ValueError: the cell is invalid, or JAX has settings that change its data.
  """
  for option, default in _RANDOM_BITS.items():
    if jax.config.values[option] != default:
      raise ValueError(
        f"{option} is {not default}, which changes initial values and data; set"
        f" it to {default}, JAX's default, or unset {option.upper()}"
      )
  config = cell_config(config, cell)
  task = tasks.make_task(config.task, config.eval.items)
  arch = Architecture(
    config.model,
    cell.width,
    cell.depth,
    len(task.symbols),
    config.train.matmul_precision,
    config.train.compute_dtype,
  )
  return Setup(cell, config, task, arch)


def compile_cell(
  config: Config, cell: Cell, devices: Sequence[Device]
) -> Program:
  """Compiles a cell for some devices.

  Args:
    config: the experiment.
    cell: the cell.
    devices: devices of one kind, in all processes; each takes one block.

  Raises:
    ValueError: the cell is invalid.
    DoesNotFitError: the blocks do not fit in memory.
  """
  setup = make_setup(config, cell)
  program = _compile(setup, devices)
  own = [d for d in devices if d.process_index == jax.process_index()]
  usable, is_shared = hardware.memory_budget(own)
  needed = program.bytes_per_device * (len(own) if is_shared else 1)
  if any(processes.any_of(needed > usable)):
    block = setup.config.seeds.block
    where = "for all blocks" if is_shared else "on each device"
    raise DoesNotFitError(
      f"{cell} does not fit in memory: {len(devices)} × {block} seeds train at"
      f" a time, each block of {block} needs"
      f" {program.bytes_per_device / 2**30:.2f} GiB, and"
      f" {usable / 2**30:.2f} GiB are usable {where}; lower seeds.block"
      f"{' or --devices' if is_shared else ''}",
      program.bytes_per_device,
    )
  return program


class SeedFunctions(NamedTuple):
  """The functions of a `Program`, and one step of training, for one seed."""

  init: Callable[[Array, Array], TrainState]
  advance: Callable[[TrainState, Array, Array], tuple[TrainState, Array]]
  evaluate: Callable[[Params], tuple[Scores, Array]]
  step: Callable[[TrainState], tuple[TrainState, Array]]


def seed_functions(setup: Setup) -> SeedFunctions:
  """Builds the functions of a program, for one seed."""
  _, config, task, arch = setup
  init_state, train_step = train.make_train(config, arch)
  sample = train.make_sampler(config, task)
  score = evaluate.make_evaluate(
    task,
    arch,
    config.task.test_lengths,
    train.train_distribution(config, task),
  )

  def init(init_seed: Array, data_seed: Array) -> TrainState:
    return init_state(*train.seed_keys(config.root_seed, init_seed, data_seed))

  def advance(
    state: TrainState, loss_sum: Array, num_steps: Array
  ) -> tuple[TrainState, Array]:
    def draw_and_train(group, carry):
      state, _ = carry
      steps = state.step + jnp.arange(STEPS_DRAWN)
      batches = jax.vmap(sample, (None, 0))(state.data_key, steps)

      def body(i, carry):
        state, loss_sum = carry
        state, loss = train_step(state, jax.tree.map(lambda x: x[i], batches))
        return state, loss_sum + loss

      left = jnp.minimum(num_steps - group * STEPS_DRAWN, STEPS_DRAWN)
      return jax.lax.fori_loop(0, left, body, carry)

    num_groups = -(-num_steps // STEPS_DRAWN)
    return jax.lax.fori_loop(0, num_groups, draw_and_train, (state, loss_sum))

  def evaluate_and_check(params: Params) -> tuple[Scores, Array]:
    finite = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]
    return score(params), jnp.stack(finite).all()

  def step(state: TrainState) -> tuple[TrainState, Array]:
    return train_step(state, sample(state.data_key, state.step))

  return SeedFunctions(init, advance, evaluate_and_check, step)


def is_vmapped(kind: str) -> bool:
  """Whether a device computes the seeds of a block at once.

  A CPU core trains one seed after another, so that a seed stays in its cache
  and products stay two-dimensional; accelerators need many seeds to be busy.

  Args:
    kind: JAX's name of the platform.
  """
  return kind != "cpu"


def over_seeds(function: Callable, kind: str) -> Callable:
  """Maps a function of one seed over a block: `vmap`, or `lax.map` on CPU."""
  if is_vmapped(kind):
    return jax.vmap(function)
  return lambda *args: jax.lax.map(lambda args: function(*args), args)


class Lowerings(NamedTuple):
  """Functions that trace and lower those of a `Program`, without compiling.

  Attributes:
    mesh: the devices.
    state: shapes, types and shardings of the TrainState.
    init, advance, evaluate: each lowers the `Program`'s function of this name.
    step: lowers TrainState -> (TrainState, loss), the step `advance` repeats.
  """

  mesh: Mesh
  state: TrainState
  init: Callable[[], jax.stages.Lowered]
  advance: Callable[[], jax.stages.Lowered]
  evaluate: Callable[[], jax.stages.Lowered]
  step: Callable[[], jax.stages.Lowered]


def lowerings(setup: Setup, devices: Sequence[Device]) -> Lowerings:
  """Builds the functions that lower a cell for a block on each device."""
  platform = devices[0].platform
  arch = dataclasses.replace(setup.arch, platform=platform)
  one_seed = seed_functions(setup._replace(arch=arch))
  mesh = Mesh(np.array(devices), (_AXIS,))
  sharding = NamedSharding(mesh, _SHARDED)

  def over_devices(function, **options):
    # No values are replicated, so skip check_vma.
    mapped = jax.shard_map(
      function,
      mesh=mesh,
      in_specs=_SHARDED,
      out_specs=_SHARDED,
      check_vma=False,
    )
    return jax.jit(mapped, **options)

  def over_all(function, **options):
    return over_devices(over_seeds(function, platform), **options)

  def one_a_seed(dtype) -> jax.ShapeDtypeStruct:
    shape = (len(devices) * setup.config.seeds.block,)
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

  seeds, losses = one_a_seed(jnp.int32), one_a_seed(jnp.float32)
  init = over_devices(jax.vmap(one_seed.init))
  state = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
    jax.eval_shape(init, seeds, seeds),
  )
  advance = over_all(one_seed.advance, donate_argnums=(0, 1))
  return Lowerings(
    mesh,
    state,
    lambda: init.lower(seeds, seeds),
    lambda: advance.lower(state, losses, seeds),
    lambda: over_all(one_seed.evaluate).lower(state.params),
    lambda: over_all(one_seed.step, donate_argnums=0).lower(state),
  )


def _compile(setup: Setup, devices: Sequence[Device]) -> Program:
  """Compiles the functions of one seed for a block on each device."""
  parts = lowerings(setup, devices)
  # Each is compiled, or loaded from the cache, while the next is traced.
  with concurrent.futures.ThreadPoolExecutor(max_workers=1) as compiler:
    advancing = compiler.submit(parts.advance().compile)
    evaluating = compiler.submit(parts.evaluate().compile)
    initializing = compiler.submit(parts.init().compile)
  advance, evaluate_ = advancing.result(), evaluating.result()
  return Program(
    setup.cell,
    setup.config,
    setup.arch,
    parts.mesh,
    initializing.result(),
    advance,
    evaluate_,
    state_bytes(parts.state, len(devices))
    + max(work_bytes(advance), work_bytes(evaluate_)),
    parts.state,
  )


def state_bytes(state: TrainState, num_devices: int) -> int:
  """Returns the bytes of a TrainState on each of its devices."""
  leaves = jax.tree.leaves(state)
  # A threefry key is two uint32 numbers.
  return (
    sum(
      x.size * (8 if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else 4)
      for x in leaves
    )
    // num_devices
  )


def work_bytes(compiled) -> int:
  """Returns a program's bytes of scratch memory per device, 0 if unknown."""
  analysis = compiled.memory_analysis()
  return analysis.temp_size_in_bytes if analysis else 0


def enable_cache() -> pathlib.Path | None:
  """Turns on JAX's cache of compiled programs, unless it is configured already.

  A corrupt entry is compiled again.

  Returns:
    The folder, `emergence/xla-…` in the user's cache directory; None if JAX's
    own settings apply or the user has no home.
  """
  if getattr(jax.config, _CACHE_OPTION):
    return None
  home = cache_home()
  if home is None:
    return None
  # Compiled code is for one version of jaxlib and one kind of processor.
  name = f"xla-{importlib.metadata.version('jaxlib')}-{_processor()}"
  folder = home / name
  jax.config.update(_CACHE_OPTION, str(folder))
  # The small programs are worth keeping too.
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
  # Without a usable cache, programs are compiled at each start.
  warnings.filterwarnings("ignore", ".*persistent compilation cache.*")
  return folder


def cache_home() -> pathlib.Path | None:
  """Returns our folder in the user's cache directory; None without a home."""
  try:
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  except RuntimeError:  # A user without a home, as in containers.
    return None
  return pathlib.Path(home) / "emergence"


def _processor() -> str:
  """Hashes the kind of processor, as several may share a home directory."""
  facts = [platform.machine(), platform.processor(), platform.system()]
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    lines = []
  for key in ("model name", "flags", "Features"):
    facts += [line for line in lines if line.startswith(key)][:1]
  return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]
