import pytest

from emergence.tables import score_table


@pytest.mark.parametrize(
  ("value", "expected"),
  [
    ("näme ≥ 3", "'näme ≥ 3'"),
    ("two\nlines\x1b[2J\u202e", r"'two\nlines\x1b[2J\u202e'"),
    ("x" * 10**6, f"'{'x' * 197}...'"),
  ],
)
def test_foreign_text_in_a_message_is_one_short_visible_line(value, expected):
  assert score_table.quote(value) == expected
