import contextlib
import errno
import logging
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from typing import NamedTuple

import jax
import numpy as np
import pytest
from etils import epath

from emergence import checkpoint, checkpoint_handler

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


def assert_same(tree, expected):
  assert jax.tree.structure(tree) == jax.tree.structure(expected)
  for found, leaf in zip(jax.tree.leaves(tree), jax.tree.leaves(expected)):
    assert found.dtype == leaf.dtype
    np.testing.assert_array_equal(found, leaf)


@pytest.fixture
def folder(tmp_path):
  """Of a block with checkpoints of the steps 1, 2 and 3."""
  folder = epath.Path(tmp_path) / "count" / "width-8" / "seeds-000004-000007"
  save(folder, 1, 2, 3, keep=3)
  return folder


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


def test_what_is_restored_is_what_was_saved(folder):
  step, tree, meta = checkpoint.restore(folder, TARGET, {})
  assert step == 3
  assert_same(tree, make_tree(3))
  assert meta == META
  assert names_in(folder) == ["00000001", "00000002", "00000003"]


def test_a_block_without_checkpoints_starts_at_the_beginning(tmp_path):
  assert restored_step(epath.Path(tmp_path) / "none") is None


def test_the_last_few_steps_are_kept(folder):
  save(folder, 4, 10**8)
  assert names_in(folder) == ["00000004", "100000000"]
  assert restored_step(folder) == 10**8
  with pytest.raises(ValueError, match="at least 1 checkpoint, got 0"):
    checkpoint.Checkpointer(keep=0)


def test_a_step_that_is_saved_again_is_replaced(folder):
  meta = META | {"seeds": [4]}
  save(folder, 3, meta=meta)
  assert checkpoint.restore(folder, TARGET, {})[2] == meta


def test_a_step_before_those_that_are_there_is_kept_as_well(folder):
  save(folder, 0)
  assert names_in(folder) == ["00000000", "00000002", "00000003"]


def test_blocks_do_not_share_checkpoints(folder):
  other = folder.parent / "seeds-000008-000011"
  with checkpoint.Checkpointer() as checkpointer:
    checkpointer.save(folder, 5, make_tree(5), META)
    checkpointer.save(other, 6, make_tree(6), META)
  assert restored_step(folder) == 5
  assert restored_step(other) == 6


def test_a_save_does_not_wait_for_the_disk(folder, monkeypatch):
  may_write = threading.Event()
  write = checkpoint_handler.write

  def write_later(*args):
    assert may_write.wait(60)
    write(*args)

  monkeypatch.setattr(checkpoint_handler, "write", write_later)
  with checkpoint.Checkpointer() as checkpointer:
    checkpointer.save(folder, 4, make_tree(4), META)
    checkpointer.save(folder / "other", 4, make_tree(4), META)
    assert restored_step(folder) == 3
    may_write.set()
    checkpointer.wait()
    assert restored_step(folder) == 4


def test_the_target_may_depend_on_the_meta(folder):
  def two_rows(meta):
    assert meta == META
    return TARGET

  assert checkpoint.restore(folder, two_rows, {})[0] == 3


def test_only_numpy_arrays_and_json_are_taken(folder):
  with checkpoint.Checkpointer() as checkpointer:
    with pytest.raises(TypeError, match=r"\['x'\] is a ArrayImpl, no numpy"):
      checkpointer.save(folder, 4, {"x": jax.numpy.ones(2)}, {})
    with pytest.raises(TypeError, match="JSON"):
      checkpointer.save(folder, 4, {}, {"x": np.ones(2)})
  assert restored_step(folder) == 3


def test_there_is_no_pickle(folder):
  for path in (folder / "00000003").iterdir():
    assert path.name in (
      checkpoint_handler.FILE,
      checkpoint_handler.RECORD,
      "commit_success.txt",
    )
    # Any pickle of today begins so.
    assert not path.read_bytes().startswith(b"\x80")


def edit(name, old, new):
  def damage(path):
    content = (path / name).read_bytes()
    assert old in content
    (path / name).write_bytes(content.replace(old, new))

  return damage


def truncate(name, size):
  return lambda path: os.truncate(path / name, size)


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


def flip_a_bit(path):
  content = bytearray((path / checkpoint_handler.FILE).read_bytes())
  content[-5] ^= 4
  (path / checkpoint_handler.FILE).write_bytes(content)


def without(key):
  return {k: v for k, v in make_tree(3).items() if k != key}


ARRAYS, RECORD = checkpoint_handler.FILE, checkpoint_handler.RECORD

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
def test_damage_is_named_and_the_step_before_taken(folder, caplog, name):
  damage, reason = DAMAGES[name]
  damage(folder / "00000003")
  assert restored_step(folder) == 2
  (line,) = caplog.messages
  assert line.startswith(f"checkpoint {folder / '00000003'} is not usable: ")
  assert re.search(reason, line)
  assert line.endswith(
    "renamed to damaged-00000003, the block continues from step 2"
  )
  assert names_in(folder) == ["00000001", "00000002", "damaged-00000003"]
  # The step is saved anew, and what was damaged is still there.
  caplog.clear()
  save(folder, 3)
  assert restored_step(folder) == 3
  assert "damaged-00000003" in names_in(folder)
  assert not caplog.messages


def test_damage_of_every_step_starts_the_block_again(folder, caplog):
  for step in (1, 2, 3):
    flip_a_bit(folder / f"{step:08d}")
  assert restored_step(folder) is None
  assert len(caplog.messages) == 3
  assert all(line.endswith("starts again") for line in caplog.messages)
  assert names_in(folder) == [f"damaged-{step:08d}" for step in (1, 2, 3)]
  save(folder, 1)
  flip_a_bit(folder / "00000001")
  assert restored_step(folder) is None
  assert "damaged-00000001-1" in names_in(folder)


def test_every_flipped_bit_is_found_or_does_no_harm(folder, caplog):
  rng = random.Random(0)
  caplog.set_level(logging.ERROR)
  found = {2: 0, 3: 0}
  for name in (ARRAYS, RECORD):
    whole = (folder / "00000003" / name).read_bytes()
    for _ in range(100):
      content = bytearray(whole)
      content[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
      (folder / "00000003" / name).write_bytes(content)
      step = restored_step(folder)  # Compares all arrays.
      found[step] += 1
      if step == 2:
        (aside,) = folder.glob("damaged-*")
        aside.rename(folder / "00000003")
    (folder / "00000003" / name).write_bytes(whole)
  # Orbax's record has entries that mean nothing to us, such as times.
  assert found[2] > 100
  assert found[3] > 0


def test_a_target_that_refuses_is_a_reason(folder, caplog):
  def target(meta):
    raise ValueError("its seeds are others")

  assert checkpoint.restore(folder, target, {}) is None
  assert "not usable: its seeds are others; renamed" in caplog.messages[0]


def test_a_save_that_was_cut_off_leaves_the_step_before(folder, caplog):
  half = folder / "00000004.orbax-checkpoint-tmp"
  shutil.copytree(folder / "00000003", half)
  os.truncate(half / ARRAYS, 50)
  assert restored_step(folder) == 3
  (line,) = caplog.messages
  assert re.search("save was cut off; renamed to unfinished-00000004", line)
  assert "unfinished-00000004" in names_in(folder)
  save(folder, 4)
  assert restored_step(folder) == 4
  assert names_in(folder) == ["00000003", "00000004"]


def test_a_cut_off_save_does_not_hinder_the_same_step(folder, caplog):
  half = folder / "00000004.orbax-checkpoint-tmp"
  shutil.copytree(folder / "00000003", half)
  save(folder, 4)
  assert restored_step(folder) == 4
  assert names_in(folder) == ["00000003", "00000004"]
  assert not caplog.records  # Orbax would tell of the folder it finds.


@contextlib.contextmanager
def limit(kind, value):
  before = resource.getrlimit(kind)
  resource.setrlimit(kind, (value, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(kind, before)


@contextlib.contextmanager
def few_files():
  with limit(resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) + 2):
    yield


@contextlib.contextmanager
def small_files():
  with limit(resource.RLIMIT_FSIZE, 300):
    yield


@contextlib.contextmanager
def without_rights():
  """As a user who may read what all may read."""
  user = os.geteuid()
  if user:
    pytest.skip("only root can become another user")
  os.seteuid(65534)
  try:
    yield
  finally:
    os.seteuid(user)


@pytest.fixture
def public_folder(folder):
  """The same where everybody may look."""
  with tempfile.TemporaryDirectory() as path:
    os.chmod(path, 0o755)
    shutil.copytree(folder, os.path.join(path, "block"))
    yield epath.Path(path) / "block"


@pytest.mark.parametrize(
  ("fault", "number"),
  [
    (few_files, errno.EMFILE),
    (small_files, errno.EFBIG),
    (without_rights, errno.EACCES),
  ],
)
def test_a_machine_that_refuses_to_save_is_an_error_and_no_loss(
  public_folder, fault, number, capfd
):
  folder = public_folder
  with checkpoint.Checkpointer() as checkpointer:
    with fault():
      checkpointer.save(folder, 4, make_tree(4), META)
      with pytest.raises(OSError, match="cannot be saved: ") as caught:
        checkpointer.wait()
    assert caught.value.errno == number
    assert caught.value.filename == str(folder / "00000004")
    checkpointer.wait()  # It was reported.
    assert names_in(folder) == ["00000001", "00000002", "00000003"]
    assert restored_step(folder) == 3
    checkpointer.save(folder, 4, make_tree(4), META)
  assert restored_step(folder) == 4
  assert capfd.readouterr() == ("", "")


def fail(error):
  def failing(*args):
    raise error

  return failing


def test_a_failed_save_surfaces_at_the_next_one(folder, monkeypatch):
  full = OSError(errno.ENOSPC, "No space left on device")
  with checkpoint.Checkpointer() as checkpointer:
    with monkeypatch.context() as patch:
      patch.setattr(checkpoint_handler, "write", fail(full))
      checkpointer.save(folder, 4, make_tree(4), META)
      with pytest.raises(OSError, match="saved: No space left") as caught:
        checkpointer.save(folder, 5, make_tree(5), META)
    assert caught.value.filename == str(folder / "00000004")
    assert restored_step(folder) == 3
    checkpointer.save(folder, 5, make_tree(5), META)
  assert restored_step(folder) == 5


def test_the_first_of_several_failures_is_the_one_that_is_told(
  folder, monkeypatch
):
  errors = iter([OSError(28, "first"), OSError(5, "second")])
  monkeypatch.setattr(
    checkpoint_handler, "write", lambda *args: fail(next(errors))()
  )
  may_write = threading.Event()
  with checkpoint.Checkpointer() as checkpointer:
    checkpointer._thread.submit(may_write.wait, 60)  # Keeps the thread busy.
    checkpointer.save(folder, 4, make_tree(4), META)
    checkpointer.save(folder / "other", 4, make_tree(4), META)
    may_write.set()
    with pytest.raises(OSError, match="saved: first"):
      checkpointer.wait()
    checkpointer.wait()


def test_an_error_that_ends_the_run_is_not_hidden(folder, monkeypatch, caplog):
  monkeypatch.setattr(checkpoint_handler, "write", fail(MemoryError()))

  def interrupted():
    with checkpoint.Checkpointer() as checkpointer:
      checkpointer.save(folder, 4, make_tree(4), META)
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    interrupted()
  assert "checkpoint cannot be saved: out of memory" in caplog.text
  with pytest.raises(OSError, match="out of memory"):
    save(folder, 4)


def test_what_does_not_reach_the_disk_removes_nothing(folder, monkeypatch):
  write = checkpoint_handler.write

  def write_less(path, content, record):
    write(path, content, record)
    truncate(RECORD, 70)(path)

  monkeypatch.setattr(checkpoint_handler, "write", write_less)
  with pytest.raises(OSError, match="reads otherwise"):
    save(folder, 4)
  assert restored_step(folder) == 3
  assert "00000002" in names_in(folder)


@pytest.mark.parametrize("name", [".", "00000003", f"00000003/{ARRAYS}"])
def test_what_may_not_be_read_is_not_taken_for_damage(public_folder, name):
  folder = public_folder
  flip_a_bit(folder / "00000003")
  before = names_in(folder)
  os.chmod(folder / name, 0o600)
  with (
    without_rights(),
    pytest.raises(PermissionError) as caught,
  ):
    checkpoint.restore(folder, TARGET, META)
  assert str(folder) in str(caught.value.filename)
  os.chmod(folder / name, 0o700)
  assert names_in(folder) == before


def test_damage_that_may_not_be_renamed_is_an_error(public_folder):
  flip_a_bit(public_folder / "00000003")
  with (
    without_rights(),
    pytest.raises(PermissionError, match=r"digest .* cannot be renamed"),
  ):
    checkpoint.restore(public_folder, TARGET, META)


def test_a_lack_of_files_is_not_taken_for_damage(folder, capfd):
  used = len(os.listdir("/proc/self/fd"))
  outcomes = []
  for spare in range(-2, 24):
    with limit(resource.RLIMIT_NOFILE, used + spare):
      try:
        outcomes.append(checkpoint.restore(folder, TARGET, META)[0])
      except OSError as error:
        outcomes.append(error.strerror.split(": ")[-1])
  assert set(outcomes) == {"Too many open files", 3}
  assert restored_step(folder) == 3
  assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
  ("error", "number"),
  [
    (OSError(errno.EIO, "Input/output error"), errno.EIO),
    (MemoryError(), errno.ENOMEM),
  ],
)
def test_a_machine_that_fails_to_read_is_not_taken_for_damage(
  folder, monkeypatch, error, number
):
  flip_a_bit(folder / "00000003")
  before = names_in(folder)
  monkeypatch.setattr(checkpoint_handler, "read", fail(error))
  with pytest.raises(OSError, match="cannot be read") as caught:
    checkpoint.restore(folder, TARGET, META)
  assert caught.value.errno == number
  assert names_in(folder) == before


def test_remove_leaves_nothing_and_may_be_late(folder):
  shutil.copytree(folder / "00000003", folder / "4.orbax-checkpoint-tmp")
  flip_a_bit(folder / "00000003")
  assert restored_step(folder) == 2
  checkpoint.remove(folder)
  assert not folder.exists()
  checkpoint.remove(folder)


def test_two_may_remove_the_same(folder, monkeypatch):
  rmtree = type(folder).rmtree

  def overtaken(self, *args, **kwargs):
    rmtree(self)
    raise FileNotFoundError(self)

  monkeypatch.setattr(type(folder), "rmtree", overtaken)
  checkpoint.remove(folder)
  assert not folder.exists()


SAVE_FOREVER = """
import sys

import numpy as np
from etils import epath

from emergence import checkpoint

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
    process.stdout.readline()
    time.sleep(delay)
    process.kill()
    return int(process.stdout.read().split()[-1])


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
