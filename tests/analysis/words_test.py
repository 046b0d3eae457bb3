import pytest

from emergence.analysis import words


@pytest.mark.parametrize(
  ("value", "text"),
  [(-0.001, "0.00"), (-0.5, "−0.50"), (1.234, "1.23")],
)
def test_signed_numbers_have_a_minus_sign_and_no_negative_zero(value, text):
  assert words.signed(value) == text


@pytest.mark.parametrize(
  ("share", "text"),
  [(0.0, "0%"), (0.004, "under 1%"), (0.996, "over 99%")],
)
def test_nothing_and_all_are_said_only_where_it_is_so(share, text):
  assert words.percent(share) == text


@pytest.mark.parametrize(
  ("value", "text"),
  [(2900, "2,900"), (0.00012345, "0.000123"), (-1234.5, "−1,234")],
)
def test_numbers_have_all_digits_before_the_point(value, text):
  assert words.number(value) == text
  assert words.number(999.7) == "1,000"
  assert words.number(-0.3561, 2) == "−0.36"


@pytest.mark.parametrize(("value", "text"), [(2.436, "2.44"), (4.28e8, "428M")])
def test_sizes_are_short(value, text):
  assert words.size(value) == text


@pytest.mark.parametrize(
  ("value", "low", "high", "text"),
  [
    (0.846, 0.8455, 0.8467, "0.8460 (0.8455–0.8467)"),
    (0.471, 0.3, 0.638, "0.47 (0.30–0.64)"),
    (-0.001, -0.5, 0.25, "0.00 (−0.50 to 0.25)"),
    (2912.4, 2800, 3011, "2,912 (2,800–3,011)"),
  ],
)
def test_an_estimate_has_the_decimals_that_tell_it_from_its_interval(
  value, low, high, text
):
  assert words.with_interval(value, low, high) == text


@pytest.mark.parametrize(
  ("low", "high", "text"),
  [
    (-0.5, -0.25, " (−0.50 to −0.25)"),
    (float("nan"), 0.2, ""),
  ],
)
def test_an_interval_below_zero_is_written_out_and_none_is_left_out(
  low, high, text
):
  assert words.interval(low, high) == text
