import numpy as np
import pytest
from etils import epath

from emergence import config as config_lib
from emergence import tables
from emergence.config import Cell, override
from emergence.storage import records
from tests.harness_files import find
from tests.numbered_records import write, write_config

DEPTH_1 = Cell.parse("count/width-8/depth-1")


def write_all(config, workdir):
  """A config and the records of its whole grid, in blocks of four seeds."""
  write_config(config, workdir)
  for cell in config_lib.cells(config):
    for seeds in (range(4), range(4, 8)):
      write(config, workdir, cell, seeds)


@pytest.fixture
def finished(tiny, workdir) -> epath.Path:
  write_all(tiny, workdir)
  return workdir


def test_a_finished_directory_is_read_at_its_last_step_and_length(finished):
  table = tables.read(finished)
  (issue,) = table.issues
  assert issue.kind == "diverged"
  assert [(x["scale"], x["seed"]) for x in issue.rows] == [(1, 3), (2, 3)]
  assert (table.scale_name, table.group_columns) == ("depth", ("task", "width"))
  assert table.condition == "test length 6, after 6 steps"
  assert len(table.frame) == 2 * 8 * 4
  for depth, seed in [(1, 0), (2, 7)]:
    rows = table.frame.query(f"scale == {depth} and seed == {seed}")
    base = np.float32(seed / 1000 + 0.1 + (depth - 2) / 100 + 6)
    expected = {"exact_match": base, "token_accuracy": base + 2}
    expected |= {"nll_mean": base + 3, "min_token_log_prob": base + 5}
    found = dict(zip(rows["metric"], rows["score"]))
    assert found == pytest.approx(expected)
  assert table.frame.query("diverged")["seed"].unique().tolist() == [3]
  # Starts of a run of six of twelve numbers.
  assert table.frame["num_items"].unique().tolist() == [7]


def test_curves_have_all_steps_of_the_runs_of_the_table(finished):
  table = tables.read(finished, where=["seed!=5"])
  curves = table.curves
  assert len(curves) == 2 * 7 * 4 * len(curves["step"].unique())
  assert set(curves["seed"]) == set(range(8)) - {5}
  row = curves.query(
    "scale == 2 and seed == 7 and metric == 'token_accuracy' and step == 0"
  ).iloc[0]
  assert row["score"] == pytest.approx(0.007 + 0.1 + 2, abs=1e-4)
  assert curves.query("diverged")["seed"].unique().tolist() == [3]
  key = ["task", "width", "scale", "metric", "seed"]
  last = curves[curves["step"] == curves["step"].max()].set_index(key)["score"]
  frame = table.frame.set_index(key)["score"]
  assert last.sort_index().equals(frame.sort_index())


def test_metrics_of_records_state_support_and_direction(finished):
  names = [metric.name for metric in records.METRICS]
  metrics = tables.read(finished, score_columns=names).metrics
  assert list(metrics) == names
  assert metrics["exact_match"][1:3] == (0, 1)
  assert not metrics["nll_mean"].higher_is_better
  assert metrics["min_token_log_prob"].higher_is_better


def test_the_headline_metric_comes_first_and_may_change(tiny, finished):
  first, *others = tables.read(finished).metrics
  assert first == "exact_match"
  name = "exact_match_without_end"
  write_config(override(tiny, [f"eval.headline_metric={name}"]), finished)
  assert list(tables.read(finished).metrics) == [name, first, *others]


def test_the_folder_of_the_records_and_the_config_in_them_are_enough(finished):
  expected = tables.read(finished).frame
  (finished / "config.json").unlink()
  assert tables.read(finished).frame.equals(expected)
  assert tables.read(finished / "records").frame.equals(expected)


@pytest.mark.parametrize(
  ("depths", "scale", "groups"),
  [
    ([2], "width", ("task", "depth")),
    ([1, 2], "depth", ("task", "width")),
  ],
)
def test_the_scale_is_the_axis_that_varies(
  tiny, workdir, depths, scale, groups
):
  config = override(tiny, ["grid.widths=[8,16]", f"grid.depths={depths}"])
  write_all(config, workdir)
  table = tables.read(workdir)
  assert (table.scale_name, table.group_columns) == (scale, groups)
  cells = [cell.columns for cell in config_lib.cells(config)]
  expected = {(*(c[g] for g in groups), c[scale]) for c in cells}
  found = table.frame[[*groups, "scale"]].itertuples(index=False, name=None)
  assert set(found) == expected


def test_an_unfinished_directory_says_what_is_missing(tiny, workdir):
  config = override(tiny, ["grid.depths=[1,2,3]"])
  write_config(config, workdir)
  write(config, workdir, DEPTH_1, range(8))
  write(config, workdir, Cell.parse("count/width-8/depth-2"), range(4))
  issue = find(tables.read(workdir), "missing")
  common = {"task": "count", "width": 8, "metric": "all"}
  assert issue.rows == [
    {**common, "scale": 2.0, "missing_seeds": "4-7"},
    {**common, "scale": 3.0, "missing_seeds": "all"},
  ]


def test_a_seed_in_two_files_is_refused(tiny, finished):
  write(tiny, finished / "other", DEPTH_1, [1])
  place = f"records/{DEPTH_1}/seeds-000001-000001.parquet"
  (finished / "other" / place).rename(finished / place)
  message = "seed 1 is in .*-000003.parquet and in .*-000001.parquet"
  with pytest.raises(ValueError, match=message):
    tables.read(finished)


def test_records_of_another_experiment_are_refused(tiny, finished):
  other = override(tiny, ["train.weight_decay=0.5"])
  write(other, finished, DEPTH_1, [8])
  with pytest.raises(ValueError, match="holds seeds of another experiment"):
    tables.read(finished)


@pytest.mark.parametrize(
  ("design", "axis", "shared"),
  [
    ("paired", "depth", ["data stream", "embeddings"]),
    ("fixed_init", "depth", ["data stream"]),
    ("fixed_data", "width", ["share nothing"]),
  ],
)
def test_it_says_what_a_seed_index_shares(tiny, workdir, design, axis, shared):
  config = override(tiny, [f"seeds.design={design}"])
  write_all(config, workdir)
  told = tables.read(workdir, scale_axis=axis).seed_meaning
  words = ("data stream", "embeddings", "share nothing")
  assert [word for word in words if word in told] == shared


def test_drawn_items_are_as_many_as_the_config_says(tiny, workdir):
  config = override(tiny, ["task.name=null"])
  write_all(config, workdir)
  table = tables.read(workdir)
  assert table.frame["num_items"].unique().tolist() == [8]
