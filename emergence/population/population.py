"""Trains blocks of seeds together, evaluates them and copies their state.

    training = start(program, blocks, states)
    while not training.is_done:
      training, chunk = train_chunk(training)

The result of a seed depends on the block size and on the program, but not on
the other seeds of its block. A short block is padded with repeated seeds. The
number of steps of each seed is an argument of the program, and is 0 for padded,
diverged and idle slots.
"""

import functools
import math
import operator
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from emergence.population import processes
from emergence.population.compilation import STEPS_DRAWN, Program
from emergence.training import train
from emergence.training.evaluate import Scores
from emergence.training.model import Params
from emergence.training.train import TrainState

Array = jax.Array


class Snapshot(NamedTuple):
  """Evaluation of a block at one step, S seeds in the order asked for.

  Attributes:
    step: training steps done.
    scores: numpy float32 [S, P] each, for P test sets.
    train_loss: mean loss since the previous snapshot, float32 [S]; NaN at step
      0 and for seeds that had diverged by the previous snapshot.
    diverged: whether a parameter, the loss or a likelihood is not finite at
      this or an earlier snapshot, bool [S]. Such a seed is trained no further.
  """

  step: int
  scores: Scores
  train_loss: np.ndarray
  diverged: np.ndarray


class BlockState(NamedTuple):
  """What a block of S seeds needs to continue, as numpy arrays.

  Attributes:
    step: training steps done; seeds that have diverged made fewer.
    state: the `TrainState` of each seed, stacked along a leading axis S; random
      keys as raw data, uint32 [S, 2].
    loss_sum: sum of the losses since the last evaluation, float32 [S].
    diverged: as in the last `Snapshot`, bool [S].
  """

  step: int
  state: TrainState
  loss_sum: np.ndarray
  diverged: np.ndarray


class Training(NamedTuple):
  """Blocks in training, between two calls of the compiled program.

  Attributes:
    program: the compiled cell.
    blocks: the seeds of each block.
    state: `TrainState` of the N = D·block seeds on D devices; see `rows`.
    loss_sum: sum of the losses since the last evaluation, float32 [N].
    diverged: as in the last `Snapshot`, bool [N], on the host.
    steps: training steps done, of each block.
    num_evaluated: evaluations done, of each block.
    chunk_steps: the most steps that the next chunk makes.
  """

  program: Program
  blocks: list[list[int]]
  state: TrainState
  loss_sum: Array
  diverged: np.ndarray
  steps: tuple[int, ...]
  num_evaluated: tuple[int, ...]
  chunk_steps: int = 1

  @property
  def is_done(self) -> bool:
    """Whether all blocks have completed their last evaluation."""
    return min(self.num_evaluated) == len(self.program.config.eval_steps)

  def rows(self, index: int) -> slice:
    """Slice of a block's seeds, without padding, along the axis of N seeds."""
    first = index * self.program.config.seeds.block
    return slice(first, first + len(self.blocks[index]))


class Chunk(NamedTuple):
  """The results of one call of the compiled program.

  Attributes:
    snapshots: the `Snapshot` of each block that reached an evaluation step, by
      index of the block; often empty.
    train_seconds: wall time of the training steps.
    evaluate_seconds: wall time of the evaluation.
  """

  snapshots: dict[int, Snapshot]
  train_seconds: float
  evaluate_seconds: float


def start(
  program: Program,
  blocks: Sequence[Sequence[int]],
  states: Sequence[BlockState | None] | None = None,
) -> Training:
  """Puts blocks of seeds on the devices.

  Args:
    program: the compiled cell.
    blocks: at most num_blocks groups of at most seeds.block seed indices, one
      group a device.
    states: the state from which each block continues; None starts at step 0.

  Raises:
    ValueError: an empty block, one that is too large, or too many.
  """
  states = states or [None] * len(blocks)
  padded = pad_blocks(blocks, program.config.seeds.block, program.num_blocks)
  steps = tuple(state.step if state else 0 for state in states)
  training = Training(
    program,
    [list(seeds) for seeds in blocks],
    _init(program, padded),
    _put(program, np.zeros(len(padded), np.float32)),
    np.zeros(len(padded), bool),
    steps,
    tuple(
      sum(step >= point for point in program.config.eval_steps) if state else 0
      for step, state in zip(steps, states, strict=True)
    ),
  )
  return _resume(training, states) if any(states) else training


def train_chunk(training: Training) -> tuple[Training, Chunk]:
  """Trains up to the next evaluation, or for about a second.

  The result of a seed does not depend on which seeds are trained together, how
  the steps are cut into chunks, or whether another process continues. Blocks
  that are behind the others catch up first.

  Args:
    training: blocks that are not done. Its arrays are donated: it cannot be
      used again.

  Returns:
    The blocks after the chunk, and its snapshots and wall times.

  Raises:
    RuntimeError: another call has already advanced these blocks.
  """
  if training.state.step.is_deleted():  # The compiled program would crash.
    raise RuntimeError(
      "another call has already advanced these blocks, and JAX has deleted"
      " their arrays; use the Training that it returned"
    )
  eval_steps = training.program.config.eval_steps
  goals = {
    i: eval_steps[num]
    for i, num in enumerate(training.num_evaluated)
    if num < len(eval_steps)
  }
  goal = min(goals.values())
  behind = [i for i in goals if goals[i] == goal]
  began = time.monotonic()
  training, longest = _advance(training, behind, goal)
  trained = time.monotonic()
  snapshots = {}
  if arrived := [i for i in behind if training.steps[i] == goal]:
    training, snapshots = _evaluate(training, arrived, goal)
  chunk = Chunk(snapshots, trained - began, time.monotonic() - trained)
  limit = training.chunk_steps
  if longest == limit:
    # At most double, because the first steps may have been fast by chance.
    wanted = int(limit / chunk.train_seconds)
    limit = processes.agree(max(1, min(2 * limit, wanted)))
  return training._replace(chunk_steps=limit), chunk


def capture(training: Training) -> list[BlockState]:
  """Copies what each block needs to continue.

  In blocks of other processes, the state and the losses are zero.
  """
  state, loss_sum_N = _to_host(training)
  all_N = state, loss_sum_N, training.diverged
  return [
    BlockState(
      step, *jax.tree.map(operator.itemgetter(training.rows(i)), all_N)
    )
    for i, step in enumerate(training.steps)
  ]


def fetch_params(training: Training, index: int) -> Params:
  """The parameters of a block, with a leading axis S, as numpy arrays.

  Args:
    training: the blocks.
    index: index of a block that is on a device of this process.
  """
  rows_S = training.rows(index)
  return jax.tree.map(
    lambda x: processes.fetch_own(x)[rows_S], training.state.params
  )


def seconds_per_step(program: Program) -> float:
  """Measures the seconds of one step of all blocks: the least of some timings.

  For fast models, each timing averages over the `STEPS_DRAWN` steps whose
  batches are drawn together.
  """
  size = program.num_blocks * program.config.seeds.block
  state = _init(program, range(size))
  losses = _put(program, np.zeros(size, np.float32))
  best, num_steps = math.inf, 1
  deadline = time.monotonic() + 1.0
  for attempt in range(10):
    counts = _put(program, np.full(size, num_steps, np.int32))
    start = time.monotonic()
    state, losses = program.advance(state, losses, counts)
    jax.block_until_ready(losses)
    seconds = (time.monotonic() - start) / num_steps
    if attempt:  # The first one also warms up.
      best = min(best, seconds)
      if time.monotonic() > deadline:
        break
    if seconds * STEPS_DRAWN < 0.5:
      num_steps = STEPS_DRAWN
  return best


def seconds_per_evaluation(program: Program) -> float:
  """Measures the seconds of one evaluation of all blocks, after a warm-up."""
  size = program.num_blocks * program.config.seeds.block
  params = _init(program, range(size)).params
  jax.block_until_ready(program.evaluate(params))
  start = time.monotonic()
  jax.block_until_ready(program.evaluate(params))
  return time.monotonic() - start


def pad_blocks(
  blocks: Sequence[Sequence[int]], block: int, num_blocks: int
) -> list[int]:
  """Pads short and missing blocks with repeated seeds.

  Returns:
    num_blocks · block seed indices.

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
  return padded


def _resume(
  training: Training, states: Sequence[BlockState | None]
) -> Training:
  """Replaces initial states by those of blocks that continue."""
  program, diverged_N = training.program, training.diverged.copy()
  host_state, loss_sum_N = _to_host(training)
  all_N = host_state, loss_sum_N, diverged_N
  for i, state in enumerate(states):
    if state:
      _, *own = state
      jax.tree.map(
        lambda x_N, x_S, i=i: operator.setitem(x_N, training.rows(i), x_S),
        all_N,
        tuple(own),
      )
  words = jax.tree.map(lambda x: _put(program, x), host_state)
  wrap = functools.partial(jax.random.wrap_key_data, impl=train.KEY_TYPE)
  key = jax.jit(wrap, out_shardings=program.sharding)(words.data_key)
  return training._replace(
    state=words._replace(data_key=key),
    loss_sum=_put(program, loss_sum_N),
    diverged=diverged_N,
  )


def _to_host(training: Training) -> tuple[TrainState, np.ndarray]:
  """Copies the state, with raw key data, and the loss sums to the host."""
  state = training.state
  state = state._replace(data_key=jax.random.key_data(state.data_key))
  return jax.tree.map(processes.fetch_own, (state, training.loss_sum))


def _advance(
  training: Training, blocks: Sequence[int], goal: int
) -> tuple[Training, int]:
  """Trains some blocks; also returns the most steps that one of them made."""
  steps = list(training.steps)
  counts_N = np.zeros(len(training.diverged), np.int32)
  for i in blocks:
    count = min(training.chunk_steps, goal - steps[i])
    counts_N[training.rows(i)] = count
    steps[i] += count
  state, loss_sum = training.state, training.loss_sum
  if counts_N.any():
    moving_N = _put(training.program, np.where(training.diverged, 0, counts_N))
    with jax.transfer_guard("disallow"):
      state, loss_sum = training.program.advance(state, loss_sum, moving_N)
    jax.block_until_ready(loss_sum)
  training = training._replace(
    state=state, loss_sum=loss_sum, steps=tuple(steps)
  )
  return training, int(counts_N.max())


def _evaluate(
  training: Training, blocks: Sequence[int], step: int
) -> tuple[Training, dict[int, Snapshot]]:
  """Evaluates blocks that have reached an evaluation step."""
  program, eval_steps = training.program, training.program.config.eval_steps
  (scores, finite_N), loss_N = processes.fetch(
    (program.evaluate(training.state.params), training.loss_sum)
  )
  loss_N, diverged_N = loss_N.copy(), training.diverged.copy()
  num_evaluated = list(training.num_evaluated)
  # Parameters may be finite, but so large that likelihoods are not.
  finite_N = finite_N & np.isfinite(scores.nll_sum).all(axis=1)
  finite_N = finite_N & np.isfinite(loss_N)
  snapshots = {}
  for i in blocks:
    rows_S = training.rows(i)
    diverged_N[rows_S] |= ~finite_N[rows_S]
    had_diverged_S = training.diverged[rows_S]
    if step:
      interval = step - eval_steps[num_evaluated[i] - 1]
      mean_loss_S = loss_N[rows_S] / np.float32(interval)
      mean_loss_S[had_diverged_S] = np.nan
    else:
      mean_loss_S = np.full(had_diverged_S.shape, np.nan, np.float32)
    snapshots[i] = Snapshot(
      step,
      jax.tree.map(lambda x, rows_S=rows_S: x[rows_S], scores),
      mean_loss_S,
      diverged_N[rows_S],
    )
    num_evaluated[i] += 1
    loss_N[rows_S] = 0
  training = training._replace(
    loss_sum=_put(program, loss_N),
    diverged=diverged_N,
    num_evaluated=tuple(num_evaluated),
  )
  return training, snapshots


def _init(program: Program, padded: Sequence[int]) -> TrainState:
  """Initializes the state of padded blocks of seeds."""
  pairs = [program.config.seeds.init_and_data_seed(seed) for seed in padded]
  init_seeds, data_seeds = zip(*pairs, strict=True)
  return program.init(
    _put(program, np.array(init_seeds, np.int32)),
    _put(program, np.array(data_seeds, np.int32)),
  )


def _put(program: Program, values_N: np.ndarray) -> Array:
  """Puts values on the devices, split along the axis `seeds`."""
  return jax.make_array_from_callback(
    values_N.shape, program.sharding, lambda index: values_N[index]
  )
