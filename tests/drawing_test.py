import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from etils import epath
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from emergence import drawing
from emergence.drawing import Line, Ridge


def panels(figure):
  return [axes for axes in figure.axes if axes.axison]


@pytest.mark.parametrize(
  ("text", "shown"),
  [
    ("depth 2", "depth 2"),
    ("$x$", r"\$x\$"),
    ("a\nb", "a\nb"),
    ("a\x1b\x00b", "a□□b"),
    ("新", "□"),
    ("x" * 41, "x" * 20 + "…" + "x" * 19),
    ("1" + "x" * 50 + "2\n3", "1" + "x" * 19 + "…" + "x" * 18 + "2\n3"),
  ],
)
def test_text_is_drawn_as_it_stands(text, shown):
  assert drawing.literal(text) == shown


def test_cut_text_keeps_its_ends():
  assert drawing.literal("size 1000000", 9) == "size…0000"
  assert len(drawing.literal("x" * 100, 12)) == 12
  assert drawing.literal("x" * 12, 12) == "x" * 12


@pytest.mark.parametrize("text", ["$x$", r"$\frac{", "%_^&{}", "x" * 500, "新"])
def test_no_text_breaks_a_figure(text):
  names = {1.0: text, 2.0: "b"}
  lines = [Line(f"{text}{i}", [1, 2], [0.2, 0.4]) for i in range(3)]
  scores = np.array([0.1, 0.2])
  figures = [
    drawing.by_scale({text: lines, "b": lines}, text, names),
    drawing.ridges([(text, [Ridge(text, scores)])] * 3, text),
    drawing.small_multiples(
      [["a", "b"]],
      lambda axes, _: axes.plot([0, 1]),
      lambda _: text,
      text,
      text,
    ),
  ]
  for figure in figures:
    ElementTree.fromstring(drawing.render(figure, "svg"))


@pytest.mark.parametrize(
  ("scales", "scale_type", "shown"),
  [
    ([1, 2, 4], "linear", "1 2 4"),
    ([1, 2, 4, 8], "log", "1 2 4 8"),
    ([0, 1, 100], "linear", "1 100"),
    ([-3, 0, 5], "linear", "-3 0 5"),
    ([3], "linear", "3"),
    ([1e-300, 1e300], "linear", "1e-300 1e+300"),
    (range(1, 31), "log", "1 3 6 11 18 30"),
  ],
)
def test_scales_have_ticks_that_do_not_touch(scales, scale_type, shown):
  figure = Figure(figsize=(3.5, 2))
  axes = figure.subplots()
  axes.plot(scales, [0.5] * len(scales), "o")
  drawing.name_scales(axes, {float(s): f"{s:g}" for s in scales})
  assert axes.get_xscale() == scale_type
  labels = [text.get_text() for text in axes.get_xticklabels()]
  assert sorted(labels, key=float) == shown.split()
  drawing.render(figure, "png", dpi=50)


def test_ends_of_intervals_that_are_not_known_are_no_bars():
  nan, inf = np.nan, np.inf
  line = Line(
    "a",
    [1, 2, 3, 4],
    [0.5, 0.5, 0.5, nan],
    [0.4, nan, -inf, nan],
    [0.7, nan, inf, nan],
  )
  figure = drawing.by_scale({"t": [line]}, "x", {1.0: "1", 4.0: "4"}, None)
  (container,) = panels(figure)[0].containers
  (bars,) = container.lines[2]
  ends = [segment[:, 1].tolist() for segment in bars.get_segments()[:3]]
  assert ends == [[0.4, 0.7], [0.5, 0.5], [0.5, 0.5]]
  drawing.render(figure, "png", dpi=50)


def test_an_interval_that_leaves_out_its_value_has_no_negative_bar():
  line = Line("a", [1], [0.5], [0.6], [0.7])
  figure = drawing.by_scale({"t": [line]}, "x", {1.0: "1"})
  (bars,) = panels(figure)[0].containers[0].lines[2]
  assert bars.get_segments()[0][:, 1].tolist() == [0.5, 0.7]


def test_a_ridge_tells_the_share_beyond_the_threshold():
  scores = np.array([0.1, 0.2, 0.3, 0.9])
  for higher, expected in ((True, "75%"), (False, "50%")):
    figure = drawing.ridges(
      [("", [Ridge("a", scores), Ridge("b", np.array([]))])],
      "score",
      threshold=0.2,
      higher_is_better=higher,
    )
    texts = [text.get_text() for text in panels(figure)[0].texts]
    assert texts == [expected, f"{'≥' if higher else '≤'} 20%"]


def test_a_threshold_between_percents_is_not_rounded():
  figure = drawing.ridges(
    [("", [Ridge("a", np.array([0.1]))])], "score", threshold=0.125
  )
  assert "≥ 12.5%" in [text.get_text() for text in panels(figure)[0].texts]


@pytest.mark.parametrize(
  "scores", [[0.5], [0.5] * 9, [0.0] * 9, [1.0] * 9, [0.0, 1.0]]
)
@pytest.mark.parametrize("support", [(0, 1), (0, np.inf), (-np.inf, np.inf)])
def test_ridges_of_few_and_equal_scores(scores, support):
  figure = drawing.ridges(
    [("", [Ridge("a", np.array(scores))])], "x", support, 0.3
  )
  drawing.render(figure, "png", dpi=50)
  ridge = panels(figure)[0].lines[0].get_ydata()
  assert ridge.max() == pytest.approx(0.62)
  assert ridge.min() >= 0


def test_a_seed_without_a_score_somewhere_is_a_gap():
  figure = Figure()
  axes = figure.subplots()
  y_SN = np.array([[0.1, np.nan, 0.3], [np.nan, 0.5, np.nan], [np.nan] * 3])
  drawing.seed_lines(axes, np.array([1.0, 2.0, 3.0]), y_SN, ["r", "g", "b"])
  (lines,) = [c for c in axes.collections if isinstance(c, LineCollection)]
  assert len(lines.get_segments()) >= 1
  (dot,) = axes.lines
  assert dot.get_xydata().tolist() == [[2, 0.5]]
  drawing.render(figure, "svg")


@pytest.mark.parametrize(
  ("num", "grouped", "columns"),
  [(1, False, 1), (3, False, 3), (4, False, 2), (9, False, 3), (24, False, 6)]
  + [(4, True, 4), (9, True, 6)],
)
def test_the_grid_of_small_multiples(num, grouped, columns):
  assert drawing.grid(num, grouped) == columns


def test_every_cell_has_its_panel():
  seen = []
  figure = drawing.styled(drawing.small_multiples)(
    [list(range(5)), [5, 6]],
    lambda axes, cell: seen.append(cell),
    str,
    "x",
    "y",
  )
  assert seen == list(range(7))
  titles = [axes.get_title(loc="left") for axes in panels(figure)]
  assert titles == list("0123456")


@pytest.mark.parametrize("values", [[], [0.0], [-1.0], [np.nan], [2.0, 3.0]])
def test_a_log_axis_of_what_has_no_logarithm(values):
  figure = Figure()
  axes = figure.subplots()
  drawing.log_axis(axes, "y", np.array(values))
  assert axes.get_yscale() == ("log" if values == [2.0, 3.0] else "linear")
  drawing.render(figure, "png", dpi=50)


def test_a_figure_is_written_only_where_it_changes(tmp_path):
  figure = drawing.by_scale(
    {"t": [Line("a", [1, 2], [0.1, 0.2])]}, "x", {1.0: "1", 2.0: "2"}
  )
  path = epath.Path(tmp_path / "new" / "figure.png")
  drawing.save(figure, path)
  files = sorted((tmp_path / "new").iterdir())
  assert [file.name for file in files] == ["figure.png", "figure.svg"]
  times = [file.stat().st_mtime_ns for file in files]
  drawing.save(figure, path)
  assert [file.stat().st_mtime_ns for file in files] == times


def test_colours_go_from_dark_to_light():
  for count in (1, 2, 7):
    colors = drawing.ramp(count)
    assert len(colors) == count
  lightness = [np.dot(color[:3], [0.3, 0.6, 0.1]) for color in colors]
  assert (np.diff(lightness) > 0).all()
