"""Processes that share blocks: one each, and what happens when some die."""

import contextlib
import logging
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from emergence import claims as claims_lib
from emergence import lease as lease_lib
from emergence.claims import Claims
from emergence.config import Cell

ROOT = pathlib.Path(__file__).parents[1]
CELL = Cell("count", 8, 1)
ME = lease_lib.this_process()
ELSEWHERE = lease_lib.Lease("node7", 12, "another kernel", 345, "token")

# Each script ends when its standard input does, if it has not before.
PREAMBLE = """
import sys, time
from emergence import lease
from emergence.claims import Claims
from emergence.config import Cell
CELL = Cell("count", 8, 1)
workdir, mode = sys.argv[1:]
if mode == "elsewhere":
  me = lease.this_process()._replace(host="node7", kernel="another kernel")
  lease.this_process = lambda: me
claims = Claims(workdir, beat_seconds=0.05, stale_seconds=0.6)
never = lambda: False
"""
HOLD = """
with claims:
  assert claims.try_claim(CELL, 3, never)
  for line in iter(lambda: (print(claims.holds(CELL, 3), flush=True),
                            sys.stdin.readline())[1], ""):
    pass
"""
RACE = """
print("ready", flush=True)
sys.stdin.readline()
print(*[i for i in range(100) if claims.try_claim(CELL, i, never)], flush=True)
sys.stdin.readline()
"""
RACE_FOR_STALE = """
folder, got = f"{workdir}/claims/{CELL}", []
print("ready", flush=True)
sys.stdin.readline()
while set(lease.generations(folder).values()) != {1}:
  for i in claims.free(CELL, range(100)):
    if claims.try_claim(CELL, i, never):
      got.append(i)
  time.sleep(0.02)
print(*got, flush=True)
sys.stdin.readline()
"""
# Trains a block to the end by creating its file, which fails the second time.
WORK = """
import os
done = lambda i: os.path.exists(f"{workdir}/done-{i}")
print("ready", flush=True)
sys.stdin.readline()
while left := [i for i in range(60) if not done(i)]:
  for i in claims.free(CELL, left):
    if claims.try_claim(CELL, i, lambda: done(i)):
      time.sleep(0.01)
      if claims.holds(CELL, i):
        open(f"{workdir}/done-{i}", "x").close()
        claims.forget(CELL, i)
  time.sleep(0.01)
print("all done", flush=True)
sys.stdin.readline()
"""

linux = pytest.mark.skipif(ME.kernel is None, reason="needs Linux's /proc")


@contextlib.contextmanager
def running(script, workdir, mode="here"):
  """A process that runs a script, of this host or seemingly of another."""
  process = subprocess.Popen(
    [sys.executable, "-c", PREAMBLE + script, str(workdir), mode],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
    cwd=ROOT,
  )
  try:
    yield process
  finally:
    process.kill()
    process.communicate()


def ask(process) -> str:
  process.stdin.write("\n")
  process.stdin.flush()
  return process.stdout.readline().strip()


def never() -> bool:
  return False


def make(workdir, **seconds) -> Claims:
  return Claims(
    workdir, **{"beat_seconds": 0.05, "stale_seconds": 0.6} | seconds
  )


def folder_of(workdir, cell=CELL) -> pathlib.Path:
  folder = workdir / "claims" / str(cell)
  folder.mkdir(parents=True, exist_ok=True)
  return folder


def write_lease(workdir, index=3, generation=0, lease=ELSEWHERE):
  path = folder_of(workdir) / f"block-{index:06d}.{generation}"
  path.write_bytes(lease_lib.encode(lease))
  return path


def claim_within(claims, seconds, index=3) -> float:
  """Seconds until a block was got, infinite if it was not."""
  start = time.monotonic()
  while (waited := time.monotonic() - start) < seconds:
    if claims.try_claim(CELL, index, never):
      return waited
    time.sleep(0.02)
  return float("inf")


@contextlib.contextmanager
def beating(path, seconds=0.05):
  """Changes a lease of somebody else, as a holder elsewhere does."""
  stop = threading.Event()

  def beat():
    while not stop.wait(seconds):
      lease_lib.renew(str(path), "token")

  thread = threading.Thread(target=beat)
  thread.start()
  try:
    yield
  finally:
    stop.set()
    thread.join()


def race(script, workdir, num, mode="here"):
  """What each of some processes got, which begin together."""
  with contextlib.ExitStack() as stack:
    processes = [
      stack.enter_context(running(script, workdir, mode)) for _ in range(num)
    ]
    for process in processes:
      assert process.stdout.readline().strip() == "ready"
    for process in processes:
      process.stdin.write("\n")
      process.stdin.flush()
    return [process.stdout.readline().split() for process in processes]


def test_of_processes_that_race_for_blocks_one_gets_each(tmp_path):
  got = race(RACE, tmp_path, 6)
  assert sorted(int(i) for part in got for i in part) == list(range(100))
  assert sum(bool(part) for part in got) > 1


def test_of_processes_that_race_for_stale_blocks_one_gets_each(tmp_path):
  for index in range(100):
    write_lease(tmp_path, index)
  got = race(RACE_FOR_STALE, tmp_path, 3)
  assert sorted(int(i) for part in got for i in part) == list(range(100))
  assert sum(bool(part) for part in got) > 1
  assert set(lease_lib.generations(str(folder_of(tmp_path))).values()) == {1}


@linux
def test_workers_of_whom_many_are_killed_train_each_block_once(tmp_path):
  num_done = lambda: len(list(tmp_path.glob("done-*")))
  with contextlib.ExitStack() as stack:
    waiting = [stack.enter_context(running(WORK, tmp_path)) for _ in range(7)]
    for worker in waiting:
      assert worker.stdout.readline() == "ready\n"

    def begin():
      worker = waiting.pop()
      worker.stdin.write("\n")
      worker.stdin.flush()
      return worker

    workers = [begin(), begin()]
    while waiting:
      deadline = time.monotonic() + 20
      while num_done() < 60 - 10 * len(waiting) and time.monotonic() < deadline:
        time.sleep(0.005)
      # A worker that finds its block trained already has failed by itself.
      assert [worker.poll() for worker in workers] == [None] * 2
      workers.pop(0).kill()
      workers.append(begin())
    assert [worker.stdout.readline() for worker in workers] == [
      "all done\n"
    ] * 2
  assert num_done() == 60


@linux
def test_a_killed_process_loses_its_block_at_once(tmp_path):
  with (
    running(HOLD, tmp_path) as process,
    Claims(tmp_path) as claims,
  ):
    assert process.stdout.readline() == "True\n"
    assert not claims.try_claim(CELL, 3, never)
    assert claims.free(CELL, range(5)) == [0, 1, 2, 4]
    process.send_signal(signal.SIGKILL)
    # It stays a zombie: nobody has waited for it.
    assert claim_within(claims, 10) < 5
    assert claims.holds(CELL, 3)


@linux
def test_a_stopped_process_of_this_kernel_keeps_its_block(tmp_path):
  with (
    running(HOLD, tmp_path) as process,
    make(tmp_path) as claims,
  ):
    assert process.stdout.readline() == "True\n"
    process.send_signal(signal.SIGSTOP)
    assert claim_within(claims, 0.9) == float("inf")


def test_a_process_that_ends_has_released_its_block(tmp_path):
  with (
    running(HOLD, tmp_path, "elsewhere") as process,
    Claims(tmp_path) as claims,
  ):
    assert process.stdout.readline() == "True\n"
    assert not claims.try_claim(CELL, 3, never)
    process.stdin.close()
    assert process.wait() == 0
    assert claims.try_claim(CELL, 3, never)
    process.stdin = None


def test_a_suspended_process_elsewhere_loses_its_block_and_learns_it(tmp_path):
  with (
    running(HOLD, tmp_path, "elsewhere") as process,
    make(tmp_path) as claims,
  ):
    assert process.stdout.readline() == "True\n"
    # Its beats keep it.
    assert claim_within(claims, 0.9) == float("inf")
    assert ask(process) == "True"
    process.send_signal(signal.SIGSTOP)
    assert claim_within(claims, 10) > 0.2
    process.send_signal(signal.SIGCONT)
    assert ask(process) == "False"
    # Its beats and its end take nothing away from the one who has it now.
    process.stdin.close()
    assert process.wait() == 0
    assert claims.holds(CELL, 3)
    process.stdin = None


def test_a_dead_holder_elsewhere_keeps_its_block_until_it_is_stale(tmp_path):
  write_lease(tmp_path)
  with make(tmp_path) as claims:
    assert 0.6 <= claim_within(claims, 10) < 5


def test_jumps_of_clocks_and_times_of_files_change_nothing(
  tmp_path, monkeypatch
):
  dead, live = write_lease(tmp_path, 3), write_lease(tmp_path, 4)
  jumps = iter(range(10**9, 10**12, 10**6))
  monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
  with make(tmp_path) as claims, beating(live):
    start = time.monotonic()
    won = None
    while time.monotonic() - start < 1.2:
      for path in (dead, live):
        os.utime(path, (time.time(), time.time()))
      if won is None and claims.try_claim(CELL, 3, never):
        won = time.monotonic() - start
      assert not claims.try_claim(CELL, 4, never)
      time.sleep(0.02)
    assert won is not None
    assert won >= 0.6


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


def test_a_holder_whose_beat_fails_does_not_take_itself_for_dead(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(lease_lib, "renew", lambda *args, **kwargs: None)
  with make(tmp_path, stale_seconds=0.2) as claims:
    assert claims.try_claim(CELL, 3, never)
    for _ in range(6):
      assert claims.free(CELL, [3]) == []
      time.sleep(0.05)


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


def test_who_was_taken_over_holds_nothing(tmp_path):
  with make(tmp_path) as claims:
    assert claims.try_claim(CELL, 3, never)
    path = write_lease(tmp_path, generation=1)
    assert not claims.holds(CELL, 3)
    claims.release(CELL, 3)
    assert path.read_bytes() == lease_lib.encode(ELSEWHERE)
    assert not claims.try_claim(CELL, 3, never)


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


def test_a_claim_after_an_outdated_listing_gives_way(tmp_path, monkeypatch):
  path = write_lease(tmp_path, generation=5)
  listings = [{}]
  real = lease_lib.generations
  monkeypatch.setattr(
    lease_lib,
    "generations",
    lambda folder: listings.pop() if listings else real(folder),
  )
  with make(tmp_path) as claims:
    assert not claims.try_claim(CELL, 3, never)
    assert not claims.holds(CELL, 3)
  assert path.read_bytes() == lease_lib.encode(ELSEWHERE)


def test_files_that_are_no_leases_hold_a_block_only_until_they_are_stale(
  tmp_path,
):
  folder = folder_of(tmp_path)
  (folder / "block-000003.0").write_bytes(b"\x80\x04garbage")
  (folder / "block-000004.7").mkdir()
  os.mkfifo(folder / "block-000005.0")
  (folder / "block-000006.0").touch()
  (folder / "notes.txt").write_text("mine")
  with make(tmp_path) as claims:
    start = time.monotonic()
    assert claims.free(CELL, range(3, 8)) == [7]
    assert len(claims.others()) == 4
    assert claim_within(claims, 10) < 10
    assert time.monotonic() - start >= 0.6
    for index in (4, 5, 6):
      assert claim_within(claims, 10, index) < 10
    assert claims.others() == []
  assert (folder / "notes.txt").read_text() == "mine"


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
  before = threading.active_count()
  with make(tmp_path) as claims, make(tmp_path) as others:
    for index in range(3):
      assert claims.try_claim(CELL, index, never)
    claims.__exit__()
    assert threading.active_count() == before
    assert others.others() == []
    for index in range(3):
      assert others.try_claim(CELL, index, never)
    # And may be begun again.
    assert claims.try_claim(CELL, 3, never)
    assert threading.active_count() == before + 2


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
