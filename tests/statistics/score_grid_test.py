import numpy as np
import pytest

from emergence.statistics import score_grid

REAL = (-np.inf, np.inf)


@pytest.mark.parametrize(
  ("scores", "support", "expected"),
  [
    ([0.3, 0.3], score_grid.UNIT, 0),
    (np.arange(12) / 11, score_grid.UNIT, 1 / 11),
    (np.float32([0, 0.1, 0.3, 0.4]), score_grid.UNIT, 0.1),
    ([0, 0, 1, 1], score_grid.UNIT, 0.1),
    ([10 / 11, 1], score_grid.UNIT, 1 / 11),
    ([0, 0.5, 1], score_grid.UNIT, 0.5),
    ([2, 2, 6], REAL, 0.4),
    ([100.0, 100.00001, 101.0, 103.0], REAL, 1),
    # One run off the grid, far out, or with another number of items.
    (np.repeat([0, 1, 2, 3, 1.4], [20, 30, 20, 9, 1]) / 11, REAL, 1 / 11),
    (np.repeat([0, 1, 2, 3, 3e7], [20, 30, 20, 9, 1]) / 11, REAL, 1 / 11),
    (np.repeat([0, 1, 2, 3, 4, 6], [30, 4, 30, 3, 20, 10]) / 22, REAL, 1 / 11),
    # The gap between two modes is none of the grid.
    (np.repeat([0, 5, 6, 7, 8], [50, 8, 17, 17, 8]) / 11, REAL, 1 / 11),
  ],
)
def test_the_grid_step_is_the_gap_between_the_most_frequent_scores(
  scores, support, expected
):
  assert score_grid.grid_step(scores, support) == pytest.approx(expected, 1e-6)


@pytest.mark.parametrize(
  "function",
  [score_grid.grid, score_grid.grid_step],
)
@pytest.mark.parametrize(
  "scores", [[], [np.nan], [-0.1], [1.1], [[0.1]], [np.inf]]
)
def test_scores_outside_of_the_support_are_refused(scores, function):
  with pytest.raises(ValueError, match=r"each in \[0, 1\]"):
    function(scores)


@pytest.mark.parametrize(
  "scores", [[0.1], [[]], [[1.2]], [[-0.1, np.nan]], np.zeros((1, 1, 1))]
)
def test_runs_may_have_diverged_but_not_leave_the_support(scores):
  with pytest.raises(ValueError, match="expected scores"):
    score_grid.require_possible(scores, score_grid.UNIT)
  found = score_grid.require_possible([[0, np.nan], [np.inf, 1]], (0, 1))
  np.testing.assert_array_equal(found, [[0, np.nan], [np.inf, 1]])
