import numpy as np
from matplotlib.collections import LineCollection

from emergence.analysis import trajectories
from tests.computed import ACCURACY, analyze_one, panels


def test_trajectories_join_the_scores_of_a_seed(two_groups):
  left, _ = panels(trajectories.draw(two_groups.of_first_metric))
  (lines,) = [c for c in left.collections if isinstance(c, LineCollection)]
  frame = two_groups.table.frame.query(
    "group == 'split' and metric == 'exact_match'"
  )
  table = frame.pivot(index="seed", columns="scale", values="score")
  for segment, (_, y_N) in zip(lines.get_segments(), table.iterrows()):
    expected = y_N.dropna()
    if np.isfinite(y_N[7]):
      np.testing.assert_array_equal(segment[-1], [7, y_N[7]])
    assert set(segment[:, 1][np.isfinite(segment[:, 1])]) <= set(expected)
  means = [line for line in left.lines if line.get_linestyle() == "--"]
  np.testing.assert_allclose(means[0].get_ydata(), table.mean())


def test_a_seed_that_is_missing_somewhere_is_no_trajectory(make_table):
  rng = np.random.default_rng(1)
  cells = [rng.random(6), rng.random(9), rng.random(7)]
  found = analyze_one(make_table, ACCURACY, cells, kinds=["trajectories"])
  assert found.answers["trajectories"].seeds == tuple(range(6))
  assert len(found.answers["trajectories"].shape.linearity_S) == 6


def test_the_best_seeds_are_told_where_they_are_beyond_chance(say):
  rng = np.random.default_rng(0)
  y_SN = rng.normal(0.5, 0.1, (20, 8))
  assert say(list(y_SN.T), "trajectories") == [
    "the most abrupt and the most even rise over the scales are no more extreme"
    " than expected by chance among 20 seeds."
  ]
  y_SN[7] = np.linspace(0.1, 0.9, 8)
  (text,) = say(list(y_SN.T), "trajectories")
  assert "seed 7 rises more evenly" in text
  assert text.endswith("than the most extreme of 20 seeds would by chance.")
  # Too few scales for a rank.
  assert not say(list(y_SN.T)[:5], "trajectories")


def test_both_measures_are_corrected_for_together(make_table):
  """Of two tests the least p counts twice: .03 alone would do."""
  rng = np.random.default_rng(0)
  cells = list(rng.random((8, 20)))
  kinds = ["trajectories", "pairing"]
  found = analyze_one(make_table, ACCURACY, cells, kinds=kinds)
  for p, expected in (0.03, "are no more extreme"), (0.02, "rises more evenly"):
    pairing = found.answers["pairing"]._replace(
      max_breakthroughness_p=0.5, max_linearity_p=p
    )
    answers = {**found.answers, "pairing": pairing}
    (finding,) = trajectories.findings(found._replace(answers=answers))
    assert expected in finding.sentence
