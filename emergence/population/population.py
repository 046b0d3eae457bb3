"""Blocks of seeds in training: advanced together, evaluated, captured.

What a seed computes depends on the block width and on the program, not on its
neighbours: a short block is filled up with repeats, and how many updates a call
makes of each seed is data, so that padding, seeds that diverged and devices
without a block stand still.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
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


def seconds_per_step(program: Program) -> float:
  """Wall time of one update of all blocks together, the best of a few.

  Of fast models, whose batches are drawn for many updates at once, so many
  updates are timed together.
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


def run(
  program: Program,
  blocks: Sequence[Sequence[int]],
  starts: Sequence[BlockState | None] | None = None,
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
    seconds_between_stops: about how long one call of the program may take.
  """
  config = program.config
  training = _start(program, blocks, starts or [None] * len(blocks))
  num_steps = 1
  while True:
    goals = {
      i: config.eval_steps[num]
      for i, num in enumerate(training.num_evaluated)
      if num < len(config.eval_steps)
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
    key = jax.jit(wrap, out_shardings=program.sharding)(words.data_key)
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
    values_N.shape, program.sharding, lambda index: values_N[index]
  )
