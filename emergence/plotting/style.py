"""The style of all figures: sizes, colours, fonts.

A figure is as wide as a column of a paper (3.5 inches) or, if it has many
panels, as the paper's text (7 inches). Type is 6 to 8 points. Colours differ in
lightness, not in hue alone, so that figures work in gray and for the colour
blind. Seeds that succeed are dark, the others light.
"""

import functools
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

COLUMN_WIDTH, TEXT_WIDTH = 3.5, 7.0
# Characters of a label that fit in an inch.
LETTERS_PER_INCH = 18
FILL, LINE = "#9ecae1", "#08519c"
SUCCEEDED, FAILED, OTHERS = "#08519c", "#e69f00", "#d0d0d0"
MARKERS = "osD^vP"

STYLE: dict[Any, Any] = {
  "font.size": 8,
  "axes.titlesize": 8,
  "axes.labelsize": 8,
  "xtick.labelsize": 7,
  "ytick.labelsize": 7,
  "legend.fontsize": 7,
  "axes.linewidth": 0.6,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.titlelocation": "left",
  "xtick.major.width": 0.6,
  "ytick.major.width": 0.6,
  "xtick.major.size": 2.5,
  "ytick.major.size": 2.5,
  "lines.linewidth": 1.2,
  "lines.markersize": 4,
  "legend.frameon": False,
  "figure.constrained_layout.use": True,
  "figure.constrained_layout.wspace": 0.05,
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
  """Makes a function draw in this style, whatever the user's settings."""

  @functools.wraps(draw)
  def in_style(*args, **kwargs) -> Figure:
    with matplotlib.rc_context():
      matplotlib.rcdefaults()
      matplotlib.rcParams.update(STYLE)
      return draw(*args, **kwargs)

  return in_style


def ramp(count: int) -> list[Any]:
  """Colours from dark to light, for ordered things."""
  if count == 1:
    return [LINE]
  return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.75, count)))


def literal(text: str, most: int = 40) -> str:
  """Escapes text so that matplotlib draws it literally, without TeX.

  Characters that the font lacks become boxes; long lines lose their middle.

  Args:
    text: one or more lines.
    most: the longest line, in characters.
  """
  known = _characters()
  lines = []
  for line in text.split("\n"):
    if len(line) > most:
      line = f"{line[: most // 2]}…{line[len(line) - (most - 1) // 2 :]}"
    lines.append("".join(c if ord(c) in known else "□" for c in line))
  return "\n".join(lines).replace("$", r"\$")


@functools.cache
def _characters() -> frozenset[int]:
  """Code points of the font of figures."""
  with matplotlib.rc_context():
    matplotlib.rcdefaults()
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
  return frozenset(font.get_charmap()) - frozenset(range(32))
