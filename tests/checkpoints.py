"""Checkpoints of a block of two seeds: saved, restored, compared, damaged."""

import os
from typing import NamedTuple

import jax
import numpy as np

from emergence.storage import checkpoint, checkpoint_handler

META = {"cell_hash": "c0ffee", "seeds": [4, 5, 6, 7]}


class Moments(NamedTuple):
  count: np.ndarray
  mean: dict


def make_tree(step):
  """Two seeds: parameters, moments, keys, scores and flags."""
  rng = np.random.default_rng(step)
  kernel = rng.normal(size=(2, 3, 4)).astype(np.float32)
  return {
    "params": {"layers": {0: {"kernel": kernel}, 1: {"kernel": -kernel}}},
    "moments": (Moments(np.full(2, step, np.int32), {"kernel": kernel}), ()),
    "key": rng.integers(2**32, size=(2, 2), dtype=np.uint32),
    "scores": np.where(np.arange(6) < 3, kernel.ravel()[:6], np.nan),
    "diverged": np.array([True, False]),
    "step": np.array(step, np.int32),
  }


def shapes_of(tree):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


TARGET = shapes_of(make_tree(0))
ARRAYS, RECORD = checkpoint_handler.FILE, checkpoint_handler.RECORD


def assert_same(tree, expected):
  assert jax.tree.structure(tree) == jax.tree.structure(expected)
  for found, leaf in zip(jax.tree.leaves(tree), jax.tree.leaves(expected)):
    assert found.dtype == leaf.dtype
    np.testing.assert_array_equal(found, leaf)


def save(folder, *steps, keep=2, meta=META):
  with checkpoint.Checkpointer(keep) as checkpointer:
    for step in steps:
      checkpointer.save(folder, step, make_tree(step), meta)


def names_in(folder):
  return sorted(path.name for path in folder.iterdir())


def restored_step(folder):
  """Restores, compares, and returns the step; None where there is nothing."""
  found = checkpoint.restore(folder, TARGET, META)
  if found is None:
    return None
  step, tree, meta = found
  assert_same(tree, make_tree(step))
  assert meta == META
  return step


def truncate(name, size):
  return lambda path: os.truncate(path / name, size)


def flip_a_bit(path):
  content = bytearray((path / checkpoint_handler.FILE).read_bytes())
  content[-5] ^= 4
  (path / checkpoint_handler.FILE).write_bytes(content)
