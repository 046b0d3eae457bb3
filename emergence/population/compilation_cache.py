"""Compiled programs kept on disk, so that a sweep that goes on starts at once.

XLA's code is good for one version of it on one kind of processor, so each has a
folder of its own. JAX writes and reads the files; one that is damaged is
compiled again.
"""

import hashlib
import importlib.metadata
import os
import pathlib
import platform
import warnings

import jax

_OPTION = "jax_compilation_cache_dir"


def enable(folder: str | os.PathLike[str] | None = None) -> pathlib.Path | None:
  """Keeps compiled programs from now on, unless JAX has been told where.

  Args:
    folder: where; `emergence/xla-…` in the user's cache directory where None.

  Returns:
    The folder; None where JAX's own settings are in force, and where the user
    has no home.
  """
  if getattr(jax.config, _OPTION):
    return None
  try:
    chosen = pathlib.Path(folder) if folder else _default_folder()
  except RuntimeError:  # A user without a home, as in containers.
    return None
  jax.config.update(_OPTION, str(chosen))
  # Also what compiles fast: there are some small programs beside.
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
  # A cache that cannot be written or read costs time and nothing else.
  warnings.filterwarnings("ignore", ".*persistent compilation cache.*")
  return chosen


def _default_folder() -> pathlib.Path:
  home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  name = f"xla-{importlib.metadata.version('jaxlib')}-{_processor()}"
  return pathlib.Path(home) / "emergence" / name


def _processor() -> str:
  """A short name for what the processor of this machine can do.

  A home directory may be shared by machines of several kinds.
  """
  facts = [platform.machine(), platform.processor(), platform.system()]
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    lines = []
  for key in ("model name", "flags", "Features"):
    facts += [line for line in lines if line.startswith(key)][:1]
  return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]
