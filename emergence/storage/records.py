"""Per-seed records: a Parquet data set, one file per finished run of seeds.

The layout is `records/count/width-32/depth-4/seeds-000000-000031.parquet`, with
a further folder for each further axis of the grid. A file is written once,
under a hidden name and then renamed, and never changed: that it is there means
that its seeds are finished. Folder names carry no `=`, the columns are in the
files, so `pandas.read_parquet("DIR/records")` and its like read everything.
"""

import functools
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
from etils import epath

from emergence.config import (
  Cell,
  Config,
  axes_of,
  cell_hash,
  first_difference,
  from_dict,
  identity_hash,
  to_dict,
)
from emergence.storage import records_file
from emergence.storage.files import glob_below, write_atomically
from emergence.storage.records_file import read_provenance, seeds_of_file

if TYPE_CHECKING:
  import pandas as pd

  from emergence.population.population import Snapshot


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
    snapshots: the population at each evaluation step.
  """
  snapshots = list(snapshots)
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
      for p, length in enumerate(config.task.test_lengths):
        rows.append(
          {
            **run,
            "step": snapshot.step,
            "test_set": records_file.name_of_length(length),
            "test_length": length,
            **{
              metric: float(score[i, p])
              for metric, score in snapshot.scores._asdict().items()
            },
            "train_loss": loss,
            "diverged": bool(snapshot.diverged[i]),
          }
        )
  axes = [name for name, _ in cell.axes]
  return pa.Table.from_pylist(rows, records_file.schema(axes))


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
  missing = set(seeds.tolist()) - recorded_seeds(workdir, cell)
  for run in consecutive_runs(sorted(missing)):
    rows = table.filter(pa.array((seeds >= run[0]) & (seeds <= run[-1])))
    write_atomically(
      folder / records_file.name(run[0], run[-1]),
      records_file.encode(rows, provenance),
    )


def read(workdir: epath.PathLike) -> "pd.DataFrame":
  """All records of a work directory, sorted by cell, seed, step, test set.

  Raises:
    ValueError: there are none, a file is damaged, or two hold the same seed.
    OSError: the machine cannot read a file.
  """
  import pandas as pd

  workdir = epath.Path(workdir)
  frames = []
  for path in require_files(workdir):
    table, provenance = records_file.read(path)
    cell = cell_of_file(workdir, path)
    if "config" in provenance:
      config = records_file.config_of(path, provenance)
    elif (workdir / "config.json").exists():
      config = read_config(workdir)
    else:
      config = None
    if config:
      records_file.require_complete(path, table, cell, config)
    frame = records_file.to_frame(table)
    frames.append(frame.assign(file=str(path)))
  axes = {tuple(axes_of(frame.columns)) for frame in frames}
  if len(axes) > 1:
    raise ValueError(
      f"{workdir / 'records'} holds records of different axes:"
      f" {' and '.join(', '.join(names) for names in sorted(axes))}"
    )
  frame = pd.concat(frames, ignore_index=True)
  cell_key = ["task", *axes.pop()]
  key = [*cell_key, "seed", "step", "test_set"]
  twice = cast(Any, frame[frame.duplicated(key, keep=False)])
  if len(twice):
    first = twice.sort_values(key).iloc[:2]
    raise ValueError(
      f"seed {first['seed'].iloc[0]} stands in {' and in '.join(first['file'])}"
      "; two processes trained it: delete one of the files, and the same sweep"
      " trains what else was in it"
    )
  order = [*cell_key, "seed", "step", "test_length", "test_set"]
  return frame.drop(columns="file").sort_values(order, ignore_index=True)


def read_seed(
  workdir: epath.PathLike, cell: Cell, seed: int
) -> "pd.DataFrame | None":
  """The rows of one seed; None where it has no records.

  Raises:
    ValueError: its file is damaged.
  """
  folder = epath.Path(workdir) / "records" / str(cell)
  for path in _files_by_seed(folder).get(seed, []):
    frame = records_file.to_frame(records_file.read(path).table)
    return frame.loc[frame["seed"] == seed]
  return None


def scale_axis(rows: Sequence[Mapping[str, Any]]) -> str:
  """The axis along which cells are compared: `depth` where it varies, else the
  first axis of numbers that does. The others separate groups, and so does
  `root_seed`, which is no scale.

  Args:
    rows: cells, as `summarize` returns them.
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
  """The rows after the last step of each cell.

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
    columns: values of `cell_columns`; other keys are passed over.
  """
  names = cell_columns(frame)
  is_own = [frame[name] == columns[name] for name in names]
  return frame[np.logical_and.reduce(is_own)]


def files(workdir: epath.PathLike) -> list[epath.Path]:
  """The paths of all records files of a work directory, sorted."""
  folder = epath.Path(workdir) / "records"
  return [
    path
    for path in glob_below(folder, "seeds-*.parquet")
    if records_file.is_named_like_one(path)
  ]


def require_files(workdir: epath.PathLike) -> list[epath.Path]:
  """The paths of all records files; ValueError where there are none."""
  found = files(workdir)
  if not found:
    raise ValueError(f"no records in {epath.Path(workdir) / 'records'}")
  return found


def cell_of_file(workdir: epath.PathLike, path: epath.Path) -> Cell:
  """The cell that a file's folder names; ValueError where it names none."""
  folder = epath.Path(workdir) / "records"
  try:
    return Cell.parse("/".join(path.relative_to(folder).parts[:-1]))
  except ValueError as error:
    raise ValueError(f"{path} lies in no folder of records: {error}") from error


def read_config(workdir: epath.PathLike) -> Config:
  """The config that a work directory belongs to.

  Raises:
    ValueError: there is none, or it is damaged.
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
    todo = (
      "run the sweep's command again, it writes it anew"
      if files(workdir)
      else "name the --workdir of a sweep"
    )
    raise ValueError(
      f"{path} is not a readable config: there is no such file; {todo}"
    ) from error
  except (
    AttributeError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
  ) as error:
    raise ValueError(
      f"{path} is not a readable config: {error or 'damaged'}; run the sweep's"
      " command again, it sets it aside and writes it anew"
    ) from error


def require_same_experiment(config: Config, workdir: epath.Path) -> None:
  """Raises ValueError where a work directory holds another experiment."""
  if not (workdir / "config.json").exists():
    return
  there = read_config(workdir)
  if difference := first_difference(there, config):
    key, value, other = difference
    raise ValueError(
      f"{workdir} holds another experiment: {key} is {value} there and"
      f" {other} here; use another --workdir"
    )


def finished_seeds(workdir: epath.Path, config: Config, cell: Cell) -> set[int]:
  """The seeds of a cell that have records.

  Raises:
    ValueError: a file is damaged or belongs to another experiment.
    OSError: the machine cannot read a file.
  """
  found = _files_by_seed(workdir / "records" / str(cell))
  gone = set()
  for path in {path for paths in found.values() for path in paths}:
    try:
      provenance = read_provenance(path)
    except FileNotFoundError:  # Another process has set it aside.
      gone.add(path)
    else:
      require_cell(path, provenance, config, cell)
  return {seed for seed, paths in found.items() if not gone.issuperset(paths)}


def require_cell(
  path: epath.Path, provenance: dict, config: Config, cell: Cell
) -> None:
  """Raises ValueError where a file is not of this cell of an experiment."""
  found = provenance.get("cell_hash")
  if found != cell_hash(config, cell):
    raise ValueError(
      f"{path} holds seeds of another experiment (cell hash {found}, not"
      f" {cell_hash(config, cell)}); move it away or use another --workdir"
    )


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


def read_provenances(workdir: epath.PathLike) -> list[dict]:
  """The different provenances of the records of a work directory.

  Raises:
    ValueError: a file is damaged.
  """
  found = {}
  for path in files(workdir):
    provenance = read_provenance(path)
    found[json.dumps(provenance, sort_keys=True)] = provenance
  return list(found.values())


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
  found: dict[int, list[epath.Path]] = {}
  for path in sorted(folder.glob("seeds-*.parquet")):
    if records_file.is_named_like_one(path):
      for seed in seeds_of_file(path):
        found.setdefault(seed, []).append(path)
  return found


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
