"""Many seeds at once: vmap over a block, blocks spread over the devices.

The only module that knows that seeds are many. One compiled program advances
`seeds.block` seeds on each device of a mesh with the single axis `seeds`; the
devices never talk to each other. What a seed computes depends on the block
width and on the program, not on its neighbours: a short block is filled up
with repeats, and a device without a block of its own runs zero steps.
"""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from emergence import evaluate, model, tasks, train
from emergence.config import Cell, Config
from emergence.evaluate import Scores
from emergence.model import Architecture, Params
from emergence.train import TrainState

Array = jax.Array

# A jax.Device; the name jax exports is no type to type checkers.
Device = Any

_AXIS = "seeds"
_SHARDED = PartitionSpec(_AXIS)

# Left to everything that the compiled programs do not account for: the runtime,
# the other programs of the sweep, fragmentation.
_USABLE_SHARE = 0.8


class DoesNotFitError(ValueError):
  """A block of seeds needs more memory than a device has.

  Attributes:
    bytes_per_block: what it needs.
  """

  def __init__(self, message: str, bytes_per_block: int):
    super().__init__(message)
    self.bytes_per_block = bytes_per_block


class Program(NamedTuple):
  """One cell, compiled for a mesh of D devices with `block` seeds on each.

  Attributes:
    config: the experiment.
    arch: the architecture of the cell.
    mesh: the devices, on the axis `seeds`.
    init: (init seeds, data seeds), int32 [D·block] each -> TrainState.
    advance: (TrainState, steps, int32 [D]) -> (TrainState, sum of the losses,
      float32 [D·block]); donates the state. Any number of steps runs in the
      same compiled program, because the trip count is data.
    evaluate: params -> (Scores, finite, bool [D·block]).
    bytes_per_device: what one device needs to hold and run its block.
  """

  config: Config
  arch: Architecture
  mesh: Mesh
  init: Callable[[Array, Array], TrainState]
  advance: Callable[[TrainState, Array], tuple[TrainState, Array]]
  evaluate: Callable[[Params], tuple[Scores, Array]]
  bytes_per_device: int

  @property
  def num_blocks(self) -> int:
    """Blocks that run together, one a device."""
    return self.mesh.size


class Snapshot(NamedTuple):
  """A population at one evaluation step, S seeds in the order asked for.

  Attributes:
    step: updates done.
    scores: numpy float32 [S, P] each.
    train_loss: mean loss since the snapshot before, float32 [S]; NaN at step 0.
    diverged: a parameter, the loss or a likelihood is not finite, now or at
      a snapshot before, bool [S].
    params: fetches the parameters, with a leading axis S, as numpy arrays;
      to be called before the next snapshot is asked for.
    train_seconds: wall time of the updates since the snapshot before.
    evaluate_seconds: wall time of the evaluation.
  """

  step: int
  scores: Scores
  train_loss: np.ndarray
  diverged: np.ndarray
  params: Callable[[], Params]
  train_seconds: float = 0.0
  evaluate_seconds: float = 0.0


def make_architecture(config: Config, cell: Cell) -> Architecture:
  """The architecture of a cell; raises ValueError on an invalid width."""
  vocab_size = len(tasks.make_task(config.task).symbols)
  return model.make_architecture(
    config.model, config.train, cell.width, cell.depth, vocab_size
  )


def compile_cell(
  config: Config, cell: Cell, devices: Sequence[Device]
) -> Program:
  """Compiles a cell for as many of the devices as memory allows.

  Args:
    config: the experiment.
    cell: width and depth.
    devices: local devices of one kind; each takes one block.

  Raises:
    ValueError: the cell is invalid.
    DoesNotFitError: one block does not fit in memory.
  """
  program = _compile(config, cell, devices)
  fit = plan_blocks(
    program.bytes_per_device, len(devices), memory_budget(devices)
  )
  if not fit:
    raise DoesNotFitError(
      f"a block of {config.seeds.block} seeds of {cell} needs"
      f" {program.bytes_per_device / 2**30:.2f} GiB and"
      f" {memory_budget(devices)[0] / 2**30:.2f} GiB are usable; lower"
      " seeds.block",
      program.bytes_per_device,
    )
  if fit < len(devices):
    program = _compile(config, cell, devices[:fit])
  return program


def plan_blocks(
  bytes_per_block: int, num_devices: int, budget: tuple[int, bool]
) -> int:
  """How many blocks run together, one a device.

  Args:
    bytes_per_block: memory of one block.
    num_devices: devices at hand.
    budget: usable bytes, and whether all devices share them.

  Returns:
    A number of blocks, 0 where not even one fits.
  """
  usable, is_shared = budget
  fit = usable // max(bytes_per_block, 1)
  return min(num_devices, fit) if is_shared else num_devices * (fit > 0)


def memory_budget(devices: Sequence[Device]) -> tuple[int, bool]:
  """Bytes that blocks may use, and whether the devices share them.

  CPU devices share the host's free memory; accelerators have their own, as
  their allocator reports it.
  """
  if devices[0].platform == "cpu":
    return int(_USABLE_SHARE * psutil.virtual_memory().available), True
  limits = [(d.memory_stats() or {}).get("bytes_limit") for d in devices]
  known = [limit for limit in limits if limit]
  # A device that does not report its memory is left to fail by itself.
  return (int(_USABLE_SHARE * min(known)) if known else 2**62), False


def local_devices(count: int | None = None) -> list[Device]:
  """The devices of this process; on CPU, one for each core.

  Call it before anything else touches a device: JAX fixes the number of CPU
  devices when it first needs one.

  Args:
    count: how many to use; all of them where None. On CPU it may exceed the
      number of cores.

  Raises:
    ValueError: fewer devices than asked for.
  """
  with contextlib.suppress(RuntimeError):  # Raised once devices are in use.
    jax.config.update("jax_num_cpu_devices", count or _num_cores())
  devices = jax.local_devices()
  if count is not None and not 1 <= count <= len(devices):
    raise ValueError(
      f"--devices={count}: this machine has {len(devices)}"
      f" {devices[0].platform} devices"
    )
  return devices[:count]


def seconds_per_step(program: Program) -> float:
  """Wall time of one update of all blocks together, the best of a few."""
  size = program.num_blocks * program.config.seeds.block
  state = _init(program, range(size))
  one_step = _put(program, np.ones(program.num_blocks))
  best, deadline = math.inf, time.monotonic() + 1.0
  for attempt in range(10):
    start = time.monotonic()
    state, losses = program.advance(state, one_step)
    jax.block_until_ready(losses)
    if attempt:  # The first one also warms up.
      best = min(best, time.monotonic() - start)
      if time.monotonic() > deadline:
        break
  return best


def run(
  program: Program, blocks: Sequence[Sequence[int]]
) -> Iterator[Snapshot]:
  """Trains blocks of seeds, yielding a snapshot at each evaluation step.

  Args:
    program: the compiled cell.
    blocks: at most num_blocks groups of at most seeds.block seed indices, one
      group a device. Which seeds are trained together has no effect on any of
      them.
  """
  config = program.config
  padded, is_padding = pad_blocks(
    blocks, config.seeds.block, program.num_blocks
  )
  keep_S = np.flatnonzero(~is_padding)
  active = ~is_padding.reshape(program.num_blocks, -1).all(axis=1)
  state = _init(program, padded)
  loss_S = np.full(len(keep_S), np.nan, np.float32)
  diverged_S = np.zeros(len(keep_S), bool)
  previous = 0
  for step in config.eval_steps:
    start = time.monotonic()
    if step > previous:
      num_steps = _put(program, np.where(active, step - previous, 0))
      with jax.transfer_guard("disallow"):
        state, losses = program.advance(state, num_steps)
      loss_S = np.asarray(losses)[keep_S] / np.float32(step - previous)
      diverged_S = diverged_S | ~np.isfinite(loss_S)
    trained = time.monotonic()
    scores, finite = jax.device_get(program.evaluate(state.params))
    evaluated = time.monotonic()
    scores = jax.tree.map(lambda score: score[keep_S], scores)
    # Huge parameters may be finite and what they compute not.
    finite_S = finite[keep_S] & np.isfinite(scores.nll_sum).all(axis=1)
    diverged_S = diverged_S | ~finite_S
    params = state.params
    yield Snapshot(
      step,
      scores,
      loss_S,
      diverged_S,
      lambda params=params: jax.tree.map(
        lambda x: np.asarray(x)[keep_S], params
      ),
      trained - start,
      evaluated - trained,
    )
    previous = step


def pad_blocks(
  blocks: Sequence[Sequence[int]], block: int, num_blocks: int
) -> tuple[list[int], np.ndarray]:
  """Fills up short and missing blocks with repeated seeds.

  Returns:
    num_blocks · block seed indices, and which of them are padding.

  Raises:
    ValueError: an empty block, one that is too large, or too many.
  """
  sizes = [len(seeds) for seeds in blocks]
  if not 1 <= len(blocks) <= num_blocks or min(sizes) < 1 or max(sizes) > block:
    raise ValueError(
      f"expected 1 to {num_blocks} blocks of 1 to {block} seeds, got blocks of"
      f" {sizes}"
    )
  padded: list[int] = []
  for seeds in [*blocks, *[blocks[0]] * (num_blocks - len(blocks))]:
    padded += [*seeds, *[seeds[-1]] * (block - len(seeds))]
  is_padding = np.ones((num_blocks, block), bool)
  for i, size in enumerate(sizes):
    is_padding[i, :size] = False
  return padded, is_padding.ravel()


def _init(program: Program, padded: Sequence[int]) -> TrainState:
  """The state of whole blocks of seeds before the first update."""
  pairs = [program.config.seeds.init_and_data_seed(seed) for seed in padded]
  init_seeds, data_seeds = zip(*pairs, strict=True)
  return program.init(_put(program, init_seeds), _put(program, data_seeds))


def _put(program: Program, values: Sequence[int] | np.ndarray) -> Array:
  """Integers along the axis `seeds`, each on the device that needs it."""
  sharding = NamedSharding(program.mesh, _SHARDED)
  return jax.device_put(np.asarray(values, np.int32), sharding)


def _num_cores() -> int:
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


class _SeedFunctions(NamedTuple):
  """What a program does, written for one seed."""

  init: Callable[[Array, Array], TrainState]
  advance: Callable[[TrainState, Array], tuple[TrainState, Array]]
  evaluate: Callable[[Params], tuple[Scores, Array]]


def _seed_functions(config: Config, arch: Architecture) -> _SeedFunctions:
  task = tasks.make_task(config.task, config.eval.items)
  init_state, train_step = train.make_train(config, task, arch)
  score = evaluate.make_evaluate(task, arch, config.task.test_lengths)

  def init(init_seed: Array, data_seed: Array) -> TrainState:
    return init_state(*train.seed_keys(config.root_seed, init_seed, data_seed))

  def advance(state: TrainState, num_steps: Array) -> tuple[TrainState, Array]:
    def body(_, carry):
      state, total = carry
      state, loss = train_step(state)
      return state, total + loss

    return jax.lax.fori_loop(0, num_steps, body, (state, jnp.float32(0)))

  def evaluate_and_check(params: Params) -> tuple[Scores, Array]:
    finite = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]
    return score(params), jnp.stack(finite).all()

  return _SeedFunctions(init, advance, evaluate_and_check)


def _compile(config: Config, cell: Cell, devices: Sequence[Device]) -> Program:
  """Compiles the functions of one seed for a block on each device."""
  arch = make_architecture(config, cell)
  one_seed = _seed_functions(config, arch)
  mesh = Mesh(np.array(devices), (_AXIS,))
  sharding = NamedSharding(mesh, _SHARDED)

  def over_devices(function, **options):
    # The check of what is replicated has nothing to find: all axes are seeds.
    mapped = jax.shard_map(
      function,
      mesh=mesh,
      in_specs=_SHARDED,
      out_specs=_SHARDED,
      check_vma=False,
    )
    return jax.jit(mapped, **options)

  def integers(size: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((size,), jnp.int32, sharding=sharding)

  def advance_block(state: TrainState, num_steps: Array):
    # Each device has one entry of num_steps, which all its seeds share.
    return jax.vmap(one_seed.advance, in_axes=(0, None))(state, num_steps[0])

  seeds = integers(len(devices) * config.seeds.block)
  init = over_devices(jax.vmap(one_seed.init))
  state = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
    jax.eval_shape(init, seeds, seeds),
  )
  advance = (
    over_devices(advance_block, donate_argnums=0)
    .lower(state, integers(len(devices)))
    .compile()
  )
  evaluate_ = (
    over_devices(jax.vmap(one_seed.evaluate)).lower(state.params).compile()
  )
  return Program(
    config,
    arch,
    mesh,
    init.lower(seeds, seeds).compile(),
    advance,
    evaluate_,
    _state_bytes(state, len(devices))
    + max(_work_bytes(advance), _work_bytes(evaluate_)),
  )


def _state_bytes(state: TrainState, num_devices: int) -> int:
  leaves = jax.tree.leaves(state)
  # A threefry key is two words.
  return (
    sum(
      x.size * (8 if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else 4)
      for x in leaves
    )
    // num_devices
  )


def _work_bytes(compiled) -> int:
  """Scratch memory of a compiled program on each device, where it is known."""
  analysis = compiled.memory_analysis()
  return analysis.temp_size_in_bytes if analysis else 0
