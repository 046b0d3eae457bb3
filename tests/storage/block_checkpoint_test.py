import numpy as np
import pytest

from emergence.config import Cell, override
from emergence.storage import block_checkpoint, records
from tests.sweeps import files, interrupt, train

CELL = Cell.parse("count/width-8/depth-1")
CHECKPOINTS = "checkpoints/count/width-8/depth-1"

pytestmark = pytest.mark.usefixtures("stop_after_each_step")


def test_blocks_go_on_with_another_number_of_devices(
  config, programs, trained, workdir
):
  interrupt(config, workdir, programs, num_devices=2)
  assert train(config, workdir, programs, num_devices=1) == 8
  expected, found = records.read(trained), records.read(workdir)
  keys = ["seed", "step", "test_length"]
  assert found[keys].equals(expected[keys])
  # Another program: the same data, and losses that are close.
  for column in ("nll_mean", "train_loss"):
    np.testing.assert_allclose(found[column], expected[column], rtol=1e-3)


def test_blocks_of_another_size_start_again(config, programs, workdir):
  interrupt(config, workdir, programs)
  larger = override(config, ["seeds.block=8"])
  assert train(larger, workdir, num_devices=1) == 8
  block_checkpoint.remove_left_behind(larger, workdir)
  (path,) = records.files(workdir)
  assert records.read_provenance(path)["block"] == 8
  assert not list((workdir / CHECKPOINTS).glob("*"))


def test_the_same_seeds_in_blocks_of_another_size_start_again(
  config, programs, workdir, caplog
):
  seeds = [0, 1, 2, 3]
  interrupt(config, workdir, programs, seeds=seeds, num_devices=1)
  larger = override(config, ["seeds.block=8"])
  assert train(larger, workdir, num_devices=1, seeds=seeds) == 4
  assert "its block should be 8, but is 4" in caplog.text


def test_checkpoints_stay_until_all_of_their_seeds_are_recorded(
  config, programs, workdir
):
  interrupt(config, workdir, programs, seeds=[0, 2, 3])
  train(config, workdir, programs, seeds=[0])
  block_checkpoint.remove_left_behind(config, workdir)
  assert len(list((workdir / CHECKPOINTS).iterdir())) == 1


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
  assert files(workdir) == files(trained)


def test_seeds_of_a_block_in_another_choice_have_their_own_checkpoints(
  config, programs, trained, workdir
):
  for seeds in ([0, 2, 3], [0, 1, 2, 3]):
    interrupt(config, workdir, programs, seeds=seeds)
  assert len(list((workdir / CHECKPOINTS).iterdir())) == 2
  train(config, workdir, programs)
  assert records.read(workdir).equals(records.read(trained))
