"""Renders figures to bytes and files, reproducibly."""

import io

import matplotlib
from etils import epath
from matplotlib.figure import Figure

from emergence.plotting.style import STYLE
from emergence.storage.files import write_if_changed


def save(figure: Figure, path: epath.Path) -> bytes:
  """Writes a figure as PNG at 200 dpi, and as SVG in the same folder.

  Unchanged files are not written again.

  Returns:
    The SVG.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  content = b""
  for suffix in (".png", ".svg"):
    file, content = path.with_suffix(suffix), render(figure, suffix[1:])
    write_if_changed(file, content)
  return content


def render(figure: Figure, kind: str, dpi: int = 200) -> bytes:
  """Renders a figure to the bytes of a PNG or SVG file.

  The file has no date or random ids, so that equal records give equal bytes.

  Args:
    figure: the figure.
    kind: `png` or `svg`.
    dpi: dots per inch, also of bitmaps inside an SVG.
  """
  buffer = io.BytesIO()
  metadata = {"Date": None} if kind == "svg" else {}
  with matplotlib.rc_context():
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(STYLE)
    matplotlib.rcParams["svg.hashsalt"] = "emergence"
    if figure.get_layout_engine() is not None:
      # The layout takes longer than the drawing and is the same for all files.
      figure.draw_without_rendering()
      figure.set_layout_engine("none")
    figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
  return buffer.getvalue()
