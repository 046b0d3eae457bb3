"""One file of records: its columns, its bytes, and whether it is whole.

The file is Parquet. Its metadata hold where the rows come from, and a SHA-256
of the whole file as it is with zeros in place of that digest: page checksums
alone would miss a flipped bit in the footer, which names columns and types.
"""

import hashlib
import itertools
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from emergence.config import Cell, Config
from emergence.config_dict import from_dict

if TYPE_CHECKING:
  import pandas as pd

_METADATA_KEY = b"emergence"
_DIGEST_KEY = "emergence_sha256"
_NO_DIGEST = "0" * 64
# The key, a field header and the length 64 of Thrift's compact protocol, and
# the digest.
_DIGEST = re.compile(_DIGEST_KEY.encode() + b"\x18@(.{64})", re.DOTALL)
_FILE_NAME = re.compile(r"seeds-(\d{6,})-(\d{6,})\.parquet")


def _field(name: str, kind: pa.DataType, description: str) -> pa.Field:
  return pa.field(name, kind, metadata={"description": description})


SCHEMA = pa.schema(
  [
    _field("task", pa.string(), "name of the task"),
    _field("width", pa.int32(), "dimension of the residual stream"),
    _field("depth", pa.int32(), "number of layers"),
    _field("num_params", pa.int64(), "trained parameters of one model"),
    _field("seed", pa.int32(), "index of the run within its cell"),
    _field("init_seed", pa.int32(), "seed of the initialization"),
    _field("data_seed", pa.int32(), "seed of the data stream"),
    _field("step", pa.int32(), "updates done"),
    _field("test_length", pa.int32(), "length of the test items"),
    _field("exact_match", pa.float32(), "share of items answered right, 0..1"),
    _field(
      "token_accuracy", pa.float32(), "share of answer tokens right, 0..1"
    ),
    _field("nll_mean", pa.float32(), "nats per answer token, mean over items"),
    _field("nll_sum", pa.float32(), "nats per answer, mean over items"),
    _field(
      "min_token_log_prob",
      pa.float32(),
      "log-probability of an item's least likely token, mean over items",
    ),
    _field(
      "train_loss",
      pa.float32(),
      "mean loss since the evaluation before, in nats; null at step 0",
    ),
    _field(
      "diverged",
      pa.bool_(),
      "a parameter, the loss or a likelihood was not finite, then or before",
    ),
  ]
)
_NULLABLE = {"train_loss"}
_LEAST = {
  "width": 1,
  "depth": 1,
  "num_params": 1,
  "test_length": 1,
} | dict.fromkeys(("seed", "init_seed", "data_seed", "step"), 0)
# What is read of a provenance, where it is there.
_PROVENANCE_KINDS = {
  "identity_hash": str,
  "cell_hash": str,
  "config": dict,
  "block": int,
  "num_devices": int,
}


class DamagedError(ValueError):
  """A file is not what was once written under its name.

  Attributes:
    path: the file.
    reason: what is wrong with it, in one line.
  """

  def __init__(self, path: epath.Path, reason: str):
    super().__init__(
      f"{path} is not a readable records file: {reason}. The sweep that wrote"
      " it sets it aside when it is run again, and trains its seeds anew; to"
      " do without them, move the file away"
    )
    self.path = path
    self.reason = reason


class RecordsFile(NamedTuple):
  """What a file of records holds.

  Attributes:
    table: rows with the columns of `SCHEMA`.
    provenance: what `encode` was given; empty where the file has none.
  """

  table: pa.Table
  provenance: dict[str, Any]


def name(first: int, last: int) -> str:
  """The name of the file that holds the seeds from first to last."""
  return f"seeds-{first:06d}-{last:06d}.parquet"


def is_named_like_one(path: epath.Path) -> bool:
  """Whether a path has the name of a records file."""
  return _FILE_NAME.fullmatch(path.name) is not None


def seeds_of_file(path: epath.PathLike) -> range:
  """The seeds that a records file holds according to its name."""
  match = _FILE_NAME.fullmatch(epath.Path(path).name)
  if not match:
    raise ValueError(f"{path} is not named like a records file")
  return range(int(match[1]), int(match[2]) + 1)


def encode(table: pa.Table, provenance: dict[str, Any]) -> bytes:
  """The bytes of a file; the same rows and provenance are the same bytes."""
  metadata = {_METADATA_KEY: json.dumps(provenance, sort_keys=True).encode()}
  table = table.replace_schema_metadata(metadata)
  sink = pa.BufferOutputStream()
  # Page checksums are for other tools, which do not know our digest.
  with pq.ParquetWriter(sink, table.schema, write_page_checksum=True) as writer:
    writer.write_table(table)
    writer.add_key_value_metadata({_DIGEST_KEY: _NO_DIGEST})
  content = sink.getvalue().to_pybytes()
  (match,) = _DIGEST.finditer(content)
  return _with_digest(content, match, hashlib.sha256(content).hexdigest())


def read(path: epath.Path) -> RecordsFile:
  """A whole file.

  Raises:
    DamagedError: it is not whole, or not a table of records.
    ValueError: its provenance is none of ours.
    OSError: the machine cannot read it.
  """
  return decode(path, path.read_bytes())


def to_frame(table: pa.Table) -> "pd.DataFrame":
  """The rows for pandas, without threads, which a machine may refuse."""
  return table.to_pandas(use_threads=False)


def decode(path: epath.Path, content: bytes) -> RecordsFile:
  """Inverse of `encode`.

  Args:
    path: where the content is from, for messages.
    content: of a file, whole or not.

  Raises:
    DamagedError: it is not whole, or not a table of records.
    ValueError: its provenance is none of ours.
  """
  _require_digest(path, content)
  try:
    file = pq.ParquetFile(
      pa.BufferReader(content), page_checksum_verification=True
    )
    # A machine that refuses a thread would pass for damage.
    table = file.read(use_threads=False)
  except MemoryError:
    raise
  except Exception as error:  # Which one depends on which bytes are wrong.
    raise DamagedError(path, _one_line(error)) from error
  provenance = _provenance(path, table.schema.metadata)
  return RecordsFile(_require_records(path, table), provenance)


def read_provenance(path: epath.Path) -> dict[str, Any]:
  """The provenance in a whole file; empty where it has none.

  Raises:
    DamagedError: the file is not whole.
    ValueError: its provenance is none of ours.
    OSError: the machine cannot read it.
  """
  content = path.read_bytes()
  _require_digest(path, content)
  try:
    metadata = pq.read_schema(pa.BufferReader(content)).metadata
  except MemoryError:
    raise
  except Exception as error:
    raise DamagedError(path, _one_line(error)) from error
  return _provenance(path, metadata)


def config_of(path: epath.Path, provenance: dict[str, Any]) -> Config:
  """The config in the provenance of a file.

  Raises:
    ValueError: there is none, or it is not valid.
  """
  try:
    return from_dict(provenance["config"])
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path} carries no config that this version can read:"
      f" {_one_line(error)}; move it away"
    ) from error


def require_complete(
  path: epath.Path, table: pa.Table, cell: Cell, config: Config
) -> None:
  """Raises DamagedError where a file lacks rows or has others than it should.

  Args:
    path: the file; its name says which seeds it holds.
    table: its rows.
    cell: the cell of its folder.
    config: the experiment, which says at which steps and lengths they are.
  """
  for column, value in cell._asdict().items():
    if set(table[column].unique().to_pylist()) != {value}:
      raise DamagedError(path, f"it holds rows of another {column}")
  key = ("seed", "step", "test_length")
  found = sorted(
    zip(*(table[column].to_pylist() for column in key), strict=True)
  )
  expected = list(
    itertools.product(
      seeds_of_file(path), config.eval_steps, sorted(config.task.test_lengths)
    )
  )
  if found == expected:
    return
  for wrong, rows in [
    ("lacks", set(expected) - set(found)),
    ("should not have", set(found) - set(expected)),
  ]:
    if rows:
      seed, step, length = min(rows)
      raise DamagedError(
        path, f"it {wrong} seed {seed}, step {step}, test length {length}"
      )
  raise DamagedError(path, "it has rows twice")


def _with_digest(content: bytes, match: re.Match[bytes], digest: str) -> bytes:
  return content[: match.start(1)] + digest.encode() + content[match.end(1) :]


def _require_digest(path: epath.Path, content: bytes) -> None:
  """Raises DamagedError where a file has a digest, and another content."""
  if not content:
    raise DamagedError(path, "it is empty")
  match = _DIGEST.search(content)
  if match is None:
    return  # Written by another program; what can be checked is what is read.
  zeroed = _with_digest(content, match, _NO_DIGEST)
  if hashlib.sha256(zeroed).hexdigest().encode() != match[1]:
    raise DamagedError(path, "its content does not match its SHA-256")


def _require_records(path: epath.Path, table: pa.Table) -> pa.Table:
  """The columns of `SCHEMA`, whose types and ranges hold."""
  missing = set(SCHEMA.names) - set(table.schema.names)
  if missing:
    raise DamagedError(
      path, f"it lacks the columns {', '.join(sorted(missing))}"
    )
  if len(set(table.schema.names)) < len(table.schema.names):
    raise DamagedError(path, "two of its columns have the same name")
  if not table.num_rows:
    raise DamagedError(path, "it has no rows")
  for field in SCHEMA:
    column = table[field.name]
    # Some table tools write texts with large offsets.
    same = column.type == field.type or (
      pa.types.is_string(field.type) and pa.types.is_large_string(column.type)
    )
    if not same:
      raise DamagedError(
        path, f"its column {field.name} is {column.type}, not {field.type}"
      )
    if column.null_count and field.name not in _NULLABLE:
      raise DamagedError(path, f"its column {field.name} has nulls")
    least = _LEAST.get(field.name)
    if least is not None and min(column.unique().to_pylist()) < least:
      raise DamagedError(path, f"a {field.name} in it is below {least}")
  return table.select(SCHEMA.names).cast(SCHEMA)


def _provenance(
  path: epath.Path, metadata: dict[bytes, bytes] | None
) -> dict[str, Any]:
  text = (metadata or {}).get(_METADATA_KEY, b"{}")
  try:
    provenance = json.loads(text)
    if not isinstance(provenance, dict):
      raise ValueError("it is no object")
    for key, kind in _PROVENANCE_KINDS.items():
      if type(provenance.get(key, kind())) is not kind:
        raise ValueError(f"its {key} is {provenance[key]!r:.40}")
  except (RecursionError, ValueError) as error:
    raise ValueError(
      f"{path} does not say where its rows come from: {_one_line(error)}; move"
      " it away"
    ) from error
  return provenance


def _one_line(error: Exception) -> str:
  return " ".join(str(error).split()).rstrip(".") or type(error).__name__
