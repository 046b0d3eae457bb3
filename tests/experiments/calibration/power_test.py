"""The power of the label on smoothed scores."""

import numpy as np

from emergence.statistics.sample import Sample
from experiments.calibration import power

HALVES = Sample.of(np.repeat([0.0, 0.9], 64), step=0.01)


def test_drawn_scores_are_near_those_of_the_sample():
  drawn_S = power.smoothed(np.random.default_rng(0), HALVES, 10_000)
  assert (drawn_S.min() >= 0, drawn_S.max() <= 1) == (True, True)
  np.testing.assert_allclose(drawn_S * 100, np.round(drawn_S * 100))
  assert np.mean(drawn_S < 0.45) == np.clip(np.mean(drawn_S < 0.45), 0.48, 0.52)
  assert np.std(drawn_S[drawn_S > 0.45]) < 0.1


def test_more_seeds_show_a_split_more_often_and_one_mode_hardly_ever():
  few, many = (power.power(HALVES, size, 6, 50, 0) for size in (12, 64))
  assert few < 0.5 < 0.95 < many
  one_mode = Sample.of(np.random.default_rng(1).normal(0.5, 0.1, 128))
  assert power.power(one_mode, 64, 1, 50, 0) <= 0.1


def test_the_table_has_a_row_a_scale(finished, capsys):
  power.main(str(finished), [8, 16], num_scales=0, num=2, seed=0)
  title, head, *rows = capsys.readouterr().out.splitlines()
  assert title.startswith("share of 2 samples")
  assert title.endswith("at a level of 0.05 / 2")
  assert head.split() == ["depth", "of", "8", "16"]
  assert [row.split()[:2] for row in rows] == [["1", "8"], ["2", "8"]]
