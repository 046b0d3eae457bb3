"""What Orbax writes for one checkpoint: a file of bytes and a record in JSON.

Orbax makes the folder whole or not at all, on a local disk by renaming it, in a
bucket by a file that commits it. We do not use its `StandardSave`, for three
reasons. It saves the arrays of all devices as one item, and a block must go on
from its checkpoint on another number of devices and beside other blocks. It
needs all processes of `jax.distributed` at each save, where each of ours saves
the blocks of its own devices when they are due. And it does not notice flipped
bytes in arrays (24 of 24 in a test), where the record here has their digest.

Importing this module takes a third of a second; `storage.checkpoint` does it
where it is needed.
"""

import contextlib
import dataclasses
import json
import logging
import os

import jax
import orbax.checkpoint as ocp
from etils import epath

FILE = "arrays.safetensors"
# Orbax's, which holds the record under "custom_metadata". Its own reader turns
# whatever it cannot read into an empty record.
RECORD = "_CHECKPOINT_METADATA"
_MAX_RECORD_BYTES = 2**20
# What one save or one restore opens at a time, and some.
_MAX_OPEN_FILES = 16


def _is_not_of_orbax(line: logging.LogRecord) -> bool:
  return f"{os.sep}orbax{os.sep}" not in line.pathname


# What goes wrong is raised; Orbax tells the terminal as well, and much else.
logging.getLogger("absl").addFilter(_is_not_of_orbax)


class _BytesHandler(ocp.CheckpointHandler):
  """Writes bytes to one file, whichever process this is."""

  def save(self, directory: epath.Path, args: "_SaveBytes") -> None:
    (directory / FILE).write_bytes(args.content)

  def restore(self, directory: epath.Path, args: "_RestoreBytes") -> bytes:
    return (directory / FILE).read_bytes()


@ocp.args.register_with_handler(_BytesHandler, for_save=True)
@dataclasses.dataclass
class _SaveBytes(ocp.args.CheckpointArgs):
  content: bytes


@ocp.args.register_with_handler(_BytesHandler, for_restore=True)
@dataclasses.dataclass
class _RestoreBytes(ocp.args.CheckpointArgs):
  pass


def write(path: epath.Path, content: bytes, record: dict) -> None:
  """Writes the folder of one checkpoint, in place of one that is there.

  Args:
    path: the folder.
    content: the file's bytes.
    record: what is to be known of them, as JSON has it.

  Raises:
    OSError: it could not be written; what was there before may be gone.
  """
  with _orbax() as checkpointer:
    checkpointer.save(
      path, args=_SaveBytes(content), force=True, custom_metadata=record
    )


def read(path: epath.Path) -> bytes:
  """The bytes of a checkpoint.

  Raises:
    OSError: they cannot be read; FileNotFoundError where they are not there.
    ValueError: the checkpoint was never finished.
  """
  with _orbax() as checkpointer:
    return checkpointer.restore(path, args=_RestoreBytes())


def read_record(path: epath.Path) -> dict:
  """The record of a checkpoint, strictly parsed.

  Raises:
    OSError: it cannot be read; FileNotFoundError where it is not there.
    ValueError: it is no JSON object, or absurdly large.
  """
  file = path / RECORD
  if file.stat().length > _MAX_RECORD_BYTES:
    raise ValueError(f"its {RECORD} is too large")

  def refuse(constant: str):
    raise ValueError(f"its {RECORD} holds {constant}")

  try:
    content = json.loads(file.read_bytes(), parse_constant=refuse)
  except RecursionError as error:
    raise ValueError(f"its {RECORD} is nested too deep") from error
  except ValueError as error:
    raise ValueError(f"its {RECORD} is not readable: {error}") from error
  record = content.get("custom_metadata") if isinstance(content, dict) else None
  if not isinstance(record, dict):
    raise ValueError(f"its {RECORD} does not describe it")
  return record


def _orbax() -> ocp.Checkpointer:
  # Where files run out within Orbax, coroutines that nobody awaits complain on
  # the terminal; so whether there are enough is asked before.
  with contextlib.ExitStack() as stack:
    for _ in range(_MAX_OPEN_FILES):
      stack.enter_context(open(os.devnull))
  # The processes of one run save their own blocks at their own times: each
  # writes, and waits for none but itself.
  me = jax.process_index()
  return ocp.Checkpointer(
    _BytesHandler(),
    multiprocessing_options=ocp.options.MultiprocessingOptions(
      primary_host=me, active_processes={me}
    ),
  )
