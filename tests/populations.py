"""Populations of seeds, trained, and what is known of each."""

import jax
import numpy as np

from emergence.config import Cell
from emergence.population import population

CELL = Cell.parse("count/width-8/depth-1")


def train_seeds(program, *blocks, states=None):
  """Every snapshot of some seeds, and their final parameters."""
  training, found = population.start(program, blocks, states), []
  while not training.is_done:
    training, chunk = population.train_chunk(training)
    if chunk.snapshots:
      found.append(joined(list(chunk.snapshots.values())))
  params = [population.fetch_params(training, i) for i in range(len(blocks))]
  return found, joined(params)


def joined(parts):
  """Snapshots or parameters of the seeds of all blocks, as one."""

  def join(*leaves):
    return np.concatenate(leaves) if np.ndim(leaves[0]) else leaves[0]

  return jax.tree.map(join, *parts)


def member(result, row):
  """What is known of one seed: scores, losses and final parameters."""
  snapshots, params = result
  facts = [
    (*(score[row] for score in s.scores), s.train_loss[row], s.diverged[row])
    for s in snapshots
  ]
  return facts, jax.tree.map(lambda x: x[row], params)


def assert_bit_equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def run_until(program, blocks, last, states=None):
  """Snapshots and states of blocks up to a step, in chunks of one step."""
  training, found = population.start(program, blocks, states), []
  while not found or training.steps[0] < last:
    training, chunk = population.train_chunk(training._replace(chunk_steps=1))
    found.append(chunk.snapshots)
  snapshots = [
    [chunk[i] for chunk in found if i in chunk] for i in range(len(blocks))
  ]
  return snapshots, population.capture(training)
