import pytest

from emergence.config import Cell
from emergence.storage import block_checkpoint
from emergence.sweep.blocks import Saving
from tests.sweeps import files, interrupt, train

CELL = Cell.parse("count/width-8/depth-1")
CHECKPOINTS = "checkpoints/count/width-8/depth-1"

pytestmark = pytest.mark.usefixtures("stop_after_each_step")


@pytest.mark.parametrize("asked", [1, 6])
def test_a_sweep_that_was_stopped_ends_as_one_that_was_not(
  config, programs, trained, workdir, asked
):
  interrupt(config, workdir, programs, asked)
  assert not (workdir / "records").exists()
  assert train(config, workdir, programs) == 8
  assert files(workdir) == files(trained)
  assert not list((workdir / CHECKPOINTS).glob("*"))


def test_blocks_are_saved_every_so_many_steps(
  config, programs, workdir, monkeypatch
):
  saved = []
  monkeypatch.setattr(
    block_checkpoint, "save", lambda **given: saved.append(given["state"].step)
  )
  train(config, workdir, programs, saving=Saving(steps=2))
  # What is finished is recorded instead.
  assert saved == [2, 2, 4, 4]
