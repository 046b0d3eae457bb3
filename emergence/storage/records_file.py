"""One file of records: its columns, its bytes, and whether it is whole.

The file is Parquet with page checksums. Its metadata hold the provenance of the
rows as JSON, and the SHA-256 of that JSON. The provenance names the columns and
counts the rows, so that a flipped bit in what Parquet says of them is noticed.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from emergence.config import (
  AxisValue,
  Cell,
  Config,
  axes_of,
  axis_kinds,
  cell_config,
  from_dict,
)

if TYPE_CHECKING:
  import pandas as pd

# Raised when the meaning of a column changes; columns that are new need none.
SCHEMA_VERSION = 1

_METADATA_KEY = b"emergence"
_DIGEST_KEY = b"emergence_sha256"
_FILE_NAME = re.compile(r"seeds-(\d{6,})-(\d{6,})\.parquet")


def _field(name: str, kind: pa.DataType, description: str) -> pa.Field:
  return pa.field(name, kind, metadata={"description": description})


_SCALES = [
  _field("width", pa.int32(), "dimension of the residual stream"),
  _field("depth", pa.int32(), "number of layers"),
]
_RUN = [
  _field("num_params", pa.int64(), "trained parameters of one model"),
  _field("seed", pa.int32(), "index of the run within its cell"),
  _field("init_seed", pa.int32(), "seed of the initialization"),
  _field("data_seed", pa.int32(), "seed of the data stream"),
  _field("step", pa.int32(), "training steps done"),
  _field("test_set", pa.string(), "name of the test items"),
  _field("test_length", pa.int32(), "their length, null where they have none"),
]
_METRICS = [
  _field("exact_match", pa.float32(), "share of items answered right, 0..1"),
  _field("token_accuracy", pa.float32(), "share of answer tokens right, 0..1"),
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
]
_DIVERGED = _field(
  "diverged",
  pa.bool_(),
  "a parameter, the loss or a likelihood was not finite, then or before",
)
METRICS = tuple(field.name for field in _METRICS)
_NULLABLE = {"train_loss", "test_length"}
_LEAST = {
  "width": 1,
  "depth": 1,
  "num_params": 1,
  "test_length": 1,
} | dict.fromkeys(("seed", "init_seed", "data_seed", "step"), 0)
_ARROW_KINDS = {
  int: pa.int64(),
  float: pa.float64(),
  bool: pa.bool_(),
  str: pa.string(),
}
# What is read of a provenance, where it is there.
_PROVENANCE_KINDS = {
  "identity_hash": str,
  "cell_hash": str,
  "config": dict,
  "block": int,
  "num_devices": int,
  "schema_version": int,
  "columns": list,
  "rows": int,
}


def schema(axes: Iterable[str] = ("width", "depth")) -> pa.Schema:
  """The columns of records of cells with some axes, named as in the config."""
  others = [
    _field(name, _ARROW_KINDS[axis_kinds()[name]], f"config key {name}")
    for name in axes
    if name not in ("width", "depth")
  ]
  task = _field("task", pa.string(), "name of the task")
  return pa.schema([task, *_SCALES, *others, *_RUN, *_METRICS, _DIVERGED])


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
    table: rows with the columns of `schema`. A metric that the file lacks,
      because it was added later, is null.
    provenance: what `encode` was given, with `schema_version`, `columns` and
      `rows`; empty where another program wrote the file.
  """

  table: pa.Table
  provenance: dict[str, Any]

  @property
  def lacking(self) -> list[str]:
    """The metrics that the file does not have."""
    rows = self.table.num_rows
    return [m for m in METRICS[:-1] if self.table[m].null_count == rows]


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
  provenance = provenance | {
    "schema_version": SCHEMA_VERSION,
    "columns": table.schema.names,
    "rows": table.num_rows,
  }
  text = json.dumps(provenance, sort_keys=True).encode()
  digest = hashlib.sha256(text).hexdigest().encode()
  metadata = {_METADATA_KEY: text, _DIGEST_KEY: digest}
  sink = pa.BufferOutputStream()
  pq.write_table(
    table.replace_schema_metadata(metadata),
    sink,
    write_page_checksum=True,
    # They would be one more thing in the file that could be wrong.
    write_statistics=False,
  )
  return sink.getvalue().to_pybytes()


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
  try:
    file = pq.ParquetFile(
      pa.BufferReader(content), page_checksum_verification=True
    )
    # A machine that refuses a thread would pass for damage.
    table = file.read(use_threads=False)
    table.validate(full=True)
  except MemoryError:
    raise
  except Exception as error:  # Which one depends on which bytes are wrong.
    raise DamagedError(path, _reason(content, error)) from error
  provenance = _provenance(path, table.schema.metadata)
  there = {"columns": table.schema.names, "rows": table.num_rows}
  for key, value in there.items():
    if provenance.get(key, value) != value:
      raise DamagedError(path, f"its {key} are not those that were written")
  return RecordsFile(_require_records(path, table), provenance)


def read_provenance(path: epath.Path) -> dict[str, Any]:
  """The provenance in a file, whose rows are not read; empty if it has none.

  Raises:
    DamagedError: the file is not whole.
    ValueError: its provenance is none of ours.
    OSError: the machine cannot read it.
  """
  content = path.read_bytes()
  try:
    metadata = pq.read_schema(pa.BufferReader(content)).metadata
  except MemoryError:
    raise
  except Exception as error:
    raise DamagedError(path, _reason(content, error)) from error
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
  require_cell_columns(path, table, cell)
  config = cell_config(config, cell)
  key = ("seed", "step", "test_set")
  found = sorted(
    zip(*(table[column].to_pylist() for column in key), strict=True)
  )
  sets = sorted(map(name_of_length, config.task.test_lengths))
  expected = list(
    itertools.product(seeds_of_file(path), config.eval_steps, sets)
  )
  if found == expected:
    return
  for wrong, rows in [
    ("lacks", set(expected) - set(found)),
    ("should not have", set(found) - set(expected)),
  ]:
    if rows:
      seed, step, test_set = min(rows)
      raise DamagedError(
        path, f"it {wrong} seed {seed}, step {step}, test set {test_set}"
      )
  raise DamagedError(path, "it has rows twice")


def require_cell_columns(path: epath.Path, table: pa.Table, cell: Cell) -> None:
  """Raises DamagedError where a file has other axes, or rows of another cell.

  Args:
    path: the file.
    table: its rows.
    cell: the cell of its folder.
  """
  if {*axes_of(table.schema.names)} != {name for name, _ in cell.axes}:
    raise DamagedError(path, "it has other axes than its folder")
  for column, value in cell.columns.items():
    if _values(table, column) != {value}:
      raise DamagedError(path, f"it holds rows of another {column}")


def name_of_length(length: int) -> str:
  """The name of the test set of all items of a length."""
  return f"length-{length}"


def _values(table: pa.Table, column: str) -> set[AxisValue]:
  return set(table[column].unique().to_pylist())


def _require_records(path: epath.Path, table: pa.Table) -> pa.Table:
  """The columns of `schema`, whose types and ranges hold."""
  names = table.schema.names
  if len(set(names)) < len(names):
    raise DamagedError(path, "two of its columns have the same name")
  wanted = schema(axes_of(names))
  missing = set(wanted.names) - set(names)
  if required := missing - set(METRICS):
    raise DamagedError(
      path, f"it lacks the columns {', '.join(sorted(required))}"
    )
  if not table.num_rows:
    raise DamagedError(path, "it has no rows")
  for field in wanted:
    if field.name in missing:
      table = table.append_column(field, pa.nulls(table.num_rows, field.type))
      continue
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
    present = column.drop_null().unique().to_pylist()
    if least is not None and min(present, default=least) < least:
      raise DamagedError(path, f"a {field.name} in it is below {least}")
  return table.select(wanted.names).cast(wanted)


def _provenance(
  path: epath.Path, metadata: dict[bytes, bytes] | None
) -> dict[str, Any]:
  metadata = metadata or {}
  text = metadata.get(_METADATA_KEY, b"{}")
  digest = metadata.get(_DIGEST_KEY)
  if digest not in (None, hashlib.sha256(text).hexdigest().encode()):
    raise DamagedError(path, "its provenance does not match its SHA-256")
  try:
    provenance = json.loads(text)
    if not isinstance(provenance, dict):
      raise ValueError("it is no object")
    for key, kind in _PROVENANCE_KINDS.items():
      if type(provenance.get(key, kind())) is not kind:
        raise ValueError(f"its {key} is {provenance[key]!r:.40}")
    if provenance.get("schema_version", 0) > SCHEMA_VERSION:
      raise ValueError("a newer version of this program wrote it")
  except (RecursionError, ValueError) as error:
    raise ValueError(
      f"{path} does not say where its rows come from: {_one_line(error)}; move"
      " it away"
    ) from error
  return provenance


def _reason(content: bytes, error: Exception) -> str:
  return _one_line(error) if content else "it is empty"


def _one_line(error: Exception) -> str:
  return " ".join(str(error).split()).rstrip(".") or type(error).__name__
