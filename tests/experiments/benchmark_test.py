"""The benchmark: its arithmetic, and that all of its sides do the same one.

What needs PyTorch runs in `make reference` and is skipped elsewhere.
"""

import dataclasses
import json
import math
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from emergence import tasks
from emergence.config import Cell
from emergence.population import compilation
from emergence.training import train
from experiments.benchmark import (
  ablations,
  jax_sides,
  measure,
  table,
  timing,
  torch_workers,
)
from experiments.benchmark.shapes import Shape, make_config

README = pathlib.Path(measure.__file__).with_name("README.md")
RECORDED = {
  path.name: json.loads(path.read_text())
  for path in README.parent.glob("*.json")
}
VARIANTS = ("eager", "vmap")  # Compiling takes half a minute.


def run_benchmark(*flags) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, "-m", "experiments.benchmark", *flags],
    capture_output=True,
    text=True,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    timeout=300,
  )


def test_a_shape_reads_as_it_is_written():
  assert Shape.parse(" 64/4/32x128") == Shape(64, 4, 32, 128)
  assert str(Shape.parse("64/4/32x128")) == "64/4/32x128"


@pytest.mark.parametrize("text", ["", "64", "64/4", "64/4/32", "a/4/32x64"])
def test_what_is_no_shape_is_refused(text):
  with pytest.raises(ValueError, match="--shape reads like 16/3/8x64"):
    Shape.parse(text)


@pytest.mark.parametrize(
  ("text", "heads"),
  [("16/1/8x64", 1), ("32/1/8x64", 2), ("64/1/8x64", 1), ("256/1/8x64", 4)],
)
def test_heads_are_those_of_the_models_that_people_train(text, heads):
  config, cell = make_config(Shape.parse(text), "quickstart")
  assert compilation.make_setup(config, cell).arch.num_heads == heads


def test_an_override_goes_before_the_shape():
  shape = Shape.parse("64/1/8x64")
  config, cell = make_config(
    shape, "quickstart", ["model.head_dim=32", "seeds.block=3"], block=5
  )
  assert compilation.make_setup(config, cell).arch.num_heads == 2
  assert config.seeds.block == 3


def test_what_a_loop_costs_once_does_not_count():
  loop = lambda steps: 7.0 + 0.02 * steps
  assert timing.rate_of(loop, 6)(3.0) == pytest.approx(6 / 0.02)


def test_a_longer_loop_that_was_faster_says_nothing():
  times = iter([1.0, 1.0, 9.0, 3.0])
  assert math.isnan(timing.rate_of(lambda steps: next(times), 1)(3.0))


def test_sides_are_measured_in_turns():
  order = []

  def side(name, rates):
    rates = iter(rates)
    return lambda seconds: (order.append(name), next(rates))[1]

  found = timing.in_turns(
    {"a": side("a", [2, 6, 5]), "b": side("b", [1, 2, math.nan])}, 3, 0.1
  )
  assert "".join(order) == "abbaab"
  assert found["a"].median == 5
  assert found["a"].spread == pytest.approx(4 / 5)
  assert found["b"].median == 1.5
  # A disturbance that slows a whole round leaves its ratio alone.
  assert timing.ratio(found["a"], found["b"]) == (2.5, 2, 3)


def trained_and_compiled(config) -> tuple[np.ndarray, str]:
  """First losses, and the compiled training loop without its source lines."""
  losses = jax_sides.first_losses(
    config, Cell.parse("count/width-8/depth-1"), jax.devices()[0]
  )
  program = compilation.compile_cell(
    config, Cell.parse("count/width-8/depth-1"), jax.devices()[:1]
  )
  return losses, re.sub(r"metadata={.*?}", "", program.advance.as_text())


@pytest.fixture(scope="module")
def whole(tiny):
  config = jax_sides.for_check(tiny, 8)
  losses, text = trained_and_compiled(config)
  assert trained_and_compiled(config)[1] == text
  return config, losses, text


@pytest.mark.parametrize("side", ablations.ABLATIONS)
def test_ours_without_a_part_computes_the_same_in_another_program(whole, side):
  config, losses, text = whole
  with ablations.ablated(side):
    theirs, theirs_text = trained_and_compiled(config)
  assert measure.check_agreement(side, theirs, losses, "float32", 8) < 4e-6
  assert theirs_text != text


def test_other_losses_fail_the_benchmark():
  ours = np.log(np.arange(2.0, 22.0)).reshape(2, 10)
  assert measure.check_agreement("x", ours + 1e-5, ours, "float32", 64) < 2e-5
  for wrong in (6e-5, math.nan):
    theirs = ours.copy()
    theirs[1, 4] += wrong
    with pytest.raises(RuntimeError, match=r"x does not compute .* step 4"):
      measure.check_agreement("x", theirs, ours, "float32", 64)


@pytest.fixture(scope="module", params=["parallel", "sequential"])
def checked(tiny, request):
  """A config for the check, its cell, our losses, and the data for theirs."""
  if request.param == "sequential":
    pytest.importorskip("torch")  # Nothing else tells it from the other one.
  config = dataclasses.replace(
    tiny,
    model=dataclasses.replace(
      tiny.model, parallel_residual=request.param == "parallel"
    ),
  )
  cell = Cell.parse("count/width-8/depth-1")
  config = jax_sides.for_check(config, cell.width)
  losses = jax_sides.first_losses(config, cell, jax.devices()[0])
  return config, cell, losses, jax_sides.draw_data(config, cell, 3, 12)


def test_the_data_are_what_the_population_trains_on(checked):
  config, cell, losses, data = checked
  arch = compilation.make_setup(config, cell).arch
  assert losses.shape == (jax_sides.CHECK_SEEDS, jax_sides.CHECK_STEPS)

  @jax.jit
  @jax.vmap
  def first_loss(params, tokens_NBL, is_answer_NBL):
    batch = tasks.Example(tokens_NBL[0], is_answer_NBL[0], jax.numpy.int32(0))
    return train.answer_loss(params, arch, batch)

  found = first_loss(*data)[: jax_sides.CHECK_SEEDS]
  np.testing.assert_allclose(found, losses[:, 0], rtol=1e-5)


def torch_losses(variant, config, cell, data, **changes):
  pytest.importorskip("torch")
  from experiments.benchmark import torch_sides

  trainer = torch_sides.Trainer(
    variant,
    compilation.make_setup(config, cell).arch,
    dataclasses.replace(config.train, **changes),
    data,
    "cpu",
  )
  rates = torch_sides.learning_rates(config.train, cell.width)
  return trainer.losses(rates, jax_sides.CHECK_SEEDS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_pytorch_computes_our_losses(checked, variant):
  config, cell, losses, data = checked
  theirs = torch_losses(variant, config, cell, data)
  assert (
    measure.check_agreement(variant, theirs, losses, "float32", cell.width)
    < 2e-5
  )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
  "changes", [{"weight_decay": 1e-9}, {"grad_clip": 1e9}], ids=str
)
def test_the_check_notices_what_is_missing(checked, variant, changes):
  config, cell, losses, data = checked
  theirs = torch_losses(variant, config, cell, data, **changes)
  with pytest.raises(RuntimeError, match="does not compute"):
    measure.check_agreement(variant, theirs, losses, "float32", cell.width)


@pytest.mark.parametrize(
  "change", [{"parallel_residual": None}, {"rotary_fraction": 0.5}], ids=str
)
def test_the_check_notices_another_model(checked, change):
  config, cell, losses, data = checked
  if change == {"parallel_residual": None}:
    change = {"parallel_residual": not config.model.parallel_residual}
  other = dataclasses.replace(
    config, model=dataclasses.replace(config.model, **change)
  )
  theirs = torch_losses("eager", other, cell, data)
  with pytest.raises(RuntimeError, match="does not compute"):
    measure.check_agreement("eager", theirs, losses, "float32", cell.width)


def test_the_check_notices_another_gelu(checked, monkeypatch):
  torch = pytest.importorskip("torch")
  config, cell, losses, data = checked
  exact = torch.nn.functional.gelu
  monkeypatch.setattr(
    torch.nn.functional, "gelu", lambda x: exact(x, approximate="tanh")
  )
  theirs = torch_losses("eager", config, cell, data)
  with pytest.raises(RuntimeError, match="does not compute"):
    measure.check_agreement("eager", theirs, losses, "float32", cell.width)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
  """Of a short run without overhead; with PyTorch where it is installed."""
  path = tmp_path_factory.mktemp("benchmark") / "rows.json"
  result = run_benchmark(
    "--shape=8/1/2x24",
    *("--override=model.head_dim=4", "--override=task.test_lengths=[10,11]"),
    *("--sides=ours,ours-plain,jax,torch-eager-per-core", "--block=2"),
    "--seeds=2,5",
    *("--rounds=2", "--seconds=0.1", f"--json={path}"),
  )
  assert result.returncode == 0, result.stderr
  return result.stdout, json.loads(path.read_text())


def test_the_command_prints_and_writes_what_it_measured(rows):
  printed, (*ours, one_seed, torch) = rows
  assert [row["side"] for row in ours] == [*["ours"] * 2, *["ours-plain"] * 2]
  assert [row["seeds"] for row in ours] == [2, 5, 2, 5]
  assert one_seed["side"] == "jax"
  for row in (*ours, one_seed):
    assert row["shape"] == "8/1/2x24"
    assert row["compile_seconds"] > 0
    assert row["memory_per_seed_bytes"] > 0
    assert len(row["rounds"]) == 2
    assert f"{row['seed_steps_per_second']:.4g}" in printed
  for row in ours[:2]:
    assert 0 < row["data_fraction"] < 1
  for row in ours[2:]:
    assert 0 < row["loss_difference"] < 1e-4
  if torch_workers.is_installed():
    assert torch["ratio"] == 1
    assert torch["loss_difference"] < 1e-4
    assert all(row["ratio"] > 0 for row in (*ours, one_seed))
  else:
    assert torch["error"] == "PyTorch is not installed"
    assert "PyTorch is not installed" in printed
    assert ours[0]["ratio"] == 1
    assert one_seed["ratio_to"] == "ours"


def test_the_readme_says_what_every_key_and_column_is(rows):
  text = README.read_text(encoding="utf-8")
  printed, (row, *_) = rows
  named = set(re.findall(r"`([^`]+)`", text))
  assert set(row) - named == set()
  header = next(x for x in printed.splitlines() if x.startswith("| side"))
  columns = {name.strip() for name in header.strip("|").split("|")}
  assert columns - named == set()
  assert set(measure.SIDES) - named == set()


def test_the_tables_of_the_readme_are_those_of_the_rows_beside_it():
  text = README.read_text(encoding="utf-8")
  assert RECORDED.keys() == {"two_cores.json", "two_cores_ablations.json"}
  for found in RECORDED.values():
    assert table.format_tables(found) in text


def test_the_front_page_tells_how_far_the_rivals_are_behind():
  front = README.parents[2] / "README.md"
  found = dict(
    re.findall(r"^\| (\S+/\S+x\d+) +\| (.+) \|$", front.read_text(), re.M)
  )
  recorded = RECORDED["two_cores.json"]
  assert list(found) == list(dict.fromkeys(row["shape"] for row in recorded))
  for shape, cells in found.items():
    ours, *rivals = (row for row in recorded if row["shape"] == shape)
    ahead = {
      row["side"]: np.median(np.divide(ours["rounds"], row["rounds"]))
      for row in rivals
    }
    best = max(
      (row for row in rivals if row["side"] != "jax"),
      key=lambda row: row["seed_steps_per_second"],
    )["side"]
    assert [cell.strip() for cell in cells.split("|")] == [
      f"{ours['seed_steps_per_second']:.4g}",
      f"{ours['ratio']:.2f}",
      f"{ahead[best]:.2f} (`{best}`)",
      f"{ahead['jax']:.2f}",
    ]


def test_a_table_is_narrow_enough_for_a_terminal(rows):
  _, rows = rows
  wide = rows[0] | {"side": max(measure.SIDES, key=len)}
  wide |= {"ratio": 10.5, "ratio_low": 0.99, "ratio_high": 11.5}
  text = table.format_tables([wide])
  assert max(map(len, text.splitlines())) <= 100


def test_a_side_alone_has_a_spread_in_the_place_of_ratios(rows):
  _, rows = rows
  alone = rows[0] | {"ratio": None, "ratio_low": None, "spread": 0.125}
  header, _, cells = table.format_tables([alone]).splitlines()[2:]
  column = [cell.strip() for cell in header.split("|")].index("spread")
  assert cells.split("|")[column].strip() == "12%"
  assert "ratio" not in header


@pytest.mark.parametrize(
  ("flag", "part"),
  [
    ("--shape=17/3/8x64", "nearest valid widths"),
    ("--sides=ours,theirs", "--sides: no side 'theirs'"),
  ],
)
def test_a_mistake_is_one_line_and_code_two(flag, part):
  result = run_benchmark(flag)
  assert result.returncode == 2
  (line,) = result.stderr.strip().splitlines()
  assert line.startswith("error: ")
  assert part in line
