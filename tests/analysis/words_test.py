import pytest

from emergence.analysis import compute, words
from emergence.analysis.series import Options
from emergence.tables.score_table import Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)
FEW = Options(num_resamples=100, num_permutations=100)


def test_a_group_has_the_name_of_what_differs_cut_where_it_is_long(make_table):
  scores = {("x" * 500, ACCURACY): [[0.1]], ("$x$", ACCURACY): [[0.2]]}
  analysis = compute.analyze(make_table(scores), FEW)
  names = {words.group_name(analysis, s) for s in analysis.series}
  assert names == {f"group {'x' * 59}…", "group $x$"}
  analysis = compute.analyze(make_table({("g", ACCURACY): [[0.1]]}), FEW)
  assert words.group_name(analysis, analysis.series[0]) == ""


def test_places_are_listed_up_to_a_dozen_and_counted_beyond(make_table):
  cells = [[0.1]] * 20
  analysis = compute.analyze(make_table({("g", ACCURACY): cells}), FEW)
  (series,) = analysis.series
  for num, text in (
    (1, "at 1"),
    (12, f"at {', '.join(map(str, range(1, 13)))}"),
    (13, "at 13 of 20 scales"),
    (20, "at every size"),
  ):
    assert words.at(analysis, series, series.scales[:num]) == text


def test_places_of_a_single_scale_are_not_all_of_them(make_table):
  analysis = compute.analyze(make_table({("g", ACCURACY): [[0.1]]}), FEW)
  (series,) = analysis.series
  assert words.at(analysis, series, series.scales) == "at 1"


@pytest.mark.parametrize(
  ("value", "text"),
  [(-0.001, "0.00"), (0.0, "0.00"), (-0.5, "−0.50"), (1.234, "1.23")],
)
def test_signed_numbers_have_a_minus_sign_and_no_negative_zero(value, text):
  assert words.signed(value) == text


@pytest.mark.parametrize(
  ("share", "text"),
  [
    (0.0, "0%"),
    (0.004, "under 1%"),
    (0.006, "1%"),
    (0.994, "99%"),
    (0.996, "over 99%"),
    (1.0, "100%"),
  ],
)
def test_nothing_and_all_are_said_only_where_it_is_so(share, text):
  assert words.percent(share) == text


@pytest.mark.parametrize(
  ("low", "high", "text"),
  [
    (0.3, 0.64, " (0.30–0.64)"),
    (-0.001, 0.2, " (0.00 to 0.20)"),
    (-0.5, -0.25, " (−0.50 to −0.25)"),
    (float("nan"), 0.2, ""),
  ],
)
def test_an_interval_below_zero_is_written_out_and_none_is_left_out(
  low, high, text
):
  assert words.interval(low, high) == text


def test_one_test_is_not_corrected():
  assert words.p_value(0.0123, 0.0123, 1, "tests") == "p = 0.012"
  assert words.p_value(0.0123, 0.05, 4, "tests") == (
    "p = 0.012, 0.05 after Holm over 4 tests"
  )
