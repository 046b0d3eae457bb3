"""Many seeds at once: vmap over a block, blocks spread over the devices.

On CPU the seeds of a block are mapped over one after another instead, which
computes the same in half of the time.

The only module that knows that seeds are many. One compiled program advances
`seeds.block` seeds on each device of a mesh with the single axis `seeds`; the
devices never talk to each other. What a seed computes depends on the block
width and on the program, not on its neighbours: a short block is filled up
with repeats, and how many updates a call makes of each seed is data, so that
padding, seeds that diverged and devices without a block stand still.
"""

import contextlib
import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from emergence import evaluate, host_memory, model, processes, tasks, train
from emergence.config import Cell, Config
from emergence.evaluate import Scores
from emergence.model import Architecture, Params
from emergence.train import TrainState

Array = jax.Array

# A jax.Device; the name jax exports is no type to type checkers.
Device = Any

_AXIS = "seeds"
_SHARDED = PartitionSpec(_AXIS)

# Batches drawn at a time: generating random bits is many small operations,
# which cost a model of width 16 as much as half of its step if done in each.
STEPS_DRAWN = 16

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
    advance: (TrainState, sum of losses, float32 [D·block], number of updates,
      int32 [D·block]) -> (TrainState, sum of losses); donates the first two.
    evaluate: params -> (Scores, finite, bool [D·block]).
    bytes_per_device: what one device needs to hold and run its block.
    state: shapes, types and shardings of the TrainState.
  """

  config: Config
  arch: Architecture
  mesh: Mesh
  init: Callable[[Array, Array], TrainState]
  advance: Callable[[TrainState, Array, Array], tuple[TrainState, Array]]
  evaluate: Callable[[Params], tuple[Scores, Array]]
  bytes_per_device: int
  state: TrainState

  @property
  def num_blocks(self) -> int:
    """Blocks that run together, one a device."""
    return self.mesh.size

  def is_here(self, place: int) -> bool:
    """Whether this process has the device of a block."""
    return self.mesh.devices.flat[place].process_index == jax.process_index()


class Snapshot(NamedTuple):
  """A block at one evaluation step, S seeds in the order asked for.

  Attributes:
    step: updates done.
    scores: numpy float32 [S, P] each.
    train_loss: mean loss since the snapshot before, float32 [S]; NaN at step 0
      and where a seed had diverged by the snapshot before.
    diverged: a parameter, the loss or a likelihood is not finite, now or at
      a snapshot before, bool [S]. Such a seed is trained no further.
    params: fetches the parameters, with a leading axis S, as numpy arrays;
      to be called before the next stop is asked for, and only by the process
      that has the block's device.
  """

  step: int
  scores: Scores
  train_loss: np.ndarray
  diverged: np.ndarray
  params: Callable[[], Params]


class BlockState(NamedTuple):
  """What a block of S seeds needs to go on, as numpy arrays.

  Attributes:
    step: updates done; seeds that have diverged made fewer.
    state: with a leading axis S; keys as their words, uint32 [S, 2].
    loss_sum: of the updates since the last evaluation, float32 [S].
    diverged: as in the last `Snapshot`, bool [S].
  """

  step: int
  state: TrainState
  loss_sum: np.ndarray
  diverged: np.ndarray


class Stop(NamedTuple):
  """A moment between two calls of the compiled program.

  Attributes:
    steps: updates done by the seeds of each block.
    snapshots: by its place among the blocks, what an evaluation found of each
      that has just come to an evaluation step; often none.
    capture: copies what each block needs to go on; to be called before the
      next stop is asked for. Of no use for blocks of other processes.
    train_seconds: wall time of the updates since the stop before.
    evaluate_seconds: wall time of the evaluation.
  """

  steps: tuple[int, ...]
  snapshots: dict[int, Snapshot]
  capture: Callable[[], list[BlockState]]
  train_seconds: float
  evaluate_seconds: float


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
  own = [d for d in devices if d.process_index == jax.process_index()]
  fit = plan_blocks(program.bytes_per_device, len(own), memory_budget(own))
  if len(own) < len(devices):
    # All processes go on with all their devices, or none does.
    (is_scarce,) = processes.any_of(fit < len(own))
    fit = 0 if is_scarce else len(devices)
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
  their allocator reports it, in the process that they belong to alone.
  """
  if devices[0].platform == "cpu":
    return int(_USABLE_SHARE * host_memory.available()), True
  own = [d for d in devices if d.process_index == jax.process_index()]
  limits = [(d.memory_stats() or {}).get("bytes_limit") for d in own]
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
  losses = _put(program, np.zeros(size, np.float32))
  one_step = _put(program, np.ones(size, np.int32))
  best, deadline = math.inf, time.monotonic() + 1.0
  for attempt in range(10):
    start = time.monotonic()
    state, losses = program.advance(state, losses, one_step)
    jax.block_until_ready(losses)
    if attempt:  # The first one also warms up.
      best = min(best, time.monotonic() - start)
      if time.monotonic() > deadline:
        break
  return best


def run(
  program: Program,
  blocks: Sequence[Sequence[int]],
  starts: Sequence[BlockState | None] | None = None,
  given_up: Collection[int] = (),
  seconds_between_stops: float = 1.0,
) -> Iterator[Stop]:
  """Trains blocks of seeds, stopping at every evaluation and now and then.

  Which seeds are trained together, where they are stopped and whether another
  process goes on from there has no effect on any of them. Blocks that are
  behind the others catch up first.

  Args:
    program: the compiled cell.
    blocks: at most num_blocks groups of at most seeds.block seed indices, one
      group a device.
    starts: where each block goes on; at the beginning where None.
    given_up: places of blocks to train no further; may grow between two stops.
    seconds_between_stops: about how long one call of the program may take.
  """
  config = program.config
  training = _start(program, blocks, starts or [None] * len(blocks))
  num_steps = 1
  while True:
    goals = {
      i: config.eval_steps[num]
      for i, num in enumerate(training.num_evaluated)
      if num < len(config.eval_steps) and i not in given_up
    }
    if not goals:
      return
    goal = min(goals.values())
    behind = [i for i in goals if goals[i] == goal]
    start = time.monotonic()
    longest = _advance(training, behind, goal, num_steps)
    trained = time.monotonic()
    arrived = [i for i in behind if training.steps[i] == goal]
    snapshots = _evaluate(training, arrived, goal) if arrived else {}
    yield Stop(
      tuple(training.steps),
      snapshots,
      lambda: _capture(training),
      trained - start,
      time.monotonic() - trained,
    )
    if longest == num_steps:
      # At most twice as many, should the first ones have been fast by chance.
      wanted = seconds_between_stops / (trained - start) * num_steps
      num_steps = max(1, min(2 * num_steps, int(wanted)))
      num_steps = processes.agree(num_steps)


@dataclasses.dataclass
class _Training:
  """Blocks in training: the arrays on the devices and where they stand.

  Attributes:
    program: the compiled cell.
    rows: of each block, its seeds among the N = D·block of the devices.
    state: of the N seeds.
    loss_sum: since the last evaluation, float32 [N].
    diverged: bool [N], on the host.
    steps: updates done, of each block.
    num_evaluated: evaluation steps behind it, of each block.
  """

  program: Program
  rows: list[slice]
  state: TrainState
  loss_sum: Array
  diverged: np.ndarray
  steps: list[int]
  num_evaluated: list[int]


def _start(
  program: Program,
  blocks: Sequence[Sequence[int]],
  starts: Sequence[BlockState | None],
) -> _Training:
  config, block = program.config, program.config.seeds.block
  padded, _ = pad_blocks(blocks, block, program.num_blocks)
  rows = [slice(i * block, i * block + len(b)) for i, b in enumerate(blocks)]
  steps = [start.step if start else 0 for start in starts]
  training = _Training(
    program,
    rows,
    _init(program, padded),
    _put(program, np.zeros(len(padded), np.float32)),
    np.zeros(len(padded), bool),
    steps,
    [
      sum(step >= point for point in config.eval_steps) if start else 0
      for step, start in zip(steps, starts, strict=True)
    ],
  )
  if any(starts):
    state, loss_sum_N = _to_host(training)
    for rows_S, start in zip(rows, starts, strict=True):
      if start:
        _set_rows(state, rows_S, start.state)
        loss_sum_N[rows_S] = start.loss_sum
        training.diverged[rows_S] = start.diverged
    training.loss_sum = _put(program, loss_sum_N)
    words = jax.tree.map(lambda x: _put(program, x), state)
    wrap = functools.partial(jax.random.wrap_key_data, impl=train.KEY_TYPE)
    key = jax.jit(wrap, out_shardings=_sharding(program))(words.data_key)
    training.state = words._replace(data_key=key)
  return training


def _set_rows(tree, rows: slice, values) -> None:
  def set_rows(x, rows_of_x):
    x[rows] = rows_of_x

  jax.tree.map(set_rows, tree, values)


def _to_host(training: _Training) -> tuple[TrainState, np.ndarray]:
  """Copies of the state, keys as their words, and of the sum of losses."""
  state = training.state
  state = state._replace(data_key=jax.random.key_data(state.data_key))
  return jax.tree.map(processes.fetch_own, (state, training.loss_sum))


def _advance(
  training: _Training, blocks: Sequence[int], goal: int, num_steps: int
) -> int:
  """Makes some updates of some blocks; returns the most that one has made."""
  counts_N = np.zeros(len(training.diverged), np.int32)
  for i in blocks:
    count = min(num_steps, goal - training.steps[i])
    counts_N[training.rows[i]] = count
    training.steps[i] += count
  if counts_N.any():
    moving_N = _put(training.program, np.where(training.diverged, 0, counts_N))
    with jax.transfer_guard("disallow"):
      training.state, training.loss_sum = training.program.advance(
        training.state, training.loss_sum, moving_N
      )
    jax.block_until_ready(training.loss_sum)
  return int(counts_N.max())


def _evaluate(
  training: _Training, blocks: Sequence[int], step: int
) -> dict[int, Snapshot]:
  """Snapshots of blocks that have come to an evaluation step."""
  params, eval_steps = training.state.params, training.program.config.eval_steps
  (scores, finite_N), loss_N = processes.fetch(
    (training.program.evaluate(params), training.loss_sum)
  )
  loss_N = loss_N.copy()
  # Huge parameters may be finite and what they compute not.
  finite_N = finite_N & np.isfinite(scores.nll_sum).all(axis=1)
  finite_N = finite_N & np.isfinite(loss_N)
  snapshots = {}
  for i in blocks:
    rows_S = training.rows[i]
    had_diverged_S = training.diverged[rows_S].copy()
    training.diverged[rows_S] |= ~finite_N[rows_S]
    if step:
      interval = step - eval_steps[training.num_evaluated[i] - 1]
      mean_loss_S = loss_N[rows_S] / np.float32(interval)
      mean_loss_S[had_diverged_S] = np.nan
    else:
      mean_loss_S = np.full(had_diverged_S.shape, np.nan, np.float32)
    snapshots[i] = Snapshot(
      step,
      jax.tree.map(lambda x, rows_S=rows_S: x[rows_S], scores),
      mean_loss_S,
      training.diverged[rows_S].copy(),
      lambda rows_S=rows_S: jax.tree.map(
        lambda x: processes.fetch_own(x)[rows_S], params
      ),
    )
    training.num_evaluated[i] += 1
    loss_N[rows_S] = 0
  training.loss_sum = _put(training.program, loss_N)
  return snapshots


def _capture(training: _Training) -> list[BlockState]:
  # Of copies, because the next call of the program takes the memory.
  state, loss_sum_N = _to_host(training)
  return [
    BlockState(
      step,
      jax.tree.map(lambda x, rows_S=rows_S: x[rows_S], state),
      loss_sum_N[rows_S],
      training.diverged[rows_S].copy(),
    )
    for step, rows_S in zip(training.steps, training.rows, strict=True)
  ]


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
  return program.init(
    _put(program, np.array(init_seeds, np.int32)),
    _put(program, np.array(data_seeds, np.int32)),
  )


def _put(program: Program, values_N: np.ndarray) -> Array:
  """Values along the axis `seeds`, each on the device that needs it."""
  return jax.make_array_from_callback(
    values_N.shape, _sharding(program), lambda index: values_N[index]
  )


def _sharding(program: Program) -> NamedSharding:
  return NamedSharding(program.mesh, _SHARDED)


def _num_cores() -> int:
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


class _SeedFunctions(NamedTuple):
  """What a program does, written for one seed."""

  init: Callable[[Array, Array], TrainState]
  advance: Callable[[TrainState, Array, Array], tuple[TrainState, Array]]
  evaluate: Callable[[Params], tuple[Scores, Array]]


def _seed_functions(config: Config, arch: Architecture) -> _SeedFunctions:
  task = tasks.make_task(config.task, config.eval.items)
  init_state, train_step = train.make_train(config, task, arch)
  sample = train.make_sampler(config, task)
  score = evaluate.make_evaluate(task, arch, config.task.test_lengths)

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

  return _SeedFunctions(init, advance, evaluate_and_check)


def _map(function: Callable) -> Callable:
  """Like vmap, but one after another."""
  return lambda *args: jax.lax.map(lambda args: function(*args), args)


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

  def one_a_seed(kind) -> jax.ShapeDtypeStruct:
    shape = (len(devices) * config.seeds.block,)
    return jax.ShapeDtypeStruct(shape, kind, sharding=sharding)

  # A CPU core trains one seed after another, so that a seed stays in its cache
  # and products stay two-dimensional; accelerators need many seeds to be busy.
  over_seeds = _map if devices[0].platform == "cpu" else jax.vmap

  seeds = one_a_seed(jnp.int32)
  init = over_devices(jax.vmap(one_seed.init))
  state = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
    jax.eval_shape(init, seeds, seeds),
  )
  advance = (
    over_devices(over_seeds(one_seed.advance), donate_argnums=(0, 1))
    .lower(state, one_a_seed(jnp.float32), seeds)
    .compile()
  )
  evaluate_ = (
    over_devices(over_seeds(one_seed.evaluate)).lower(state.params).compile()
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
    state,
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
