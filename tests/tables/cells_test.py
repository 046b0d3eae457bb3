import decimal
import math

import numpy as np
import pandas as pd
import pytest

from emergence.tables import cells


@pytest.mark.parametrize(
  ("cell", "expected"),
  [
    (64, 64.0),
    (np.int32(4), 4.0),
    (1e6, 1e6),
    ("16", 16.0),
    (" 125M ", 125e6),
    ("1.3B", 1.3e9),
    ("7b", 7e9),
    ("350k", 350e3),
    ("1T", 1e12),
    (".5 m", 5e5),
    ("1e-3", 1e-3),
    ("-2", -2.0),
  ],
)
def test_a_scale_is_a_number_with_or_without_a_multiple(cell, expected):
  assert cells.parse_scale(cell) == expected


@pytest.mark.parametrize("number", ["1.3", "2.8", "0.1", "6.9", "1.1"])
def test_one_size_in_two_multiples_is_one_scale(number):
  thousands = str(decimal.Decimal(number) * 1000)
  assert cells.parse_scale(f"{number}B") == cells.parse_scale(f"{thousands}M")


@pytest.mark.parametrize(
  "cell",
  [
    "",
    None,
    "large",
    "12MB",
    "1,300",
    "nan",
    "inf",
    math.nan,
    "1e999",
    "1e" + "9" * 30,
  ],
)
def test_other_scales_are_refused_by_their_text(cell):
  with pytest.raises(ValueError, match="is no scale; expected a number"):
    cells.parse_scale(cell)


@pytest.mark.parametrize(
  ("cell", "score", "is_percent"),
  [
    (0.5, 0.5, False),
    (np.float32(0.25), 0.25, False),
    (1, 1.0, False),
    (" 0.125 ", 0.125, False),
    ("45.5%", 45.5, True),
    ("45.5 %", 45.5, True),
    ("-3e-2", -0.03, False),
    (True, 1.0, False),
  ],
)
def test_scores(cell, score, is_percent):
  cell = int(cell) if cell is True else cell
  assert cells.parse_score(cell) == (score, is_percent)


@pytest.mark.parametrize("cell", ["", " ", None, "NaN", "null", math.nan])
def test_a_cell_without_a_number_is_a_run_without_a_score(cell):
  score, is_percent = cells.parse_score(cell)
  assert math.isnan(score)
  assert not is_percent


@pytest.mark.parametrize("cell", ["inf", "-Infinity", math.inf])
def test_infinities_are_read_as_such(cell):
  assert math.isinf(cells.parse_score(cell)[0])


@pytest.mark.parametrize("cell", ["N/A", "0,5", "n.a.", "12 abc", "%", [0.5]])
def test_another_text_is_no_score(cell):
  with pytest.raises(ValueError, match="is no score; expected a number"):
    cells.parse_score(cell)


@pytest.mark.parametrize("cell", ["1e400", 10**400, "9" * 400])
def test_a_number_too_large_is_not_taken_for_infinity(cell):
  with pytest.raises(ValueError, match="beyond double precision"):
    cells.parse_score(cell)


@pytest.mark.parametrize(
  ("seeds", "expected"),
  [
    (["0", "1", "2"], [0, 1, 2]),
    ([0.0, 1.0, 2.0], [0, 1, 2]),
    (["3.0", "1e1"], [3, 10]),
    (["a", "1"], ["a", "1"]),
    ([2**64, 2**64 + 1], [str(2**64), str(2**64 + 1)]),
    ([1.5, 2.0], ["1.5", "2"]),
  ],
)
def test_seeds_are_whole_numbers_or_all_texts(seeds, expected):
  assert cells.parse_seeds(seeds, map(str, range(len(seeds)))) == expected


def test_an_empty_seed_names_its_row():
  with pytest.raises(ValueError, match=r"t line 2: no seed; .* --where"):
    cells.parse_seeds([1, None], ["t line 1", "t line 2"])


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
    ([], [2, 3, 4, 5]),
    (["model=a"], [2, 3]),
    (["model!=mean"], [2, 3, 5]),
    (["model!="], [2, 3, 4]),
    (["step=1000"], [2, 4, 5]),
    (["model!=mean", "step = 1000"], [2, 5]),
    (["score!=N/A"], [2, 4, 5]),
  ],
)
def test_conditions_keep_the_rows_that_meet_all_of_them(where, kept):
  found, findings = cells.select(FRAME, where, "t")
  assert found.index.tolist() == [f"t line {n}" for n in kept]
  left_out = [row["source"] for f in findings for row in f.rows]
  assert sorted([*left_out, *found.index]) == FRAME.index.tolist()
  assert {f.kind for f in findings} <= {"excluded"}


@pytest.mark.parametrize("text", ["model", "=a", "!=a", ""])
def test_a_condition_of_another_form_is_refused(text):
  with pytest.raises(ValueError, match="reads COLUMN=VALUE or COLUMN!=VALUE"):
    cells.select(FRAME, [text], "t")


def test_conditions_are_not_evaluated():
  with pytest.raises(ValueError, match=r"no column .*__import__"):
    cells.select(FRAME, ["__import__('os').system('x')=1"], "t")


def test_a_condition_on_a_column_that_is_not_there_names_the_nearest():
  with pytest.raises(ValueError, match="no column 'Modell' in t; did you mean"):
    cells.select(FRAME, ["Modell=a"], "t")


def test_a_condition_that_nothing_meets_says_what_there_is():
  with pytest.raises(ValueError, match=r"no row of t; .* '', 'a', 'mean'"):
    cells.select(FRAME, ["model=b"], "t")


def test_a_summary_row_is_no_seed():
  with pytest.raises(ValueError, match="'mean' is a summary and no seed"):
    cells.parse_seeds(["0", "1", "mean"], ["row 1", "row 2", "row 3"])


def test_underscores_are_no_digits():
  with pytest.raises(ValueError, match="no score"):
    cells.parse_score("0_5")
  assert cells.parse_seeds(["1_0", "2"], ["a", "b"]) == ["1_0", "2"]
