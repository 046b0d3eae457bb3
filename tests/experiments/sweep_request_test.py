"""What the flags of a sweep ask for; what they refuse, command_test.py has."""

import dataclasses
import itertools

import pytest
from etils import epath

from emergence import config as config_lib
from emergence.storage import records
from experiments import sweep_request


@pytest.fixture
def config(tiny):
  return dataclasses.replace(
    tiny,
    grid=dataclasses.replace(tiny.grid, widths=(8, 16), depths=(1, 2)),
  )


def test_all_of_the_config_is_asked_for_where_nothing_is_named(
  config, tmp_path
):
  request = sweep_request.make(config, epath.Path(tmp_path))
  assert request.cells == config_lib.cells(config)
  assert list(request.seeds) == list(range(8))
  left = sweep_request.remaining(request, 1)
  assert [item.cell for item in left] == request.cells
  assert sum(item.num_seeds for item in left) == 32


def test_cells_and_seeds_that_are_named_are_asked_for_in_order(
  config, tmp_path
):
  request = sweep_request.make(
    config,
    epath.Path(tmp_path),
    ["count/width-16/depth-2", "count/width-8/depth-2"],
    "7,0-1",
  )
  left = sweep_request.remaining(request, 1)
  assert [str(item.cell) for item in left] == [
    "count/width-8/depth-2",
    "count/width-16/depth-2",
  ]
  asked = [sorted(itertools.chain(*item.blocks)) for item in left]
  assert asked == [[0, 1, 7]] * 2


def test_shares_have_all_blocks_and_none_in_common(config, tmp_path):
  blocks = []
  for i in range(3):
    request = sweep_request.make(config, epath.Path(tmp_path), shard=f"{i}/3")
    blocks += [
      (item.cell, tuple(block))
      for item in sweep_request.remaining(request, 1)
      for block in item.blocks
    ]
  assert len(blocks) == len(set(blocks)) == 8


def test_shards_whose_seeds_all_have_records_are_finished(
  config, tmp_path, monkeypatch
):
  done = {"count/width-8/depth-1": {0, 1, 2, 3, 4, 5, 6, 7}}
  monkeypatch.setattr(
    records,
    "finished_seeds",
    lambda workdir, config, cell: done.get(str(cell), set()),
  )
  request = sweep_request.make(config, epath.Path(tmp_path))
  assert sweep_request.num_groups(request, 1) == 8
  assert sweep_request.unfinished_shards(request, 1, 8) == [2, 3, 4, 5, 6, 7]
  assert sweep_request.unfinished_shards(request, 1, 2) == [0, 1]
  assert sweep_request.num_groups(request, 2) == 4
  assert sweep_request.unfinished_shards(request, 2, 4) == [1, 2, 3]
