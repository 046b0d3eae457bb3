import dataclasses
import itertools
import types

import numpy as np
import pytest
from etils import epath

from emergence import (
  backlog,
  blocks,
  compilation,
  hardware,
  params,
  population,
  records,
  sweep,
)
from emergence.blocks import Interrupted, Saving
from emergence.claims import Claims
from emergence.config import Cell
from emergence.overrides import override

CELL = Cell("count", 8, 1)
CHECKPOINTS = "checkpoints/count/width-8/depth-1"


@pytest.fixture
def workdir(tmp_path) -> epath.Path:
  return epath.Path(tmp_path)


@pytest.fixture(scope="module")
def config(tiny):
  """One cell, so that tests compile little."""
  grid = dataclasses.replace(tiny.grid, depths=(1,))
  return dataclasses.replace(tiny, grid=grid)


@pytest.fixture(scope="module")
def programs(config):
  return {
    n: {CELL: compilation.compile_cell(config, CELL, hardware.local_devices(n))}
    for n in (2, 1)  # The larger number first: it is fixed then.
  }


@pytest.fixture(autouse=True)
def stop_after_each_update(monkeypatch):
  run = population.run
  monkeypatch.setattr(
    population, "run", lambda *args: run(*args, seconds_between_stops=0.0)
  )


def train(config, programs, workdir, num_devices=2, seeds=None, **options):
  """Runs what is left; returns how many seeds it has trained to the end."""
  devices = hardware.local_devices(num_devices)
  sweep.prepare(config, workdir, devices)
  work = backlog.remaining(config, workdir, seeds or config.seeds.requested)
  programs = programs[num_devices]
  return sweep.run(config, workdir, work, devices, programs, **options)


def stop_after(number):
  """Asks to stop, but not the first times it is asked."""
  count = itertools.count()
  return lambda: next(count) >= number


def interrupt(config, programs, workdir, asked=5, **options):
  with pytest.raises(Interrupted):
    train(config, programs, workdir, should_stop=stop_after(asked), **options)


@pytest.fixture(scope="module")
def whole(config, programs, tmp_path_factory):
  """The records of a sweep that nobody disturbed."""
  workdir = epath.Path(tmp_path_factory.mktemp("whole"))
  train(config, programs, workdir)
  return workdir


def files(workdir):
  return {
    str(path.relative_to(workdir)): path.read_bytes()
    for path in (workdir / "records").glob("*/*/*/*")
  }


@pytest.mark.parametrize("asked", range(1, 7))
def test_a_sweep_that_was_stopped_ends_as_one_that_was_not(
  config, programs, whole, workdir, asked
):
  interrupt(config, programs, workdir, asked)
  assert not (workdir / "records").exists()
  assert train(config, programs, workdir) == 8
  assert files(workdir) == files(whole)
  assert not list((workdir / CHECKPOINTS).glob("*"))


def test_a_sweep_goes_on_where_it_was_stopped(
  config, programs, workdir, monkeypatch
):
  interrupt(config, programs, workdir, asked=4)
  folder = workdir / CHECKPOINTS / "seeds-000004-000007"
  assert [path.name for path in folder.iterdir()] == ["00000003"]
  starts = []
  run = population.run
  monkeypatch.setattr(
    population, "run", lambda *args: starts.append(args[2]) or run(*args)
  )
  train(config, programs, workdir)
  assert [[state.step for state in group] for group in starts] == [[3, 3]]


def test_a_sweep_may_be_stopped_again_and_again(
  config, programs, whole, workdir
):
  for _ in range(3):
    interrupt(config, programs, workdir, asked=2)
  train(config, programs, workdir)
  assert files(workdir) == files(whole)


def test_nothing_begins_once_a_stop_is_asked_for(config, programs, workdir):
  interrupt(config, programs, workdir, asked=0)
  assert not (workdir / "checkpoints").exists()


def test_a_stop_that_comes_when_all_is_done_changes_nothing(
  config, programs, whole, workdir
):
  never_asked = stop_after(7)
  train(config, programs, workdir, should_stop=never_asked)
  assert files(workdir) == files(whole)


def test_blocks_are_saved_every_so_many_updates(
  config, programs, workdir, monkeypatch
):
  saved = []
  monkeypatch.setattr(
    blocks, "_save", lambda job, cell, seeds, state, _: saved.append(state.step)
  )
  train(config, programs, workdir, saving=Saving(steps=2))
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
    blocks, "_save", lambda job, cell, seeds, state, _: saved.append(state.step)
  )
  train(config, programs, workdir, seeds=[0], saving=Saving(seconds=19.0))
  assert saved == [2, 4]


def test_the_last_few_checkpoints_are_kept(config, programs, workdir):
  interrupt(config, programs, workdir, asked=6, saving=Saving(steps=1, keep=3))
  folder = workdir / CHECKPOINTS / "seeds-000000-000003"
  assert sorted(path.name for path in folder.iterdir()) == [
    *("00000003", "00000004", "00000005"),
  ]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
  config, programs, whole, workdir, caplog
):
  interrupt(config, programs, workdir, asked=5, saving=Saving(steps=1))
  folder = workdir / CHECKPOINTS / "seeds-000000-000003"
  (path,) = (folder / "00000004").glob("arrays*")
  path.write_bytes(path.read_bytes()[:-1])
  assert train(config, programs, workdir) == 8
  assert "continues from step 3" in caplog.text
  assert files(workdir) == files(whole)


def test_blocks_go_on_with_another_number_of_devices(
  config, programs, whole, workdir
):
  interrupt(config, programs, workdir, num_devices=2)
  assert train(config, programs, workdir, num_devices=1) == 8
  expected, found = records.read(whole), records.read(workdir)
  keys = ["seed", "step", "test_length"]
  assert found[keys].equals(expected[keys])
  # Another program: the same data, and losses that are close.
  for column in ("nll_mean", "train_loss"):
    np.testing.assert_allclose(found[column], expected[column], rtol=1e-3)


def test_a_checkpoint_of_another_experiment_is_not_gone_on_with(
  config, programs, whole, workdir, caplog
):
  other = override(config, ["train.learning_rate=0.1"])
  others = {
    n: {CELL: program[CELL]._replace(config=other)}
    for n, program in programs.items()
  }
  interrupt(other, others, workdir)
  (workdir / "config.json").unlink()
  train(config, programs, workdir)
  assert "cell_hash" in caplog.text
  assert files(workdir) == files(whole)


def test_seeds_of_a_block_in_another_choice_have_their_own_checkpoints(
  config, programs, whole, workdir
):
  for seeds in ([0, 3], [0, 2, 3], [0, 1, 2, 3]):
    interrupt(config, programs, workdir, seeds=seeds)
  assert len(list((workdir / CHECKPOINTS).iterdir())) == 3
  train(config, programs, workdir)
  assert records.read(workdir).equals(records.read(whole))


def test_seeds_that_begin_again_with_others_are_warned_of(
  config, programs, workdir, caplog
):
  interrupt(config, programs, workdir, asked=2, seeds=[0, 1])
  (left,) = (workdir / CHECKPOINTS).iterdir()
  interrupt(config, programs, workdir, asked=2, seeds=[0, 1])
  assert "again" not in caplog.text
  train(config, programs, workdir, seeds=[0, 1, 2])
  assert f"to go on from {left}, ask for its seeds alone" in caplog.text


def test_a_checkpoint_of_other_versions_is_gone_on_with_and_warned_of(
  config, programs, workdir, caplog, monkeypatch
):
  interrupt(config, programs, workdir, asked=2)
  interrupt(config, programs, workdir, asked=2)
  assert "was saved by" not in caplog.text
  versions = records.versions() | {"jax_version": "0.0.1"}
  monkeypatch.setattr(records, "versions", lambda: versions)
  train(config, programs, workdir)
  assert "was saved by jax_version" in caplog.text
  assert "and now 0.0.1" in caplog.text
  assert "git_commit" not in caplog.text


def test_parameters_asked_for_after_an_interruption_start_the_block_again(
  config, programs, workdir, caplog
):
  every = Saving(params="all")
  interrupt(config, programs, workdir, seeds=[0])
  train(config, programs, workdir, seeds=[0], saving=every)
  assert "start again, because their parameters" in caplog.text
  assert set(params.kept_files(workdir, CELL)[0]) == {0, 2, 4, 6}


def test_parameters_kept_before_an_interruption_count(
  config, programs, workdir, caplog
):
  every = Saving(params="all")
  interrupt(config, programs, workdir, seeds=[0], saving=every)
  train(config, programs, workdir, seeds=[0], saving=every)
  assert "start again" not in caplog.text
  assert set(params.kept_files(workdir, CELL)[0]) == {0, 2, 4, 6}


def test_parameters_asked_for_are_there_whatever_was_restored(
  config, programs, workdir, monkeypatch
):
  """A block that is done but for its records, when the run goes on."""
  monkeypatch.setattr(blocks, "_write_records", lambda *args: 1 / 0)
  save = blocks._SaveClock.is_due
  monkeypatch.setattr(
    blocks._SaveClock, "is_due", lambda self, steps: save(self, steps)
  )
  interrupt(config, programs, workdir, asked=7 - 1, seeds=[0])
  monkeypatch.undo()
  final = Saving(params="final")
  train(config, programs, workdir, seeds=[0], saving=final)
  assert set(params.kept_files(workdir, CELL)[0]) == {6}


def test_a_block_that_waits_for_others_is_not_saved_again(
  config, programs, workdir, monkeypatch
):
  interrupt(config, programs, workdir, asked=5, seeds=range(4))
  saved = []
  save = blocks._save
  monkeypatch.setattr(
    blocks,
    "_save",
    lambda job, cell, seeds, state, found: (
      saved.append((seeds[0], state.step)),
      save(job, cell, seeds, state, found),
    ),
  )
  train(config, programs, workdir, saving=Saving(steps=1))
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
  config, programs, whole, workdir, caplog, monkeypatch, questions
):
  name = "records/count/width-8/depth-1/seeds-000004-000007.parquet"
  content = files(whole)[name]
  monkeypatch.setattr(sweep, "_SECONDS_BETWEEN_LOOKS", 0.01)
  claims = Stolen(1, questions, lambda: (workdir / name).write_bytes(content))
  assert (
    train(config, programs, workdir, saving=Saving(steps=4), claims=claims) == 4
  )
  assert claims.released == [1]
  assert claims.forgotten == [0]
  assert files(workdir) == files(whole)
  assert "another one has taken them over" in caplog.text


def test_what_others_hold_is_waited_for_until_they_have_done_it(
  config, programs, whole, workdir, monkeypatch
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
        for path, content in files(whole).items():
          if "000007" in path:
            (workdir / path).write_bytes(content)
        others.forget(CELL, 1)
      return False

    # Two of one process cannot tell each other's leases apart by their process.
    assert (
      train(config, programs, workdir, claims=ours, should_stop=should_stop)
      == 4
    )
  assert len(looks) >= 3
  assert files(workdir) == files(whole)


def test_what_was_left_behind_by_finished_blocks_is_removed(
  config, programs, whole, workdir
):
  interrupt(config, programs, workdir)
  for path, content in files(whole).items():
    if "000003" in path:
      (workdir / path).parent.mkdir(parents=True, exist_ok=True)
      (workdir / path).write_bytes(content)
  blocks.remove_left_behind(config, workdir)
  (left,) = (workdir / CHECKPOINTS).iterdir()
  assert left.name == "seeds-000004-000007"
