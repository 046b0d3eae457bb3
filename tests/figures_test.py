import numpy as np
import pandas as pd
import pytest
from etils import epath
from matplotlib import image

from emergence import figures


@pytest.fixture
def frame():
  rng = np.random.default_rng(0)
  rows = []
  for width in (8, 16):
    for depth, share in [(1, 0.0), (2, 0.5)]:
      for seed in range(40):
        high = rng.random() < share
        score = rng.uniform(0.6, 0.9) if high else 0.0
        rows.append(("count", width, depth, seed, 100, 20, score))
  columns = [
    "task",
    "width",
    "depth",
    "seed",
    "step",
    "test_length",
    "exact_match",
  ]
  return pd.DataFrame(rows, columns=columns)


def test_every_seed_is_drawn_where_its_score_is(frame):
  axes = figures.ridgeline(frame, 20).axes[0]
  points = [line for line in axes.lines if line.get_marker() == "o"]
  assert len(points) == 4
  for line, (_, cell) in zip(points, frame.groupby(["width", "depth"])):
    np.testing.assert_array_equal(line.get_xdata(), cell["exact_match"])


def test_scales_are_named_and_run_downwards(frame):
  axes = figures.ridgeline(frame, 20).axes[0]
  labels = {t.get_text(): t.get_position()[1] for t in axes.get_yticklabels()}
  assert list(labels) == [
    f"width {w}, depth {d}" for w in (8, 16) for d in (1, 2)
  ]
  assert list(labels.values()) == sorted(labels.values(), reverse=True)
  one_width = figures.ridgeline(frame.query("width == 8"), 20).axes[0]
  assert [t.get_text() for t in one_width.get_yticklabels()] == [
    "depth 1",
    "depth 2",
  ]


def test_the_share_of_successes_stands_beside_each_ridge(frame):
  axes = figures.ridgeline(frame, 20).axes[0]
  texts = [text.get_text() for text in axes.texts]
  for _, cell in frame.groupby(["width", "depth"]):
    assert f"{(cell['exact_match'] >= 0.2).mean():.0%}" in texts


def test_figures_are_written_as_png_and_svg_the_same_each_time(frame, tmp_path):
  contents = []
  for name in ("a", "b"):
    path = epath.Path(tmp_path) / name / "ridgeline.png"
    figures.save(figures.ridgeline(frame, 20), path)
    svg = path.with_suffix(".svg").read_bytes()
    assert b"</svg>" in svg
    contents.append((path.read_bytes(), svg))
  pixels = image.imread(tmp_path / "a" / "ridgeline.png")
  assert pixels.shape[1] > 1000
  assert pixels.std() > 0.02
  assert contents[0] == contents[1]
