import pytest

from emergence.plotting import style


@pytest.mark.parametrize(
  ("text", "shown"),
  [
    ("$x$", r"\$x\$"),
    ("a\x1b\x00b", "a□□b"),
    ("新", "□"),
    ("1" + "x" * 50 + "2\n3", "1" + "x" * 19 + "…" + "x" * 18 + "2\n3"),
  ],
)
def test_text_is_drawn_as_it_stands(text, shown):
  assert style.literal(text) == shown
