"""Files on a disk or in a bucket, `gs://…`: written whole, listed, told apart.

All paths are `etils.epath`, which reaches buckets through gcsfs. What a bucket
holds are objects, not files: one appears whole when its upload ends, none can
be appended to or renamed, and a folder is the beginning of names. There are
no locks in a bucket, see `locks`.
"""

import contextlib
import os
import uuid

from etils import epath

# Whose exceptions are what the bucket or the way to it refuses, where they are
# no OSError.
_LIBRARIES = {"aiohttp", "gcsfs", "google", "requests"}


def is_remote(path: str | os.PathLike[str]) -> bool:
  """Whether a path is a URL such as gs://bucket/folder."""
  return "://" in str(path)


def look_anew(folder: str | os.PathLike[str]) -> None:
  """Makes the next listing of a folder show what other machines did to it.

  An NFS client remembers for up to a minute which files a folder has. Setting
  the folder's time makes the client ask.
  """
  if not is_remote(folder):
    with contextlib.suppress(OSError):
      os.utime(folder)


def glob_below(folder: epath.Path, pattern: str) -> list[epath.Path]:
  """The files of a folder and all below it whose names match, sorted.

  `epath` has no pattern for any depth, because it would be slow in a bucket of
  many folders; ours are few.

  Args:
    folder: need not exist.
    pattern: of the name of a file, such as `*.parquet`.
  """
  found, level = list(folder.glob(pattern)), "*"
  while any(True for _ in folder.glob(level)):
    found += folder.glob(f"{level}/{pattern}")
    level += "/*"
  return sorted(found)


def see_others(path: str | os.PathLike[str]) -> None:
  """Has this process see what others write to a bucket while it runs.

  gcsfs remembers what it once listed until it changes it itself. To be called
  before the first look at the bucket; other paths need nothing.
  """
  if is_remote(path):
    # Only here, as it takes a while.
    import fsspec.config

    for scheme in ("gcs", "gs"):
      settings = fsspec.config.conf.setdefault(scheme, {})
      settings["use_listings_cache"] = False


def is_refusal(error: BaseException) -> bool:
  """Whether an error is what a bucket, or the way to it, refuses."""
  return type(error).__module__.partition(".")[0] in _LIBRARIES


def write_atomically(path: epath.Path, content: bytes) -> None:
  """Writes a file so that it is there whole or not at all.

  Raises:
    OSError: the machine refuses, and says which path.
  """
  if is_remote(path):
    path.write_bytes(content)  # What is uploaded appears at the end.
    return
  # A name of its own, should two processes write the same file.
  temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.writing"
  try:
    with temporary.open("wb") as file:
      file.write(content)
      # The name must not be on disk before what it names.
      file.flush()
      os.fsync(file.fileno())
    temporary.replace(path)
  except BaseException as error:
    temporary.unlink(missing_ok=True)
    if isinstance(error, OSError) and error.errno:
      # A full disk has no name otherwise, and a temporary one says nothing.
      raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    raise
