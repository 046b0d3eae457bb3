import numpy as np
import pytest

from emergence.statistics.sample import REAL, UNIT, Sample, grid


@pytest.mark.parametrize(
  ("scores", "support", "expected"),
  [
    ([0.3, 0.3], UNIT, 0),
    (np.repeat(np.arange(12), 2) / 11, UNIT, 1 / 11),
    (np.repeat(np.float32([0, 0.1, 0.3, 0.4]), 2), UNIT, 0.1),
    ([0, 0, 1, 1], UNIT, 0.1),
    ([0, 0.5, 1, 1, np.nan], UNIT, 0.5),
    # Without equal scores nothing shows a grid.
    (np.arange(12) / 11, UNIT, 0),
    ([100.0, 100.00001, 101.0, 103.0], REAL, 1),
    # One run far off the grid, or runs with another number of items.
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


def test_small_scores_that_differ_are_no_constant():
  losses = np.linspace(1.05e-8, 1.79e-6, 10)
  assert not Sample.of(losses, REAL).is_constant
  assert not Sample.of(losses, REAL).is_tied
  assert Sample.of(1 + losses[:1].repeat(3), REAL).is_constant
  # Beside scores of order one they are one score.
  assert Sample.of([*losses[:2], 1.0], REAL).is_tied


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
  assert found[1:] == ((-np.inf, 0), 0.25, None, False)
  assert found.oriented().scores_S[0] == 0.5
  assert sample.oriented() is sample
  assert Sample.of([0.5], chance=0.25).negated().chance == -0.25


def test_only_ties_are_jittered_within_their_cell():
  untied = Sample.of([0.3, 0.1, 0.25], step=0.05)
  np.testing.assert_array_equal(untied.jittered(), [[0.1, 0.25, 0.3]])
  tied = Sample.of([0.3, 0.1, 0.1], step=0.05)
  found_JS = tied.jittered(3)
  assert found_JS.shape == (16, 3)
  assert np.abs(found_JS - [0.1, 0.1, 0.3]).max() < 0.025
  assert (np.diff(np.sort(found_JS.ravel())) > 0).all()
  mirrored_JS = 1 - Sample.of([0.7, 0.9, 0.9], step=0.05).jittered(3)[:, ::-1]
  first, second = (x[np.lexsort(x.T)] for x in (found_JS, mirrored_JS))
  np.testing.assert_allclose(first, second)


def test_a_cell_is_one_of_the_grid_that_is_known_or_that_most_runs_show():
  rng = np.random.default_rng(0)
  assert Sample.of([0.1, 0.2], step=0.1).bin_width == 0.1
  assert Sample.of(rng.binomial(20, 0.5, 60) / 20).bin_width == (
    pytest.approx(0.05)
  )
  atom = Sample.of(np.append(np.zeros(20), rng.random(20)))
  assert atom.bin_width == 0 < atom.grid_step


@pytest.mark.parametrize(
  ("scores", "step", "message"),
  [
    ([[0.1]], None, r"of shape \[S\] .* got shape \(1, 1\)"),
    (
      [-0.1, np.nan],
      None,
      r"in \[0, 1\], but 1 of 2 are outside, such as -0.1",
    ),
    ([0.2], -0.1, "step of the score grid"),
    ([0.2], np.inf, "step of the score grid"),
  ],
)
def test_what_is_no_sample_is_refused_by_name(scores, step, message):
  with pytest.raises(ValueError, match=message):
    Sample.of(scores, step=step)
