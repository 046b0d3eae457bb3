import errno
import os
import subprocess
import sys

import filelock
import pytest

from emergence.config import Cell
from emergence.storage import locks

CELL = Cell.parse("count/width-8/depth-1")
SEEDS = [0, 1, 2, 3]

# Holds a lock until its standard input ends.
HOLD = """
import sys
from emergence.storage import locks
from emergence.config import Cell
with locks.held(sys.argv[1], Cell.parse(sys.argv[2]), [0, 1, 2, 3]):
  print("held", flush=True)
  sys.stdin.read()
"""


@pytest.fixture
def other(workdir):
  """Another process that holds a lock."""
  process = subprocess.Popen(
    [sys.executable, "-c", HOLD, str(workdir), str(CELL)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == "held\n"
  yield process
  process.kill()
  process.communicate()


def test_seeds_that_another_process_holds_are_refused_in_its_name(
  workdir, other
):
  pattern = f"{CELL}: seeds .* are in use by process {other.pid} on "
  for seeds in (SEEDS, [3], [2, 5], [0, 7], range(3, 40)):
    with (
      pytest.raises(locks.InUseError, match=pattern),
      locks.held(workdir, CELL, seeds),
    ):
      pass
    (holder,) = locks.holders(workdir, CELL)
    assert (holder.first, holder.last, holder.pid) == (0, 3, other.pid)
  for seeds in ([4, 5], range(4, 100)):
    with locks.held(workdir, CELL, seeds):
      assert len(locks.holders(workdir, CELL)) == 2
  cell = Cell.parse("count/width-8/depth-2")
  with locks.held(workdir, cell, SEEDS):
    assert len(locks.holders(workdir, CELL)) == 1


def test_waiting_ends_when_the_other_is_killed_or_when_it_is_asked_to(
  workdir, other
):
  asked = []

  def should_stop():
    asked.append(len(asked))
    if len(asked) == 3:
      other.kill()
    return False

  with locks.held(workdir, CELL, SEEDS, 60.0, should_stop):
    assert len(asked) >= 3
    assert [h.pid for h in locks.holders(workdir, CELL)] == [os.getpid()]
    with (
      pytest.raises(locks.InUseError),
      locks.held(workdir, CELL, [1], 60.0, lambda: True),
    ):
      pass
  assert locks.holders(workdir, CELL) == []


def refuse_locks(number):
  def acquire(self, *args, **kwargs):
    raise OSError(number, os.strerror(number))

  return acquire


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_without_locks_nothing_is_held(workdir, monkeypatch, number):
  assert locks.are_available(workdir)
  monkeypatch.setattr(filelock.FileLock, "acquire", refuse_locks(number))
  assert not locks.are_available(workdir)
  with locks.held(workdir, CELL, SEEDS):
    pass
  assert locks.holders(workdir, CELL) == []
