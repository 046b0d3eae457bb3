import json
import os
import pathlib
import re
import shutil
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
  small = Table(["depth", "mean"], [["1", "0.5\n(0.4–0.6)"]])
  return [
    Section(
      "zero", "A line.", "", make_figure(), title="First?", is_first=True
    )._replace(alt="It rises."),
    Section("cells", "Cells.", table=small, title="Sure?", is_first=True),
    Section("one", "It shows a line.", "No more.", make_figure())._replace(
      points=[("It is so.", "p 0.03")], title="A figure?", answers=["Yes."]
    ),
    Section("two", "It is wide.", table=wide, title="A table?"),
    Section("three", "", code="x" * 500, title="A config?"),
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


@pytest.fixture(scope="module")
def html():
  return render_page("Title", "Answer.", "About.", make_sections())


def test_the_page_has_each_part_once_and_closes_its_tags(html):
  page = _Page(html)
  assert page._open == []
  headings = [tag for tag, _ in page.tags if tag in ("h1", "h2")]
  assert headings == ["h1", *["h2"] * 5]
  for text in ("Answer.", "About.", "Yes.", "No more.", "p 0.03", "column 39"):
    assert page.text.count(text) == 1
  anchors = {a["id"] for tag, a in page.tags if tag == "section"}
  links = {a["href"] for tag, a in page.tags if tag == "a"}
  assert anchors == {"zero", "cells", "one", "two", "three"}
  assert links == {"#one", "#two", "#three"}
  # Nothing outside of it is asked for.
  for _, attributes in page.tags:
    for name in attributes.keys() & {"src", "href"}:
      assert attributes[name].startswith(("data:", "#")), attributes
  assert "script" not in {tag for tag, _ in page.tags}


def test_what_answers_is_in_view_and_numbers_are_folded(html):
  in_view = re.sub(r"<details>.*?</details>", "", html, flags=re.DOTALL)
  for text in ("Answer.", "Yes.", "It shows a line.", "Cells.", "(0.4–0.6)"):
    assert text in in_view, text
  for text in ("No more.", "p 0.03", "column 39", "It is wide.", "xxx"):
    assert text not in in_view, text
    assert text in html, text
  places = [
    html.index(x) for x in ("Answer.", "First?", "Sure?", "<nav", "Yes")
  ]
  assert places == sorted(places)


def test_a_screen_reader_is_told_what_is_what(html):
  page = _Page(html)
  alts = [a["alt"] for tag, a in page.tags if tag == "img"]
  assert alts == ["It rises.", "Yes. It shows a line."]
  tags = [tag for tag, _ in page.tags]
  for landmark in ("header", "main", "nav"):
    assert tags.count(landmark) == 1
  assert tags.count("caption") == tags.count("table") == 2
  scopes = [a["scope"] for tag, a in page.tags if tag == "th"]
  assert scopes == ["col"] * 2 + ["row"] + ["col"] * 40 + ["row"]
  ids = {a.get("id") for _, a in page.tags}
  for tag, attributes in page.tags:
    if tag == "section":
      assert attributes["aria-labelledby"] in ids
    # What scrolls can be reached by keyboard, and has a name.
    if "scroll" in attributes.get("class", ""):
      assert (attributes["tabindex"], attributes["role"]) == ("0", "region")
      assert attributes["aria-label"]


def test_text_from_outside_stays_text():
  points, table = [(HOSTILE, HOSTILE)], Table([HOSTILE], [[HOSTILE]])
  section = Section("one", HOSTILE, HOSTILE, make_figure(), points, table)
  section = section._replace(code=HOSTILE, title=HOSTILE, answers=[HOSTILE])
  page = _Page(render_page(HOSTILE, HOSTILE, HOSTILE, [section]))
  # Heading, window title, answer, about, link, heading and in the summary,
  # answer, caption, caveat, point and its text, column, cell, code; the other
  # two are descriptions.
  assert page.text.count(HOSTILE) == 15
  tags = {tag for tag, _ in page.tags}
  assert "script" not in tags
  (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
  assert HOSTILE in image["alt"]
  assert "onerror" not in image


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
  arguments += ["--disable-background-networking", "--disable-component-update"]
  with sync_playwright() as playwright:
    found = playwright.chromium.launch(executable_path=path, args=arguments)
    yield found
    found.close()


@pytest.fixture(scope="module")
def sweep_report(finished, tmp_path_factory):
  """The work directory of a sweep with its report, and what was printed."""
  workdir = tmp_path_factory.mktemp("report") / "sweep"
  shutil.copytree(finished, workdir)
  flags = [f"--workdir={workdir}", f"--json={workdir.parent / 'table.json'}"]
  done = run_sweep(*flags, main="report")
  assert (done.returncode, done.stderr) == (0, "")
  return workdir, done.stdout


def test_the_report_of_a_sweep_is_written_once(sweep_report):
  workdir, printed = sweep_report
  assert printed.endswith(f"report  {workdir}/report.html\n")
  rows = json.loads((workdir.parent / "table.json").read_text())
  assert [row["metric"] for row in rows][:2] == ["exact_match"] * 2
  assert {row["n_seeds"] for row in rows} == {8}
  for name in ("summary.csv", "summary.json", "trajectories.csv"):
    assert (workdir / name).stat().st_size > 0
  names = {path.stem for path in (workdir / "figures").glob("*.png")}
  assert {"distribution-exact-match", "summaries", "length-curves"} <= names
  times = lambda: {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}
  written = times()
  run_sweep(f"--workdir={workdir}", main="report")
  assert times() == written


def assert_reads_well(browser, path: pathlib.Path) -> None:
  """No error, no request, no missing image, nothing wider than the window."""
  for width, scheme in ((390, "dark"), (1440, "light")):
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
    requests = [url for url in requests if not url.startswith("data:")]
    assert requests == [path.as_uri()]
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


def test_a_browser_shows_a_page_and_prints_what_is_folded(browser, tmp_path):
  write_page(epath.Path(tmp_path), HOSTILE, "A.", "B.", make_sections())
  path = tmp_path / "report.html"
  assert_reads_well(browser, path)
  page = browser.new_page()
  page.goto(path.as_uri())
  folded = page.locator("details p", has_text="No more.")
  assert folded.bounding_box() is None or not folded.is_visible()
  page.emulate_media(media="print")
  assert folded.is_visible()
  page.close()


def test_a_browser_shows_the_report_of_a_sweep(browser, sweep_report):
  path = sweep_report[0] / "report.html"
  assert_reads_well(browser, path)
  # Of few scales, answer, pictures and table are on the first screen.
  page = browser.new_page(viewport={"width": 1440, "height": 900})
  page.goto(path.as_uri())
  for name in (".answer", ".first img >> nth=1", ".first table"):
    box = page.locator(name).bounding_box()
    assert box["y"] + box["height"] <= 900, name
  page.set_viewport_size({"width": 390, "height": 844})
  box = page.locator(".first img >> nth=0").bounding_box()
  assert box["y"] + box["height"] <= 844
  table = page.locator(".first table").bounding_box()
  assert table["x"] + table["width"] <= 390
  page.close()


def test_a_large_figure_is_put_into_the_page_as_a_picture():
  figure = Figure(figsize=(7, 5))
  axes = figure.subplots()
  for i in range(200):
    axes.plot(range(100), [(i * j) % 97 for j in range(100)])
  section = Section("one", "Many lines.", figure=figure, title="Large")
  html = render_page("t", "a", "b", [section])
  assert "data:image/png" in html
  assert 'class="wide"' in html
  assert len(html) < 3_000_000
