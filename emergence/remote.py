"""Work directories in a bucket, `gs://…`, and how they differ from a disk.

All paths are `etils.epath`, which reaches buckets through gcsfs. What a bucket
holds are objects, not files: one appears whole when its upload ends, none can
be appended to or renamed, and a folder is the beginning of names. Two machines
cannot claim anything from each other there, see `claims`.
"""

import os

# Whose exceptions are what the bucket or the way to it refuses, where they are
# no OSError.
_LIBRARIES = {"aiohttp", "gcsfs", "google", "requests"}


def is_remote(path: str | os.PathLike[str]) -> bool:
  """Whether a path is a URL such as gs://bucket/folder."""
  return "://" in str(path)


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
