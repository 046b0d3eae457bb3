import numpy as np
import pytest

from emergence.plotting import ridges
from emergence.plotting.ridges import Ridge
from emergence.statistics.modes import mode_and_antimode
from emergence.statistics.sample import Sample


def test_a_ridge_tells_the_share_beyond_the_threshold():
  scores = np.array([0.1, 0.2, 0.3, 0.9])
  for higher, expected in ((True, "75%"), (False, "50%")):
    figure = ridges.draw(
      [("", [Ridge("a", scores), Ridge("b", np.array([]))])],
      "score",
      threshold=0.2,
      higher_is_better=higher,
    )
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == [expected, f"{'≥' if higher else '≤'} 20%"]


def test_a_ridge_peaks_at_the_mode_that_is_told():
  """All scores are on every tenth point of a grid of 1/100."""
  scores = np.repeat([0.7, 0.8, 0.9, 1.0], [5, 10, 16, 12])
  for step in (1 / 100, None):
    figure = ridges.draw([("", [Ridge("a", scores, step=step)])], "x")
    at_G, ridge_G = figure.axes[0].lines[0].get_data()
    told = mode_and_antimode(Sample.of(scores, step=step)).mode
    assert at_G[np.argmax(ridge_G)] == pytest.approx(told, abs=0.01)
    assert told == pytest.approx(1.0 if step else 0.9, abs=0.01)
