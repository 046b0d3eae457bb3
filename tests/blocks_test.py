import itertools
import types

import pytest

from emergence import block_checkpoint, blocks, sweep
from emergence.blocks import Saving
from emergence.claims import Claims
from emergence.config import Cell
from tests.training import files, interrupt, stop_after, train

CELL = Cell.parse("count/width-8/depth-1")
CHECKPOINTS = "checkpoints/count/width-8/depth-1"

pytestmark = pytest.mark.usefixtures("stop_after_each_update")


@pytest.mark.parametrize("asked", range(1, 7))
def test_a_sweep_that_was_stopped_ends_as_one_that_was_not(
  config, programs, trained, workdir, asked
):
  interrupt(config, workdir, programs, asked)
  assert not (workdir / "records").exists()
  assert train(config, workdir, programs) == 8
  assert files(workdir) == files(trained[0])
  assert not list((workdir / CHECKPOINTS).glob("*"))


def test_a_sweep_may_be_stopped_again_and_again(
  config, programs, trained, workdir
):
  for _ in range(3):
    interrupt(config, workdir, programs, asked=2)
  train(config, workdir, programs)
  assert files(workdir) == files(trained[0])


def test_nothing_begins_once_a_stop_is_asked_for(config, programs, workdir):
  interrupt(config, workdir, programs, asked=0)
  assert not (workdir / "checkpoints").exists()


def test_a_stop_that_comes_when_all_is_done_changes_nothing(
  config, programs, trained, workdir
):
  never_asked = stop_after(7)
  train(config, workdir, programs, should_stop=never_asked)
  assert files(workdir) == files(trained[0])


def test_blocks_are_saved_every_so_many_updates(
  config, programs, workdir, monkeypatch
):
  saved = []
  monkeypatch.setattr(
    block_checkpoint, "save", lambda *args: saved.append(args[4].step)
  )
  train(config, workdir, programs, saving=Saving(steps=2))
  # What is finished is recorded instead.
  assert saved == [2, 2, 4, 4]


def test_blocks_are_saved_every_so_often(
  config, programs, workdir, monkeypatch
):
  clock = itertools.count(step=10.0)
  fake = types.SimpleNamespace(monotonic=lambda: next(clock))
  monkeypatch.setattr(blocks, "time", fake)
  saved = []
  monkeypatch.setattr(
    block_checkpoint, "save", lambda *args: saved.append(args[4].step)
  )
  train(config, workdir, programs, seeds=[0], saving=Saving(seconds=19.0))
  assert saved == [2, 4]


def test_a_block_that_waits_for_others_is_not_saved_again(
  config, programs, workdir, monkeypatch
):
  interrupt(config, workdir, programs, asked=5, seeds=range(4))
  saved = []
  save = block_checkpoint.save
  monkeypatch.setattr(
    block_checkpoint,
    "save",
    lambda config, workdir, cell, seeds, state, *others: (
      saved.append((seeds[0], state.step)),
      save(config, workdir, cell, seeds, state, *others),
    ),
  )
  train(config, workdir, programs, saving=Saving(steps=1))
  assert len(set(saved)) == len(saved)
  assert (4, 1) in saved
  assert (0, 4) not in saved


class Stolen:
  """Claims of a process that loses a block after a few questions."""

  def __init__(self, index, questions, finish):
    self._index, self._left, self._finish = index, questions, finish
    self.released, self.forgotten = [], []

  def try_claim(self, cell, index, is_done):
    if index in self.released:
      self._finish()  # The other one, meanwhile.
      return False
    return not is_done()

  def holds(self, cell, index):
    self._left -= index == self._index
    return index != self._index or self._left >= 0

  def release(self, cell, index):
    self.released.append(index)

  def forget(self, cell, index):
    self.forgotten.append(index)


@pytest.mark.parametrize("questions", [0, 1])
def test_a_block_that_another_process_took_over_is_left_to_it(
  config, programs, trained, workdir, caplog, monkeypatch, questions
):
  name = "records/count/width-8/depth-1/seeds-000004-000007.parquet"
  content = files(trained[0])[name]
  monkeypatch.setattr(sweep, "_SECONDS_BETWEEN_LOOKS", 0.01)
  claims = Stolen(1, questions, lambda: (workdir / name).write_bytes(content))
  assert (
    train(config, workdir, programs, saving=Saving(steps=4), claims=claims) == 4
  )
  assert claims.released == [1]
  assert claims.forgotten == [0]
  assert files(workdir) == files(trained[0])
  assert "another one has taken them over" in caplog.text


def test_what_others_hold_is_waited_for_until_they_have_done_it(
  config, programs, trained, workdir, monkeypatch
):
  monkeypatch.setattr(sweep, "_SECONDS_BETWEEN_LOOKS", 0.01)
  with Claims(workdir) as ours, Claims(workdir) as others:
    assert others.try_claim(CELL, 1, lambda: False)
    looks = []

    def should_stop():
      if (workdir / "records").exists():
        looks.append(ours.others())
      if len(looks) == 3:
        # The other one writes its records, and forgets its claim.
        for path, content in files(trained[0]).items():
          if "000007" in path:
            (workdir / path).write_bytes(content)
        others.forget(CELL, 1)
      return False

    # Two of one process cannot tell each other's leases apart by their process.
    assert (
      train(config, workdir, programs, claims=ours, should_stop=should_stop)
      == 4
    )
  assert len(looks) >= 3
  assert files(workdir) == files(trained[0])
