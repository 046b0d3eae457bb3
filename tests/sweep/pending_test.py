import pytest

from emergence.config import override
from emergence.storage import records
from emergence.sweep import pending


def test_a_cell_that_cannot_be_built_is_found_before_training(config, workdir):
  wide = override(config, ["grid.widths=[8,10]"])
  with pytest.raises(ValueError, match="does not divide the width 10"):
    pending.make_request(wide, workdir)
  with pytest.raises(ValueError, match="--cells is empty"):
    pending.make_request(config, workdir, cells=[])


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
  finished = {(requests[0].cells[0], 0, 1)}
  later = blocks_of_shards(done=(0, 1))
  assert later == [part - finished for part in whole]
