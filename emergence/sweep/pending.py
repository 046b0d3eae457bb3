"""The cells × blocks of seeds of a sweep that are still pending.

`--shard=I/N` divides the work: consecutive blocks of a cell form rounds of one
block per device, so that no device idles, and shard I trains the rounds I,
I + N, I + 2N, … The shard of a block depends on the requested seeds and not on
the finished ones, so it stays the same while other processes finish theirs.
"""

from collections.abc import Sequence
from typing import NamedTuple

from etils import epath

from emergence import config as config_lib
from emergence.config import Cell, Config
from emergence.population import compilation
from emergence.storage import block_checkpoint, locks, params, records


class Request(NamedTuple):
  """The cells and seeds to train, and the work directory for them.

  Attributes:
    config: the experiment.
    workdir: the work directory.
    cells: the cells to train, in the order of the grid.
    seeds: the seed indices to train in each cell, increasing.
    shard: I and N of `--shard=I/N`; (0, 1) for all blocks.
  """

  config: Config
  workdir: epath.Path
  cells: list[Cell]
  seeds: Sequence[int]
  shard: tuple[int, int]


class Work(NamedTuple):
  """The pending seeds of one cell, divided into blocks by `cut_blocks`."""

  cell: Cell
  blocks: list[list[int]]

  @property
  def num_seeds(self) -> int:
    return sum(len(block) for block in self.blocks)


class CellStatus(NamedTuple):
  """How many requested seeds of a cell are done, in training and missing.

  Attributes:
    cell: the cell.
    done: number of seeds that have records.
    training: number of seeds that some process trains right now; always 0 where
      the file system has no locks.
    missing: number of the remaining seeds.
    holders: the processes that hold locks of the cell, from the lock files.
  """

  cell: Cell
  done: int
  training: int
  missing: int
  holders: list[locks.Holder]


def make_request(
  config: Config,
  workdir: epath.Path,
  cells: Sequence[str] | None = None,
  seeds: Sequence[int] | None = None,
  shard: tuple[int, int] = (0, 1),
) -> Request:
  """Validates cells and seeds, and makes a request of them.

  Args:
    config: the experiment.
    workdir: the work directory.
    cells: names of cells of the grid, such as count/width-32/depth-4; all if
      None.
    seeds: increasing; those of the config if None.
    shard: I and N of `--shard=I/N`.

  Raises:
    ValueError: a cell of the grid cannot be built, a name is not in the grid,
      or the seed design has no such seed.
  """
  grid = config_lib.cells(config)
  for cell in grid:
    compilation.make_setup(config, cell)
  if seeds is None:
    seeds = config.seeds.requested
  config.seeds.require_seeds(seeds)
  if cells is not None:
    if not cells:
      raise ValueError("--cells is empty; name a cell or omit the flag")
    wanted = [Cell.parse(text) for text in cells]
    for cell in wanted:
      if cell not in grid:
        raise ValueError(
          f"--cells: {cell} is not in the grid of the config; --status without"
          " --cells lists its cells"
        )
    grid = [cell for cell in grid if cell in wanted]
  return Request(config, workdir, grid, seeds, shard)


def clean_and_find(
  request: Request, num_devices: int, keep_params: str
) -> list[Work]:
  """Cleans the work directory, then returns the pending blocks as `find` does.

  Corrupt files are quarantined; checkpoints of finished seeds are removed.

  Args:
    request: the requested cells, seeds and shard.
    num_devices: devices of the process that trains it.
    keep_params: one of `storage.params.KEEP_PARAMS`.

  Raises:
    ValueError: the work directory holds another experiment, or finished seeds
      without the parameters that `keep_params` asks for.
  """
  config, workdir = request.config, request.workdir
  records.quarantine_corrupt(workdir, config)
  block_checkpoint.remove_left_behind(config, workdir)
  if missing := num_without_params(request, keep_params):
    raise ValueError(
      f"--keep_params={keep_params}: {missing} of the requested seeds were"
      f" trained in {workdir} without keeping the parameters that this flag"
      " asks for, and finished seeds are not trained again; use another"
      " --workdir, or choose new seeds with --seeds"
    )
  return find(request, num_devices)


def find(request: Request, num_devices: int = 1) -> list[Work]:
  """The seeds of a request without records, as blocks by cell, in grid order.

  Args:
    request: the requested cells, seeds and shard.
    num_devices: devices of the process that trains it.

  Raises:
    ValueError: the work directory holds another experiment.
  """
  records.require_same_experiment(request.config, request.workdir)
  return _of_shard(request, _without_records(request), num_devices)


def unfinished_shards(
  request: Request, num_devices: int, num_shards: int | None = None
) -> tuple[list[int], int]:
  """Finds the shards with seeds that have no records yet.

  Args:
    request: the requested cells and seeds; its shard is not used.
    num_devices: devices of each process.
    num_shards: N of `--shard=I/N`; if None, the number of rounds.

  Returns:
    The indices I of these shards, increasing, and N.
  """
  count = num_shards or len(_rounds(request, num_devices))
  work = _without_records(request)
  shards = [request._replace(shard=(i, count)) for i in range(count)]
  found = [_of_shard(shard, work, num_devices) for shard in shards]
  return [i for i, part in enumerate(found) if part], count


def status(request: Request) -> list[CellStatus]:
  """Counts the seeds of each cell that are done, in training and missing.

  Uses the names of the records files, not their contents, and the locks.
  """
  found, seeds = [], set(request.seeds)
  for cell in request.cells:
    # Locks first: a block that is finished in between counts as done.
    holders = locks.holders(request.workdir, cell)
    done = records.recorded_seeds(request.workdir, cell) & seeds
    left = seeds - done
    locked = {
      seed
      for holder in holders
      for seed in left.intersection(range(holder.first, holder.last + 1))
    }
    found.append(
      CellStatus(cell, len(done), len(locked), len(left) - len(locked), holders)
    )
  return found


def num_without_params(request: Request, keep_params: str) -> int:
  """How many finished seeds lack parameters that `keep_params` asks for."""
  count, (config, workdir, cells, seeds, _) = 0, request
  for cell in cells:
    own_config = config_lib.cell_config(config, cell)
    wanted = params.steps_to_keep(own_config, keep_params)
    if not wanted:
      continue
    # Records first: parameters are written before them.
    finished = records.recorded_seeds(workdir, cell) & set(seeds)
    kept = params.kept_files(workdir, cell)
    count += sum(not wanted <= set(kept.get(seed, ())) for seed in finished)
  return count


def cut_blocks(seeds: Sequence[int], block: int) -> list[list[int]]:
  """Divides increasing seed indices into blocks, by seed // block."""
  blocks: dict[int, list[int]] = {}
  for seed in seeds:
    blocks.setdefault(seed // block, []).append(seed)
  return list(blocks.values())


def _without_records(request: Request) -> list[Work]:
  """The blocks of all shards of a request that have no records yet."""
  config, workdir, cells, seeds, _ = request
  found = []
  for cell in cells:
    done = records.recorded_seeds(workdir, cell)
    missing = [seed for seed in seeds if seed not in done]
    if missing:
      found.append(Work(cell, cut_blocks(missing, config.seeds.block)))
  return found


def _rounds(request: Request, num_devices: int) -> dict[tuple[Cell, int], int]:
  """Numbers the rounds, by cell and seed // (num_devices · block)."""
  size = num_devices * request.config.seeds.block
  places = sorted({seed // size for seed in request.seeds})
  rounds = [(cell, place) for cell in request.cells for place in places]
  return {own: number for number, own in enumerate(rounds)}


def _of_shard(
  request: Request, work: Sequence[Work], num_devices: int
) -> list[Work]:
  """The blocks of `work` that belong to the shard of a request."""
  index, count = request.shard
  numbers = _rounds(request, num_devices)
  size = num_devices * request.config.seeds.block
  parts = [
    Work(
      cell,
      [b for b in blocks if numbers[cell, b[0] // size] % count == index],
    )
    for cell, blocks in work
  ]
  return [part for part in parts if part.blocks]
