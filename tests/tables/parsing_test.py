"""Scales, scores and seeds from cells, and conditions on rows."""

import math

import numpy as np
import pandas as pd
import pytest

from emergence.tables import parsing


@pytest.mark.parametrize(
  ("cell", "expected"),
  [
    (64, 64.0),
    (" 125M ", 125e6),
    ("350k", 350e3),
    ("1T", 1e12),
    ("1e-3", 1e-3),
    # Products of floats would not be whole.
    ("1.3B", 1300 * 10**6),
    ("1b7", 1700 * 10**6),
    ("410 million", 410 * 10**6),
    ("1,400,000,000", 1400 * 10**6),
  ],
)
def test_a_scale_is_a_number_with_or_without_a_multiple(cell, expected):
  assert parsing.parse_scale(cell) == expected


@pytest.mark.parametrize("cell", [None, "12MB", "1,300", "nan", "1e999", "1_0"])
def test_other_scales_are_refused_by_their_text(cell):
  with pytest.raises(ValueError, match="is no scale; expected a number"):
    parsing.parse_scale(cell)


@pytest.mark.parametrize(
  ("cell", "score", "is_percent"),
  [
    (0.5, 0.5, False),
    ("45.5 %", 45.5, True),
    ("-Infinity", -math.inf, False),
    ("NaN", math.nan, False),
    (math.nan, math.nan, False),
    *[(cell, None, False) for cell in (" ", None, "N/A")],
  ],
)
def test_a_score_is_a_number_that_of_a_diverged_run_or_missing(
  cell, score, is_percent
):
  np.testing.assert_equal(parsing.parse_score(cell), (score, is_percent))


@pytest.mark.parametrize(
  "cell", ["0,5", "12 abc", "%", "0_5", [0.5], True, "1e400", 10**400]
)
def test_another_text_is_no_score(cell):
  with pytest.raises(ValueError, match="is no score; expected one number"):
    parsing.parse_score(cell)


@pytest.mark.parametrize(
  ("seeds", "expected"),
  [
    (["0", 1.0, "9007199254740993"], [0, 1, 2**53 + 1]),
    (["1_0", "2"], ["1_0", "2"]),
    ([2**64, 2**64 + 1], [str(2**64), str(2**64 + 1)]),
    ([1.5, 2.0], ["1.5", "2"]),
  ],
)
def test_seeds_are_whole_numbers_or_all_texts(seeds, expected):
  assert parsing.parse_seeds(pd.Series(seeds, dtype=object)) == expected


FRAME = pd.DataFrame(
  {
    "model": ["a", "a", "mean", ""],
    "step": ["1e3", "2000", "1000", "1000.0"],
    "score": ["0.1", "N/A", "0.3", "0.4"],
  },
  index=[f"t line {n}" for n in range(2, 6)],
)


@pytest.mark.parametrize(
  ("where", "kept"),
  [
    (["model=a"], [2, 3]),
    (["model!="], [2, 3, 4]),
    (["model!=mean", "step = 1000"], [2, 5]),
  ],
)
def test_conditions_keep_the_rows_that_meet_all_of_them(where, kept):
  found, issues = parsing.select(FRAME, where, "t")
  assert found.index.tolist() == [f"t line {n}" for n in kept]
  told = sum(int(issue.sentence.split()[-2]) for issue in issues)
  assert told == len(FRAME) - len(kept)
  assert all(issue == ("excluded", issue.sentence, []) for issue in issues)
