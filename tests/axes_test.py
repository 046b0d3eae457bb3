"""Any config key as an axis, from the grid to records, tables and reports."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from etils import epath

from emergence import config as config_lib
from emergence import tables
from emergence.config import Cell, Config, cell_config, override
from emergence.report import figures, sweep_sections
from emergence.statistics import summary
from emergence.storage import records
from tests.sweeps import find_pending, train


def with_axes(config, **axes):
  """A config with further axes; `a__b` stands for the key a.b."""
  pairs = tuple((k.replace("__", "."), v) for k, v in axes.items())
  grid = dataclasses.replace(config.grid, axes=pairs)
  return dataclasses.replace(config, grid=grid)


def test_the_cells_are_all_combinations_in_order(tiny):
  config = with_axes(
    tiny, task__max_train_length=(2, 4), model__parallel_residual=(False, True)
  )
  found = [str(cell) for cell in config_lib.cells(config)]
  assert len(found) == 8
  assert found[:2] == [
    "count/width-8/depth-1/task.max_train_length-2/model.parallel_residual-false",
    "count/width-8/depth-1/task.max_train_length-2/model.parallel_residual-true",
  ]
  for cell, text in zip(config_lib.cells(config), found, strict=True):
    assert Cell.parse(text) == cell
    own = cell_config(config, cell)
    axes = dict(cell.axes)
    assert own.task.max_train_length == axes["task.max_train_length"]
    assert own.model.parallel_residual is axes["model.parallel_residual"]
    assert config_lib.cells(own) == [Cell(cell.task, cell.axes[:2])]
    assert cell_config(own, cell) == own


@pytest.mark.parametrize(
  ("value", "message"),
  [
    (
      {"train.learning_rate": [0.1, 0.2]},
      "cannot be an axis if train.learning_rate_by_width",
    ),
    ({"task.name": ["count"]}, "'task.name' cannot be an axis"),
    ({"train.wieght_decay": [0]}, "did you mean train.weight_decay"),
    ({"train.steps": [6, 6]}, "must have increasing values"),
  ],
)
def test_what_cannot_be_an_axis_is_refused(tiny, value, message):
  by_width = "train.learning_rate_by_width={8: 0.1}"
  with pytest.raises(ValueError, match=message):
    override(tiny, [by_width, f"grid.axes={value!r}"])


def test_axes_are_read_as_python_and_as_json(tiny):
  for text in (
    '{"task.packed": [true, false]}',
    "{'task.packed': [True, False]}",
  ):
    config = override(tiny, [f"grid.axes={text}"])
    assert config.grid.axes == (("task.packed", (False, True)),)


def test_a_text_that_is_no_cell_is_refused():
  with pytest.raises(ValueError, match="there is no axis"):
    Cell.parse("count/width-8/depth-1/task.pakced-true")


def test_root_seeds_are_no_scale(tiny):
  config = with_axes(tiny, root_seed=(0, 1))
  rows = [{**cell.columns} for cell in config_lib.cells(config)]
  assert records.scale_axis([r for r in rows if r["depth"] == 1]) == "depth"


def test_values_that_do_not_fit_together_name_their_cell(tiny):
  config = with_axes(tiny, task__min_train_length=(1, 5))
  cell = config_lib.cells(config)[1]
  with pytest.raises(ValueError, match=r"length-5: task.max_train_length must"):
    cell_config(config, cell)


@pytest.fixture(scope="module")
def by_steps(tiny, tmp_path_factory) -> tuple[Config, epath.Path]:
  """A sweep over the number of training steps, one depth."""
  config = with_axes(tiny, train__steps=(4, 6), train__weight_decay=(0.1,))
  config = override(
    config,
    [
      *("grid.depths=[1]", "eval.num_points=2"),
      "eval.train_distribution_items=16",
    ],
  )
  workdir = epath.Path(tmp_path_factory.mktemp("steps"))
  assert train(config, workdir, num_devices=1) == 16
  return config, workdir


def test_records_have_a_column_for_each_axis(by_steps):
  config, workdir = by_steps
  frame = pd.read_parquet(workdir / "records")
  assert set(frame["train.steps"]) == {4, 6}
  assert frame["train.weight_decay"].dtype == float
  assert len(records.read(workdir)) == len(frame) == 2 * 8 * 3 * 3
  for cell in config_lib.cells(config):
    own = records.rows_of_cell(frame, cell.columns)
    steps = cell_config(config, cell).eval_steps
    assert sorted(set(own["step"])) == list(steps)
  # Seeds of equal data and initialization differ by what the axis changes.
  is_last = frame["step"] == frame["train.steps"]
  last = frame[is_last & (frame["test_length"] == 4)]
  nll = last.pivot(index="seed", columns="train.steps", values="nll_sum")
  assert (nll.nunique(axis=1) > 1).all()


def test_examples_of_training_are_a_test_set_without_a_length(by_steps):
  frame = records.read(by_steps[1])
  rows = frame.query("test_set == 'train_distribution'")
  assert len(frame) == 3 * len(rows)
  assert rows["test_length"].isna().all()
  # Every item is right, or wrong in one way.
  wrong = rows[list(records.ERROR_COUNTS)].sum(axis=1)
  np.testing.assert_allclose(16 * (1 - rows["exact_match"]), wrong, atol=1e-4)
  assert rows["nll_mean"].between(1, 4).all()
  condition = tables.read(by_steps[1]).condition
  assert "test length 6" in condition


def test_a_finished_grid_is_not_trained_again_and_may_grow(by_steps):
  config, workdir = by_steps
  assert find_pending(config, workdir) == []
  grown = with_axes(config, train__steps=(4, 6, 8), train__weight_decay=(0.1,))
  (work,) = find_pending(grown, workdir)
  assert dict(work.cell.axes)["train.steps"] == 8


def test_a_summary_has_a_row_a_cell_at_its_own_last_step(by_steps):
  config, workdir = by_steps
  rows = summary.summarize(records.read(workdir), 6, "exact_match")
  cells = config_lib.cells(config)
  assert [{k: row[k] for k in c.columns} for row, c in zip(rows, cells)] == [
    cell.columns for cell in cells
  ]
  assert [row["step"] for row in rows] == [4, 6]
  assert [type(row["train.steps"]) for row in rows] == [int] * 2
  assert records.scale_axis(rows) == "train.steps"


def test_the_analysis_takes_an_axis_by_its_name(by_steps):
  _, workdir = by_steps
  axis = "train.weight_decay"
  table = tables.read(workdir, scale_axis=axis, score_columns=["nll_mean"])
  assert table.scale_name == axis
  assert table.group_columns == ("task", "width", "depth", "train.steps")
  frame = records.read(workdir)
  last = frame[
    (frame["step"] == frame["train.steps"]) & (frame["test_length"] == 6)
  ]
  key = ["train.steps", "train.weight_decay", "seed"]
  expected = last.set_index(key)["nll_mean"].sort_index()
  found = table.frame.rename(columns={"scale": axis})
  found = found.set_index(key)["score"].sort_index()
  np.testing.assert_allclose(found.to_numpy(), expected.to_numpy())
  with pytest.raises(ValueError, match="--scale_axis must be one of auto, wid"):
    tables.read(workdir, scale_axis="steps")


def test_figures_and_sections_tell_cells_apart_by_what_varies(by_steps):
  _, workdir = by_steps
  frame = records.read(workdir)
  figure = figures.length_curves(frame, 6)
  titles = {axes.get_title(loc="left") for axes in figure.axes} - {""}
  assert titles == {"steps 4", "steps 6"}
  models, *_ = sweep_sections.provenance(sweep_sections.read(workdir))
  assert "train.steps" in models.table.header
