"""Blocks in training are saved, restored, kept apart and removed.

Corrupt checkpoints are quarantined and the step before is taken; a machine that
refuses to save or to read is an error, and no corruption.
"""

import errno
import os
import re
import threading
from typing import NamedTuple

import jax
import numpy as np
import pytest
from etils import epath

from emergence.storage import checkpoint
from emergence.storage.checkpoint import ARRAYS, METADATA

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


def save(folder, *steps, tree=None):
  with checkpoint.Checkpointer() as checkpointer:
    for step in steps:
      checkpointer.save(folder, step, tree or make_tree(step), META)


def names_in(folder):
  return sorted(path.name for path in folder.iterdir())


def restored_step(folder):
  """Restores, compares, and returns the step; None where there is nothing."""
  found = checkpoint.restore(folder, TARGET, META)
  if found is None:
    return None
  step, tree, meta = found
  expected = make_tree(step)
  assert jax.tree.structure(tree) == jax.tree.structure(expected)
  for leaf, other in zip(jax.tree.leaves(tree), jax.tree.leaves(expected)):
    assert leaf.dtype == other.dtype
    np.testing.assert_array_equal(leaf, other)
  assert meta == META
  return step


@pytest.fixture
def block(tmp_path):
  """The folder of a block with checkpoints of the steps 2 and 3."""
  folder = epath.Path(tmp_path) / "count" / "width-8" / "seeds-000004-000007"
  save(folder, 1, 2, 3)
  return folder


def test_a_save_does_not_wait_for_the_disk(block, monkeypatch):
  may_write = threading.Event()
  orbax = checkpoint._orbax

  def write_later():
    assert may_write.wait(60)
    return orbax()

  monkeypatch.setattr(checkpoint, "_orbax", write_later)
  with checkpoint.Checkpointer() as checkpointer:
    checkpointer.save(block, 4, make_tree(4), META)
    assert restored_step(block) == 3
    may_write.set()
    checkpointer.wait()
    assert restored_step(block) == 4


def test_a_process_waits_for_none_but_itself(block, monkeypatch):
  """The third of four processes, which has no other to meet at a barrier."""
  monkeypatch.setattr(jax, "process_count", lambda: 4)
  monkeypatch.setattr(jax, "process_index", lambda: 2)
  save(block, 4)
  assert restored_step(block) == 4


def flip_a_bit(path):
  content = bytearray((path / ARRAYS).read_bytes())
  content[-5] ^= 4
  (path / ARRAYS).write_bytes(content)


def cut_in_half(path):
  os.truncate(path / METADATA, 60)


def put_other_shapes(path):
  other = {"key": np.zeros((2, 3), np.uint32)}
  save(path.parent, 3, tree=make_tree(3) | other)


@pytest.mark.parametrize(
  ("spoil", "reason"),
  [
    (flip_a_bit, "contents do not match"),
    (cut_in_half, "Unterminated"),
    (
      put_other_shapes,
      r"\['key'\] should be uint32\[2, 2\], but is uint32\[2, 3\]",
    ),
  ],
)
def test_corruption_is_named_and_the_step_before_taken(
  block, caplog, spoil, reason
):
  spoil(block / "00000003")
  assert restored_step(block) == 2
  (line,) = caplog.messages
  assert line.startswith(f"checkpoint {block / '00000003'} is not usable: ")
  assert re.search(reason, line)
  assert line.endswith(
    "it was renamed to damaged-00000003, and the block continues from step 2"
  )
  assert names_in(block) == ["00000002", "damaged-00000003"]
  # The step is saved anew, and what was corrupt is still there.
  caplog.clear()
  save(block, 3)
  assert restored_step(block) == 3
  assert "damaged-00000003" in names_in(block)
  assert not caplog.messages


def fail():
  raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_save_surfaces_at_the_next_one(block, monkeypatch):
  with checkpoint.Checkpointer() as checkpointer:
    with monkeypatch.context() as patch:
      patch.setattr(checkpoint, "_orbax", fail)
      checkpointer.save(block, 4, make_tree(4), META)
      with pytest.raises(OSError, match="saved: No space left"):
        checkpointer.save(block, 5, make_tree(5), META)
    assert restored_step(block) == 3
    checkpointer.save(block, 5, make_tree(5), META)
  assert restored_step(block) == 5


def test_what_cannot_be_read_is_not_taken_for_corruption(block):
  path = block / "00000003" / ARRAYS
  path.unlink()
  os.symlink(path, path)  # An error for everybody, the superuser included.
  before = names_in(block)
  with pytest.raises(OSError, match="checkpoint cannot be read") as caught:
    checkpoint.restore(block, TARGET, META)
  assert str(block) in str(caught.value.filename)
  assert names_in(block) == before
