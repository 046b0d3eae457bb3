import numpy as np
import pytest

from emergence.statistics.sample import REAL, UNIT, Sample, grid


@pytest.mark.parametrize(
  ("scores", "support", "expected"),
  [
    ([0.3, 0.3], UNIT, 0),
    (np.arange(12) / 11, UNIT, 1 / 11),
    (np.float32([0, 0.1, 0.3, 0.4]), UNIT, 0.1),
    ([0, 0, 1, 1], UNIT, 0.1),
    ([10 / 11, 1], UNIT, 1 / 11),
    ([0, 0.5, 1, np.nan], UNIT, 0.5),
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
  sample = Sample.of(scores, support)
  assert sample.grid_step == pytest.approx(expected, 1e-6)
  assert grid(sample).step == sample.grid_step
  assert Sample.of(scores, support, 0.25).grid_step == 0.25


def test_runs_without_a_finite_score_have_diverged():
  sample = Sample.of([0.2, np.nan, np.inf, 1, -np.inf])
  np.testing.assert_array_equal(np.isnan(sample.scores_S), [0, 1, 1, 0, 1])
  np.testing.assert_array_equal(sample.finite_S, [0.2, 1])
  assert (sample.size, sample.num_diverged) == (5, 3)
  with pytest.raises(ValueError, match="no run has a finite score"):
    grid(Sample.of([np.nan]))


def test_less_is_better_of_the_negated_sample():
  sample = Sample.of([0.5, np.nan, 3], (0, np.inf), 0.25)
  found = sample.negated()
  np.testing.assert_array_equal(found.scores_S, [-0.5, np.nan, -3])
  assert found[1:] == ((-np.inf, 0), 0.25)


@pytest.mark.parametrize(
  ("scores", "step", "message"),
  [
    ([], None, r"shape \[S\], got \(0,\)"),
    ([[0.1]], None, r"shape \[S\], got \(1, 1\)"),
    ([-0.1, np.nan], None, r"in \[0, 1\], got 1 others of 2, such as -0.1"),
    ([0.2, 1.2], None, r"in \[0, 1\], got 1 others of 2, such as 1.2"),
    ([0.2], -0.1, "step of a grid"),
    ([0.2], np.nan, "step of a grid"),
    ([0.2], np.inf, "step of a grid"),
  ],
)
def test_what_is_no_sample_is_refused_by_name(scores, step, message):
  with pytest.raises(ValueError, match=message):
    Sample.of(scores, step=step)
