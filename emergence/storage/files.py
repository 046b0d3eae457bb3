"""Files on a disk or in a bucket, `gs://…`: atomic writes, listings, names.

All paths are `etils.epath`, which reaches buckets through gcsfs. A bucket holds
objects: an object appears complete when its upload ends and cannot be appended
to or renamed; a folder is a prefix of names. A bucket has no locks.
"""

import contextlib
import os
import re
import uuid

from etils import epath

# Libraries whose exceptions mean that access to a bucket failed.
_LIBRARIES = {"aiohttp", "gcsfs", "google", "requests"}


def is_remote(path: str | os.PathLike[str]) -> bool:
  """Whether a path is a URL such as gs://bucket/folder."""
  return "://" in str(path)


def glob_below(folder: epath.Path, pattern: str) -> list[epath.Path]:
  """The files in a folder and below it whose names match, sorted.

  Lists one level at a time, as `epath` refuses recursive patterns in buckets.

  Args:
    folder: the top folder, which need not exist.
    pattern: pattern of a file name, such as `*.parquet`.
  """
  found, level = list(folder.glob(pattern)), "*"
  while any(True for _ in folder.glob(level)):
    found += folder.glob(f"{level}/{pattern}")
    level += "/*"
  return sorted(found)


def see_others(path: str | os.PathLike[str]) -> None:
  """Turns off gcsfs's cache of listings, to see what other processes write.

  Call it before the first access to the bucket. It ignores local paths.
  """
  if is_remote(path):
    import fsspec.config  # Slow.

    for scheme in ("gcs", "gs"):
      settings = fsspec.config.conf.setdefault(scheme, {})
      settings["use_listings_cache"] = False


def is_refusal(error: BaseException) -> bool:
  """Whether an error means that access to a bucket failed."""
  return type(error).__module__.partition(".")[0] in _LIBRARIES


def seeds_name(first: int, last: int) -> str:
  """The name prefix for the seeds first … last: `seeds-000000-000015`."""
  return f"seeds-{first:06d}-{last:06d}"


def seeds_in_name(name: str, suffix: str = "") -> range:
  """Inverse of `seeds_name`; an empty range for names of another form.

  Args:
    name: name of a file or folder.
    suffix: regular expression for the rest of the name.
  """
  match = re.fullmatch(rf"seeds-(\d{{6,}})-(\d{{6,}}){suffix}", name)
  return range(int(match[1]), int(match[2]) + 1) if match else range(0)


def write_atomically(path: epath.Path, content: bytes) -> None:
  """Writes a file that appears complete or not at all.

  Raises:
    OSError: the file cannot be written; the error names its path.
  """
  if is_remote(path):
    path.write_bytes(content)  # An object appears when its upload ends.
    return
  # A unique name, because two processes may write the same file.
  temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.writing"
  try:
    with temporary.open("wb") as file:
      file.write(content)
      # The content must be on disk before the file is renamed.
      file.flush()
      os.fsync(file.fileno())
    temporary.replace(path)
  except BaseException as error:
    temporary.unlink(missing_ok=True)
    if isinstance(error, OSError) and error.errno:
      # Name the target: a full disk's error has no path, or the temporary one.
      raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    raise


def write_if_changed(path: epath.Path, content: bytes) -> None:
  """Writes a file atomically, unless it has this content already."""
  if not path.exists() or path.read_bytes() != content:
    write_atomically(path, content)


def quarantine(path: epath.Path, place: epath.Path) -> epath.Path:
  """Renames a corrupt file or folder, unless another process already has.

  Args:
    path: the file or folder.
    place: its new path; where that is taken, a number is appended.

  Returns:
    Its new path.
  """
  free, number = place, 1
  while free.exists():
    number += 1
    free = place.parent / f"{place.name}-{number}"
  free.parent.mkdir(parents=True, exist_ok=True)
  with contextlib.suppress(FileNotFoundError):
    if is_remote(path) and path.is_file():
      # `rename` raises if no object is in the new folder yet.
      free.write_bytes(path.read_bytes())
      path.unlink()
    else:
      path.rename(free)
  return free
