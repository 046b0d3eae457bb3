import errno
import os
import subprocess
import sys

import filelock
import pytest
from etils import epath

from emergence import locks
from emergence.config import Cell

CELL = Cell.parse("count/width-8/depth-1")
NAME = "seeds-000000-000003"

# Holds a lock until its standard input ends.
HOLD = """
import sys
from emergence import locks
from emergence.config import Cell
with locks.held(sys.argv[1], Cell.parse(sys.argv[2]), sys.argv[3]):
  print("held", flush=True)
  sys.stdin.read()
"""


@pytest.fixture
def other(workdir):
  """Another process that holds a lock."""
  process = subprocess.Popen(
    [sys.executable, "-c", HOLD, str(workdir), str(CELL), NAME],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == "held\n"
  yield process
  process.kill()
  process.communicate()


def test_what_another_process_holds_is_refused_in_its_name(
  workdir, other, monkeypatch
):
  monkeypatch.setattr(locks, "WAIT_SECONDS", 2.5)
  pattern = f"{CELL}: {NAME} is in use by process {other.pid} on "
  with (
    pytest.raises(ValueError, match=pattern),
    locks.held(workdir, CELL, NAME),
  ):
    pass
  (holder,) = locks.holders(workdir, CELL)
  assert (holder.name, holder.pid) == (NAME, other.pid)
  with locks.held(workdir, CELL, "seeds-000004-000007"):
    pass


def test_a_lock_is_free_once_its_process_is_killed(workdir, other):
  other.kill()
  other.wait()
  assert locks.holders(workdir, CELL) == []
  with locks.held(workdir, CELL, NAME):
    assert [h.pid for h in locks.holders(workdir, CELL)] == [os.getpid()]
  assert locks.holders(workdir, CELL) == []


@pytest.mark.parametrize("content", ["", "[]", "{", '{"host": "a"}', "\0"])
def test_what_stands_in_a_lock_file_is_for_people_only(
  workdir, other, content, monkeypatch
):
  monkeypatch.setattr(locks, "WAIT_SECONDS", 2.0)
  path = workdir / "locks" / str(CELL) / f"{NAME}.lock"
  path.write_text(content)
  with (
    pytest.raises(ValueError, match="in use by an unknown process"),
    locks.held(workdir, CELL, NAME),
  ):
    pass


def test_blocks_of_the_same_seeds_share_a_lock():
  names = {locks.name_of_block(4, seed) for seed in range(4)}
  assert names == {NAME}
  assert locks.name_of_block(4, 4) == "seeds-000004-000007"


def refuse_locks(number):
  def acquire(self, *args, **kwargs):
    raise OSError(number, os.strerror(number))

  return acquire


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_without_locks_nothing_is_held(workdir, monkeypatch, number):
  assert locks.are_available(workdir)
  monkeypatch.setattr(filelock.FileLock, "acquire", refuse_locks(number))
  assert not locks.are_available(workdir)
  with locks.held(workdir, CELL, NAME):
    pass
  assert locks.holders(workdir, CELL) == []


def test_what_else_a_file_system_refuses_is_an_error(workdir, monkeypatch):
  monkeypatch.setattr(filelock.FileLock, "acquire", refuse_locks(errno.EIO))
  with (
    pytest.raises(OSError, match="Input/output"),
    locks.held(workdir, CELL, NAME),
  ):
    pass


def test_a_bucket_has_no_locks():
  bucket = epath.Path("gs://bucket/run")
  assert not locks.are_available(bucket)
  with locks.held(bucket, CELL, NAME):
    assert locks.holders(bucket, CELL) == []
