"""Parameters of trained seeds, kept for interpretability.

One file per step and range of consecutive seeds, as for records:
`params/count/width-32/depth-4/seeds-000000-000015/step-00002000.npz`. Arrays
are named by their path in the parameters, `layers.0.qkv.kernel`, and have a
leading axis over seeds.
"""

import io
import re
from collections.abc import Sequence

import jax
import numpy as np
from etils import epath

from emergence.config import Cell, Config, cell_config
from emergence.storage.files import (
  seeds_in_name,
  seeds_name,
  write_atomically,
)
from emergence.storage.records import consecutive_ranges, read_config
from emergence.training.model import Params

KEEP_PARAMS = ("none", "final", "all")

_FILE = re.compile(r"step-(\d{8,})\.npz")


def steps_to_keep(config: Config, keep_params: str) -> set[int]:
  """The steps at which the parameters of a seed are kept.

  Args:
    config: the experiment.
    keep_params: `none` for no step, `final` for the last step, `all` for every
      evaluation step.
  """
  return {
    "none": set(),
    "final": {config.train.steps},
    "all": set(config.eval_steps),
  }[keep_params]


def save_params(
  workdir: epath.Path,
  cell: Cell,
  seeds: Sequence[int],
  step: int,
  params: Params,
) -> None:
  """Writes the parameters of S seeds after `step` steps.

  Args:
    workdir: the work directory.
    cell: the cell.
    seeds: the S seed indices, increasing.
    step: steps done.
    params: parameters with a leading axis S.
  """
  arrays = _flatten(params)
  seeds = list(seeds)
  for own in consecutive_ranges(seeds):
    first = seeds.index(own[0])
    folder = workdir / "params" / str(cell) / seeds_name(own[0], own[-1])
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    part = {name: x[first : first + len(own)] for name, x in arrays.items()}
    np.savez_compressed(buffer, allow_pickle=False, **part)
    write_atomically(folder / f"step-{step:08d}.npz", buffer.getvalue())


def load_params(
  workdir: epath.PathLike, cell: Cell, seed: int, step: int | None = None
) -> Params:
  """The parameters of one trained seed, as `training.model.apply` takes them.

  Args:
    workdir: a work directory written with `--keep_params=final` or `all`.
    cell: the cell, such as Cell.parse("count/width-16/depth-4").
    seed: the seed index.
    step: training steps done; if None, the `train.steps` of the cell.

  Returns:
    Nested dict of numpy float32 arrays, without an axis over seeds.

  Raises:
    ValueError: no parameters of this seed and step were kept, or their file is
      corrupt.
  """
  workdir = epath.Path(workdir)
  found = kept_files(workdir, cell).get(seed)
  if not found:
    raise ValueError(
      f"{workdir / 'params'} has no parameters of {cell} seed {seed}; to get"
      " them, train the seed in another --workdir with --keep_params=final or"
      " --keep_params=all"
    )
  if step is None:
    step = cell_config(read_config(workdir), cell).train.steps
  if step not in found:
    raise ValueError(
      f"{workdir / 'params'} has no parameters of {cell} seed {seed} after"
      f" {step} steps; it has those after {', '.join(map(str, sorted(found)))}"
      " steps"
    )
  path = found[step]
  row = seeds_in_name(path.parent.name).index(seed)
  content = path.read_bytes()
  try:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
      rows = {name: arrays[name][row] for name in arrays.files}
  # Which error numpy or zipfile raises depends on the corrupt bytes.
  except Exception as error:
    raise ValueError(
      f"{path} is corrupt: {error}; to get the parameters again, train the seed"
      " in another --workdir with --keep_params=final or --keep_params=all"
    ) from error
  return _unflatten(rows)


def kept_files(
  workdir: epath.Path, cell: Cell
) -> dict[int, dict[int, epath.Path]]:
  """The parameter files of a cell, as {seed: {step: file}}."""
  files: dict[int, dict[int, epath.Path]] = {}
  folder = workdir / "params" / str(cell)
  for path in sorted(folder.glob("seeds-*/step-*.npz")):
    if match := _FILE.fullmatch(path.name):
      for seed in seeds_in_name(path.parent.name):
        files.setdefault(seed, {})[int(match[1])] = path
  return files


def remove(workdir: epath.Path, cell: Cell, seeds: Sequence[int]) -> None:
  """Removes the files with parameters of any of these seeds."""
  files = kept_files(workdir, cell)
  for path in {path for seed in seeds for path in files.get(seed, {}).values()}:
    path.unlink(missing_ok=True)


def _flatten(params: Params) -> dict[str, np.ndarray]:
  leaves = jax.tree.leaves_with_path(params)
  return {
    jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
    for path, leaf in leaves
  }


def _unflatten(arrays: dict[str, np.ndarray]) -> Params:
  params: Params = {}
  for name, array in arrays.items():
    *outer, last = (int(k) if k.isdigit() else k for k in name.split("."))
    inner = params
    for key in outer:
      inner = inner.setdefault(key, {})
    inner[last] = array
  return params
