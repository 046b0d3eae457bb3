import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from emergence.plotting import rendering
from emergence.report import figures

CELLS = [(8, 1), (8, 2), (16, 1), (16, 2)]


@pytest.fixture
def frame() -> pd.DataFrame:
  """Two widths × two depths × 40 seeds, three evaluations, two lengths."""
  index = itertools.product(CELLS, range(40), (0, 50, 100), (10, 20))
  cells, seed, step, length = zip(*index)
  width, depth = np.transpose(cells)
  frame = pd.DataFrame(
    {"task": "count", "width": width, "depth": depth, "num_params": 100}
    | {"seed": seed, "step": step, "test_length": length, "diverged": False}
  )
  # Half of the seeds of depth 2 succeed, and all at the shorter length.
  high = (frame["depth"] == 2) & (frame["seed"] % 2 == 1)
  score = np.where(high, 0.6 + frame["seed"] / 200, 0.0)
  score = np.where(frame["test_length"] == 10, 1.0, score) * frame["step"] / 100
  loss = (2.0 - frame["step"] / 100).where(frame["step"] > 0)
  return frame.assign(
    exact_match=score, nll_mean=3 - 2 * score, train_loss=loss
  )


def final(frame, width, depth):
  return frame.query(
    f"width == {width} and depth == {depth} and step == 100"
    " and test_length == 20"
  )


def test_every_seed_is_drawn_where_its_score_is(frame):
  figure = figures.ridgeline(frame, 20)
  points = [
    line
    for axes in figure.axes
    for line in axes.lines
    if line.get_marker() == "o"
  ]
  for line, cell in zip(points, CELLS, strict=True):
    expected = final(frame, *cell)["exact_match"]
    np.testing.assert_array_equal(line.get_xdata(), expected)


def test_scales_are_named_and_run_downwards(frame):
  figure = figures.ridgeline(frame, 20)
  assert [axes.get_title(loc="left") for axes in figure.axes] == [
    "width 8",
    "width 16",
  ]
  labels = {
    t.get_text(): t.get_position()[1] for t in figure.axes[0].get_yticklabels()
  }
  assert list(labels) == ["depth 1", "depth 2"]
  assert list(labels.values()) == sorted(labels.values(), reverse=True)


def training_loss(frame, length):
  return figures.training_curves(frame, length, "train_loss")


@pytest.mark.parametrize(
  ("draw", "x", "y"),
  [
    (figures.length_curves, "test_length", "exact_match"),
    (figures.training_curves, "step", "exact_match"),
    (training_loss, "step", "train_loss"),
  ],
)
def test_each_seed_is_a_line_dark_where_it_succeeds(frame, draw, x, y):
  figure = draw(frame, 20)
  other = "step == 100" if x == "test_length" else "test_length == 20"
  for axes, (width, depth) in zip(figure.axes, CELLS, strict=True):
    assert axes.get_title(loc="left") == f"width {width}, depth {depth}"
    (lines,) = axes.collections
    own = frame.query(f"width == {width} and depth == {depth} and {other}")
    own = own.dropna(subset=y)
    succeeds = final(frame, width, depth)["exact_match"].to_numpy() >= 0.2
    segments, colors = lines.get_segments(), lines.get_colors()
    assert len(segments) == len(colors) == 40
    for seed in range(40):
      seen = own[own["seed"] == seed].sort_values(x)
      np.testing.assert_allclose(segments[seed], seen[[x, y]])
      dark = sum(to_rgb(colors[seed][:3])) < 1.2
      assert dark == succeeds[seed]
    low, high = axes.get_ylim()
    assert low <= own[y].min() <= own[y].max() <= high


def test_each_seed_is_a_point_and_the_diverged_are_counted(frame):
  lost = (frame["width"] == 8) & (frame["depth"] == 2) & (frame["seed"] < 3)
  frame.loc[lost, "nll_mean"] = np.nan
  figure = figures.exact_match_against(frame, 20)
  for axes, (width, depth) in zip(figure.axes, CELLS, strict=True):
    (points,) = axes.collections
    expected = final(frame, width, depth)[["nll_mean", "exact_match"]]
    drawn = points.get_offsets().filled(np.nan)
    np.testing.assert_allclose(
      drawn[np.isfinite(drawn).all(axis=1)], expected.dropna().to_numpy()
    )
    texts = [text.get_text() for text in axes.texts]
    lost_here = (width, depth) == (8, 2)
    assert texts == (["3 not finite"] if lost_here else [""])


@pytest.mark.parametrize(
  "draw", [figures.ridgeline, figures.exact_match_against]
)
def test_a_figure_fits_a_column_or_the_text_and_is_readable_there(frame, draw):
  one_width = frame.query("width == 8")
  column = draw(one_width, 20)
  assert column.get_figwidth() == 3.5
  one_depth = one_width.query("depth == 2")
  many = pd.concat([one_depth.assign(depth=depth) for depth in range(1, 7)])
  both = pd.concat([many, many.assign(width=16)])
  for figure in (column, draw(both, 20)):
    assert figure.get_figwidth() in (3.5, 7.0)
    assert figure.get_figheight() < 9.5
    figure.draw_without_rendering()
    for text in figure.findobj(matplotlib.text.Text):
      if text.get_text() and text.get_visible():
        assert 5.5 <= text.get_fontsize() <= 9
    # Nothing sticks out of the figure.
    box = figure.get_tightbbox()
    assert box.x0 >= -0.02
    assert box.y0 >= -0.02
    assert box.x1 <= figure.get_figwidth() + 0.02
    assert box.y1 <= figure.get_figheight() + 0.02


def test_a_user_style_does_not_change_a_figure(frame):
  frame = frame.query("width == 8")
  before = rendering.render(figures.ridgeline(frame, 20), "svg")
  with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9}):
    after = rendering.render(figures.ridgeline(frame, 20), "svg")
    assert matplotlib.rcParams["font.size"] == 20
  assert before == after


def test_many_seeds_stay_a_small_file(frame):
  one = frame.query("width == 8 and depth == 2")
  many = pd.concat(
    [
      one.assign(seed=one["seed"] + 40 * i, step=one["step"] + 100 * j)
      for i in range(10)
      for j in range(30)
    ]
  ).drop_duplicates(["seed", "step", "test_length"])
  many["exact_match"] = np.linspace(0, 1, len(many))
  svg = rendering.render(figures.training_curves(many, 20), "svg")
  assert len(svg) < 500_000
  assert b"<image" in svg
