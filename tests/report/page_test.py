import os
import pathlib
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from etils import epath
from matplotlib.figure import Figure

from emergence.analysis.question import Section, Table
from emergence.report.page import render_page, write_page
from tests.mains import run_sweep

HOSTILE = '<script>alert("x")</script> & \'"><img src=x onerror=alert(1)>'


def make_figure() -> Figure:
  figure = Figure(figsize=(3.5, 2))
  figure.subplots().plot([0, 1], [0, 1])
  return figure


def make_sections() -> list[Section]:
  wide = Table([f"column {i}" for i in range(40)], [["1,234,567"] * 40])
  return [
    Section("one", "A figure", "It shows a line.", "No more.", make_figure()),
    Section("two", "A table", "It is wide.", table=wide),
    Section("three", "A config", "It is long.", code="x" * 500),
  ]


class _Page(HTMLParser):
  """Tags with their attributes, and all text outside of styles."""

  def __init__(self, page: str):
    super().__init__()
    self.tags: list[tuple[str, dict]] = []
    self.text = ""
    self._open: list[str] = []
    self.feed(page)

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in ("meta", "link", "img"):
      self._open.append(tag)

  def handle_endtag(self, tag):
    assert self._open.pop() == tag

  def handle_data(self, data):
    if "style" not in self._open:
      self.text += data


def test_the_page_has_each_part_once_and_closes_its_tags():
  page = _Page(render_page("Title", "First.\n\nSecond.", make_sections()))
  assert page._open == []
  headings = [tag for tag, _ in page.tags if tag in ("h1", "h2")]
  assert headings == ["h1", "h2", "h2", "h2"]
  for text in (
    "First.",
    "Second.",
    "It shows a line.",
    "No more.",
    "column 39",
  ):
    assert page.text.count(text) == 1
  anchors = {a["id"] for tag, a in page.tags if tag == "section"}
  links = {a["href"] for tag, a in page.tags if tag == "a"}
  assert links == {f"#{name}" for name in anchors} == {"#one", "#two", "#three"}


def test_nothing_outside_the_page_is_asked_for():
  page = _Page(render_page("Title", "Text.", make_sections()))
  for tag, attributes in page.tags:
    for name in ("src", "href"):
      if name in attributes:
        assert attributes[name].startswith(("data:", "#")), (tag, attributes)
  assert "script" not in {tag for tag, _ in page.tags}


def test_text_from_outside_stays_text():
  section = Section(
    "one",
    HOSTILE,
    HOSTILE,
    HOSTILE,
    make_figure(),
    [(HOSTILE, HOSTILE)],
    Table([HOSTILE], [[HOSTILE]]),
    HOSTILE,
  )
  html = render_page(HOSTILE, HOSTILE, [section])
  page = _Page(html)
  # Heading, window title, introduction, link, heading, sentence, caveat,
  # point and its text, column, cell, code; the other two are descriptions.
  assert page.text.count(HOSTILE) == 12
  tags = {tag for tag, _ in page.tags}
  assert "script" not in tags
  (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
  assert HOSTILE in image["alt"]
  assert "onerror" not in image


def test_figures_are_written_beside_the_page_and_only_when_they_change(
  tmp_path,
):
  folder = epath.Path(tmp_path)
  page = write_page(folder, "Title", "Text.", make_sections())
  assert page == folder / "report.html"
  files = {p for p in tmp_path.rglob("*") if p.is_file()}
  names = {str(p.relative_to(tmp_path)) for p in files}
  assert names == {"report.html", "figures/one.png", "figures/one.svg"}
  ElementTree.parse(tmp_path / "figures" / "one.svg")
  times = {p: p.stat().st_mtime_ns for p in files}
  write_page(folder, "Title", "Text.", make_sections())
  assert times == {p: p.stat().st_mtime_ns for p in files}
  write_page(folder, "Another title", "Text.", make_sections())
  changed = {p.name for p in files if times[p] != p.stat().st_mtime_ns}
  assert changed == {"report.html"}


@pytest.fixture(scope="module")
def browser():
  """Headless Chromium; on CI its absence is a failure and no skip."""
  path = shutil.which("chromium") or shutil.which("chromium-browser")
  if path is None:
    message = "no chromium on PATH; `apt-get install chromium` brings it"
    if os.environ.get("CI"):
      pytest.fail(message)
    pytest.skip(message)
  from playwright.sync_api import sync_playwright

  arguments = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
  arguments += ["--disable-background-networking", "--disable-sync"]
  arguments += ["--disable-component-update"]
  with sync_playwright() as playwright:
    found = playwright.chromium.launch(executable_path=path, args=arguments)
    yield found
    found.close()


def assert_reads_well(browser, path: pathlib.Path) -> None:
  """No error, no request, no missing image, nothing wider than the window."""
  for width in (390, 1440):
    for scheme in ("light", "dark"):
      page = browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme=scheme
      )
      complaints = []
      page.on("console", lambda m, c=complaints: c.append(m.text))
      page.on("pageerror", lambda e, c=complaints: c.append(str(e)))
      requests = []
      page.on("request", lambda r, c=requests: c.append(r.url))
      page.goto(path.as_uri())
      assert complaints == []
      assert [url for url in requests if not url.startswith("data:")] == [
        path.as_uri()
      ]
      assert page.evaluate("document.images.length") > 0
      assert page.evaluate(
        "[...document.images].every(i => i.complete && i.naturalWidth > 0)"
      )
      assert page.evaluate("document.documentElement.scrollWidth") <= width
      # The colours of the scheme, and readable ones.
      paper, ink = page.evaluate(
        "(s => [s.backgroundColor, s.color].map("
        "c => c.match(/[0-9]+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
        "))(getComputedStyle(document.body))"
      )
      assert (paper > ink) == (scheme == "light")
      assert abs(paper - ink) > 400
      page.close()


def test_a_browser_shows_a_page_on_a_phone_and_a_wide_screen(browser, tmp_path):
  write_page(epath.Path(tmp_path), HOSTILE, "Text.", make_sections())
  assert_reads_well(browser, tmp_path / "report.html")


GOOD = """<!DOCTYPE html><html><head><link rel="icon" href="data:,"><style>
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee } }
@media (prefers-color-scheme: light) { body { background: #fff; color: #111 } }
</style></head><body><img src="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA
AAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg==">
%s</body></html>"""


def test_a_browser_finds_what_is_wrong_with_a_page(browser, tmp_path):
  path = tmp_path / "page.html"
  path.write_text(GOOD % "")
  assert_reads_well(browser, path)
  for defect, found in (
    ('<img src="data:image/png;base64,AAAA">', "naturalWidth"),
    ('<p style="width:2000px">x</p>', "scrollWidth"),
    ("<script>console.error('no')</script>", "'no'"),
    ('<img src="other.png" hidden>', "FILE_NOT_FOUND"),
    ("<style>body { color: #777; background: #777 }</style>", "light"),
  ):
    path.write_text(GOOD % defect)
    with pytest.raises(AssertionError, match=found):
      assert_reads_well(browser, path)


def test_a_browser_shows_the_report_of_a_sweep(browser, finished_copy):
  done = run_sweep(f"--workdir={finished_copy}", main="report")
  assert done.returncode == 0, done.stderr
  assert_reads_well(browser, pathlib.Path(finished_copy) / "report.html")


def test_a_large_figure_is_put_into_the_page_as_a_picture():
  figure = Figure(figsize=(7, 5))
  axes = figure.subplots()
  for i in range(300):
    axes.plot(range(100), [(i * j) % 97 for j in range(100)])
  section = Section("one", "Large", "Many lines.", figure=figure)
  html = render_page("t", "i", [section])
  assert "data:image/png" in html
  assert 'class="wide"' in html
  assert len(html) < 3_000_000
