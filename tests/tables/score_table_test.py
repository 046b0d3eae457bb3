import pytest

from emergence.tables import score_table


@pytest.mark.parametrize(
  ("value", "expected"),
  [
    ("näme ≥ 3", "'näme ≥ 3'"),
    ("two\nlines\x1b[2J\u202e", r"'two\nlines\x1b[2J\u202e'"),
    (3, "'3'"),
    ("x" * 10**6, f"'{'x' * 197}...'"),
  ],
)
def test_foreign_text_in_a_message_is_one_short_visible_line(value, expected):
  assert score_table.quote(value) == expected


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("Seed", "--f: no column 'Seed' in t; did you mean 'seed'?"),
    ("qqq", "there are 'seed', 'score'"),
  ],
)
def test_a_missing_column_is_answered_with_the_nearest(name, message):
  with pytest.raises(ValueError, match=f".*{message.replace('?', '.')}"):
    score_table.require_column(name, ["seed", "score"], "f", "t")
