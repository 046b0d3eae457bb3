import numpy as np
import pytest

from emergence.plotting import rendering, ridges
from emergence.plotting.ridges import Ridge


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


def test_a_threshold_between_percents_is_not_rounded():
  figure = ridges.draw(
    [("", [Ridge("a", np.array([0.1]))])], "score", threshold=0.125
  )
  assert "≥ 12.5%" in [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize(
  "scores", [[0.5], [0.5] * 9, [0.0] * 9, [1.0] * 9, [0.0, 1.0]]
)
@pytest.mark.parametrize("support", [(0, 1), (0, np.inf), (-np.inf, np.inf)])
def test_ridges_of_few_and_equal_scores(scores, support):
  figure = ridges.draw(
    [("", [Ridge("a", np.array(scores))])], "x", support, 0.3
  )
  rendering.render(figure, "png", dpi=50)
  ridge = figure.axes[0].lines[0].get_ydata()
  assert ridge.max() == pytest.approx(0.62)
  assert ridge.min() >= 0
