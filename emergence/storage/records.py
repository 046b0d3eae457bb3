"""Per-seed records: a Parquet data set, one file per range of finished seeds.

The layout is `records/count/width-32/depth-4/seeds-000000-000031.parquet`, with
a further folder for each further axis of the grid. A file is written under a
hidden name, renamed, and never changed: if it exists, its seeds are finished.
Folder names carry no `=` and the columns are in the files, so that
`pandas.read_parquet("DIR/records")` reads everything.

Files have page checksums. Their metadata hold the provenance of the rows as
JSON, with the column names and the number of rows, and the SHA-256 of that JSON
and of the rows. These also detect flipped bits in Parquet's footer.
"""

import functools
import hashlib
import importlib.metadata
import itertools
import json
import logging
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from emergence.config import (
  Cell,
  Config,
  axes_of,
  axis_kinds,
  cell_config,
  cell_hash,
  first_difference,
  from_dict,
  identity_hash,
  to_dict,
)
from emergence.storage.files import (
  glob_below,
  quarantine,
  seeds_in_name,
  seeds_name,
  write_atomically,
)

if TYPE_CHECKING:
  import pandas as pd

  from emergence.population.population import Snapshot

_LOG = logging.getLogger("emergence")

# Incremented when the meaning of a column changes, not for new columns.
SCHEMA_VERSION = 1

_METADATA_KEY = b"emergence"
_DIGEST_KEY = b"emergence_sha256"
_ROWS_DIGEST_KEY = b"emergence_rows_sha256"


class MetricColumn(NamedTuple):
  """A column of scores, float32; null in files that are older than the metric.

  Attributes:
    name: name of the column and of the field of `training.evaluate.Scores`;
      only `train_loss` is no such field, and comes from the snapshots.
    title: its name in sentences and figures.
    description: its description in the schema of each file.
    low: the smallest possible score, or −inf.
    high: the largest possible score, or inf.
    unit: its unit in tables and figures.
    higher_is_better: whether a larger score is a better one.
    is_default: whether analyses include it by default.
  """

  name: str
  title: str
  description: str
  low: float
  high: float
  unit: str
  higher_is_better: bool
  is_default: bool = True


METRICS = (
  MetricColumn(
    "exact_match",
    "exact match",
    "share of items answered right, 0..1",
    0.0,
    1.0,
    "share of items",
    True,
  ),
  MetricColumn(
    "exact_match_without_end",
    "exact match without end",
    "share of items answered right up to the end symbol, 0..1",
    0.0,
    1.0,
    "share of items",
    True,
    is_default=False,  # Nearly exact_match; used if it is the headline metric.
  ),
  MetricColumn(
    "token_accuracy",
    "token accuracy",
    "share of answer tokens right, 0..1",
    0.0,
    1.0,
    "share of answer tokens",
    True,
  ),
  MetricColumn(
    "nll_mean",
    "NLL per token",
    "nats per answer token, mean over items",
    0.0,
    np.inf,
    "nats per answer token",
    False,
  ),
  MetricColumn(
    "nll_sum",
    "NLL per answer",
    "nats per answer, mean over items",
    0.0,
    np.inf,
    "nats per answer",
    False,
    is_default=False,  # It is nll_mean times the tokens of an answer.
  ),
  MetricColumn(
    "min_token_log_prob",
    "least token log-prob",
    "log-probability of an item's least likely token, mean over items",
    -np.inf,
    0.0,
    "nats",
    True,
  ),
  MetricColumn(
    "train_loss",
    "training loss",
    "mean loss since the evaluation before, in nats; null at step 0",
    0.0,
    np.inf,
    "nats per token",
    False,
    is_default=False,  # A control, not a score.
  ),
)
# How many items have each kind of error: fields of `Scores`, null in files that
# are older than the field. They are not scores, so no analysis uses them.
ERROR_COUNTS = {
  "stops_early": "items whose first wrong token is an end symbol",
  "runs_on": "items without an end symbol where it is due, else right",
  "repeats": "items whose first wrong token repeats the one before",
  "skips": "items whose first wrong token is the one after",
  "wrong_carry": "items whose first wrong token is a digit off by one",
  "other_error": "items that are wrong in another way",
}
TITLES = {metric.name: metric.title for metric in METRICS}
_NULLABLE = {"train_loss", "test_length"}
_ARROW_KINDS = {
  int: pa.int64(),
  float: pa.float64(),
  bool: pa.bool_(),
  str: pa.string(),
}


def schema(axes: Iterable[str] = ("width", "depth")) -> pa.Schema:
  """The schema of the records of cells that have the given axes."""
  int32, text = pa.int32(), pa.string()
  columns = [
    ("task", text, "name of the task"),
    ("width", int32, "dimension of the residual stream"),
    ("depth", int32, "number of layers"),
    *(
      (name, _ARROW_KINDS[axis_kinds()[name]], f"config key {name}")
      for name in axes
      if name not in ("width", "depth")
    ),
    ("num_params", pa.int64(), "trained parameters of one model"),
    ("seed", int32, "index of the run within its cell"),
    ("init_seed", int32, "seed of the initialization"),
    ("data_seed", int32, "seed of the data stream"),
    ("step", int32, "training steps done"),
    ("test_set", text, "name of the test items"),
    ("test_length", int32, "their length, null where they have none"),
    *((m.name, pa.float32(), m.description) for m in METRICS),
    *((name, int32, description) for name, description in ERROR_COUNTS.items()),
    (
      "diverged",
      pa.bool_(),
      "a parameter, the loss or a likelihood was not finite, then or before",
    ),
  ]
  return pa.schema(
    pa.field(name, kind, metadata={"description": description})
    for name, kind, description in columns
  )


class CorruptError(ValueError):
  """A file differs from what was written.

  Attributes:
    path: the file.
    reason: what is wrong with it, in one line.
  """

  def __init__(self, path: epath.Path, reason: str):
    super().__init__(
      f"{path} is corrupt: {reason}; run the sweep's command again, which"
      " quarantines and replaces it, or move it away"
    )
    self.path = path
    self.reason = reason


class RecordsFile(NamedTuple):
  """What a file of records holds.

  Attributes:
    table: rows with the columns of `schema`. A metric or count that the file
      lacks, because it was added later, is null.
    provenance: the provenance passed to `encode`, and `schema_version`,
      `columns` and `rows`; empty if another program wrote the file.
  """

  table: pa.Table
  provenance: dict[str, Any]


def to_table(
  config: Config,
  cell: Cell,
  num_params: int,
  seeds: Sequence[int],
  snapshots: Iterable["Snapshot"],
) -> pa.Table:
  """Rows of some seeds of one cell, in the order seed, step, test set.

  Args:
    config: the experiment.
    cell: the cell.
    num_params: parameters of one of its models.
    seeds: the S seed indices, in the order of the snapshots' axis S.
    snapshots: one snapshot of these seeds per evaluation step.
  """
  snapshots = list(snapshots)
  test_sets = cell_config(config, cell).test_sets
  rows = []
  for i, seed in enumerate(seeds):
    init_seed, data_seed = config.seeds.init_and_data_seed(seed)
    run = {
      **cell.columns,
      "num_params": num_params,
      "seed": seed,
      "init_seed": init_seed,
      "data_seed": data_seed,
    }
    for snapshot in snapshots:
      loss = None if snapshot.step == 0 else float(snapshot.train_loss[i])
      for p, (test_set, length) in enumerate(test_sets.items()):
        rows.append(
          {
            **run,
            "step": snapshot.step,
            "test_set": test_set,
            "test_length": length,
            **{
              name: (int if name in ERROR_COUNTS else float)(score[i, p])
              for name, score in snapshot.scores._asdict().items()
            },
            "train_loss": loss,
            "diverged": bool(snapshot.diverged[i]),
          }
        )
  axes = [name for name, _ in cell.axes]
  return pa.Table.from_pylist(rows, schema(axes))


def write(
  workdir: epath.Path, cell: Cell, table: pa.Table, provenance: dict
) -> None:
  """Writes finished seeds, one file per range of consecutive indices.

  Seeds that another process has finished meanwhile are left out.

  Args:
    workdir: the work directory.
    cell: the cell of all rows.
    table: rows of whole seeds, as `to_table` returns them.
    provenance: what `make_provenance` returns; stored in the file's metadata.
  """
  folder = workdir / "records" / str(cell)
  folder.mkdir(parents=True, exist_ok=True)
  seeds = table["seed"].to_numpy()
  missing = set(seeds.tolist()) - recorded_seeds(workdir, cell)
  for own in consecutive_ranges(sorted(missing)):
    rows = table.filter(pa.array((seeds >= own[0]) & (seeds <= own[-1])))
    write_atomically(
      folder / f"{seeds_name(own[0], own[-1])}.parquet",
      encode(rows, provenance),
    )


def read(workdir: epath.PathLike) -> "pd.DataFrame":
  """All records of a work directory, sorted by cell, seed, step, test set.

  Raises:
    ValueError: there are no records, a file is corrupt or of another
      experiment, or two files hold the same seed.
    OSError: the machine cannot read a file.
  """
  import pandas as pd

  workdir = epath.Path(workdir)
  config, frames = config_of(workdir), []
  for path in require_files(workdir):
    table, provenance = read_file(path)
    cell = cell_of_file(workdir, path)
    require_cell(path, provenance, config, cell)
    require_complete(path, table, cell, config)
    frames.append(to_frame(table).assign(file=str(path)))
  frame = pd.concat(frames, ignore_index=True)
  cell_key = cell_columns(frame)
  key = [*cell_key, "seed", "step", "test_set"]
  twice = cast(Any, frame[frame.duplicated(key, keep=False)])
  if len(twice):
    first = twice.sort_values(key).iloc[:2]
    raise ValueError(
      f"seed {first['seed'].iloc[0]} is in {' and in '.join(first['file'])},"
      " because two processes trained it; delete one of the two files and run"
      " the sweep's command again, which trains the seeds that only this file"
      " had"
    )
  order = [*cell_key, "seed", "step", "test_length", "test_set"]
  return frame.drop(columns="file").sort_values(order, ignore_index=True)


def read_seed(
  workdir: epath.PathLike, cell: Cell, seed: int
) -> "pd.DataFrame | None":
  """The rows of one seed; None where it has no records.

  Raises:
    ValueError: its file is corrupt.
  """
  folder = epath.Path(workdir) / "records" / str(cell)
  for path in sorted(folder.glob("seeds-*.parquet")):
    if seed in seeds_of_file(path):
      frame = to_frame(read_file(path).table)
      return frame.loc[frame["seed"] == seed]
  return None


def scale_axis(rows: Sequence[Mapping[str, Any]]) -> str:
  """Chooses the axis along which cells are compared; the others form groups.

  It is `depth` if depth varies or no numeric axis does, else the first numeric
  axis that varies. `root_seed` is never chosen, because it is no scale.

  Args:
    rows: one mapping per cell with its axes, such as a row of `summarize`.
  """
  varying = [
    axis
    for axis in axes_of(rows[0])
    if len({row[axis] for row in rows}) > 1
    and axis != "root_seed"
    and not isinstance(rows[0][axis], bool | str | np.bool_)
  ]
  return varying[0] if varying and "depth" not in varying else "depth"


def final_rows(frame: "pd.DataFrame") -> Any:
  """The rows of each cell's last evaluation.

  Args:
    frame: records, as `read` returns them.
  """
  step_of_cell = frame.groupby(cell_columns(frame))["step"]
  return frame[frame["step"] == step_of_cell.transform("max")]


def cell_columns(frame: "pd.DataFrame") -> list[str]:
  """The columns of records that name a cell."""
  return ["task", *axes_of(frame.columns)]


def cell_of_row(row: Mapping[str, Any]) -> Cell:
  """The cell of a row of records."""
  plain = lambda value: value.item() if hasattr(value, "item") else value
  axes = tuple((axis, plain(row[axis])) for axis in axes_of(row.keys()))
  return Cell(row["task"], axes)


def rows_of_cell(frame: "pd.DataFrame", columns: Mapping[str, Any]) -> Any:
  """The rows of one cell.

  Args:
    frame: records.
    columns: maps column names to values. It must have all of `cell_columns`;
      other columns are ignored.
  """
  names = cell_columns(frame)
  is_own = [frame[name] == columns[name] for name in names]
  return frame[np.logical_and.reduce(is_own)]


def files(workdir: epath.PathLike) -> list[epath.Path]:
  """The paths of all records files of a work directory, sorted."""
  found = glob_below(epath.Path(workdir) / "records", "seeds-*.parquet")
  return [path for path in found if seeds_of_file(path)]


def require_files(workdir: epath.PathLike) -> list[epath.Path]:
  """The paths of all records files; ValueError where there are none."""
  found = files(workdir)
  if not found:
    raise ValueError(
      f"no records in {epath.Path(workdir) / 'records'}: no seed has finished"
      " there yet, or this is not the work directory of a sweep"
    )
  return found


def cell_of_file(workdir: epath.PathLike, path: epath.Path) -> Cell:
  """The cell that a file's folder names; ValueError where it names none."""
  folder = epath.Path(workdir) / "records"
  try:
    return Cell.parse("/".join(path.relative_to(folder).parts[:-1]))
  except ValueError as error:
    raise ValueError(
      f"the folder of {path} is not named after a cell: {error}"
    ) from error


def seeds_of_file(path: epath.Path) -> range:
  """The seeds that a records file holds according to its name."""
  return seeds_in_name(path.name, r"\.parquet")


def encode(table: pa.Table, provenance: dict[str, Any]) -> bytes:
  """The bytes of a records file, determined by its rows and provenance."""
  provenance = provenance | {
    "schema_version": SCHEMA_VERSION,
    "columns": table.schema.names,
    "rows": table.num_rows,
  }
  text = json.dumps(provenance, sort_keys=True).encode()
  digest = hashlib.sha256(text).hexdigest().encode()
  metadata = {
    _METADATA_KEY: text,
    _DIGEST_KEY: digest,
    _ROWS_DIGEST_KEY: _rows_digest(table),
  }
  sink = pa.BufferOutputStream()
  pq.write_table(
    table.replace_schema_metadata(metadata),
    sink,
    write_page_checksum=True,
    write_statistics=False,  # No checksum covers them.
  )
  return sink.getvalue().to_pybytes()


def read_file(path: epath.Path) -> RecordsFile:
  """Reads one records file and checks that it is intact.

  Raises:
    CorruptError: it is not whole, or not a table of records.
    ValueError: a newer version of this program wrote it.
    OSError: the machine cannot read it.
  """
  return decode(path, path.read_bytes())


def decode(path: epath.Path, content: bytes) -> RecordsFile:
  """Inverse of `encode`; raises as `read_file` does.

  Args:
    path: where the content is from, for messages.
    content: the bytes of the file, possibly truncated.
  """
  try:
    file = pq.ParquetFile(
      pa.BufferReader(content), page_checksum_verification=True
    )
    # Without threads: failing to start one would look like corruption.
    table = file.read(use_threads=False)
    table.validate(full=True)
  except MemoryError:
    raise
  except Exception as error:  # Which one depends on which bytes are wrong.
    raise CorruptError(path, _one_line(error)) from error
  provenance = _provenance(path, table.schema.metadata)
  there = {"columns": table.schema.names, "rows": table.num_rows}
  for key, value in there.items():
    if provenance.get(key, value) != value:
      raise CorruptError(path, f"its {key} are not those that were written")
  digest = (table.schema.metadata or {}).get(_ROWS_DIGEST_KEY)
  if digest not in (None, _rows_digest(table)):  # Old files have none.
    raise CorruptError(path, "its rows do not match their SHA-256")
  return RecordsFile(_require_records(path, table), provenance)


def _rows_digest(table: pa.Table) -> bytes:
  """SHA-256 of the values, independent of their layout in Parquet."""
  # Page checksums do not detect a flipped bit in the footer that makes a column
  # start at another column's page.
  digest = hashlib.sha256()
  for column in table.columns:
    digest.update(repr(column.to_pylist()).encode())
  return digest.hexdigest().encode()


def read_provenance(path: epath.Path) -> dict[str, Any]:
  """Reads a file's provenance without decoding rows; empty if it has none.

  Raises:
    As `read_file`.
  """
  content = path.read_bytes()
  try:
    metadata = pq.read_schema(pa.BufferReader(content)).metadata
  except MemoryError:
    raise
  except Exception as error:
    raise CorruptError(path, _one_line(error)) from error
  return _provenance(path, metadata)


def read_provenances(workdir: epath.PathLike) -> list[dict]:
  """The distinct provenances of the records files of a work directory.

  Raises:
    ValueError: a file is corrupt.
  """
  found = {}
  for path in files(workdir):
    provenance = read_provenance(path)
    found[json.dumps(provenance, sort_keys=True)] = provenance
  return list(found.values())


def to_frame(table: pa.Table) -> "pd.DataFrame":
  """Converts a table to a data frame, without threads."""
  return table.to_pandas(use_threads=False)


def config_of(workdir: epath.PathLike) -> Config:
  """The config of a work directory; from the records if config.json is missing.

  Raises:
    As `read_config`; also ValueError if no records hold a readable config.
  """
  workdir = epath.Path(workdir)
  if (workdir / "config.json").exists():
    return read_config(workdir)
  path = require_files(workdir)[0]
  provenance = read_provenance(path)
  try:
    return from_dict(provenance["config"])
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f"this version cannot read the config in the metadata of {path}"
      f" ({_one_line(error)}); move the file away"
    ) from error


def require_complete(
  path: epath.Path, table: pa.Table, cell: Cell, config: Config
) -> None:
  """Raises CorruptError unless a file has exactly the rows that it should.

  Args:
    path: the file; its name says which seeds it holds.
    table: its rows.
    cell: the cell of its folder.
    config: the experiment, which determines the steps and test sets.
  """
  if {*axes_of(table.schema.names)} != {name for name, _ in cell.axes}:
    raise CorruptError(path, "its axes are not those of its folder")
  for column, value in cell.columns.items():
    if set(table[column].unique().to_pylist()) != {value}:
      raise CorruptError(path, f"it has rows whose {column} is not {value}")
  config = cell_config(config, cell)
  key = ("seed", "step", "test_set")
  found = zip(*(table[column].to_pylist() for column in key), strict=True)
  expected = itertools.product(
    seeds_of_file(path),
    config.eval_steps,
    config.test_sets,
  )
  if sorted(found) != sorted(expected):
    raise CorruptError(
      path,
      "rows are missing or repeated: each seed in the file's name needs one row"
      " for each evaluation step and test set",
    )


def read_config(workdir: epath.PathLike) -> Config:
  """Reads the config from config.json of a work directory.

  Raises:
    CorruptError: the file is corrupt.
    ValueError: there is no such file.
    OSError: the machine cannot read it.
  """
  path = epath.Path(workdir) / "config.json"
  try:
    content = json.loads(path.read_text())
    config = from_dict(content["config"])
    if content.get("identity_hash") not in (None, identity_hash(config)):
      raise ValueError("its config does not match its hash")
    return config
  except (FileNotFoundError, NotADirectoryError) as error:
    raise ValueError(
      f"there is no {path}; give the work directory of a sweep or, if only this"
      " file was lost, run the sweep's command again, which writes it"
    ) from error
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise CorruptError(path, _one_line(error)) from error


def require_same_experiment(config: Config, workdir: epath.Path) -> None:
  """Raises ValueError where a work directory holds another experiment."""
  if not (workdir / "config.json").exists():
    return
  there = read_config(workdir)
  if difference := first_difference(there, config):
    key, value, other = difference
    raise ValueError(
      f"{workdir} holds another experiment: {key} is {value} there, but {other}"
      " in this config; use another --workdir"
    )


def quarantine_corrupt(workdir: epath.Path, config: Config) -> list[epath.Path]:
  """Moves corrupt records, and a corrupt config.json, out of the way.

  Each is moved to `damaged/` in the work directory, with a warning, and its
  seeds are trained again. All files are read before the first one is moved, so
  that the directory of another experiment is left unchanged.

  Args:
    workdir: the work directory, which need not exist.
    config: the experiment that continues there.

  Returns:
    The new paths of the corrupt files.

  Raises:
    ValueError: an intact file belongs to another experiment.
    OSError: a file cannot be read or moved.
  """
  corrupt, moved = [], []
  for path in [workdir / "config.json", *files(workdir)]:
    try:
      if path == workdir / "config.json":
        require_same_experiment(config, workdir)
      else:
        table, provenance = read_file(path)
        cell = cell_of_file(workdir, path)
        require_cell(path, provenance, config, cell)
        require_complete(path, table, cell, config)
    except CorruptError as error:
      corrupt.append(error)
    except FileNotFoundError:  # Another process has moved it.
      pass
  for error in corrupt:
    # Without the suffix of Parquet, so that no table tool reads it.
    name = f"{error.path.relative_to(workdir)}.damaged"
    moved.append(quarantine(error.path, workdir / "damaged" / name))
    _LOG.warning(
      "%s is corrupt (%s); it was moved to %s, and the sweep will replace it",
      *(error.path, error.reason, moved[-1]),
    )
  return moved


def require_cell(
  path: epath.Path, provenance: dict, config: Config, cell: Cell
) -> None:
  """Raises ValueError if a file belongs to another cell or experiment."""
  names = tuple(name for name, _ in cell.axes)
  if names != config.grid.axis_names:
    raise ValueError(
      f"{path} is of a grid with the axes {', '.join(names)}, not"
      f" {', '.join(config.grid.axis_names)}; move it away or use another"
      " --workdir"
    )
  found = provenance.get("cell_hash")
  if found != cell_hash(config, cell):
    raise ValueError(
      f"{path} holds seeds of another experiment (cell hash {found}, not"
      f" {cell_hash(config, cell)}); move it away or use another --workdir"
    )


def recorded_seeds(workdir: epath.Path, cell: Cell) -> set[int]:
  """The seeds of a cell that have records, from the names of the files."""
  folder = workdir / "records" / str(cell)
  paths = folder.glob("seeds-*.parquet")
  return {seed for path in paths for seed in seeds_of_file(path)}


def make_provenance(
  config: Config, cell: Cell, devices: Sequence[object]
) -> dict:
  """The provenance of rows: experiment, versions and devices.

  It has no time and no host, so that the same run writes the same bytes.
  """
  device = devices[0]
  return {
    "identity_hash": identity_hash(config),
    "cell_hash": cell_hash(config, cell),
    "config": to_dict(config),
    "block": config.seeds.block,
    "device_kind": getattr(device, "device_kind", "unknown"),
    "platform": getattr(device, "platform", "unknown"),
    "num_devices": len(devices),
    **versions(),
  }


@functools.cache
def versions() -> dict[str, str]:
  """Versions of the code, Python and libraries, and the CPU, for provenance."""
  libraries = ("jax", "jaxlib", "flax", "optax", "numpy")
  return {
    "git_commit": _git_commit(),
    "emergence_version": importlib.metadata.version("emergence"),
    "python_version": platform.python_version(),
    "machine": platform.machine(),
    "processor": _processor(),
    **{
      f"{name}_version": importlib.metadata.version(name) for name in libraries
    },
  }


def consecutive_ranges(seeds: Sequence[int]) -> list[list[int]]:
  """Splits increasing indices where one is missing: 0 1 2 5 6 -> 0 1 2, 5 6."""
  ranges: list[list[int]] = []
  for seed in seeds:
    if ranges and seed == ranges[-1][-1] + 1:
      ranges[-1].append(seed)
    else:
      ranges.append([seed])
  return ranges


def _require_records(path: epath.Path, table: pa.Table) -> pa.Table:
  """Checks the columns of a file and returns those of `schema`."""
  names = table.schema.names
  wanted = schema(axes_of(names))
  if len(set(names)) < len(names):
    raise CorruptError(path, "two of its columns have the same name")
  recorded = [*(metric.name for metric in METRICS), *ERROR_COUNTS]
  newer = set(recorded).difference(names)
  if required := set(wanted.names) - newer - set(names):
    raise CorruptError(
      path, f"it lacks the columns {', '.join(sorted(required))}"
    )
  for field in wanted:
    if field.name in newer:
      table = table.append_column(field, pa.nulls(table.num_rows, field.type))
      continue
    column = table[field.name]
    if column.type != field.type:
      raise CorruptError(
        path, f"its column {field.name} is {column.type}, not {field.type}"
      )
    if column.null_count and field.name not in _NULLABLE:
      raise CorruptError(path, f"its column {field.name} has nulls")
  return table.select(wanted.names).cast(wanted)


def _provenance(
  path: epath.Path, metadata: dict[bytes, bytes] | None
) -> dict[str, Any]:
  metadata = metadata or {}
  text = metadata.get(_METADATA_KEY, b"{}")
  digest = metadata.get(_DIGEST_KEY)
  if digest not in (None, hashlib.sha256(text).hexdigest().encode()):
    raise CorruptError(path, "its provenance does not match its SHA-256")
  try:
    provenance = json.loads(text)
    version = provenance.get("schema_version", 0)
    if version > SCHEMA_VERSION:
      raise ValueError("a newer version of this program wrote it")
  except (AttributeError, TypeError, ValueError) as error:
    raise ValueError(
      f"the metadata of {path} cannot be read: {_one_line(error)}; move the"
      " file away"
    ) from error
  return provenance


def _one_line(error: Exception) -> str:
  return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _processor() -> str:
  """The name of the CPU, such as `AMD EPYC 9B14`; empty where not known."""
  try:
    text = epath.Path("/proc/cpuinfo").read_text()
  except OSError:
    return platform.processor()
  found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
  return found[1] if found else ""


def _git_commit() -> str:
  """Commit of this source tree, with `-dirty` if tracked files differ."""
  git = functools.partial(
    subprocess.check_output,
    cwd=epath.Path(__file__).parent.parent,
    text=True,
    stderr=subprocess.DEVNULL,
  )
  try:
    commit = git(["git", "rev-parse", "HEAD"]).strip()
    changed = git(
      ["git", "status", "--porcelain", "--untracked-files=no", "--", "."]
    )
  except (OSError, subprocess.CalledProcessError):
    return "unknown"
  return commit + ("-dirty" if changed else "")
