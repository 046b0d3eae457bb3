"""Populations of seeds, trained, and what is known of each."""

import jax
import numpy as np

from emergence.config import Cell
from emergence.population import population

CELL = Cell.parse("count/width-8/depth-1")


def train_seeds(program, *blocks, **options):
  """Every snapshot of some seeds, with the final parameters fetched."""
  snapshots, params = [], None
  for stop in population.run(program, blocks, **options):
    if stop.snapshots:
      snapshots.append(joined(list(stop.snapshots.values())))
      params = snapshots[-1].params()
  return snapshots, params


def joined(parts):
  """One snapshot of the seeds of all blocks."""

  def join(*xs):
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *xs)

  return population.Snapshot(
    parts[0].step,
    *(join(*(p[field] for p in parts)) for field in (1, 2, 3)),
    lambda: join(*(p.params() for p in parts)),
  )


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


def run_until(program, blocks, last, starts=None):
  """Snapshots and states of blocks up to a step, one update a stop."""
  found = [[] for _ in blocks]
  for stop in population.run(
    program, blocks, starts, seconds_between_stops=0.0
  ):
    for i, snapshot in stop.snapshots.items():
      found[i].append(snapshot._replace(params=dict))
    if stop.steps[0] == last:
      return found, stop.capture()
  raise AssertionError
