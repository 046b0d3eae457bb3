import numpy as np
import pytest

from emergence.analysis import composition
from tests.computed import ACCURACY, FEW, ask, panels

CLASSES = ("floor", "between", "successes", "ceiling")


def cells(*counts):
  """Scores with so many at 0, 0.1, 0.5 and 1 at each scale."""
  return [np.repeat([0, 0.1, 0.5, 1], num) for num in counts]


def said(table):
  (series,) = ask(table, "composition").series
  return [f.sentence for f in composition.findings(series)]


def test_the_scale_with_most_of_both_is_said_with_all_its_counts(make_table):
  scores = cells((30, 1, 1, 0), (13, 4, 15, 0), (1, 0, 20, 11))
  table = make_table({("g", ACCURACY): scores})
  assert said(table) == [
    "exact match: at size 2 (the most mixed scale), 13 of 32 seeds are at the"
    " floor (≤ 0.05), 4 fail outside it, 15 succeed below the ceiling and 0 at"
    " it.",
    "exact match: at size 2 floor and successes each have at least 10% of the"
    " seeds, by their 95% intervals.",
  ]
  # Diverged seeds are in no class, and in no share.
  table = make_table({("g", ACCURACY): scores}, diverged={("g", 2, 0)})
  (text, _) = said(table)
  assert (
    "(the most mixed scale), 12 of 31 scored seeds are at the floor" in text
  )
  (section,) = composition.sections(ask(table, "composition"))
  assert "Diverged seeds are left out." in section.sentence


def test_the_chance_level_is_the_floor_and_moves_the_threshold(make_table):
  scores = [np.repeat([0.2, 0.27, 0.35, 0.5], 10)]
  table = make_table({("g", ACCURACY): scores}, num_items=100)
  options = FEW._replace(chance=0.25)
  (series,) = ask(table, "composition", options=options).series
  assert series.threshold == pytest.approx(0.25 + 0.2 * 0.75)
  (row,) = composition.values(series)
  assert [row[f"share_{name}"] for name in CLASSES] == [0.5, 0.25, 0.25, 0]
  named = options._replace(threshold=0.3)
  assert ask(table, options=named).series[0].threshold == 0.3


def test_the_bars_of_each_scale_sum_to_one_from_the_floor_up(make_table):
  counts = (30, 1, 1, 0), (13, 4, 15, 0)
  scores = {("a", ACCURACY): cells(*counts), ("b", ACCURACY): cells(counts[1])}
  analysis = ask(make_table(scores), "composition")
  (section,) = composition.sections(analysis)
  left, _ = panels(section.figure)
  bars = left.patches
  assert len(bars) == 4 * 2
  assert [b.get_height() for b in bars[:2]] == [30 / 32, 13 / 32]
  assert sum(b.get_height() for b in bars[1::2]) == pytest.approx(1)
  assert [t.get_text() for t in left.get_xticklabels()] == ["1", "2"]
  assert section.table.rows[1][-1] == "floor and successes, some between"
