"""Lease files, those of others included, and the processes that hold them."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

from emergence import lease as lease_lib

ME = lease_lib.this_process()
ELSEWHERE = lease_lib.Lease("node7", 12, "another kernel", 345, "token")


@pytest.fixture
def clock(monkeypatch):
  """A monotonic clock that the test sets."""

  class Clock:
    now = 1000.0

  monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
  return Clock


def write(path, lease) -> bytes:
  content = lease_lib.encode(lease)
  path.write_bytes(content)
  return content


def start_sleeper():
  """A process, and the start of leases that it would have."""
  code = "import sys; print(flush=True); sys.stdin.read()"
  process = subprocess.Popen(
    [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
  )
  process.stdout.readline()
  text = pathlib.Path(f"/proc/{process.pid}/stat").read_text()
  start = int(text.rpartition(")")[2].split()[19])
  return process, ME._replace(pid=process.pid, start=start)


def end(process):
  process.kill()
  process.wait()
  process.stdin.close()
  process.stdout.close()


linux = pytest.mark.skipif(ME.kernel is None, reason="needs Linux's /proc")


def test_a_lease_is_read_as_it_was_written(tmp_path):
  path = tmp_path / "block-000003.0"
  assert lease_lib.create(str(path), ELSEWHERE)
  assert lease_lib.decode(lease_lib.read(str(path))) == ELSEWHERE
  assert json.loads(path.read_bytes())["host"] == "node7"


def test_a_lease_is_created_once(tmp_path):
  path = tmp_path / "new" / "folder" / "block-000003.0"
  assert lease_lib.create(str(path), ELSEWHERE)
  assert not lease_lib.create(str(path), ME)
  assert lease_lib.decode(path.read_bytes()) == ELSEWHERE


def test_a_lease_for_which_there_is_no_space_leaves_nothing(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(os, "pwrite", lambda file, content, offset: 10)
  path = tmp_path / "block-000003.0"
  with pytest.raises(OSError, match=r"No space left.*block-000003\.0"):
    lease_lib.create(str(path), ME)
  assert not path.exists()


def test_a_renewed_lease_differs_in_its_beat_and_keeps_its_length(tmp_path):
  path = tmp_path / "block-000003.0"
  before = write(path, ELSEWHERE)
  lease_lib.renew(str(path), "token")
  assert lease_lib.decode(path.read_bytes()) == ELSEWHERE._replace(beat=1)
  assert len(path.read_bytes()) == len(before)


def test_a_released_lease_is_not_taken_back_by_a_beat(tmp_path):
  path = tmp_path / "block-000003.0"
  write(path, ELSEWHERE)
  lease_lib.renew(str(path), "token", released=True)
  lease_lib.renew(str(path), "token")
  assert lease_lib.decode(path.read_bytes()).released


def test_the_lease_of_another_is_not_renewed(tmp_path):
  path = tmp_path / "block-000003.0"
  content = write(path, ELSEWHERE)
  lease_lib.renew(str(path), "mine", released=True)
  assert path.read_bytes() == content


def test_a_lease_that_is_gone_is_not_brought_back(tmp_path):
  path = tmp_path / "block-000003.0"
  lease_lib.renew(str(path), "token")
  assert not path.exists()
  assert lease_lib.read(str(path)) is None


@pytest.mark.parametrize(
  "content",
  [
    b"",
    b"\0" * 1024,
    b"\x80\x04\x95.",
    lease_lib.encode(ELSEWHERE)[:40],
    b"[" * 2000,
    b"[]",
    b"null",
    b"{}",
    b'{"host": ' + b"9" * 1500,
  ],
)
def test_what_is_no_lease_is_that_of_somebody_unknown(content):
  assert lease_lib.decode(content) is None


@pytest.mark.parametrize(
  "change",
  [
    {"host": 5},
    {"host": "node\x1b[2J"},
    {"pid": "12"},
    {"pid": 0},
    {"pid": -1},
    {"pid": 2**40},
    {"pid": True},
    {"pid": 1.5},
    {"kernel": []},
    {"start": "345"},
    {"token": None},
    {"beat": float("nan")},
    {"released": 1},
    {"more": 1},
  ],
)
def test_a_lease_with_a_wrong_field_is_that_of_somebody_unknown(change):
  content = json.dumps(ELSEWHERE._asdict() | change).encode()
  assert lease_lib.decode(content) is None


def test_what_is_no_regular_file_reads_as_empty(tmp_path):
  paths = [tmp_path / name for name in ("folder", "pipe", "link", "socket")]
  paths[0].mkdir()
  os.mkfifo(paths[1])
  paths[2].symlink_to("/etc/passwd")
  with socket.socket(socket.AF_UNIX) as server:
    server.bind(str(paths[3]))
    assert [lease_lib.read(str(path)) for path in paths] == [b""] * 4


def test_files_of_other_names_are_no_leases(tmp_path):
  for name in (
    "block-000003.0",
    "block-000003.10",
    "block-000003.9",
    "block-1000000.2",
    "block-3.11",
    "block-0000003.12",
    "block-000003.013",
    "block-000003.14.tmp",
    "block-00000٣.15",
    ".nfs0001",
  ):
    (tmp_path / name).touch()
  assert lease_lib.generations(str(tmp_path)) == {3: 10, 1000000: 2}
  assert lease_lib.generations(str(tmp_path / "missing")) == {}


@linux
def test_a_process_exists_until_it_is_killed():
  process, lease = start_sleeper()
  try:
    assert lease_lib.process_exists(lease, ME) is True
    process.kill()
    # Nobody has waited for it: its number is still taken, by a zombie.
    deadline = time.monotonic() + 10
    while lease_lib.process_exists(lease, ME) and time.monotonic() < deadline:
      time.sleep(0.01)
    assert lease_lib.process_exists(lease, ME) is False
    os.kill(process.pid, 0)
  finally:
    end(process)
  assert lease_lib.process_exists(lease, ME) is False


@linux
def test_a_process_of_the_same_number_is_another_one():
  process, lease = start_sleeper()
  try:
    later = lease._replace(start=lease.start + 1)
    assert lease_lib.process_exists(later, ME) is False
  finally:
    end(process)


@linux
@pytest.mark.parametrize(
  "change", [{"kernel": "another"}, {"kernel": None}, {"host": "another"}]
)
def test_nothing_is_said_about_processes_of_another_kernel(change):
  lease = ME._replace(pid=2**31 - 1, **change)
  assert lease_lib.process_exists(lease, ME) is None


def test_a_system_that_does_not_name_its_kernel_says_nothing():
  blind = ME._replace(kernel=None, start=None)
  lease = blind._replace(pid=2**31 - 1)
  assert lease_lib.process_exists(lease, blind) is None


def test_a_lease_left_by_this_very_process_before_an_exec_can_go_stale():
  assert lease_lib.process_exists(ME._replace(token="old"), ME) is None


def looks(watch, clock, seconds, lease=ELSEWHERE, step=1.0):
  """What each look finds at a lease that does not change."""
  found = []
  for _ in range(round(seconds / step) + 1):
    found.append(watch.is_alive("path", lease_lib.encode(lease)))
    clock.now += step
  return found


def test_a_lease_is_stale_once_seen_unchanged_for_long_enough(clock):
  watch = lease_lib.Watch(ME, 60.0)
  assert looks(watch, clock, 60) == [None] * 60 + [False]


def test_a_lease_that_changes_is_alive_and_its_time_starts_again(clock):
  watch = lease_lib.Watch(ME, 60.0)
  assert looks(watch, clock, 58) == [None] * 59
  later = ELSEWHERE._replace(beat=1)
  assert looks(watch, clock, 60, later) == [True] * 60 + [False]


def test_two_looks_far_apart_do_not_make_a_lease_stale(clock):
  # The file server may have hung between them, for the holder too.
  watch = lease_lib.Watch(ME, 60.0)
  assert looks(watch, clock, 7200, step=3600.0) == [None, None, False]


def test_a_half_written_lease_is_watched_like_any_other(clock):
  watch = lease_lib.Watch(ME, 60.0)
  assert watch.is_alive("path", b"") is None
  assert watch.is_alive("path", lease_lib.encode(ELSEWHERE)[:100]) is True
  assert looks(watch, clock, 60) == [True] * 60 + [False]


def test_a_released_lease_is_free_at_once(clock):
  watch = lease_lib.Watch(ME, 60.0)
  released = lease_lib.encode(ELSEWHERE._replace(released=True))
  assert watch.is_alive("path", released) is False
