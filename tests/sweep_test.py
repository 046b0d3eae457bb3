import dataclasses
import json
import shutil

import numpy as np
import pytest
from etils import epath

from emergence import budget, compilation, hardware, records, sweep
from emergence import config as config_lib
from emergence.blocks import Saving
from emergence.config import Cell
from emergence.identity import identity_hash
from emergence.overrides import override
from emergence.params import load_params
from experiments import command


@pytest.fixture
def workdir(tmp_path) -> epath.Path:
  return epath.Path(tmp_path)


def train(config, workdir, seeds=None, **options):
  """Runs what is left of a config, as the main does."""
  devices = hardware.local_devices(2)
  sweep.prepare(config, workdir, devices)
  seeds = config.seeds.requested if seeds is None else seeds
  work = sweep.remaining(config, workdir, seeds)
  sweep.run(config, workdir, work, devices, **options)
  return work


@pytest.fixture(scope="module")
def config(tiny):
  """One cell, so that tests compile little."""
  grid = dataclasses.replace(tiny.grid, depths=(1,))
  return dataclasses.replace(tiny, grid=grid)


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
  """A finished sweep, with all progress it reported."""
  workdir = epath.Path(tmp_path_factory.mktemp("finished"))
  progress = []
  train(
    config, workdir, saving=Saving(params="all"), on_progress=progress.append
  )
  return workdir, progress


def test_a_sweep_records_every_seed_step_and_length(config, finished):
  frame = records.read(finished[0])
  keys = frame[["seed", "step", "test_length"]]
  assert len(keys.drop_duplicates()) == len(frame) == 8 * 4 * 2
  assert set(frame["seed"]) == set(range(8))
  assert set(frame["step"]) == {0, 2, 4, 6}
  assert set(frame["test_length"]) == {4, 6}
  assert frame["exact_match"].between(0, 1).all()
  assert (frame["nll_sum"] > frame["nll_mean"]).all()
  assert not frame["diverged"].any()
  start = frame.query("step == 0")["nll_mean"].mean()
  assert start == pytest.approx(np.log(16), rel=0.1)


def test_what_is_finished_is_not_trained_again(config, finished):
  workdir, _ = finished
  before = {p: p.stat().mtime for p in (workdir / "records").glob("*/*/*/*")}
  assert train(config, workdir) == []
  assert before == {
    p: p.stat().mtime for p in (workdir / "records").glob("*/*/*/*")
  }


def test_one_seed_alone_is_bit_equal_to_itself_among_others(
  config, finished, workdir
):
  train(config, workdir, seeds=[6])
  alone = records.read(workdir)
  together = records.read(finished[0]).query("seed == 6")
  assert alone.equals(together.reset_index(drop=True))


def test_seeds_in_pieces_are_the_records_of_one_go(config, finished, workdir):
  train(config, workdir, seeds=[5, 2])
  work = train(config, workdir)
  assert work[0].blocks == [[0, 1, 3], [4, 6, 7]]
  assert records.read(workdir).equals(records.read(finished[0]))


def test_more_seeds_train_only_what_is_new(config, finished, workdir):
  fewer = override(config, ["seeds.count=3"])
  train(fewer, workdir)
  work = train(config, workdir)
  assert work == [
    sweep.Work(Cell("count", 8, 1), [[3], [4, 5, 6, 7]]),
  ]
  assert records.read(workdir).equals(records.read(finished[0]))


def test_the_cell_that_needs_most_memory_is_compiled_ahead(
  tiny, workdir, monkeypatch
):
  wide = override(tiny, ["grid.widths=[8,16]"])
  work = sweep.remaining(wide, workdir, range(4))
  monkeypatch.setattr(compilation, "compile_cell", lambda *args: args)
  devices = hardware.local_devices(2)
  largest = Cell("count", 16, 2)
  ahead = sweep.compile_largest(wide, work, devices)
  assert ahead == {largest: (wide, largest, devices)}


def test_what_is_compiled_already_is_not_compiled_again(
  config, workdir, monkeypatch
):
  devices = hardware.local_devices(2)
  work = sweep.remaining(config, workdir, [0])
  programs = sweep.compile_largest(config, work, devices)
  monkeypatch.delattr(compilation, "compile_cell")
  sweep.run(config, workdir, work, devices, programs)
  assert set(records.read(workdir)["seed"]) == {0}


def test_finished_seeds_without_parameters_are_counted(
  config, finished, workdir
):
  (cell,) = config_lib.cells(config)

  def count(folder, keep_params, cells=(cell,)):
    return sweep.seeds_without_params(
      config, folder, cells, range(6), keep_params
    )

  assert count(finished[0], "all") == count(workdir, "all") == 0
  train(config, workdir, seeds=[2, 3])
  train(config, workdir, seeds=[4], saving=Saving(params="final"))
  assert [count(workdir, k) for k in sweep.KEEP_PARAMS] == [0, 2, 3]
  assert count(workdir, "all", cells=()) == 0


def test_a_block_finished_during_the_look_is_not_without_parameters(
  config, finished, workdir, monkeypatch
):
  def and_then_somebody_finishes(look):
    def look_then_copy(*args):
      found = look(*args)
      shutil.copytree(finished[0], workdir, dirs_exist_ok=True)
      return found

    return look_then_copy

  for module, name in ((records, "finished_seeds"), (sweep, "kept_files")):
    look = and_then_somebody_finishes(getattr(module, name))
    monkeypatch.setattr(module, name, look)
  cells = config_lib.cells(config)
  assert (
    sweep.seeds_without_params(config, workdir, cells, range(8), "all") == 0
  )


def test_a_directory_of_another_identity_is_refused(config, finished):
  other = override(config, ["train.steps=12"])
  with pytest.raises(
    ValueError, match=r"train\.steps is 6 there and 12 here; use another"
  ):
    sweep.prepare(other, finished[0], hardware.local_devices(2))


def test_config_json_holds_config_versions_and_devices(config, finished):
  workdir, _ = finished
  content = json.loads((workdir / "config.json").read_text())
  assert records.read_config(workdir) == config
  assert content["identity_hash"] == identity_hash(config)
  assert content["devices"]["count"] == 2
  assert content["versions"]["jax_version"]


@pytest.mark.parametrize(
  "content", [None, "{", "[]", '{"config": []}', '{"config": {"x": 1}}']
)
def test_a_config_that_cannot_be_read_is_named(workdir, content):
  if content is not None:
    (workdir / "config.json").write_text(content)
  with pytest.raises(
    ValueError, match=r"config\.json is not a readable config"
  ):
    records.read_config(workdir)


def test_kept_parameters_are_those_of_the_seed(config, finished):
  from emergence import evaluate, tasks

  workdir, _ = finished
  cell = Cell("count", 8, 1)
  task = tasks.make_task(config.task)
  arch = compilation.make_architecture(config, cell)
  score = evaluate.make_evaluate(task, arch, config.task.test_lengths)
  frame = records.read(workdir)
  for seed, step in [(0, 0), (3, 2), (7, 6)]:
    params = load_params(workdir, cell, seed, step)
    rows = frame.query(f"seed == {seed} and step == {step}")
    np.testing.assert_allclose(
      score(params).nll_sum, rows["nll_sum"], rtol=1e-4
    )
  last = load_params(workdir, cell, 7)
  at_end = load_params(workdir, cell, 7, step=6)
  assert np.array_equal(
    last["embed"]["embedding"], at_end["embed"]["embedding"]
  )


def test_only_what_was_asked_for_is_kept(config, workdir):
  train(config, workdir, seeds=[0], saving=Saving(params="final"))
  (path,) = workdir.glob("params/*/*/*/*/*.npz")
  assert path.parent.name == "seeds-000000-000000"
  assert path.name == "step-00000006.npz"


def test_progress_ends_with_everything_done(finished):
  _, progress = finished
  assert [p.step for p in progress] == [0, 2, 4, 6]
  last = progress[-1]
  assert (last.seeds_done, last.seeds_running, last.seeds_total) == (0, 8, 8)
  assert last.seed_steps_per_second > 0
  assert last.seconds_left == 0
  assert progress[0].seconds_left == float("inf")


def test_a_diverged_seed_is_recorded_as_diverged(config, workdir, caplog):
  hot = override(
    config, ["train.learning_rate=1e38", "train.warmup_fraction=0.0"]
  )
  train(hot, workdir, seeds=[0, 1])
  frame = records.read(workdir)
  assert set(frame["seed"]) == {0, 1}
  last = frame.query("step == 6")
  assert last["diverged"].all()
  assert (last["exact_match"] == 0).all()
  assert last["nll_mean"].isna().all()
  assert not frame.query("step == 0")["diverged"].any()
  assert "2 of 2 seeds diverged" in caplog.text


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
    sweep.check(override(config, [assignment]))


@pytest.mark.slow
def test_a_seed_of_the_quickstart_is_the_same_bits_in_any_company(tmp_path):
  config = command.load_config(
    "quickstart", ["train.steps=200", "grid.depths=[2]"]
  )
  frames = {}
  for name, seeds in [
    ("all", range(32)),
    ("again", range(32)),
    ("eight", range(8)),
    ("alone", [7]),
  ]:
    train(config, epath.Path(tmp_path / name), seeds=seeds)
    frames[name] = records.read(tmp_path / name)
  assert frames["again"].equals(frames["all"])
  for name in ("all", "eight"):
    seven = frames[name].query("seed == 7").reset_index(drop=True)
    assert seven.equals(frames["alone"])
  assert frames["all"].query("step == 200")["nll_sum"].nunique() == 32 * 4


@pytest.mark.parametrize(
  ("seeds", "blocks"),
  [
    ([7], [[7]]),
    (range(6), [[0, 1, 2, 3], [4, 5]]),
    ([2, 3, 4, 11], [[2, 3], [4], [11]]),
  ],
)
def test_blocks_are_cut_where_they_always_are(seeds, blocks):
  assert sweep.cut_blocks(seeds, 4) == blocks


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 8, 9])
def test_shares_are_even_have_no_block_in_common_and_miss_none(tiny, count):
  config = override(tiny, ["seeds.block=2"])
  cells = config_lib.cells(config)
  work = [sweep.Work(c, sweep.cut_blocks(range(8), 2)) for c in cells]
  asked = config, cells, range(8)
  # Cells that are half done, as another process may see them later.
  later = [sweep.Work(cells[0], work[0].blocks[1:]), work[1]]
  for left in (work, later):
    shares = [sweep.shard(left, *asked, i, count) for i in range(count)]
    found = sorted(
      (item.cell, seeds)
      for share in shares
      for item in share
      for seeds in item.blocks
    )
    assert found == [(c, seeds) for c, blocks in left for seeds in blocks]
    sizes = []
    for i, share in enumerate(shares):
      whole = sweep.shard(work, *asked, i, count)
      sizes.append(sum(len(item.blocks) for item in whole))
      for item in share:
        (same,) = [w for w in whole if w.cell == item.cell]
        assert all(seeds in same.blocks for seeds in item.blocks)
    assert sum(sizes) == 8
    assert max(sizes) - min(sizes) <= 1


def test_a_run_that_breaks_off_still_says_where_its_time_went(tiny, tmp_path):
  workdir = epath.Path(tmp_path)
  devices = hardware.local_devices(1)
  sweep.prepare(tiny, workdir, devices)
  work = sweep.remaining(tiny, workdir, tiny.seeds.requested)

  def interrupt(progress):
    if progress.step == 4:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    sweep.run(tiny, workdir, work, devices, on_progress=interrupt)
  (run,) = budget.read_runs(workdir)
  assert (run.seeds, run.seed_steps) == (0, 0)
  assert run.seconds["train"] > 0
  assert run.seconds["compile"] > 0
  sweep.run(tiny, workdir, work, devices)
  runs = budget.read_runs(workdir)
  assert sorted(run.seeds for run in runs) == [0, 16]
  assert max(run.seed_steps for run in runs) == 16 * tiny.train.steps
