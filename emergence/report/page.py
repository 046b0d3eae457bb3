"""The report: one self-contained HTML page.

A page is a title, the answer in one sentence, what it is about, and a list of
sections. Their numbers, caveats and tables are folded, except for the tables of
the first screen, which are in full view.
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
from emergence.storage.files import write_if_changed

# In bytes: a page has a dozen figures and stays below 3 MB.
_LARGEST_SVG = 250_000
_PAGE_DPI = 130


def render_page(
  title: str,
  answer: str,
  about: str,
  sections: Sequence[Section],
  image_of: Mapping[str, str] = {},
) -> str:
  """The page as HTML, with its figures embedded.

  Args:
    title: the heading of the page, plain text.
    answer: one sentence, plain text.
    about: what the answer is about, plain text.
    sections: the sections in the order of the page; their names must differ.
    image_of: data URIs of figures that are rendered already, by section name.
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
    answer=answer,
    about=about,
    first=[_shown(x, image_of.get(x.name)) for x in sections if x.is_first],
    others=[
      _shown(x, image_of.get(x.name)) for x in sections if not x.is_first
    ],
  )


def write_page(
  folder: epath.Path,
  title: str,
  answer: str,
  about: str,
  sections: Sequence[Section],
  beside: Executor | None = None,
) -> epath.Path:
  """Writes `report.html`, and the figures as PNG and SVG under `figures/`.

  Unchanged files are not written again.

  Args:
    folder: where to write.
    title: see `render_page`.
    answer: likewise.
    about: likewise.
    sections: likewise.
    beside: renders half of the figures in another process meanwhile, if given.

  Returns:
    The path of the page.
  """
  image_of, pending = {}, {}
  figures = [(x.name, x.figure) for x in sections if x.figure is not None]
  for i, (name, figure) in enumerate(figures):
    path = folder / "figures" / f"{name}.png"
    if beside is not None and i % 2:
      pending[name] = beside.submit(_save, figure, path)
    else:
      image_of[name] = _save(figure, path)
  image_of |= {name: image.result() for name, image in pending.items()}
  page = folder / "report.html"
  content = render_page(title, answer, about, sections, image_of).encode()
  write_if_changed(page, content)
  return page


def _shown(section: Section, image: str | None) -> dict[str, Any]:
  """The fields of a section for the template."""
  figure = section.figure
  shown = section._asdict() | {"shape": ""}
  shown["alt"] = section.alt or " ".join([*section.answers, section.sentence])
  if figure is not None:
    shown["figure"] = image or _data_uri(
      figure, rendering.render(figure, "svg")
    )
    width, height = figure.get_size_inches()
    shown["shape"] = "tall" if height > width else ""
    if width > style.COLUMN_WIDTH:
      shown["shape"] = "wide"
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
