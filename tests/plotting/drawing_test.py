import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from emergence.plotting import drawing, rendering, ridges
from emergence.plotting.drawing import Line
from emergence.plotting.ridges import Ridge
from emergence.plotting.style import styled
from tests.computed import panels


@pytest.mark.parametrize("text", [r"$\frac{ %_^&{} 新", "x" * 500])
def test_no_text_breaks_a_figure(text):
  names = {1.0: text, 2.0: "b"}
  lines = [Line(f"{text}{i}", [1, 2], [0.2, 0.4]) for i in range(3)]
  scores = np.array([0.1, 0.2])
  figures = [
    drawing.by_scale({text: lines, "b": lines}, text, names),
    ridges.draw([(text, [Ridge(text, scores)])] * 3, text),
    drawing.small_multiples(
      [["a", "b"]],
      lambda axes, _: axes.plot([0, 1]),
      lambda _: text,
      text,
      text,
    ),
  ]
  for figure in figures:
    ElementTree.fromstring(rendering.render(figure, "svg"))


@pytest.mark.parametrize(
  ("scales", "scale_type", "shown"),
  [
    ([-3, 0, 5], "linear", "-3 0 5"),
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
  rendering.render(figure, "png", dpi=50)


def test_equal_values_of_two_groups_lie_beside_each_other():
  for scales in ([1, 2, 3], [1, 10, 100]):
    lines = [Line(name, scales, [0.5] * 3) for name in "abc"]
    names = {float(scale): f"{scale}" for scale in scales}
    axes = panels(drawing.by_scale({"t": lines}, "x", names))[0]
    x_GN = np.array([line.get_xdata() for line in axes.lines], float)
    np.testing.assert_allclose(x_GN[1], scales)
    shift_GN = np.log(x_GN) if axes.get_xscale() == "log" else x_GN
    step = np.diff(shift_GN[0])[0]
    assert (np.diff(shift_GN, axis=0) > 0).all()
    assert (np.ptp(shift_GN, axis=0) < step / 4).all()


def test_a_seed_without_a_score_somewhere_is_a_gap():
  figure = Figure()
  axes = figure.subplots()
  y_SN = np.array([[0.1, np.nan, 0.3], [np.nan, 0.5, np.nan], [np.nan] * 3])
  drawing.seed_lines(axes, np.array([1.0, 2.0, 3.0]), y_SN, ["r", "g", "b"])
  (lines,) = [c for c in axes.collections if isinstance(c, LineCollection)]
  assert len(lines.get_segments()) >= 1
  (dot,) = axes.lines
  assert dot.get_xydata().tolist() == [[2, 0.5]]
  rendering.render(figure, "svg")


@pytest.mark.parametrize("num", [3, 6])
def test_the_titles_of_panels_are_beside_each_other(num):
  names = ["model gpt-neox-tuned", "model 0.12345", "abcdefghij" * 5] * 2
  figure = styled(drawing.small_multiples)(
    [names[:num]] * 2,
    lambda axes, _: axes.plot([0, 1]),
    lambda name: name,
    "x",
    "y",
  )
  rendering.render(figure, "svg")
  titles = [axes._left_title for axes in figure.axes[:num]]
  assert titles[0].get_text() == "model\ngpt-neox-tuned"
  boxes = [title.get_window_extent() for title in titles]
  starts = [box.x0 for box in boxes[1:]] + [figure.bbox.x1]
  assert all(box.x1 < x for box, x in zip(boxes, starts, strict=True))
