import os
import pathlib
import subprocess
import sys

import pytest

from emergence.population import compilation_cache

PROGRAM = """
import sys, time, warnings
import jax
from emergence.population import compilation_cache
warnings.simplefilter("error")
folder = compilation_cache.enable()
start = time.monotonic()
f = lambda x: [x := jax.numpy.sin(x @ x) for _ in range(300)][-1]
jax.jit(f).lower(jax.ShapeDtypeStruct((8, 8), "float32")).compile()
print(folder, time.monotonic() - start)
"""


def run(home, **settings):
  """Compiles in a process of its own; the folder, and seconds."""
  outside = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
  process = subprocess.run(
    [sys.executable, "-c", PROGRAM],
    env=outside
    | {"XDG_CACHE_HOME": str(home), "JAX_PLATFORMS": "cpu"}
    | settings,
    capture_output=True,
    text=True,
    check=True,
  )
  assert process.stderr == ""
  folder, seconds = process.stdout.split()
  return pathlib.Path(folder), float(seconds)


def entries(folder):
  return sorted(folder.glob("*-cache"))


def test_what_is_compiled_is_kept_and_a_damaged_entry_is_no_error(tmp_path):
  folder, _ = run(tmp_path)
  assert folder.parent == tmp_path / "emergence"
  (entry,) = entries(folder)
  before = entry.stat().st_mtime_ns
  assert run(tmp_path)[0] == folder
  assert entries(folder) == [entry]
  assert entry.stat().st_mtime_ns == before
  entry.write_bytes(entry.read_bytes()[:100])
  run(tmp_path)


def test_where_nothing_can_be_kept_compiling_goes_on(tmp_path):
  (tmp_path / "emergence").write_text("no folder")
  run(tmp_path)


def test_what_jax_was_told_is_left_as_it_is(tmp_path):
  folder, _ = run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
  assert str(folder) == "None"
  assert not (tmp_path / "emergence").exists()


@pytest.mark.skipif(
  not os.path.exists("/proc/cpuinfo"), reason="no /proc/cpuinfo on this system"
)
def test_each_kind_of_processor_has_a_folder_of_its_own(monkeypatch):
  here = compilation_cache._processor()
  read_text = pathlib.Path.read_text
  monkeypatch.setattr(
    pathlib.Path,
    "read_text",
    lambda path: read_text(path).replace("flags\t\t: ", "flags\t\t: new "),
  )
  assert compilation_cache._processor() != here
  assert len(here) == 8
