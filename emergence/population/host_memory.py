"""How much memory this process may still use on its host."""

import pathlib
import resource

import psutil

_CGROUPS = pathlib.Path("/sys/fs/cgroup")


def available() -> int:
  """Bytes: what the machine has left, or what a limit leaves, if that is less.

  Batch systems and containers limit a group of processes by a control group,
  and `ulimit -v` a single one by its address space.
  """
  left = [psutil.virtual_memory().available]
  for limit, used in _control_groups():
    left.append(max(limit - used, 0))
  soft, _ = resource.getrlimit(resource.RLIMIT_AS)
  if soft != resource.RLIM_INFINITY:
    left.append(max(soft - psutil.Process().memory_info().vms, 0))
  return min(left)


def _control_groups(
  root: pathlib.Path = _CGROUPS,
  own: pathlib.Path = pathlib.Path("/proc/self/cgroup"),
) -> list[tuple[int, int]]:
  """Limit and usage, in bytes, of each group that this process is in.

  Of version 2 (memory.max) and of version 1 (memory.limit_in_bytes), up to the
  root: a group inherits the limits of those around it. What files occupy in the
  page cache can be had back and is not counted as used.
  """
  try:
    lines = own.read_text().splitlines()
  except OSError:
    return []
  found = []
  for line in lines:
    _, controllers, path = (*line.split(":", 2), "", "")[:3]
    if not controllers:
      base, names = root, ("memory.max", "memory.current", "file")
    elif "memory" in controllers.split(","):
      base = root / "memory"
      names = (
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_cache",
      )
    else:
      continue
    folder = base / path.lstrip("/")
    while folder.is_relative_to(base):
      if (numbers := _limit_and_usage(folder, *names)) is not None:
        found.append(numbers)
      folder = folder.parent
  return found


def _limit_and_usage(
  folder: pathlib.Path, limit: str, usage: str, cache: str
) -> tuple[int, int] | None:
  try:
    # Version 2 writes `max` where there is no limit.
    most, used = (int((folder / name).read_text()) for name in (limit, usage))
    statistics = dict(
      line.split() for line in (folder / "memory.stat").read_text().splitlines()
    )
    return most, used - int(statistics.get(cache, 0))
  except (OSError, ValueError):
    return None
