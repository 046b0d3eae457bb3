"""A machine that refuses to save or to read is an error, and no damage."""

import contextlib
import errno
import itertools
import os
import resource
import shutil
import tempfile
import threading

import pytest
from etils import epath

from emergence.storage import checkpoint, checkpoint_handler
from tests.checkpoints import (
  ARRAYS,
  META,
  RECORD,
  TARGET,
  flip_a_bit,
  make_tree,
  names_in,
  restored_step,
  save,
  truncate,
)


@contextlib.contextmanager
def limit(kind, value):
  before = resource.getrlimit(kind)
  resource.setrlimit(kind, (value, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(kind, before)


def few_files(spare=3):
  """As many files may be opened, and no more."""
  # A new file gets the lowest number that is free; the limit is of numbers.
  free = (number for number in itertools.count() if not is_open(number))
  return limit(
    resource.RLIMIT_NOFILE, next(itertools.islice(free, spare, None))
  )


def is_open(number):
  try:
    os.fstat(number)
  except OSError:
    return False
  return True


def small_files():
  return limit(resource.RLIMIT_FSIZE, 300)


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
def public_folder(saved_block):
  """The same where everybody may look."""
  # Below nothing that is private, as a folder for temporary files may be.
  with tempfile.TemporaryDirectory(dir="/tmp") as path:
    shutil.copytree(saved_block, os.path.join(path, "block"))
    for folder, _, names in os.walk(path):
      os.chmod(folder, 0o755)
      for name in names:
        os.chmod(os.path.join(folder, name), 0o644)
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


def test_a_failed_save_surfaces_at_the_next_one(saved_block, monkeypatch):
  full = OSError(errno.ENOSPC, "No space left on device")
  with checkpoint.Checkpointer() as checkpointer:
    with monkeypatch.context() as patch:
      patch.setattr(checkpoint_handler, "write", fail(full))
      checkpointer.save(saved_block, 4, make_tree(4), META)
      with pytest.raises(OSError, match="saved: No space left") as caught:
        checkpointer.save(saved_block, 5, make_tree(5), META)
    assert caught.value.filename == str(saved_block / "00000004")
    assert restored_step(saved_block) == 3
    checkpointer.save(saved_block, 5, make_tree(5), META)
  assert restored_step(saved_block) == 5


def test_the_first_of_several_failures_is_the_one_that_is_told(
  saved_block, monkeypatch
):
  errors = iter([OSError(28, "first"), OSError(5, "second")])
  monkeypatch.setattr(
    checkpoint_handler, "write", lambda *args: fail(next(errors))()
  )
  may_write = threading.Event()
  with checkpoint.Checkpointer() as checkpointer:
    checkpointer._thread.submit(may_write.wait, 60)  # Keeps the thread busy.
    checkpointer.save(saved_block, 4, make_tree(4), META)
    checkpointer.save(saved_block / "other", 4, make_tree(4), META)
    may_write.set()
    with pytest.raises(OSError, match="saved: first"):
      checkpointer.wait()
    checkpointer.wait()


def test_an_error_that_ends_the_run_is_not_hidden(
  saved_block, monkeypatch, caplog
):
  monkeypatch.setattr(checkpoint_handler, "write", fail(MemoryError()))

  def interrupted():
    with checkpoint.Checkpointer() as checkpointer:
      checkpointer.save(saved_block, 4, make_tree(4), META)
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    interrupted()
  assert "checkpoint cannot be saved: out of memory" in caplog.text
  with pytest.raises(OSError, match="out of memory"):
    save(saved_block, 4)


def test_what_does_not_reach_the_disk_removes_nothing(saved_block, monkeypatch):
  write = checkpoint_handler.write

  def write_less(path, content, record):
    write(path, content, record)
    truncate(RECORD, 70)(path)

  monkeypatch.setattr(checkpoint_handler, "write", write_less)
  with pytest.raises(OSError, match="reads otherwise"):
    save(saved_block, 4)
  assert restored_step(saved_block) == 3
  assert "00000002" in names_in(saved_block)


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


def test_a_lack_of_files_is_not_taken_for_damage(saved_block, capfd):
  outcomes = []
  for spare in range(26):
    with few_files(spare):
      try:
        outcomes.append(checkpoint.restore(saved_block, TARGET, META)[0])
      except OSError as error:
        outcomes.append(error.strerror.split(": ")[-1])
  assert set(outcomes) == {"Too many open files", 3}
  assert restored_step(saved_block) == 3
  assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
  ("error", "number"),
  [
    (OSError(errno.EIO, "Input/output error"), errno.EIO),
    (MemoryError(), errno.ENOMEM),
  ],
)
def test_a_machine_that_fails_to_read_is_not_taken_for_damage(
  saved_block, monkeypatch, error, number
):
  flip_a_bit(saved_block / "00000003")
  before = names_in(saved_block)
  monkeypatch.setattr(checkpoint_handler, "read", fail(error))
  with pytest.raises(OSError, match="cannot be read") as caught:
    checkpoint.restore(saved_block, TARGET, META)
  assert caught.value.errno == number
  assert names_in(saved_block) == before


def test_what_can_never_be_removed_is_an_error(saved_block, monkeypatch):
  gone = FileNotFoundError(errno.ENOENT, "No such file or directory")
  monkeypatch.setattr(type(saved_block), "rmtree", fail(gone))
  with pytest.raises(OSError, match="cannot be removed: No such") as caught:
    checkpoint.remove(saved_block)
  assert caught.value.filename == str(saved_block)
