"""What is damaged or cut off is set aside, and the step before taken."""

import logging
import os
import random
import re
import shutil

import numpy as np
import pytest

from emergence.storage import checkpoint
from tests.checkpoints import (
  ARRAYS,
  META,
  RECORD,
  flip_a_bit,
  make_tree,
  names_in,
  restored_step,
  save,
  truncate,
)


def edit(name, old, new):
  def damage(path):
    content = (path / name).read_bytes()
    assert old in content
    (path / name).write_bytes(content.replace(old, new))

  return damage


def empty(path):
  path.rmtree()
  path.mkdir()


def be_a_file(path):
  path.rmtree()
  path.write_text("")


def be_another_step(path):
  path.rmtree()
  shutil.copytree(path.parent / "00000002", path)


def hold(tree, meta=META, step=3):
  def damage(path):
    with checkpoint.Checkpointer(keep=9) as checkpointer:
      checkpointer.save(path.parent, step, tree, meta)

  return damage


def without(key):
  return {k: v for k, v in make_tree(3).items() if k != key}


DAMAGES = {
  "a truncated file": (truncate(ARRAYS, 99), "has 99 bytes, not"),
  "a file cut to nothing": (truncate(ARRAYS, 0), "has 0 bytes"),
  "a flipped bit": (flip_a_bit, "digest does not match"),
  "a missing file": (lambda path: (path / ARRAYS).unlink(), "No such file"),
  "a missing record": (lambda path: (path / RECORD).unlink(), "No such file"),
  "half a record": (truncate(RECORD, 60), "is not readable"),
  "an edited record": (edit(RECORD, b"[4, 5", b"[5, 5"), "its seeds is"),
  "a step of a list": (edit(RECORD, b'"step": 3', b'"step": []'), "of ours"),
  "a step of true": (edit(RECORD, b'"step": 3', b'"step": true'), "of ours"),
  "a size of NaN": (edit(RECORD, b'"bytes": ', b'"bytes": NaN, "b": '), "NaN"),
  "a huge size": (edit(RECORD, b'"bytes": ', b'"bytes": 9'), "bytes, not 9"),
  "a huge number": (
    edit(RECORD, b'"step": 3', b'"step": ' + b"9" * 5000),
    "is not readable",
  ),
  "deep nesting": (edit(RECORD, b"[4", b"[" * 200_000 + b"4"), "nested|read"),
  "a huge record": (
    edit(RECORD, b"[4", b"[" + b"4," * 2**20 + b"4"),
    "too large",
  ),
  "a stray empty folder": (empty, "No such file"),
  "a file for a folder": (be_a_file, "Not a directory"),
  "another step": (be_another_step, "it is of step 2"),
  "another cell": (
    hold(make_tree(3), META | {"cell_hash": "beef"}),
    "its cell_hash is beef, not c0ffee",
  ),
  "no seeds": (hold(make_tree(3), {"cell_hash": "c0ffee"}), "seeds is None"),
  "other shapes": (
    hold(make_tree(3) | {"key": np.zeros((2, 3), np.uint32)}),
    r"\['key'\] is uint32\[2, 3\], not uint32\[2, 2\]",
  ),
  "other types": (
    hold(make_tree(3) | {"step": np.array(3.0)}),
    r"\['step'\] is float64\[\], not int32\[\]",
  ),
  "an array more": (hold(make_tree(3) | {"z": np.ones(1)}), r"\['z'\]"),
  "an array less": (hold(without("key")), r"\['key'\]"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_and_the_step_before_taken(saved_block, caplog, name):
  damage, reason = DAMAGES[name]
  damage(saved_block / "00000003")
  assert restored_step(saved_block) == 2
  (line,) = caplog.messages
  assert line.startswith(
    f"checkpoint {saved_block / '00000003'} is not usable: "
  )
  assert re.search(reason, line)
  assert line.endswith(
    "renamed to damaged-00000003, the block continues from step 2"
  )
  assert names_in(saved_block) == ["00000001", "00000002", "damaged-00000003"]
  # The step is saved anew, and what was damaged is still there.
  caplog.clear()
  save(saved_block, 3)
  assert restored_step(saved_block) == 3
  assert "damaged-00000003" in names_in(saved_block)
  assert not caplog.messages


def test_damage_of_every_step_starts_the_block_again(saved_block, caplog):
  for step in (1, 2, 3):
    flip_a_bit(saved_block / f"{step:08d}")
  assert restored_step(saved_block) is None
  assert len(caplog.messages) == 3
  assert all(line.endswith("starts again") for line in caplog.messages)
  assert names_in(saved_block) == [f"damaged-{step:08d}" for step in (1, 2, 3)]
  save(saved_block, 1)
  flip_a_bit(saved_block / "00000001")
  assert restored_step(saved_block) is None
  assert "damaged-00000001-1" in names_in(saved_block)


def test_every_flipped_bit_is_found_or_does_no_harm(saved_block, caplog):
  rng = random.Random(0)
  caplog.set_level(logging.ERROR)
  found = {2: 0, 3: 0}
  for name in (ARRAYS, RECORD):
    whole = (saved_block / "00000003" / name).read_bytes()
    for _ in range(100):
      content = bytearray(whole)
      content[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
      (saved_block / "00000003" / name).write_bytes(content)
      step = restored_step(saved_block)  # Compares all arrays.
      found[step] += 1
      if step == 2:
        (aside,) = saved_block.glob("damaged-*")
        aside.rename(saved_block / "00000003")
    (saved_block / "00000003" / name).write_bytes(whole)
  # Orbax's record has entries that mean nothing to us, such as times.
  assert found[2] > 100
  assert found[3] > 0


def test_a_target_that_refuses_is_a_reason(saved_block, caplog):
  def target(meta):
    raise ValueError("its seeds are others")

  assert checkpoint.restore(saved_block, target, {}) is None
  assert "not usable: its seeds are others; renamed" in caplog.messages[0]


def test_a_save_that_was_cut_off_leaves_the_step_before(saved_block, caplog):
  half = saved_block / "00000004.orbax-checkpoint-tmp"
  shutil.copytree(saved_block / "00000003", half)
  os.truncate(half / ARRAYS, 50)
  assert restored_step(saved_block) == 3
  (line,) = caplog.messages
  assert re.search("save was cut off; renamed to unfinished-00000004", line)
  assert "unfinished-00000004" in names_in(saved_block)
  save(saved_block, 4)
  assert restored_step(saved_block) == 4
  assert names_in(saved_block) == ["00000003", "00000004"]


def test_a_cut_off_save_does_not_hinder_the_same_step(saved_block, caplog):
  half = saved_block / "00000004.orbax-checkpoint-tmp"
  shutil.copytree(saved_block / "00000003", half)
  save(saved_block, 4)
  assert restored_step(saved_block) == 4
  assert names_in(saved_block) == ["00000003", "00000004"]
  assert not caplog.records  # Orbax would tell of the saved_block it finds.
