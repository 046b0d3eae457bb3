"""Which rows are suspected to be summaries of others."""

import numpy as np
import pandas as pd
import pytest

from emergence.tables import summary_rows

RUNS = [f"run{i}" for i in range(8)]


def table(extra, scales=3, digits=4, seeds=RUNS, floor=False):
  """Scores of runs, and rows computed from those of their cell."""
  rng = np.random.default_rng(0)
  rows = []
  for scale in range(scales):
    scores = rng.random(len(seeds)).round(digits)
    if floor:
      scores[: len(seeds) // 2] = 0
    cell = dict(zip(seeds, scores, strict=True))
    cell |= {name: round(float(f(scores)), digits) for name, f in extra.items()}
    rows += [(scale, *item) for item in cell.items()]
  frame = pd.DataFrame(rows, columns=["scale", "seed", "score"])
  return frame.assign(source="t line 2")


def suspects(frame):
  try:
    summary_rows.drop(frame, ["scale"], [])
  except ValueError as error:
    return str(error)
  return ""


@pytest.mark.parametrize(
  "name", ["AVG", "stdDev", "std. err.", "95% CI lower", "mean ± std"]
)
def test_a_statistic_by_name(name):
  assert name in suspects(table({name: lambda x: 0.123}, scales=1))


@pytest.mark.parametrize(
  ("name", "statistic"),
  [
    ("Mittelwert", np.mean),
    ("écart-type", lambda x: np.std(x, ddof=1)),
    ("σ", np.std),
    ("erreur", lambda x: np.std(x, ddof=1) / np.sqrt(len(x))),
    ("tief", np.min),
    ("999", np.mean),
  ],
)
def test_a_statistic_in_another_language_by_its_values(name, statistic):
  seeds = [str(i) for i in range(8)] if name == "999" else RUNS
  assert name in suspects(table({name: statistic}, seeds=seeds))


@pytest.mark.parametrize(
  "frame",
  [
    table({"default": lambda x: 0.2345}),
    table({"default": np.min}, floor=True),
    table({}, digits=1, floor=True),
    table({}, seeds=[f"max-entropy-{i}" for i in range(8)]),
    table({}, seeds=["a3f9", "00e1", "12e3", "beef"]),
    table({}, scales=24, seeds=[str(i) for i in range(250)], digits=2),
  ],
)
def test_runs_are_not_suspected(frame):
  assert suspects(frame) == ""
