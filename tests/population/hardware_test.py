import subprocess
import sys
import types

import jax
import psutil
import pytest

from emergence.population import hardware


def test_memory_is_asked_of_devices_of_this_process_alone():
  def refuse():
    raise RuntimeError("memory_stats is for addressable devices")

  chips = [
    types.SimpleNamespace(platform="tpu", process_index=i, memory_stats=stats)
    for i, stats in ((1, refuse), (0, lambda: {"bytes_limit": 1000}))
  ]
  usable, is_shared = hardware.memory_budget(chips)
  assert 500 < usable <= 1000
  assert not is_shared


def test_more_devices_than_there_are_is_an_error():
  hardware.local_devices(2)  # From then on there are no more.
  with pytest.raises(ValueError, match="--devices=3: this machine has 2 cpu"):
    hardware.local_devices(3)


def test_devices_are_those_of_all_processes_or_some_of_each():
  assert hardware.all_devices() == hardware.all_devices(2) == jax.devices()
  assert hardware.all_devices(1) == jax.devices()[:1]
  with pytest.raises(ValueError, match="--devices=3: process 0 has 2 cpu dev"):
    hardware.all_devices(3)


def test_a_machine_without_limits_offers_what_it_has_left():
  found = hardware.host_memory()
  assert 0 < found <= psutil.virtual_memory().total
  limits = [limit for limit, _ in hardware._control_groups()]
  if not limits or min(limits) > psutil.virtual_memory().total:
    assert found == pytest.approx(psutil.virtual_memory().available, rel=0.2)


@pytest.mark.parametrize(
  ("own", "files", "expected"),
  [
    # Version 2: the limit of a Slurm step, within a job without one.
    (
      "0::/job/step\n",
      {
        "job/step": (
          "memory.max",
          "4000",
          "memory.current",
          "1500",
          "file 300",
        ),
        "job": ("memory.max", "max", "memory.current", "9000", "file 0"),
      },
      [(4000, 1200)],
    ),
    # Version 2 within version 2: the outer limit is the narrow one.
    (
      "0::/job/step\n",
      {
        "job/step": ("memory.max", "4000", "memory.current", "100", "file 0"),
        "job": ("memory.max", "3000", "memory.current", "2900", "file 0"),
      },
      [(4000, 100), (3000, 2900)],
    ),
    # Version 1, where each controller has a tree of its own.
    (
      "5:devices:/x\n4:memory,hugetlb:/box\n",
      {
        "memory/box": (
          *("memory.limit_in_bytes", "500", "memory.usage_in_bytes", "400"),
          "total_cache 100\nrss 300",
        ),
      },
      [(500, 300)],
    ),
    ("0::/none\n", {}, []),
    ("what is this\n", {}, []),
  ],
)
def test_limits_of_control_groups_are_found(tmp_path, own, files, expected):
  (tmp_path / "own").write_text(own)
  for folder, (limit, most, usage, used, stat) in files.items():
    place = tmp_path / "cgroup" / folder
    place.mkdir(parents=True, exist_ok=True)
    (place / limit).write_text(most + "\n")
    (place / usage).write_text(used + "\n")
    (place / "memory.stat").write_text(stat + "\n")
  found = hardware._control_groups(tmp_path / "cgroup", tmp_path / "own")
  assert found == expected


def test_a_machine_without_control_groups_has_no_such_limits(tmp_path):
  assert hardware._control_groups(tmp_path, tmp_path / "own") == []


def test_a_limit_of_the_address_space_counts():
  limit = 2**30
  code = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
from emergence.population import hardware
print(hardware.host_memory())
"""
  found = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, check=True
  )
  assert 0 < int(found.stdout) < limit
