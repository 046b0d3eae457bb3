import importlib.metadata
import types

from emergence.config import Cell
from emergence.population import topology
from emergence.population.hardware import local_devices
from emergence.sweep import console
from emergence.sweep.estimate import Estimate

ROW = {
  "width": 16,
  "depth": 4,
  "num_params": 14240,
  "step": 2000,
  "test_length": 20,
  "metric": "exact_match",
  "n_seeds": 32,
  "n_diverged": 0,
  "mean": 0.256,
  "mode": 0.0,
  "success_threshold": 0.2,
  "success_probability": 0.5,
  "success_text": "0.50",
  "success_low": 0.336,
  "success_high": 0.664,
  "seeds_by_tenth": [16, 0, 0, 0, 0, 2, 4, 4, 6, 0],
}


def test_the_table_says_what_it_shows():
  text = console.format_summary([ROW, ROW | {"depth": 12}])
  lines = text.strip().splitlines()
  assert lines[0] == (
    "exact match at test length 20 after 2000 steps, over seeds"
  )
  assert "share ≥ 20%  95 % interval" in lines[1]
  assert lines[1].endswith("seeds by tenth, [0, .1) to [.9, 1]")
  assert lines[2].split() == [
    *["16", "4", "14,240", "32", "0.26", "0.00", "0.50", "0.34–0.66"],
    *["16", "0", "0", "0", "0", "2", "4", "4", "6", "0"],
  ]
  assert len({len(line) for line in lines[1:]}) == 1
  assert "diverged" not in text


def test_estimates_mark_what_does_not_fit(tiny):
  cell = Cell.parse("count/width-8/depth-1")
  fits = Estimate(cell, 1000, 8, 3 * 2**20, 18420.0, True)
  unfit = Estimate(cell, 9000, 8, 40 * 2**30, None, False)
  text = console.format_estimates(tiny, [fits, unfit], local_devices(2))
  assert "40,960 MiB  does not fit" in text
  assert "cells that fit: 5:07 h" in text
  assert "smaller seeds.block" in text
  assert "~" not in text


def test_plans_say_what_fits_and_how_long_all_chips_take(monkeypatch):
  monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.2")
  device = types.SimpleNamespace(device_kind="TPU v5 lite")
  plans = [
    topology.Plan(
      Cell.parse(f"count/width-8/depth-{depth}"),
      *(1144, 250, block, 16, 3 * 2**30, 90.0, 4.7e10, 3.1e9, 0.0038),
      "memory",
      hours,
    )
    for depth, block, hours in ((1, 31, 3.25), (2, 0, 6.5))
  ]
  first, *rows, chips, _, total = console.format_plans(
    plans, "v5e:2x2", [device] * 4
  ).splitlines()
  assert first.split()[3:5] == ["fit", "memory"]
  shown = "1,144 250 31 3.0 GiB 16 1:30 min 47 3.1 memory 3.8 3.25"
  assert rows[0].split()[1:] == shown.split()
  assert rows[1].split()[3] == "0"
  assert chips.startswith("v5e:2x2: 4 × TPU v5 lite; jax 1.2, libtpu 1.2; 20")
  assert total.startswith("all cells: 9.75 hours of all 4 chips")
