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


def test_cut_text_keeps_its_ends():
  assert style.literal("size 1000000", 9) == "size…0000"
  assert len(style.literal("x" * 100, 12)) == 12
  assert style.literal("x" * 12, 12) == "x" * 12
