import dataclasses

import pytest

from emergence.config import override
from emergence.storage import records
from emergence.sweep import pending


@pytest.fixture
def four_cells(tiny):
  """Four cells of eight seeds in two blocks each."""
  grid = dataclasses.replace(tiny.grid, widths=(8, 16), depths=(1, 2))
  return dataclasses.replace(tiny, grid=grid)


@pytest.mark.parametrize(
  ("assignment", "message"),
  [
    ("grid.widths=[8,10]", "does not divide the width 10"),
    ("task.context_length=8", "context_length must be at least"),
  ],
)
def test_a_cell_that_cannot_be_built_is_found_before_training(
  config, workdir, assignment, message
):
  with pytest.raises(ValueError, match=message):
    pending.make_request(override(config, [assignment]), workdir)


@pytest.mark.parametrize(
  ("seeds", "blocks"),
  [
    ([7], [[7]]),
    (range(6), [[0, 1, 2, 3], [4, 5]]),
    ([2, 3, 4, 11], [[2, 3], [4], [11]]),
  ],
)
def test_blocks_are_cut_where_they_always_are(seeds, blocks):
  assert pending.cut_blocks(seeds, 4) == blocks


@pytest.mark.parametrize(("count", "num_devices"), [(1, 1), (5, 3), (9, 2)])
def test_shards_are_even_have_no_block_in_common_and_miss_none(
  tiny, workdir, monkeypatch, count, num_devices
):
  config = override(tiny, ["seeds.block=2", "seeds.count=12"])
  requests = [
    pending.make_request(config, workdir, shard=(i, count))
    for i in range(count)
  ]

  def blocks_of_shards(done):
    """The blocks of each shard when some seeds of the first cell are done."""
    monkeypatch.setattr(
      records,
      "recorded_seeds",
      lambda workdir, cell: done if cell.depth == 1 else (),
    )
    return [
      {
        (w.cell, *seeds)
        for w in pending.find(request, num_devices)
        for seeds in w.blocks
      }
      for request in requests
    ]

  whole = blocks_of_shards(done=())
  sizes = [len(part) for part in whole]
  assert sum(sizes) == len(set().union(*whole)) == 12
  assert max(sizes) - min(sizes) <= num_devices
  # Whatever is finished by now, each shard has the same blocks of the rest.
  finished = {
    (cell, *seeds)
    for part in whole
    for cell, *seeds in part
    if cell.depth == 1 and seeds == [0, 1]
  }
  later = blocks_of_shards(done=(0, 1))
  assert later == [part - finished for part in whole]


def test_shards_whose_seeds_all_have_records_are_finished(
  four_cells, workdir, monkeypatch
):
  done = {"count/width-8/depth-1": set(range(8))}
  monkeypatch.setattr(
    records,
    "recorded_seeds",
    lambda workdir, cell: done.get(str(cell), set()),
  )
  request = pending.make_request(four_cells, workdir)
  unfinished = lambda *given: pending.unfinished_shards(request, *given)
  assert unfinished(1) == unfinished(1, 8) == ([2, 3, 4, 5, 6, 7], 8)
  assert unfinished(1, 2) == ([0, 1], 2)
  assert unfinished(2) == ([1, 2, 3], 4)


def test_a_directory_of_another_experiment_has_nothing_pending(config, trained):
  other = override(config, ["train.steps=12"])
  with pytest.raises(
    ValueError, match=r"train\.steps is 6 there and 12 here; use another"
  ):
    pending.find(pending.make_request(other, trained))
