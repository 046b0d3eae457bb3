"""What a sweep is asked for, and what of it is left to train."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from etils import epath

from emergence import config as config_lib
from emergence.config import Cell, Config
from emergence.storage import block_checkpoint, records
from emergence.storage.files import remove_unfinished
from emergence.sweep import backlog
from experiments import command


class Request(NamedTuple):
  """Cells and seeds of an experiment, and a place for them.

  Attributes:
    config: the experiment.
    workdir: the work directory.
    cells: of the grid, in its order.
    seeds: of each cell, increasing.
    shard: I and N of `--shard=I/N`; (0, 1) for all blocks.
  """

  config: Config
  workdir: epath.Path
  cells: list[Cell]
  seeds: Sequence[int]
  shard: tuple[int, int]


def make(
  config: Config,
  workdir: epath.Path,
  cells: Sequence[str] | None = None,
  seeds: str | None = None,
  shard: str | None = None,
) -> Request:
  """A request as the flags of a sweep put it.

  Args:
    config: the experiment.
    workdir: the work directory.
    cells: names of cells of the grid, such as count/width-32/depth-4; all if
      None.
    seeds: such as `0-31`; those of the config if None.
    shard: such as `0/4`; all blocks if None.

  Raises:
    ValueError: one of them makes no sense.
  """
  backlog.check(config)
  chosen = config.seeds.requested
  if seeds is not None:
    chosen = command.parse_seeds(seeds)
    config.seeds.require_seeds(chosen)
  grid = config_lib.cells(config)
  if cells is not None:
    wanted = [Cell.parse(text) for text in cells]
    for cell in wanted:
      if cell not in grid:
        raise ValueError(f"--cells: {cell} is not in the grid of the config")
    grid = [cell for cell in grid if cell in wanted]
  return Request(config, workdir, grid, chosen, _parse_shard(shard))


def remaining(request: Request, num_devices: int) -> list[backlog.Work]:
  """What of a request has no records yet.

  Args:
    request: what is asked for.
    num_devices: devices of the process that trains it.
  """
  config, workdir, cells, seeds, (index, count) = request
  work = backlog.remaining(config, workdir, seeds, cells)
  shard = backlog.Shard(index, count, num_devices)
  return backlog.of_shard(work, config, cells, seeds, shard)


def num_groups(request: Request, num_devices: int) -> int:
  """How many groups of `num_devices` blocks `--shard` deals out.

  Args:
    request: what is asked for.
    num_devices: devices of each process.
  """
  config, _, cells, seeds, _ = request
  return len(backlog.shards(config, cells, seeds, num_devices))


def unfinished_shards(
  request: Request, num_devices: int, num_shards: int
) -> list[int]:
  """The shards some of whose seeds have no records yet.

  Args:
    request: what is asked for.
    num_devices: devices of each process.
    num_shards: N of `--shard=I/N`.
  """
  config, workdir, cells, seeds, _ = request
  work = backlog.remaining(config, workdir, seeds, cells)
  return [
    index
    for index in range(num_shards)
    if backlog.of_shard(
      work,
      config,
      cells,
      seeds,
      backlog.Shard(index, num_shards, num_devices),
    )
  ]


def find_left(
  request: Request, num_devices: int, keep_params: str
) -> list[backlog.Work]:
  """What is left to train, once corrupt files are quarantined.

  Args:
    request: what is asked for.
    num_devices: devices of the process that trains it.
    keep_params: of `storage.params.KEEP_PARAMS`, what is to be kept of it.

  Raises:
    ValueError: the work directory holds another experiment, or seeds without
      the parameters that are to be kept.
  """
  config, workdir = request.config, request.workdir
  records.quarantine_corrupt(workdir, config)
  remove_unfinished(workdir)
  records.require_same_experiment(config, workdir)
  block_checkpoint.remove_left_behind(config, workdir)
  missing = backlog.seeds_without_params(
    config, workdir, request.cells, request.seeds, keep_params
  )
  if missing:
    raise ValueError(
      f"--keep_params={keep_params}: {missing} of these seeds were trained in"
      f" {workdir} without keeping all of that, and are not trained again; use"
      " another --workdir, or name new seeds with --seeds"
    )
  return remaining(request, num_devices)


def _parse_shard(text: str | None) -> tuple[int, int]:
  if text is None:
    return 0, 1
  match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
  if not match or not int(match[1]) < int(match[2]):
    raise ValueError(f"--shard reads like 0/4, from 0/N to N−1/N, got {text}")
  return int(match[1]), int(match[2])
