"""The power of the label on smoothed scores."""

import numpy as np
import pytest

from emergence.statistics import density
from emergence.statistics.sample import Sample
from experiments.calibration import power

HALVES = Sample.of(np.repeat([0.0, 0.9], 64), step=0.01)


def test_drawn_scores_have_the_density_and_the_grid_of_the_sample():
  drawn_S = power.smoothed(np.random.default_rng(0), HALVES, 100_000)
  assert drawn_S.min() == 0
  np.testing.assert_allclose(drawn_S * 100, np.round(drawn_S * 100))
  points_G, density_G = density.density(HALVES)
  for score in (0.0, 0.01, 0.9):
    expected = 0.01 * np.interp(score, points_G, density_G)
    assert np.mean(np.isclose(drawn_S, score)) == pytest.approx(
      expected, rel=0.05
    )


def test_scores_without_bounds_are_not_reflected():
  nll = Sample.of(np.random.default_rng(0).normal(5, 1, 100), (0, np.inf), 0.0)
  drawn_S = power.smoothed(np.random.default_rng(1), nll, 10_000)
  assert np.mean(drawn_S) == pytest.approx(np.mean(nll.scores_S), abs=0.05)
  assert drawn_S.max() > nll.scores_S.max()


def test_more_seeds_show_a_split_more_often_and_one_mode_hardly_ever():
  few, many = (power.power(HALVES, 0.2, size, 6, 50, 0) for size in (12, 64))
  assert few < 0.5 < 0.95 < many
  one_mode = Sample.of(np.random.default_rng(1).normal(0.5, 0.1, 128))
  assert power.power(one_mode, 0.2, 64, 1, 50, 0) <= 0.1


def test_the_table_has_a_row_a_scale(finished, capsys):
  power.main(str(finished), [8, 16], num_scales=0, num=2, seed=0)
  title, head, *rows = capsys.readouterr().out.splitlines()
  assert title.startswith("share of 2 samples")
  assert title.endswith("at a level of 0.05 / 2")
  assert head.split() == ["depth", "of", "8", "16"]
  assert [row.split()[:2] for row in rows] == [["1", "8"], ["2", "8"]]
