"""Processes and leases that hold blocks, here or seemingly elsewhere."""

import contextlib
import pathlib
import subprocess
import sys
import threading
import time

import pytest

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
