"""Parameters kept for those who want to look inside a seed.

One file per run of consecutive seeds and step, beside the records and cut like
them: `params/count/width-32/depth-4/seeds-000000-000015/step-00002000.npz`. Its
arrays are named by their path in the parameters, `layers.0.qkv.kernel`, with a
leading axis over the seeds of the file.
"""

import io
import re
from collections.abc import Sequence

import jax
import numpy as np
from etils import epath

from emergence.config import Cell
from emergence.model import Params
from emergence.records import consecutive_runs, write_atomically

_FOLDER = re.compile(r"seeds-(\d{6,})-(\d{6,})")
_FILE = re.compile(r"step-(\d{8,})\.npz")


def save_params(
  workdir: epath.Path,
  cell: Cell,
  seeds: Sequence[int],
  step: int,
  params: Params,
) -> None:
  """Writes the parameters of S seeds after `step` updates.

  Args:
    workdir: the work directory.
    cell: the cell.
    seeds: the S seed indices, increasing.
    step: updates done.
    params: parameters with a leading axis S.
  """
  arrays = _flatten(params)
  seeds = list(seeds)
  for run in consecutive_runs(seeds):
    first = seeds.index(run[0])
    folder = (
      workdir / "params" / str(cell) / f"seeds-{run[0]:06d}-{run[-1]:06d}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    part = {name: x[first : first + len(run)] for name, x in arrays.items()}
    np.savez(buffer, allow_pickle=False, **part)
    write_atomically(folder / f"step-{step:08d}.npz", buffer.getvalue())


def load_params(
  workdir: epath.PathLike, cell: Cell, seed: int, step: int | None = None
) -> Params:
  """The parameters of one trained seed, as `emergence.model.apply` takes them.

  Args:
    workdir: a work directory written with `--keep_params=final` or `all`.
    cell: the cell, such as Cell("count", 16, 4).
    seed: the seed index.
    step: updates done; the last kept ones where None.

  Returns:
    Nested dict of numpy float32 arrays, without an axis over seeds.

  Raises:
    ValueError: no parameters of this seed, or not of this step, were kept.
  """
  folder = epath.Path(workdir) / "params" / str(cell)
  for part in sorted(folder.glob("seeds-*")):
    match = _FOLDER.fullmatch(part.name)
    if match and int(match[1]) <= seed <= int(match[2]):
      paths = {
        int(found[1]): path
        for path in part.glob("step-*.npz")
        if (found := _FILE.fullmatch(path.name))
      }
      wanted = max(paths, default=None) if step is None else step
      if wanted not in paths:
        raise ValueError(f"{part} holds the steps {sorted(paths)}, not {step}")
      content = io.BytesIO(paths[wanted].read_bytes())
      row = seed - int(match[1])
      with np.load(content, allow_pickle=False) as arrays:
        return _unflatten({name: arrays[name][row] for name in arrays.files})
  raise ValueError(
    f"no parameters of {cell} seed {seed} in {epath.Path(workdir) / 'params'};"
    " sweep with --keep_params=final or all to keep them"
  )


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
