"""Cells × blocks of seeds that are asked for, and what of them is left."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from etils import epath

from emergence import blocks, compilation, params, records
from emergence import config as config_lib
from emergence.claims import look_anew
from emergence.config import Cell, Config
from emergence.identity import first_difference


class Work(NamedTuple):
  """What is left of one cell: blocks of seed indices, cut by `seeds.block`."""

  cell: Cell
  blocks: list[list[int]]

  @property
  def num_seeds(self) -> int:
    return sum(len(block) for block in self.blocks)


def check(config: Config) -> None:
  """Raises ValueError where a cell of the config cannot be built."""
  for cell in config_lib.cells(config):
    compilation.make_architecture(config, cell)


def require_same_experiment(config: Config, workdir: epath.Path) -> None:
  """Raises ValueError where a work directory holds another experiment."""
  if not (workdir / "config.json").exists():
    return
  there = records.read_config(workdir)
  if difference := first_difference(there, config):
    key, value, other = difference
    raise ValueError(
      f"{workdir} holds another experiment: {key} is {value} there and"
      f" {other} here; use another --workdir"
    )


def remaining(
  config: Config, workdir: epath.Path, seeds: Sequence[int]
) -> list[Work]:
  """What of the cells × seeds has no records yet, in the order of the grid."""
  left = []
  for cell in config_lib.cells(config):
    done = records.finished_seeds(workdir, config, cell)
    missing = [seed for seed in sorted(set(seeds)) if seed not in done]
    if missing:
      left.append(Work(cell, cut_blocks(missing, config.seeds.block)))
  return left


def shard(
  work: Sequence[Work],
  config: Config,
  cells: Sequence[Cell],
  seeds: Sequence[int],
  index: int,
  count: int,
) -> list[Work]:
  """One of `count` shares of some work that have no block in common.

  The blocks of all that was asked for are dealt out one by one, cell after
  cell, so that no share has more than one block more than another. A block's
  share stays the same while other blocks are finished.

  Args:
    work: what is left of the cells × seeds.
    config: the experiment.
    cells: that were asked for.
    seeds: that were asked for, of each cell.
    index: which share, 0 … count − 1.
    count: how many shares there are.
  """
  numbers = sorted({seed // config.seeds.block for seed in seeds})
  asked = itertools.product(cells, numbers)
  own = set(itertools.islice(asked, index, None, count))
  shares = []
  for cell, blocks_ in work:
    mine = [x for x in blocks_ if (cell, blocks.index(config, x)) in own]
    if mine:
      shares.append(Work(cell, mine))
  return shares


def seeds_without_params(
  config: Config,
  workdir: epath.Path,
  cells: Sequence[Cell],
  seeds: Sequence[int],
  keep_params: str,
) -> int:
  """How many finished seeds lack parameters that `keep_params` asks for."""
  wanted = params.steps_to_keep(config, keep_params)
  count = 0
  for cell in cells if wanted else ():
    # First the records: of a block that another process finishes meanwhile, the
    # parameters are there before them.
    finished = records.finished_seeds(workdir, config, cell) & set(seeds)
    look_anew(workdir / "params" / str(cell))
    kept = params.kept_files(workdir, cell)
    count += sum(not wanted <= set(kept.get(seed, ())) for seed in finished)
  return count


def cut_blocks(seeds: Sequence[int], block: int) -> list[list[int]]:
  """Groups increasing seed indices by seed // block."""
  groups: dict[int, list[int]] = {}
  for seed in seeds:
    groups.setdefault(seed // block, []).append(seed)
  return list(groups.values())
