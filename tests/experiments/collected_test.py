"""What is committed of the studies in experiments/studies.py."""

import json

import numpy as np
import pandas as pd
import pytest
from etils import epath
from scipy import stats

from emergence.config import Cell, cells, identity_hash
from emergence.storage import params, records
from experiments import collected, command, studies
from tests import drawn_grids

STUDIES = {study.name: study for study in studies.STUDIES}


def config_of(study):
  return command.load_config(study.config, study.overrides)


def test_every_study_and_nothing_else_is_committed():
  folders = {path.name for path in collected.FOLDER.glob("*") if path.is_dir()}
  assert folders == set(STUDIES)
  files = [path for path in collected.FOLDER.rglob("*") if path.is_file()]
  assert sum(path.stat().st_size for path in files) < 30e6


@pytest.mark.parametrize("name", STUDIES)
def test_committed_records_and_parameters_are_whole_and_of_their_config(name):
  study, workdir = STUDIES[name], epath.Path(collected.FOLDER / name)
  config = config_of(study)
  content = json.loads((workdir / "config.json").read_text())
  assert content["identity_hash"] == identity_hash(config)
  for path in records.files(workdir):
    found = records.read_file(path)
    cell = records.cell_of_file(workdir, path)
    records.require_cell(path, found.provenance, config, cell)
    records.require_complete(path, found.table, cell, config)
  seeds = set(config.seeds.requested)
  for cell in cells(config):
    assert records.recorded_seeds(workdir, cell) == seeds, cell
  # The parameters are those of the rule.
  keep = {}
  if study.role == "grid":
    keep = collected.seeds_to_keep(config, workdir)
  for cell in cells(config):
    assert set(params.kept_files(workdir, cell)) == keep.get(cell, set())


# Those that a claim rests on, and one of each task.
@pytest.mark.slow
@pytest.mark.parametrize(
  "name",
  [x for x, s in STUDIES.items() if s.role in ("grid", "search", "task")],
)
def test_the_first_steps_come_out_again(name):
  folder = collected.FOLDER / name
  content = json.loads((folder / "first_steps.json").read_text())
  cell = Cell.parse(content["cell"])
  seeds = range(collected.NUM_SEEDS)
  found = collected.first_steps(config_of(STUDIES[name]), cell, seeds)
  assert found["data_sha256"] == content["data_sha256"]
  # Another compiler and another processor add up in another order.
  np.testing.assert_allclose(found["losses"], content["losses"], rtol=1e-3)


@pytest.mark.slow
def test_a_block_trained_anew_has_the_scores_of_the_committed_cell(tmp_path):
  """Trains seeds 0 to 8 of a cheap cell; they are compared with the rest.

  Another machine gives other scores to these seeds, with the same distribution.
  There are cheaper cells in the grids, but nearly all of their scores are 0.
  """
  overrides = ("grid.depths=[1]", "seeds.count=9")
  studies.train([studies.Study("again", "quickstart", overrides)], tmp_path)
  length = command.load_config("quickstart").headline_length
  select = f"depth == 1 and test_length == {length}"
  committed = records.read(collected.FOLDER / "quickstart")
  again = records.final_rows(records.read(tmp_path / "again")).query(select)
  rest = records.final_rows(committed).query(f"{select} and seed > 8")
  assert (len(again), len(rest)) == (9, 45)
  for metric in ("exact_match_without_end", "nll_mean"):
    test = stats.permutation_test(
      (again[metric], rest[metric]),
      stats.wasserstein_distance,
      alternative="greater",
      rng=0,
    )
    assert test.pvalue >= 0.001, metric


@pytest.mark.slow
def test_a_study_is_trained_and_collected(write_config, tmp_path):
  sizes = {"steps": 6, "num_points": 3, "block": 4, "count": 8}
  config = str(write_config(**sizes, depths=(1,)))
  studies.train([studies.Study("tiny", config)], tmp_path)
  workdir, folder = tmp_path / "tiny", tmp_path / "collected"
  collected.collect(workdir, folder, with_params=True)
  table = records.read(folder)
  assert table.equals(records.read(workdir))
  assert set(table["seed"]) == set(range(8))
  # Too few scales to rank a seed, so no parameters are kept.
  names = {path.name for path in folder.iterdir()}
  assert names == {"config.json", "records", "runs", "first_steps.json"}
  # The recorded losses are means over the steps since the last evaluation.
  steps = json.loads((folder / "first_steps.json").read_text())
  first = table[table["test_length"] == 4]
  for seed, losses in enumerate(steps["losses"]):
    recorded = first[first["seed"] == seed].set_index("step")["train_loss"]
    means = {0: np.nan} | {
      step: np.mean(losses[step - 2 : step]) for step in (2, 4, 6)
    }
    np.testing.assert_allclose(recorded, pd.Series(means), rtol=1e-5)


def test_the_extreme_seeds_and_some_of_either_kind_are_kept(workdir):
  """Six depths: seed 0 jumps, seed 1 rises evenly, the others do nothing."""
  score_SN = np.zeros((16, 6))
  score_SN[0] = [0, 0.02, 0.03, 0.05, 0.98, 1]
  score_SN[1] = np.arange(6) / 5
  score_SN[8:, 2] = 0.9  # The critical cell: seeds 1 and 8 to 15 succeed.
  config = drawn_grids.config_of(6, 16)
  drawn_grids.write(workdir, config, score_SN)
  keep = {1, 8, 9, 10, 11} | {0, 2, 3, 4, 5}
  assert collected.seeds_to_keep(config, workdir) == {cells(config)[2]: keep}
