import contextlib

import numpy as np
import pytest

from emergence.config import Cell
from emergence.storage import block_checkpoint, locks, records
from emergence.storage.params import load_params, save_params
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


@pytest.mark.parametrize(
  ("saving", "expected"),
  # What is finished is recorded instead.
  [(Saving(steps=2), [2, 4]), (Saving(seconds=0), [1, 2, 3, 4, 5])],
)
def test_blocks_are_saved_every_so_many_steps_or_seconds(
  config, programs, workdir, monkeypatch, saving, expected
):
  saved = []
  monkeypatch.setattr(
    block_checkpoint, "save", lambda **given: saved.append(given["state"].step)
  )
  train(config, workdir, programs, saving=saving)
  assert saved[::2] == saved[1::2] == expected


def test_checkpoints_are_there_until_the_records_are_written(
  config, programs, workdir, monkeypatch
):
  def write(*given):
    raise OSError("No space left on device")

  monkeypatch.setattr(records, "write", write)
  with pytest.raises(OSError, match="No space left"):
    train(config, workdir, programs, saving=Saving(steps=5))
  assert len(list((workdir / CHECKPOINTS).glob("*/00000005"))) == 2


def test_parameters_of_steps_that_are_done_cannot_be_kept_any_more(
  config, programs, trained, workdir
):
  interrupt(config, workdir, programs, asked=4, saving=Saving(steps=1))
  with pytest.raises(ValueError, match="without keeping parameters that"):
    train(config, workdir, programs, saving=Saving(params="all"))
  assert train(config, workdir, programs, saving=Saving(params="final")) == 8
  kept, expected = (load_params(d, CELL, seed=5) for d in (workdir, trained))
  np.testing.assert_equal(kept, expected)


def test_parameters_of_lost_training_are_not_those_of_its_seeds(
  config, programs, trained, workdir
):
  lost = {"embed": np.zeros((8, 3))}
  save_params(workdir, CELL, range(8), config.train.steps, lost)
  train(config, workdir, programs, saving=Saving(params="final"))
  kept, expected = (load_params(d, CELL, seed=5) for d in (workdir, trained))
  np.testing.assert_equal(kept, expected)


def test_what_another_process_has_finished_by_then_is_not_trained(
  config, programs, trained, workdir, monkeypatch
):
  held = locks.held

  @contextlib.contextmanager
  def held_after_the_other(**given):
    if given["seeds"][0] == 4:
      for path, content in files(trained).items():
        if "seeds-000004" in path:
          (workdir / path).parent.mkdir(parents=True, exist_ok=True)
          (workdir / path).write_bytes(content)
    with held(**given):
      yield

  monkeypatch.setattr(locks, "held", held_after_the_other)
  assert train(config, workdir, programs) == 4
  assert files(workdir) == files(trained)


def test_a_block_is_locked_until_it_has_its_records(config, programs, workdir):
  seen = []

  def should_stop():
    holders = locks.holders(workdir, CELL)
    seen.append([(holder.first, holder.last) for holder in holders])
    return False

  train(config, workdir, programs, should_stop=should_stop)
  assert seen == [[], *[[(0, 3), (4, 7)]] * (len(seen) - 1)]
  assert locks.holders(workdir, CELL) == []


def test_blocks_of_others_come_last_and_are_waited_for(
  config, programs, trained, workdir, monkeypatch
):
  asked = []
  held = locks.held

  @contextlib.contextmanager
  def held_by_another_at_first(**given):
    asked.append((given["seeds"][0], given["wait_seconds"]))
    if given["seeds"][0] == 0 and not given["wait_seconds"]:
      raise locks.InUseError
    with held(**given):
      yield

  monkeypatch.setattr(locks, "held", held_by_another_at_first)
  assert train(config, workdir, programs) == 8
  assert asked == [(0, 0.0), (4, 0.0), (0, locks.WAIT_SECONDS)]
  assert files(workdir) == files(trained)
