import pytest

from emergence.analysis import words


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
