"""What a process may do with blocks, of its own and of others."""

import logging
import os
import threading
import time

import pytest

from emergence import claims as claims_lib
from emergence import lease as lease_lib
from emergence.claims import Claims
from emergence.config import Cell
from tests.claimants import (
  CELL,
  ELSEWHERE,
  HOLD,
  ME,
  beating,
  claim_within,
  folder_of,
  linux,
  make,
  never,
  running,
  write_lease,
)


def test_two_claims_of_one_process_do_not_share_blocks(tmp_path):
  with make(tmp_path) as claims, make(tmp_path) as others:
    assert claims.try_claim(CELL, 3, never)
    assert claim_within(others, 0.9) == float("inf")
    assert others.try_claim(CELL, 4, never)
    assert others.try_claim(Cell("count", 8, 2), 3, never)


def test_who_holds_a_block_may_claim_it_again(tmp_path):
  with make(tmp_path) as claims:
    assert claims.try_claim(CELL, 3, never)
    assert claims.try_claim(CELL, 3, never)
    assert len(list(folder_of(tmp_path).iterdir())) == 1
    assert claims.free(CELL, [3, 4]) == [4]


def test_a_released_block_can_be_claimed_at_once(tmp_path):
  with Claims(tmp_path) as claims, Claims(tmp_path) as others:
    for first, second in [(claims, others), (others, claims)] * 3:
      assert first.try_claim(CELL, 3, never)
      assert not second.try_claim(CELL, 3, never)
      first.release(CELL, 3)
      assert not first.holds(CELL, 3)
      assert second.free(CELL, [3]) == [3]
      assert second.try_claim(CELL, 3, never)
      second.release(CELL, 3)


def test_a_done_block_is_not_claimed_and_its_leases_go(tmp_path):
  write_lease(tmp_path, lease=ELSEWHERE._replace(released=True))
  asked = []
  with Claims(tmp_path) as claims:

    def is_done():
      # Asked when the block is claimed already: nobody can finish it now.
      asked.append(claims.holds(CELL, 3))
      return True

    assert not claims.try_claim(CELL, 3, is_done)
    assert asked == [True]
    assert not claims.holds(CELL, 3)
  assert list(folder_of(tmp_path).iterdir()) == []


def test_a_thread_that_cannot_start_is_what_is_told(tmp_path, monkeypatch):
  def refused(self):
    raise RuntimeError("can't start new thread")

  monkeypatch.setattr(threading.Thread, "start", refused)
  with (
    pytest.raises(RuntimeError, match="start new"),
    Claims(tmp_path) as claims,
  ):
    claims.try_claim(CELL, 3, never)


def test_a_block_whose_records_cannot_be_read_is_not_held(tmp_path):
  def is_done():
    raise ValueError("damaged")

  with Claims(tmp_path) as claims, Claims(tmp_path) as others:
    with pytest.raises(ValueError, match="damaged"):
      claims.try_claim(CELL, 3, is_done)
    assert not claims.holds(CELL, 3)
    assert others.try_claim(CELL, 3, never)


def test_a_forgotten_block_leaves_those_beside_it(tmp_path):
  with Claims(tmp_path) as claims:
    for index in (3, 4):
      write_lease(tmp_path, index, lease=ELSEWHERE._replace(released=True))
      assert claims.try_claim(CELL, index, never)
    claims.forget(CELL, 3)
    assert not claims.holds(CELL, 3)
    assert claims.holds(CELL, 4)
    names = sorted(path.name for path in folder_of(tmp_path).iterdir())
    assert names == ["block-000004.0", "block-000004.1"]


def test_a_lease_of_a_deleted_folder_is_not_held_and_not_brought_back(tmp_path):
  with make(tmp_path) as claims:
    assert claims.try_claim(CELL, 3, never)
    (path,) = folder_of(tmp_path).iterdir()
    path.unlink()
    path.parent.rmdir()
    assert not claims.holds(CELL, 3)
    time.sleep(0.2)
    assert not path.parent.exists()
    # Somebody else's lease of the same name is not ours either.
    write_lease(tmp_path)
    assert not claims.holds(CELL, 3)


def test_the_beat_goes_on_after_an_error(tmp_path, monkeypatch, caplog):
  failing = threading.Event()
  failing.set()
  real = lease_lib.renew

  def renew(path, token, released=False):
    if failing.is_set() and path.endswith("block-000003.0"):
      raise OSError("no space left")
    real(path, token, released)

  monkeypatch.setattr(lease_lib, "renew", renew)
  beat = lambda index: (
    lease_lib.decode(
      (folder_of(tmp_path) / f"block-{index:06d}.0").read_bytes()
    ).beat
  )

  def beats(index):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not beat(index):
      time.sleep(0.01)
    return beat(index) > 0

  with make(tmp_path) as claims:
    assert claims.try_claim(CELL, 3, never)
    assert claims.try_claim(CELL, 4, never)
    assert beats(4)
    time.sleep(0.2)
    assert beat(3) == 0
    assert claims.holds(CELL, 3)
    failing.clear()
    assert beats(3)
  (record,) = caplog.records
  assert "no space left" in record.getMessage()


def test_a_claim_that_the_file_system_refuses_is_an_error(
  tmp_path, monkeypatch
):
  (tmp_path / "claims").write_text("in the way")
  with Claims(tmp_path) as claims:
    with pytest.raises(NotADirectoryError):
      claims.try_claim(CELL, 3, never)
    assert not claims.holds(CELL, 3)
    (tmp_path / "claims").unlink()

    def refuse(path, lease):
      raise OSError("read-only")

    monkeypatch.setattr(lease_lib, "create", refuse)
    with pytest.raises(OSError, match="read-only"):
      claims.try_claim(CELL, 3, never)


def test_a_forked_process_inherits_no_claim(tmp_path):
  script = """
import os, warnings
warnings.simplefilter("ignore")
with claims:
  assert claims.try_claim(CELL, 3, never)
  pid = os.fork()
  if not pid:
    assert not claims.holds(CELL, 3)
    try:
      claims.try_claim(CELL, 4, never)
    except RuntimeError:
      claims.__exit__()
      os._exit(7)
  assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
  print(claims.holds(CELL, 3), flush=True)
"""
  with running(script, tmp_path) as process:
    assert process.stdout.readline() == "True\n"


def test_the_end_releases_everything_and_stops_the_beat(tmp_path):
  def num_beats():
    return sum(x.name == "claims" for x in threading.enumerate())

  before = num_beats()
  with make(tmp_path) as claims, make(tmp_path) as others:
    for index in range(3):
      assert claims.try_claim(CELL, index, never)
    claims.__exit__()
    assert num_beats() == before
    assert others.others() == []
    for index in range(3):
      assert others.try_claim(CELL, index, never)
    # And may be begun again.
    assert claims.try_claim(CELL, 3, never)
    assert num_beats() == before + 2


@linux
def test_others_are_those_who_are_not_known_to_be_dead(tmp_path):
  released = ELSEWHERE._replace(released=True)
  gone = ME._replace(pid=2**31 - 1, token="gone")
  write_lease(tmp_path, 0, lease=released)
  write_lease(tmp_path, 1, lease=gone)
  unknown = write_lease(tmp_path, 2)
  beaten = write_lease(tmp_path, 4)
  write_lease(tmp_path, 5)
  write_lease(tmp_path, 5, 1, released)
  with running(HOLD, tmp_path) as process, make(tmp_path) as claims:
    assert process.stdout.readline() == "True\n"
    assert claims.try_claim(CELL, 6, never)
    claims.others()
    lease_lib.renew(str(beaten), "token")
    here = str(folder_of(tmp_path) / "block-000003.0")
    assert claims.others() == [
      ("node7", 12, False, str(unknown)),
      (ME.host, process.pid, True, here),
      ("node7", 12, True, str(beaten)),
    ]


@linux
def test_a_sweep_refuses_to_start_beside_a_living_one(tmp_path):
  with running(HOLD, tmp_path) as process, Claims(tmp_path) as claims:
    assert process.stdout.readline() == "True\n"
    with pytest.raises(ValueError, match="--cooperate") as refused:
      claims.require_alone()
    assert f"worker {process.pid} on {ME.host} (" in str(refused.value)
    process.kill()
    process.wait()
    claims.require_alone()


def test_a_sweep_waits_to_see_whether_one_elsewhere_is_alive(tmp_path, caplog):
  path = write_lease(tmp_path)
  seconds = {"beat_seconds": 0.5, "stale_seconds": 2.6}
  with make(tmp_path, **seconds) as claims:
    start = time.monotonic()
    claims.require_alone()
    assert time.monotonic() - start >= 2.6
  (record,) = caplog.records
  assert record.levelno == logging.WARNING
  assert "whether worker 12 on node7 (" in record.getMessage()
  with (
    make(tmp_path) as claims,
    beating(path),
    pytest.raises(ValueError, match="is in use by worker 12 on node7"),
  ):
    claims.require_alone()


def test_an_object_store_is_refused():
  with pytest.raises(ValueError, match=r"--cooperate needs.*//bucket/run"):
    Claims("gs://bucket/run")


def test_too_few_beats_before_a_lease_is_stale_are_refused(tmp_path):
  with pytest.raises(ValueError, match="a third of stale_seconds"):
    Claims(tmp_path, beat_seconds=10.0, stale_seconds=20.0)


def test_a_look_at_many_blocks_lists_each_folder_once(tmp_path, monkeypatch):
  listings = []
  opened = []
  listdir, read = os.listdir, lease_lib.read
  monkeypatch.setattr(
    os, "listdir", lambda path: listings.append(path) or listdir(path)
  )
  monkeypatch.setattr(
    lease_lib, "read", lambda path: opened.append(path) or read(path)
  )
  write_lease(tmp_path, 7)
  cells = [Cell("count", 8, depth) for depth in range(1, 25)]
  with Claims(tmp_path) as claims:
    free = [claims.free(cell, range(30)) for cell in cells]
  assert [len(blocks) for blocks in free] == [29] + [30] * 23
  assert len(listings) == 24
  assert len(opened) == 1


def test_to_look_anew_at_a_missing_folder_is_harmless(tmp_path):
  claims_lib.look_anew(tmp_path / "missing")
  before = os.stat(tmp_path).st_mtime_ns
  time.sleep(0.02)
  claims_lib.look_anew(tmp_path)
  assert os.stat(tmp_path).st_mtime_ns > before


def test_whether_a_block_is_held_is_not_answered_from_memory(tmp_path):
  # What has an NFS client ask its server: a change to the folder.
  with Claims(tmp_path) as claims:
    assert claims.try_claim(CELL, 3, never)
    folder = folder_of(tmp_path)
    os.utime(folder, (0, 0))
    assert claims.holds(CELL, 3)
    assert folder.stat().st_mtime_ns > 0
