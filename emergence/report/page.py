"""The report: one self-contained HTML page.

A page is a title, an introduction and a list of sections.
"""

import base64
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import jinja2
from etils import epath
from matplotlib.figure import Figure

from emergence.analysis.question import Section
from emergence.plotting import rendering, style
from emergence.storage.files import write_atomically

# In bytes: a page has a dozen figures and stays below 3 MB.
_LARGEST_SVG = 250_000
_PAGE_DPI = 130


def render_page(
  title: str,
  introduction: str,
  sections: Sequence[Section],
  image_of: Mapping[str, str] = {},
) -> str:
  """The page as HTML, with its figures embedded.

  Args:
    title: the heading of the page, plain text.
    introduction: plain text; an empty line ends a paragraph.
    sections: in the order of the page; with different names.
    image_of: data URIs of figures that are rendered already, by section.
  """
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader("emergence.report", "."),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  return environment.get_template("report.html").render(
    title=title,
    paragraphs=introduction.split("\n\n"),
    sections=[_shown(x, image_of.get(x.name)) for x in sections],
  )


def write_page(
  folder: epath.Path,
  title: str,
  introduction: str,
  sections: Sequence[Section],
  beside: Executor | None = None,
) -> epath.Path:
  """Writes `report.html`, and the figures as PNG and SVG under `figures/`.

  Unchanged files are not written again.

  Args:
    folder: where to write.
    title: see `render_page`.
    introduction: likewise.
    sections: likewise.
    beside: renders half of the figures in another process, meanwhile.

  Returns:
    The path of the page.
  """
  image_of, pending = {}, {}
  for i, section in enumerate(x for x in sections if x.figure is not None):
    path = folder / "figures" / f"{section.name}.png"
    if beside is not None and i % 2:
      pending[section.name] = beside.submit(_save, section.figure, path)
    else:
      image_of[section.name] = _save(section.figure, path)
  image_of |= {name: image.result() for name, image in pending.items()}
  page = folder / "report.html"
  content = render_page(title, introduction, sections, image_of).encode()
  if not page.exists() or page.read_bytes() != content:
    write_atomically(page, content)
  return page


def _shown(section: Section, image: str | None) -> dict[str, Any]:
  """The fields of a section for the template."""
  figure = section.figure
  shown = section._asdict() | {"is_wide": False}
  if figure is not None:
    shown["figure"] = image or _data_uri(
      figure, rendering.render(figure, "svg")
    )
    shown["is_wide"] = figure.get_figwidth() > style.COLUMN_WIDTH
  return shown


def _save(figure: Figure, path: epath.Path) -> str:
  """Writes a figure, and returns it as a data URI."""
  return _data_uri(figure, rendering.save(figure, path))


def _data_uri(figure: Figure, svg: bytes) -> str:
  """A figure as a data URI: its SVG, or PNG if that is large."""
  content, kind = svg, "svg+xml"
  if len(content) > _LARGEST_SVG:
    content, kind = rendering.render(figure, "png", _PAGE_DPI), "png"
  return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
