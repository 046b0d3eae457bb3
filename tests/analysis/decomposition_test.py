import numpy as np
import pytest

from emergence.analysis import decomposition
from tests.computed import (
  ACCURACY,
  FEW,
  NLL,
  answers_of,
  ask,
  low_high,
  of,
  panels,
)


@pytest.fixture
def answer(make_table):
  def answer(cells, metric=ACCURACY, options=FEW):
    """Sentences, rows and the analysis of one series."""
    table = make_table({("g", metric): cells})
    analysis = ask(table, "decomposition", options=options)
    return *answers_of(analysis, "decomposition"), analysis

  return answer


@pytest.mark.parametrize(
  ("cells", "sentence"),
  [
    (
      [of([0.1, 0.5], low=30, high=10), of([0.0, 0.9], low=20, high=20)],
      # .25 · (.4 + .9) / 2, .375 · .4 and .625 · −.1
      "from size 1 to 2 the mean rises by 0.25: 0.16 because more seeds"
      " succeed, 0.15 because successes score higher, −0.06 because"
      " failures score lower.",
    ),
    (
      [low_high(40, 0), of([0.1, 0.9], low=20, high=20)],
      "from size 1 to 2 the mean rises by 0.45: 0.41 because more seeds succeed"
      " (none at 1), 0.04 because failures score higher. no seed succeeds at"
      " size 1, so the mean of successes at 2 is used for both scales.",
    ),
  ],
)
def test_the_sentence_adds_up(answer, cells, sentence):
  texts, *_ = answer(cells)
  head = "exact match: "
  assert " ".join(text.removeprefix(head) for text in texts) == sentence
  assert all(len(text.split()) <= 35 for text in texts)


def test_a_metric_in_which_lower_is_better_falls(answer):
  cells = [of([3.0, 0.5], low=30, high=10), of([2.8, 0.5], low=10, high=30)]
  options = FEW._replace(thresholds=(("nll", 1.0),))
  (text,), frame, _ = answer(cells, NLL, options)
  # .5 · (2.5 + 2.3) / 2 and (1 − .5) · .2
  assert text == (
    "nll: from size 1 to 2 the mean falls by 1.3: 1.2 because more seeds"
    " succeed, 0.1 because failures score lower, so better."
  )
  row = frame.iloc[0]
  assert row["by_share"] == pytest.approx(-1.2)
  assert row["by_share_low"] < -1.2 < row["by_share_high"] < 0


def told(answer, cells):
  texts, *_ = answer(cells)
  return [text for text in texts if "is shown" not in text]


def test_few_runs_and_changes_that_may_be_chance_are_not_said(answer):
  texts, frame, _ = answer([low_high(5, 1), low_high(3, 3), low_high(1, 5)])
  assert texts == [
    "exact match: changes of the mean are tested only between scales with 10"
    " runs or more."
  ]
  assert frame["mean_change"].notna().all()
  assert frame["mean_change_low"].isna().all()
  assert answer([low_high(10, 10), low_high(9, 11)])[0] == [
    "exact match: no change of the mean between neighbouring scales is shown."
  ]
  # Next to a scale without a score, and without a threshold.
  assert answer([low_high(5, 1), [np.nan] * 6, low_high(1, 5)])[1].empty
  assert answer([[3.0] * 20, [1.0] * 20], NLL)[1].empty


def test_a_change_is_told_only_if_it_survives_all_pairs_of_scales(answer):
  before, after = low_high(12, 8), low_high(4, 16)
  assert told(answer, [before, after])
  # Of eight p-values the least, 0.009, counts eight times.
  assert answer([before] * 8 + [after])[0] == [
    "exact match: no change of the mean between neighbouring scales is shown,"
    " after correction for 8 pairs."
  ]


def test_diverged_seeds_are_named_and_do_not_turn_the_reason_around(answer):
  nan = [np.nan]
  cells = [low_high(30, 10), [*low_high(10, 26), *nan * 4]]
  (text,), *_ = answer(cells)
  assert text == (
    "exact match: from size 1 to 2 the mean among seeds that did not diverge"
    " rises by 0.38, because more seeds succeed."
  )
  # 33 of 50 succeed, then 18 of 20 that have a score, but of 50.
  cells = [low_high(17, 33), [*low_high(2, 18), *nan * 30]]
  assert not told(answer, cells)


def test_bars_are_stacked_on_both_sides_of_zero(answer):
  cells = [of([0.1, 0.5], low=30, high=10), of([0.0, 0.9], low=20, high=20)]
  (section,) = decomposition.sections(answer(cells)[2])
  (axes,) = panels(section.figure)
  ends = [bar.get_y() + bar.get_height() for bar in axes.patches]
  assert ends == pytest.approx([0.1625, 0.1625 + 0.15, -0.0625])
  assert axes.lines[0].get_ydata() == pytest.approx([0.25])
