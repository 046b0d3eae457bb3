"""The report: one self-contained HTML page.

A page is a title, the answer in one sentence, what it is about, and a list of
sections. Those of the first screen are in full view; of the others the numbers
and caveats are folded.
"""

import base64
from collections.abc import Sequence
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
  title: str, answer: str, about: str, sections: Sequence[Section]
) -> str:
  """The page as HTML, with its figures embedded.

  Args:
    title: the heading of the page, plain text.
    answer: one sentence, plain text.
    about: what the answer is about, plain text.
    sections: in the order of the page; with different names.
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
    first=[_shown(section) for section in sections if section.is_first],
    others=[_shown(section) for section in sections if not section.is_first],
  )


def write_page(
  folder: epath.Path,
  title: str,
  answer: str,
  about: str,
  sections: Sequence[Section],
) -> epath.Path:
  """Writes `report.html`, and the figures as PNG and SVG under `figures/`.

  Unchanged files are not written again.

  Returns:
    The path of the page.
  """
  for section in sections:
    if section.figure is not None:
      rendering.save(section.figure, folder / "figures" / f"{section.name}.png")
  page = folder / "report.html"
  content = render_page(title, answer, about, sections).encode()
  if not page.exists() or page.read_bytes() != content:
    write_atomically(page, content)
  return page


def _shown(section: Section) -> dict[str, Any]:
  """The fields of a section for the template."""
  figure = section.figure
  shown = section._asdict() | {"shape": ""}
  shown["alt"] = section.alt or " ".join([*section.answers, section.sentence])
  if figure is not None:
    shown["figure"] = _data_uri(figure)
    width, height = figure.get_size_inches()
    shown["shape"] = "tall" if height > width else ""
    if width > style.COLUMN_WIDTH:
      shown["shape"] = "wide"
  return shown


def _data_uri(figure: Figure) -> str:
  """A figure as a data URI: SVG, or PNG if the SVG is large."""
  content = rendering.render(figure, "svg", transparent=True)
  kind = "svg+xml"
  if len(content) > _LARGEST_SVG:
    content, kind = rendering.render(figure, "png", True, _PAGE_DPI), "png"
  return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
