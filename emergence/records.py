"""Per-seed records: a Parquet data set, one file per finished run of seeds.

The layout is `records/count/width-32/depth-4/seeds-000000-000031.parquet`. A
file is written once, under a hidden name and then renamed, and never changed:
that it is there means that its seeds are finished. Folder names carry no
`=`, the columns are in the files, so `pandas.read_parquet("DIR/records")` and
its like read everything.
"""

import functools
import importlib.metadata
import json
import platform
import re
import subprocess
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from emergence.config import (
  Cell,
  Config,
  cell_hash,
  from_dict,
  identity_hash,
  to_dict,
)
from emergence.remote import is_remote

if TYPE_CHECKING:
  import pandas as pd

  from emergence.population import Snapshot

_METADATA_KEY = b"emergence"
# The columns that name a row.
_KEY = ["task", "width", "depth", "seed", "step", "test_length"]
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


def to_table(
  config: Config,
  cell: Cell,
  num_params: int,
  seeds: Sequence[int],
  snapshots: Iterable["Snapshot"],
) -> pa.Table:
  """Rows of some seeds of one cell, in the order seed, step, test length.

  Args:
    config: the experiment.
    cell: the cell.
    num_params: parameters of one of its models.
    seeds: the S seed indices, in the order of the snapshots' axis S.
    snapshots: the population at each evaluation step.
  """
  rows = []
  for i, seed in enumerate(seeds):
    init_seed, data_seed = config.seeds.init_and_data_seed(seed)
    for snapshot in snapshots:
      loss = None if snapshot.step == 0 else float(snapshot.train_loss[i])
      for p, test_length in enumerate(config.task.test_lengths):
        rows.append(
          (*cell, num_params, seed, init_seed, data_seed)
          + (snapshot.step, test_length)
          + tuple(float(score[i, p]) for score in snapshot.scores)
          + (loss, bool(snapshot.diverged[i]))
        )
  columns = zip(*rows, strict=True)
  arrays = [
    pa.array(column, field.type)
    for column, field in zip(columns, SCHEMA, strict=True)
  ]
  return pa.Table.from_arrays(arrays, schema=SCHEMA)


def write(
  workdir: epath.Path, cell: Cell, table: pa.Table, provenance: dict
) -> None:
  """Writes finished seeds, one file per run of consecutive indices.

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
  missing = set(seeds.tolist()) - set(_files_by_seed(folder))
  metadata = {_METADATA_KEY: json.dumps(provenance, sort_keys=True).encode()}
  for run in consecutive_runs(sorted(missing)):
    rows = table.filter(pa.array((seeds >= run[0]) & (seeds <= run[-1])))
    sink = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata(metadata), sink)
    write_atomically(
      folder / f"seeds-{run[0]:06d}-{run[-1]:06d}.parquet",
      sink.getvalue().to_pybytes(),
    )


def read(workdir: epath.PathLike) -> "pd.DataFrame":
  """All records of a work directory, sorted by cell, seed, step, test length.

  Raises:
    ValueError: there are none, a file is damaged, or two hold the same seed.
  """
  import pandas as pd

  folder = epath.Path(workdir) / "records"
  frames = [frame for _, frame in read_files(workdir)]
  frame = pd.concat(frames, ignore_index=True)
  twice = frame[frame.duplicated(_KEY)]
  if len(twice):
    row = twice.iloc[0]
    cell = Cell(row["task"], row["width"], row["depth"])
    files = _files_by_seed(folder / str(cell)).get(row["seed"], [folder])
    raise ValueError(
      f"seed {row['seed']} stands in {' and in '.join(map(str, files))}; two"
      " processes trained it: delete one of the files, and the same sweep"
      " trains what else was in it"
    )
  return frame.sort_values(_KEY, ignore_index=True)


def read_files(
  workdir: epath.PathLike,
) -> list[tuple[epath.Path, "pd.DataFrame"]]:
  """Each records file of a work directory and its rows, sorted by path.

  Raises:
    ValueError: there are none, or a file is damaged.
  """
  folder = epath.Path(workdir) / "records"
  files = [
    (path, _read_table(path).to_pandas())
    for path in sorted(folder.glob("*/*/*/*.parquet"))
    if _FILE_NAME.fullmatch(path.name)
  ]
  if not files:
    raise ValueError(f"no records in {folder}")
  return files


def read_seed(
  workdir: epath.PathLike, cell: Cell, seed: int
) -> "pd.DataFrame | None":
  """The rows of one seed; None where it has no records.

  Raises:
    ValueError: its file is damaged.
  """
  folder = epath.Path(workdir) / "records" / str(cell)
  for path in _files_by_seed(folder).get(seed, []):
    frame = _read_table(path).to_pandas()
    return frame[frame["seed"] == seed]
  return None


def seeds_of_file(path: epath.PathLike) -> range:
  """The seeds that a records file holds according to its name."""
  match = _FILE_NAME.fullmatch(epath.Path(path).name)
  if not match:
    raise ValueError(f"{path} is not named like a records file")
  return range(int(match[1]), int(match[2]) + 1)


def read_config(workdir: epath.PathLike) -> Config:
  """The config that a work directory belongs to.

  Raises:
    ValueError: there is none, or it cannot be read.
  """
  path = epath.Path(workdir) / "config.json"
  try:
    return from_dict(json.loads(path.read_text())["config"])
  except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
    raise ValueError(f"{path} is not a readable config: {error}") from error


def finished_seeds(workdir: epath.Path, config: Config, cell: Cell) -> set[int]:
  """The seeds of a cell that have records.

  Raises:
    ValueError: a file cannot be read or belongs to another experiment.
  """
  files = _files_by_seed(workdir / "records" / str(cell))
  for path in {path for paths in files.values() for path in paths}:
    found = read_provenance(path).get("cell_hash")
    if found != cell_hash(config, cell):
      raise ValueError(
        f"{path} holds seeds of another experiment (cell hash {found}, not"
        f" {cell_hash(config, cell)}); move it away or use another --workdir"
      )
  return set(files)


def recorded_seeds(workdir: epath.Path, cell: Cell) -> set[int]:
  """The seeds of a cell that have records, going by the names of the files."""
  return set(_files_by_seed(workdir / "records" / str(cell)))


def make_provenance(
  config: Config, cell: Cell, devices: Sequence[object]
) -> dict:
  """What a reader needs to know where rows come from. No time and no host, so
  that the same run writes the same bytes."""
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
  """Versions of the code, the language and the libraries that set results."""
  libraries = ("jax", "jaxlib", "flax", "optax", "numpy")
  return {
    "git_commit": _git_commit(),
    "emergence_version": importlib.metadata.version("emergence"),
    "python_version": platform.python_version(),
    "machine": platform.machine(),
    **{
      f"{name}_version": importlib.metadata.version(name) for name in libraries
    },
  }


def read_provenance(path: epath.Path) -> dict:
  """The provenance stored in a records file; ValueError where unreadable."""
  try:
    with path.open("rb") as file:
      metadata = pq.read_schema(file).metadata or {}
  except (pa.ArrowInvalid, OSError) as error:
    raise _unreadable(path, error) from error
  return json.loads(metadata.get(_METADATA_KEY, b"{}"))


def read_provenances(workdir: epath.PathLike) -> list[dict]:
  """The different provenances of the records of a work directory.

  Raises:
    ValueError: a file cannot be read.
  """
  found = {}
  folder = epath.Path(workdir) / "records"
  for path in sorted(folder.glob("*/*/*/*.parquet")):
    if _FILE_NAME.fullmatch(path.name):
      provenance = read_provenance(path)
      found[json.dumps(provenance, sort_keys=True)] = provenance
  return list(found.values())


def write_atomically(path: epath.Path, content: bytes) -> None:
  """Writes a file so that it is there whole or not at all."""
  if is_remote(path):
    path.write_bytes(content)  # What is uploaded appears at the end.
    return
  # A name of its own, should two processes write the same file.
  temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.writing"
  try:
    temporary.write_bytes(content)
    temporary.replace(path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


def consecutive_runs(seeds: Sequence[int]) -> list[list[int]]:
  """Splits increasing indices where one is missing: 0 1 2 5 6 -> 0 1 2, 5 6."""
  runs: list[list[int]] = []
  for seed in seeds:
    if runs and seed == runs[-1][-1] + 1:
      runs[-1].append(seed)
    else:
      runs.append([seed])
  return runs


def _files_by_seed(folder: epath.Path) -> dict[int, list[epath.Path]]:
  """The records files of a cell's folder that hold each seed."""
  files: dict[int, list[epath.Path]] = {}
  for path in sorted(folder.glob("seeds-*.parquet")):
    match = _FILE_NAME.fullmatch(path.name)
    for seed in range(int(match[1]), int(match[2]) + 1) if match else ():
      files.setdefault(seed, []).append(path)
  return files


def _unreadable(path: epath.Path, error: Exception) -> ValueError:
  return ValueError(
    f"{path} is not a readable records file; delete it, and the same sweep"
    f" trains its seeds again: {error}"
  )


def _read_table(path: epath.Path) -> pa.Table:
  try:
    with path.open("rb") as file:
      table = pq.read_table(file)
  except (pa.ArrowInvalid, OSError) as error:
    raise _unreadable(path, error) from error
  missing = set(SCHEMA.names) - set(table.schema.names)
  if missing:
    raise ValueError(f"{path} lacks the columns {', '.join(sorted(missing))}")
  return table.select(SCHEMA.names).cast(SCHEMA)


def _git_commit() -> str:
  """Commit of this source tree, `-dirty` where files differ from it."""
  folder = str(epath.Path(__file__).parent)
  git = ["git", "-C", folder]
  try:
    commit = subprocess.check_output(
      [*git, "rev-parse", "HEAD"], text=True, stderr=subprocess.DEVNULL
    ).strip()
    changed = subprocess.check_output(
      [*git, "status", "--porcelain", "--untracked-files=no", "--", "."],
      text=True,
      stderr=subprocess.DEVNULL,
    )
  except (OSError, subprocess.CalledProcessError):
    return "unknown"
  return commit + ("-dirty" if changed else "")
