import numpy as np
import pytest

from emergence.config import Cell, override
from emergence.population import population
from emergence.storage import block_checkpoint, params, records
from emergence.storage.checkpoint import Checkpointer
from emergence.sweep.blocks import Saving
from tests.populations import run_until
from tests.sweeps import files, interrupt, train

CELL = Cell.parse("count/width-8/depth-1")
CHECKPOINTS = "checkpoints/count/width-8/depth-1"

pytestmark = pytest.mark.usefixtures("stop_after_each_step")


def test_a_sweep_goes_on_where_it_was_stopped(
  config, programs, workdir, monkeypatch
):
  interrupt(config, workdir, programs, asked=4)
  folder = workdir / CHECKPOINTS / "seeds-000004-000007"
  assert [path.name for path in folder.iterdir()] == ["00000003"]
  starts = []
  start = population.start
  monkeypatch.setattr(
    population, "start", lambda *args: starts.append(args[2]) or start(*args)
  )
  train(config, workdir, programs)
  assert [[state.step for state in group] for group in starts] == [[3, 3]]


def test_a_corrupt_checkpoint_falls_back_to_the_one_before(
  config, programs, trained, workdir, caplog
):
  interrupt(config, workdir, programs, asked=5, saving=Saving(steps=1))
  folder = workdir / CHECKPOINTS / "seeds-000000-000003"
  (path,) = (folder / "00000004").glob("arrays*")
  path.write_bytes(path.read_bytes()[:-1])
  assert train(config, workdir, programs) == 8
  assert "continues from step 3" in caplog.text
  assert files(workdir) == files(trained[0])


def test_blocks_go_on_with_another_number_of_devices(
  config, programs, trained, workdir
):
  interrupt(config, workdir, programs, num_devices=2)
  assert train(config, workdir, programs, num_devices=1) == 8
  expected, found = records.read(trained[0]), records.read(workdir)
  keys = ["seed", "step", "test_length"]
  assert found[keys].equals(expected[keys])
  # Another program: the same data, and losses that are close.
  for column in ("nll_mean", "train_loss"):
    np.testing.assert_allclose(found[column], expected[column], rtol=1e-3)


def test_a_checkpoint_of_another_experiment_is_not_gone_on_with(
  config, programs, trained, workdir, caplog
):
  other = override(config, ["train.learning_rate=0.1"])
  others = {
    n: {CELL: program[CELL]._replace(config=other)}
    for n, program in programs.items()
  }
  interrupt(other, workdir, others)
  (workdir / "config.json").unlink()
  train(config, workdir, programs)
  assert "cell_hash" in caplog.text
  assert files(workdir) == files(trained[0])


def test_seeds_of_a_block_in_another_choice_have_their_own_checkpoints(
  config, programs, trained, workdir
):
  for seeds in ([0, 3], [0, 2, 3], [0, 1, 2, 3]):
    interrupt(config, workdir, programs, seeds=seeds)
  assert len(list((workdir / CHECKPOINTS).iterdir())) == 3
  train(config, workdir, programs)
  assert records.read(workdir).equals(records.read(trained[0]))


def test_a_checkpoint_of_other_versions_is_gone_on_with_and_warned_of(
  config, programs, workdir, caplog, monkeypatch
):
  interrupt(config, workdir, programs, asked=2)
  interrupt(config, workdir, programs, asked=2)
  assert "was saved by" not in caplog.text
  versions = records.versions() | {"jax_version": "0.0.1"}
  monkeypatch.setattr(records, "versions", lambda: versions)
  train(config, workdir, programs)
  assert "was saved by jax_version" in caplog.text
  assert "and now 0.0.1" in caplog.text
  assert "git_commit" not in caplog.text


@pytest.mark.parametrize("before", ["none", "all"])
def test_a_block_starts_again_where_parameters_were_not_kept(
  config, programs, workdir, caplog, before
):
  saving = Saving(params=before)
  interrupt(config, workdir, programs, seeds=[0], saving=saving)
  every = Saving(params="all")
  train(config, workdir, programs, seeds=[0], saving=every)
  starts_again = "start again, because their parameters" in caplog.text
  assert starts_again == (before == "none")
  assert set(params.kept_files(workdir, CELL)[0]) == {0, 2, 4, 6}


def test_what_was_left_behind_by_finished_blocks_is_removed(
  config, programs, trained, workdir
):
  interrupt(config, workdir, programs)
  for path, content in files(trained[0]).items():
    if "000003" in path:
      (workdir / path).parent.mkdir(parents=True, exist_ok=True)
      (workdir / path).write_bytes(content)
  block_checkpoint.remove_left_behind(config, workdir)
  (left,) = (workdir / CHECKPOINTS).iterdir()
  assert left.name == "seeds-000004-000007"


def test_parameters_asked_for_are_there_though_the_last_step_was_saved(
  config, programs, workdir
):
  (snapshots,), (state,) = run_until(programs[2][CELL], [[0]], last=6)
  assert state.step == config.train.steps
  with Checkpointer() as checkpointer:
    block_checkpoint.save(
      *(config, workdir, CELL, [0], state, snapshots, checkpointer)
    )
  final = Saving(params="final")
  assert train(config, workdir, programs, seeds=[0], saving=final) == 1
  assert set(params.kept_files(workdir, CELL)[0]) == {6}
