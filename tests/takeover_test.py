"""Processes that share blocks: one each, and what happens when some die."""

import contextlib
import os
import signal
import time

from emergence import lease as lease_lib
from emergence.claims import Claims
from tests.claimants import (
  CELL,
  ELSEWHERE,
  HOLD,
  beating,
  claim_within,
  folder_of,
  linux,
  make,
  never,
  running,
  write_lease,
)

# Who has got a first block waits for another one, so that there is a race.
MEET = """
import glob, os
def meet():
  open(f"{workdir}/met-{os.getpid()}", "x").close()
  deadline = time.monotonic() + 60
  while len(glob.glob(f"{workdir}/met-*")) < 2:
    assert time.monotonic() < deadline
    time.sleep(0.001)
"""
RACE = """
got = []
print("ready", flush=True)
sys.stdin.readline()
for i in range(100):
  if claims.try_claim(CELL, i, never):
    got.append(i)
    if len(got) == 1:
      meet()
print(*got, flush=True)
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
      if len(got) == 1:
        meet()
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


def ask(process) -> str:
  process.stdin.write("\n")
  process.stdin.flush()
  return process.stdout.readline().strip()


def race(script, workdir, num, mode="here"):
  """What each of some processes got, which begin together."""
  with contextlib.ExitStack() as stack:
    processes = [
      stack.enter_context(running(MEET + script, workdir, mode))
      for _ in range(num)
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
    # It stays a zombie: nobody has waited for it. Its beats count for 60 s.
    assert claim_within(claims, 20) < float("inf")
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
    make(tmp_path, stale_seconds=2.0) as claims,
  ):
    assert process.stdout.readline() == "True\n"
    # Its beats keep it.
    assert claim_within(claims, 2.5) == float("inf")
    assert ask(process) == "True"
    process.send_signal(signal.SIGSTOP)
    assert 0.2 < claim_within(claims, 60) < float("inf")
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
    assert 0.6 <= claim_within(claims, 60) < float("inf")


def test_jumps_of_clocks_and_times_of_files_change_nothing(
  tmp_path, monkeypatch
):
  dead, live = write_lease(tmp_path, 3), write_lease(tmp_path, 4)
  jumps = iter(range(10**9, 10**12, 10**6))
  monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
  with make(tmp_path, stale_seconds=2.0) as claims, beating(live):
    start = time.monotonic()
    is_won = False
    while not is_won:
      assert time.monotonic() - start < 60
      for path in (dead, live):
        os.utime(path, (time.time(), time.time()))
      is_won = claims.try_claim(CELL, 3, never)
      assert not claims.try_claim(CELL, 4, never)
      time.sleep(0.02)
    assert time.monotonic() - start >= 2


def test_a_holder_whose_beat_fails_does_not_take_itself_for_dead(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(lease_lib, "renew", lambda *args, **kwargs: None)
  with make(tmp_path, stale_seconds=0.2) as claims:
    assert claims.try_claim(CELL, 3, never)
    for _ in range(6):
      assert claims.free(CELL, [3]) == []
      time.sleep(0.05)


def test_who_was_taken_over_holds_nothing(tmp_path):
  with make(tmp_path) as claims:
    assert claims.try_claim(CELL, 3, never)
    path = write_lease(tmp_path, generation=1)
    assert not claims.holds(CELL, 3)
    claims.release(CELL, 3)
    assert path.read_bytes() == lease_lib.encode(ELSEWHERE)
    assert not claims.try_claim(CELL, 3, never)


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
    assert claim_within(claims, 60) < float("inf")
    assert time.monotonic() - start >= 0.6
    for index in (4, 5, 6):
      assert claim_within(claims, 60, index) < float("inf")
    assert claims.others() == []
  assert (folder / "notes.txt").read_text() == "mine"
