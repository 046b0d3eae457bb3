import shutil

import pytest

from emergence import config as config_lib
from emergence.config import override
from emergence.storage import params, records
from emergence.sweep import backlog
from emergence.sweep.blocks import Saving
from tests.sweeps import train


def test_finished_seeds_without_parameters_are_counted(
  config, trained, workdir
):
  (cell,) = config_lib.cells(config)

  def count(folder, keep_params, cells=(cell,)):
    return backlog.seeds_without_params(
      config, folder, cells, range(6), keep_params
    )

  assert count(trained[0], "all") == count(workdir, "all") == 0
  train(config, workdir, seeds=[2, 3])
  train(config, workdir, seeds=[4], saving=Saving(params="final"))
  assert [count(workdir, k) for k in params.KEEP_PARAMS] == [0, 2, 3]
  assert count(workdir, "all", cells=()) == 0


def test_a_block_finished_during_the_look_is_not_without_parameters(
  config, trained, workdir, monkeypatch
):
  def and_then_somebody_finishes(look):
    def look_then_copy(*args):
      found = look(*args)
      shutil.copytree(trained[0], workdir, dirs_exist_ok=True)
      return found

    return look_then_copy

  for module, name in ((records, "finished_seeds"), (params, "kept_files")):
    look = and_then_somebody_finishes(getattr(module, name))
    monkeypatch.setattr(module, name, look)
  cells = config_lib.cells(config)
  assert (
    backlog.seeds_without_params(config, workdir, cells, range(8), "all") == 0
  )


@pytest.mark.parametrize(
  ("assignment", "message"),
  [
    ("grid.widths=[8,10]", "does not divide the width 10"),
    ("task.name=cuont", "did you mean count"),
    ("task.context_length=8", "context_length must be at least"),
  ],
)
def test_a_cell_that_cannot_be_built_is_found_before_training(
  config, assignment, message
):
  with pytest.raises(ValueError, match=message):
    backlog.check(override(config, [assignment]))


@pytest.mark.parametrize(
  ("seeds", "blocks"),
  [
    ([7], [[7]]),
    (range(6), [[0, 1, 2, 3], [4, 5]]),
    ([2, 3, 4, 11], [[2, 3], [4], [11]]),
  ],
)
def test_blocks_are_cut_where_they_always_are(seeds, blocks):
  assert backlog.cut_blocks(seeds, 4) == blocks


@pytest.mark.parametrize("num_devices", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9])
def test_shards_are_even_have_no_block_in_common_and_miss_none(
  tiny, count, num_devices
):
  config = override(tiny, ["seeds.block=2"])
  cells = config_lib.cells(config)
  work = [backlog.Work(c, backlog.cut_blocks(range(12), 2)) for c in cells]
  shards = [backlog.Shard(i, count, num_devices) for i in range(count)]
  asked = config, cells, range(12)
  # Cells that are half done, as another process may see them later.
  later = [backlog.Work(cells[0], work[0].blocks[1:]), work[1]]
  for left in (work, later):
    parts = [backlog.of_shard(left, *asked, shard) for shard in shards]
    found = sorted(
      (item.cell, seeds)
      for part in parts
      for item in part
      for seeds in item.blocks
    )
    assert found == [(c, seeds) for c, blocks in left for seeds in blocks]
    groups = []
    for shard, part in zip(shards, parts, strict=True):
      whole = {
        (item.cell, *seeds)
        for item in backlog.of_shard(work, *asked, shard)
        for seeds in item.blocks
      }
      groups.append(
        {(cell, seeds[0] // (2 * num_devices)) for cell, *seeds in whole}
      )
      assert {(w.cell, *seeds) for w in part for seeds in w.blocks} <= whole
    sizes = [len(group) for group in groups]
    assert sum(sizes) == len(backlog.shards(*asked, num_devices))
    assert max(sizes) - min(sizes) <= 1


def test_no_device_of_a_shard_idles(tiny):
  config = override(tiny, ["seeds.block=2"])
  cells = config_lib.cells(config)
  work = [backlog.Work(c, backlog.cut_blocks(range(12), 2)) for c in cells]
  shard = backlog.Shard(1, 2, num_devices=2)
  first, second = backlog.of_shard(work, config, cells, range(12), shard)
  assert first.blocks == [[4, 5], [6, 7]]
  assert second.blocks == [[0, 1], [2, 3], [8, 9], [10, 11]]
