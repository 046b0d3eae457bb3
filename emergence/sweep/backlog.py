"""Cells × blocks of seeds that are asked for, and what of them is left."""

from collections.abc import Sequence
from typing import NamedTuple

from etils import epath

from emergence import config as config_lib
from emergence.config import Cell, Config
from emergence.population import compilation
from emergence.storage import locks, params, records
from emergence.storage.files import look_anew


class Work(NamedTuple):
  """What is left of one cell: blocks of seed indices, cut by `seeds.block`."""

  cell: Cell
  blocks: list[list[int]]

  @property
  def num_seeds(self) -> int:
    return sum(len(block) for block in self.blocks)


class CellStatus(NamedTuple):
  """How far a cell is.

  Attributes:
    cell: the cell.
    done: seeds that have records.
    training: seeds that some process trains right now; always 0 where the file
      system has no locks.
    missing: other seeds that were asked for.
    holders: the processes that train them, as they wrote it down.
  """

  cell: Cell
  done: int
  training: int
  missing: int
  holders: list[locks.Holder]


class Shard(NamedTuple):
  """One of `count` parts of the work, which have no block in common.

  What is dealt out, one by one, are groups of `num_devices` consecutive blocks
  of a cell, so that no device idles. Which shard a block belongs to depends on
  the seeds that were asked for, not on those that are finished: it stays the
  same while other processes finish theirs.

  Attributes:
    index: which part, 0 … count − 1.
    count: how many parts there are.
    num_devices: devices of a process, which train a block each.
  """

  index: int = 0
  count: int = 1
  num_devices: int = 1


def check(config: Config) -> None:
  """Raises ValueError where a cell of the config cannot be built."""
  for cell in config_lib.cells(config):
    compilation.make_architecture(config, cell)


def remaining(
  config: Config,
  workdir: epath.Path,
  seeds: Sequence[int],
  cells: Sequence[Cell] | None = None,
) -> list[Work]:
  """What of cells × seeds has no records yet, in the order of the cells.

  Args:
    config: the experiment.
    workdir: the work directory.
    seeds: that are asked for, of each cell.
    cells: that are asked for; those of the grid if None.
  """
  left = []
  for cell in config_lib.cells(config) if cells is None else cells:
    done = records.finished_seeds(workdir, config, cell)
    missing = [seed for seed in sorted(set(seeds)) if seed not in done]
    if missing:
      left.append(Work(cell, cut_blocks(missing, config.seeds.block)))
  return left


def shards(
  config: Config,
  cells: Sequence[Cell],
  seeds: Sequence[int],
  num_devices: int,
) -> dict[tuple[Cell, int], int]:
  """The groups that are dealt out, each with its number.

  Args:
    config: the experiment.
    cells: that are asked for.
    seeds: that are asked for, of each cell.
    num_devices: devices of a process.

  Returns:
    By cell and seed // (num_devices · seeds.block), the number of the group;
    shard I of N trains the groups I, I + N, I + 2N, …
  """
  size = num_devices * config.seeds.block
  places = sorted({seed // size for seed in seeds})
  groups = [(cell, place) for cell in cells for place in places]
  return {group: number for number, group in enumerate(groups)}


def of_shard(
  work: Sequence[Work],
  config: Config,
  cells: Sequence[Cell],
  seeds: Sequence[int],
  shard: Shard,
) -> list[Work]:
  """The part of some work that belongs to a shard.

  Args:
    work: what is left of cells × seeds.
    config: the experiment.
    cells: that are asked for.
    seeds: that are asked for, of each cell.
    shard: which part.
  """
  numbers = shards(config, cells, seeds, shard.num_devices)
  size = shard.num_devices * config.seeds.block
  found = []
  for cell, blocks in work:
    own = [
      block
      for block in blocks
      if numbers[cell, block[0] // size] % shard.count == shard.index
    ]
    if own:
      found.append(Work(cell, own))
  return found


def status(
  workdir: epath.Path, cells: Sequence[Cell], seeds: Sequence[int]
) -> list[CellStatus]:
  """How far each cell is, going by the names of records files and by locks.

  Args:
    workdir: the work directory.
    cells: that are asked for.
    seeds: that are asked for, of each cell.
  """
  found = []
  for cell in cells:
    # First the locks: a block that is finished meanwhile is done.
    holders = locks.holders(workdir, cell)
    done = records.recorded_seeds(workdir, cell) & set(seeds)
    left = set(seeds) - done
    locked = {
      seed
      for holder in holders
      for seed in left.intersection(range(holder.first, holder.last + 1))
    }
    found.append(
      CellStatus(cell, len(done), len(locked), len(left) - len(locked), holders)
    )
  return found


def seeds_without_params(
  config: Config,
  workdir: epath.Path,
  cells: Sequence[Cell],
  seeds: Sequence[int],
  keep_params: str,
) -> int:
  """How many finished seeds lack parameters that `keep_params` asks for."""
  count = 0
  for cell in cells:
    wanted = params.steps_to_keep(
      config_lib.cell_config(config, cell), keep_params
    )
    if not wanted:
      continue
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
