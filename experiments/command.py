"""What all mains share: flags, configs, and one-line errors for mistakes."""

import difflib
import faulthandler
import importlib
import json
import os
import pathlib
import pkgutil
import re
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import app, flags
from absl import logging as absl_logging

from emergence.config import Config, override
from emergence.storage.files import is_refusal
from experiments import configs

# Errors of the user or the machine; any other is a defect of ours.
_EXPECTED = (
  *(ValueError, OSError, RuntimeError, ImportError, MemoryError),
  subprocess.CalledProcessError,
)

_MOST_SEEDS = 1_000_000
# Flags that are paths: a shell does not expand ~ in --workdir=~/runs.
_PATHS = ("records", "workdir", "out", "json")


def run(main: Callable[[], int | None]) -> None:
  """Parses the flags into `flags.FLAGS`, runs a main, exits with its code.

  A mistake of the user ends in one line on stderr and exit code 2; a failure of
  the machine (file system, device, missing library), in one line and exit code
  1. A traceback means a defect of ours.
  """

  def guarded(argv: Sequence[str]) -> None:
    absl_logging.set_verbosity(absl_logging.WARNING)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # If the runtime aborts, its own line says why; absl would add the stack of
    # every thread.
    faulthandler.disable()
    try:
      if len(argv) > 1:
        raise ValueError(
          f"unexpected argument {argv[1]!r}; flags start with --"
        )
      code = main()
    except Exception as error:
      if not _is_expected(error):
        raise
      fail(*_describe(error))
    except KeyboardInterrupt:
      fail("interrupted; run the same command again", 130)
    else:
      sys.exit(code)

  app.run(guarded, flags_parser=_parse_flags)


def fail_at_once(error: Exception) -> NoReturn:
  """Prints an error as `run` does and exits without running exit handlers."""
  code = 1
  try:
    if _is_expected(error):
      message, code = _describe(error)
      print(f"error: {' '.join(message.split())}", file=sys.stderr)
    else:
      traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
  finally:  # Also if stderr cannot be written to.
    os._exit(code)


def fail(message: str, code: int) -> None:
  """Ends the process with one line on stderr."""
  print(f"error: {' '.join(message.split())}", file=sys.stderr)
  sys.exit(code)


def load_config(name: str, overrides: Sequence[str] = ()) -> Config:
  """Loads a config, by its name in `experiments/configs` or from a Python file.

  Args:
    name: NAME, or the path of a file ending in .py that defines `config`. The
      file is executed.
    overrides: `KEY=VALUE` texts.

  Raises:
    ValueError: there is no such config, or the file does not define one.
  """
  if name.endswith(".py"):
    if not pathlib.Path(name).is_file():
      raise ValueError(f"--config: no file {name}")
    try:
      found = runpy.run_path(name).get("config")
    except Exception as error:
      raise ValueError(
        f"--config: {name} failed: {type(error).__name__}: {error}"
      ) from error
  else:
    names = sorted(m.name for m in pkgutil.iter_modules(configs.__path__))
    if name not in names:
      near = difflib.get_close_matches(name, names, n=1)
      hint = (
        f"did you mean {near[0]}?"
        if near
        else f"choose from {', '.join(names)}"
      )
      raise ValueError(f"--config: no config {name!r}; {hint}")
    found = importlib.import_module(f"{configs.__name__}.{name}").config
  if not isinstance(found, Config):
    raise ValueError(f"--config: {name} defines no `config` of type Config")
  return override(found, overrides)


def parse_seed_ranges(text: str) -> list[int]:
  """Seed indices of a list such as `7`, `0-31` or `0,3,8-15`.

  Raises:
    ValueError: not such a list.
  """
  seeds: set[int] = set()
  for part in text.split(","):
    first, dash, last = part.strip().partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
      raise ValueError(f"--seeds expects 7 or 0-31 or 0,3,8-15, got {text!r}")
    run = range(int(first), int(last if dash else first) + 1)
    if not run:
      raise ValueError(f"--seeds: {part.strip()!r} is an empty range")
    if len(run) > _MOST_SEEDS:
      raise ValueError(
        f"--seeds: {part.strip()!r} is more than {_MOST_SEEDS:,} seeds"
      )
    seeds.update(run)
  return sorted(seeds)


def require_writable(path: str | None) -> None:
  """Raises OSError if `write_json` could not write to a path."""
  if path:
    file = pathlib.Path(path)
    place = file if file.exists() else file.absolute().parent
    if file.is_dir() or not os.access(place, os.W_OK):
      raise OSError(f"--json: {path} cannot be written")


def write_json(path: str | None, result: Any) -> None:
  """Writes the result of a main to the file of `--json`, if there is one."""
  if path:
    pathlib.Path(path).write_text(json.dumps(result, indent=2) + "\n")


def require_flags(*names: str) -> None:
  """Raises ValueError where a flag is not given, or is empty."""
  for name in names:
    if not flags.FLAGS[name].value:
      is_given = flags.FLAGS[name].present
      raise ValueError(f"--{name} is {'empty' if is_given else 'missing'}")


def _parse_flags(argv: Sequence[str]) -> list[str]:
  app.define_help_flags()
  try:
    rest = flags.FLAGS(argv)
  except flags.Error as error:
    missing = re.search(r"Flag (--\w+) must have a value", str(error))
    fail(f"{missing[1]} is missing" if missing else str(error), 2)
    raise
  except (SystemExit, BrokenPipeError):
    try:
      sys.stdout.flush()
    except BrokenPipeError:  # Whoever read the help, such as `head`, has quit.
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)  # absl would exit with 1 after --help.
  for flag in map(flags.FLAGS.__getitem__, flags.FLAGS):
    if flag.present > 1 and flag.name in ("config", *_PATHS):
      fail(f"--{flag.name} is given twice", 2)
    if flag.name in _PATHS and str(flag.value or "").startswith("~"):
      flag.value = os.path.expanduser(flag.value)
  return rest


def _is_expected(error: Exception) -> bool:
  return isinstance(error, _EXPECTED) or is_refusal(error)


def _describe(error: Exception) -> tuple[str, int]:
  """The message and the exit code of an error."""
  if isinstance(error, ValueError):
    return str(error), 2
  if isinstance(error, MemoryError):
    return f"out of memory: {error}".rstrip(": "), 1
  if not isinstance(error, OSError):
    return f"{type(error).__name__}: {error}", 1
  where = f": {error.filename}" if error.filename else ""
  return f"{error.strerror or error}{where}", 1
