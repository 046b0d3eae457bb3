import math

import pytest

from emergence.analysis import words


def test_nothing_and_all_are_said_only_where_it_is_so():
  shares = 0.0, 0.004, 0.5, 0.996, 1.0
  texts = ["0%", "under 1%", "50%", "over 99%", "100%"]
  assert [words.percent(share) for share in shares] == texts


@pytest.mark.parametrize(
  ("value", "text"),
  [(2900, "2,900"), (999.7, "1,000"), (0.00012345, "0.000123"), (-0.3, "−0.3")],
)
def test_numbers_have_all_digits_before_the_point(value, text):
  assert words.number(value) == text


@pytest.mark.parametrize(("value", "text"), [(2.436, "2.44"), (4.28e8, "428M")])
def test_sizes_are_short(value, text):
  assert words.size(value) == text


@pytest.mark.parametrize(
  ("value", "low", "high", "text"),
  [
    (0.846, 0.8455, 0.8467, "0.8460 (0.8455–0.8467)"),
    (-0.001, -0.5, 0.25, "0.00 (−0.50 to 0.25)"),
    (2912.4, 2800, 3011, "2,912 (2,800–3,011)"),
  ],
)
def test_an_estimate_has_the_decimals_that_tell_it_from_its_interval(
  value, low, high, text
):
  assert words.with_interval(value, low, high) == text


def test_an_interval_below_zero_is_written_out_and_none_is_left_out():
  assert words.interval(-0.5, -0.001) == " (−0.50 to 0.00)"
  assert words.interval(math.nan, 0.2) == ""
