"""The benchmark: its arithmetic, and that all of its sides compute the same.

What needs PyTorch runs in `make reference` and is skipped elsewhere.
"""

import dataclasses
import importlib.util
import json
import math
import os
import pathlib
import subprocess

import jax
import numpy as np
import pytest

from emergence.config import Cell, TrainConfig
from emergence.population import compilation
from emergence.training.model import train_flops
from experiments.benchmark import jax_sides, measure, table, timing
from experiments.benchmark.shapes import make_config
from tests.mains import sweep_command

README = pathlib.Path(measure.__file__).with_name("README.md")
RECORDED = json.loads(README.with_name("two_cores.json").read_text())
SHAPE = "8/1/2x24"
VARIANTS = ("eager", "vmap")  # Compiling takes half a minute.


@pytest.mark.parametrize("text", ["64/4/32", "a/4/32x64"])
def test_what_is_no_shape_is_refused(text):
  with pytest.raises(ValueError, match="--shape expects, say, 16/3/8x64"):
    make_config(text, "quickstart")


def test_what_a_loop_costs_once_does_not_count():
  loop = lambda steps: 7.0 + 0.02 * steps
  assert timing.rate_of(loop, 6)(3.0) == pytest.approx(6 / 0.02)


def test_sides_are_measured_in_turns():
  order = []

  def side(name, rates):
    rates = iter(rates)
    return lambda seconds: (order.append(name), next(rates))[1]

  found = timing.in_turns([side("a", [2, 6, 5]), side("b", [1, 2, 3])], 3, 0.1)
  assert "".join(order) == "abbaab"
  assert found.tolist() == [[2, 6, 5], [1, 2, 3]]


def test_a_product_of_matrices_takes_two_operations_a_term(monkeypatch):
  monkeypatch.setattr(jax_sides, "_GEMM_SIZE", 8)
  monkeypatch.setattr(timing, "seconds_since", lambda start: 0.5)
  rate = jax_sides.gemm(jax.local_devices(), TrainConfig())(0.0)
  assert rate == 2 * (2 * 8**3) / 0.5


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
  pytest.importorskip("torch")
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


def compare_with_torch(variant, checked, *, train=None, model=None):
  """The largest difference to PyTorch with another optimizer or model."""
  torch_sides = pytest.importorskip("experiments.benchmark.torch_sides")
  config, cell, losses, data = checked
  other = dataclasses.replace(
    config,
    train=dataclasses.replace(config.train, **(train or {})),
    model=dataclasses.replace(config.model, **(model or {})),
  )
  arch = compilation.make_setup(other, cell).arch
  trainer = torch_sides.Trainer(variant, arch, other.train, data, "cpu")
  theirs = trainer.losses(jax_sides.CHECK_SEEDS)
  return measure.check_agreement(variant, theirs, losses, "float32", cell.width)


@pytest.mark.parametrize("variant", VARIANTS)
def test_pytorch_computes_our_losses(checked, variant):
  assert compare_with_torch(variant, checked) < 2e-5


@pytest.mark.parametrize(
  "change",
  [
    {"train": {"weight_decay": 1e-9}},
    {"train": {"decay_all": True}},
    {"train": {"grad_clip": 1e9}},
    {"model": {"rotary_fraction": 0.5}},
  ],
  ids=str,
)
def test_the_check_notices_what_differs(checked, change):
  with pytest.raises(RuntimeError, match="does not compute"):
    compare_with_torch("eager", checked, **change)


def test_the_check_notices_another_residual(checked):
  other = {"parallel_residual": not checked[0].model.parallel_residual}
  with pytest.raises(RuntimeError, match="does not compute"):
    compare_with_torch("eager", checked, model=other)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Of a short run without overhead; with PyTorch where it is installed."""
  path = tmp_path_factory.mktemp("benchmark") / "rows.json"
  command = sweep_command(
    f"--shape={SHAPE}",
    *("--override=model.head_dim=4", "--override=task.test_lengths=[10,11]"),
    *("--override=seeds.block=2", "--sides=ours,jax,torch-eager"),
    *("--seeds=2", "--rounds=2", "--seconds=0.1", f"--json={path}"),
    main="benchmark",
  )
  # Not from the fork server: it starts processes of its own.
  environment = os.environ | {"JAX_PLATFORMS": "cpu"}
  result = subprocess.run(
    command, capture_output=True, text=True, env=environment
  )
  assert result.returncode == 0, result.stderr
  return result.stdout, json.loads(path.read_text())


def test_the_command_prints_and_writes_what_it_measured(run):
  printed, rows = run
  sides = [(row["side"], row["seeds"]) for row in rows]
  sizes = ["model.head_dim=4", "task.test_lengths=[10,11]"]
  arch = compilation.make_setup(*make_config(SHAPE, "quickstart", sizes)).arch
  flops = train_flops(arch, 2, 24)
  assert sides[:2] == [("ours", 2), ("jax", 1)]
  for row in rows:
    assert row["shape"] == SHAPE
    assert len(row["rounds"]) == 2
    rate = row["seed_steps_per_second"]
    assert rate == pytest.approx(np.median(row["rounds"]))
    achieved = row["peak_fraction"] * row["gemm_flops_per_second"]
    assert achieved == pytest.approx(rate * flops)
    assert f"{rate:.4g}" in printed
  assert all(row["compile_seconds"] > 0 for row in rows[:2])
  if importlib.util.find_spec("torch"):
    *_, torch = rows
    assert torch["side"] == "torch-eager"
    assert torch["loss_difference"] < 1e-4
    base = torch
  else:
    assert "skipping torch-eager: PyTorch is not installed\n" in printed
    assert len(rows) == 2
    base = rows[0]
  assert base["ratio"] == 1
  for row in rows:
    assert row["ratio_to"] == base["side"]
    ratios = np.divide(row["rounds"], base["rounds"])
    assert row["ratio"] == pytest.approx(np.median(ratios))


def test_the_tables_of_the_readme_are_those_of_the_rows_beside_it(run):
  assert table.format_tables(RECORDED) in README.read_text(encoding="utf-8")
  _, (row, *_) = run
  assert all(recorded.keys() == row.keys() for recorded in RECORDED)
