"""Blocks in training are saved, restored, kept apart and removed."""

import os
import random
import shutil
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from etils import epath

from emergence.storage import checkpoint, checkpoint_handler
from tests.checkpoints import (
  META,
  TARGET,
  assert_same,
  flip_a_bit,
  make_tree,
  names_in,
  restored_step,
  save,
)


def test_what_is_restored_is_what_was_saved(saved_block):
  step, tree, meta = checkpoint.restore(saved_block, TARGET, {})
  assert step == 3
  assert_same(tree, make_tree(3))
  assert meta == META
  assert names_in(saved_block) == ["00000001", "00000002", "00000003"]


def test_a_block_without_checkpoints_starts_at_the_beginning(tmp_path):
  assert restored_step(epath.Path(tmp_path) / "none") is None


def test_the_last_few_steps_are_kept(saved_block):
  save(saved_block, 4, 10**8)
  assert names_in(saved_block) == ["00000004", "100000000"]
  assert restored_step(saved_block) == 10**8
  with pytest.raises(ValueError, match="at least 1 checkpoint, got 0"):
    checkpoint.Checkpointer(keep=0)


def test_a_step_that_is_saved_again_is_replaced(saved_block):
  meta = META | {"seeds": [4]}
  save(saved_block, 3, meta=meta)
  assert checkpoint.restore(saved_block, TARGET, {})[2] == meta


def test_a_step_before_those_that_are_there_is_kept_as_well(saved_block):
  save(saved_block, 0)
  assert names_in(saved_block) == ["00000000", "00000002", "00000003"]


def test_blocks_do_not_share_checkpoints(saved_block):
  other = saved_block.parent / "seeds-000008-000011"
  with checkpoint.Checkpointer() as checkpointer:
    checkpointer.save(saved_block, 5, make_tree(5), META)
    checkpointer.save(other, 6, make_tree(6), META)
  assert restored_step(saved_block) == 5
  assert restored_step(other) == 6


def test_a_save_does_not_wait_for_the_disk(saved_block, monkeypatch):
  may_write = threading.Event()
  write = checkpoint_handler.write

  def write_later(*args):
    assert may_write.wait(60)
    write(*args)

  monkeypatch.setattr(checkpoint_handler, "write", write_later)
  with checkpoint.Checkpointer() as checkpointer:
    checkpointer.save(saved_block, 4, make_tree(4), META)
    checkpointer.save(saved_block / "other", 4, make_tree(4), META)
    assert restored_step(saved_block) == 3
    may_write.set()
    checkpointer.wait()
    assert restored_step(saved_block) == 4


def test_the_target_may_depend_on_the_meta(saved_block):
  def two_rows(meta):
    assert meta == META
    return TARGET

  assert checkpoint.restore(saved_block, two_rows, {})[0] == 3


def test_only_numpy_arrays_and_json_are_taken(saved_block):
  with checkpoint.Checkpointer() as checkpointer:
    with pytest.raises(TypeError, match=r"\['x'\] is a ArrayImpl, no numpy"):
      checkpointer.save(saved_block, 4, {"x": jax.numpy.ones(2)}, {})
    with pytest.raises(TypeError, match="JSON"):
      checkpointer.save(saved_block, 4, {}, {"x": np.ones(2)})
  assert restored_step(saved_block) == 3


def test_there_is_no_pickle(saved_block):
  for path in (saved_block / "00000003").iterdir():
    assert path.name in (
      checkpoint_handler.FILE,
      checkpoint_handler.RECORD,
      "commit_success.txt",
    )
    # Any pickle of today begins so.
    assert not path.read_bytes().startswith(b"\x80")


def test_remove_leaves_nothing_and_may_be_late(saved_block):
  shutil.copytree(
    saved_block / "00000003", saved_block / "4.orbax-checkpoint-tmp"
  )
  flip_a_bit(saved_block / "00000003")
  assert restored_step(saved_block) == 2
  checkpoint.remove(saved_block)
  assert not saved_block.exists()
  checkpoint.remove(saved_block)


def test_two_may_remove_the_same(saved_block, monkeypatch):
  rmtree = type(saved_block).rmtree

  def overtaken(self, *args, **kwargs):
    rmtree(self)
    raise FileNotFoundError(self)

  monkeypatch.setattr(type(saved_block), "rmtree", overtaken)
  checkpoint.remove(saved_block)
  assert not saved_block.exists()


SAVE_FOREVER = """
import sys

import numpy as np
from etils import epath

from emergence.storage import checkpoint

folder, step = epath.Path(sys.argv[1]), int(sys.argv[2])
with checkpoint.Checkpointer() as checkpointer:
  while True:
    step += 1
    x = np.full((8, 20_000), step, np.float32)
    checkpointer.save(folder, step, {"x": x}, {})
    checkpointer.wait()
    print(step, flush=True)
"""


def kill_while_saving(folder, step, delay):
  """The last step that a process had saved when it was killed."""
  process = subprocess.Popen(
    [sys.executable, "-c", SAVE_FOREVER, str(folder), str(step)],
    stdout=subprocess.PIPE,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
  )
  with process:
    first = process.stdout.readline()
    time.sleep(delay)
    process.kill()
    return int((first + process.stdout.read()).split()[-1])


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_save_loses_at_most_itself(tmp_path, kills):
  folder = epath.Path(tmp_path)
  target = {"x": jax.ShapeDtypeStruct((8, 20_000), np.float32)}
  rng = random.Random(kills)
  step = 0
  for _ in range(kills):
    saved = kill_while_saving(folder, step, 0.1 + 0.02 * rng.random())
    step, tree, _ = checkpoint.restore(folder, target, {})
    assert saved <= step <= saved + 1
    assert (tree["x"] == step).all()
  save(folder, step + 1)
  assert not list(folder.glob("damaged-*"))
  assert len(names_in(folder)) == 2
