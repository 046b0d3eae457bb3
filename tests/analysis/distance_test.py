import itertools
import math

import numpy as np
import ot
import pytest

from emergence.analysis import distance
from tests.computed import ACCURACY, NLL, ask, holm, low_high, panels


def test_the_sentence_counts_the_steps_that_pass_holms_correction(
  two_groups, pick
):
  for series in two_groups.series:
    p_N = np.diag(series.answers["distance"].test.p_KK, 1)
    passed = np.flatnonzero(holm(p_N) <= 0.05)
    (finding,) = pick("distance", series.group[0], series.metric.name)
    frame = two_groups.table.frame.query(
      f"group == '{series.group[0]}' and metric == '{series.metric.name}'"
    )
    cells = [
      cell.dropna().to_numpy() for _, cell in frame.groupby("scale")["score"]
    ]
    w2_N = [
      math.sqrt(ot.wasserstein_1d(a, b, p=2))
      for a, b in itertools.pairwise(cells)
    ]
    numbers = finding.numbers
    assert numbers["num_different"] == len(passed)
    n = max(passed, key=lambda k: w2_N[k])
    assert numbers["scale_from"] == n + 1
    assert numbers["w2"] == pytest.approx(w2_N[n], rel=1e-6)
    assert finding.sentence.endswith(f"{n + 1} and {n + 2}.")


def test_a_difference_is_not_denied_where_so_few_runs_cannot_show_one(say):
  few = "there are too few runs to show that neighbouring scales differ."
  assert say([[0.1, 0.2, 0.3], [0.7, 0.8, 0.9]], "distance") == [few]
  # 4 against 4 can go to p = 2/70.
  assert say([[0.1] * 4, [0.1, 0.1, 0.1, 0.2]], "distance") == [
    "the scores at size 1 and 2 are not shown to differ."
  ]
  # At three scales Holm's correction doubles that.
  cells = [[0.1 * n + 0.01 * s for s in range(4)] for n in range(3)]
  assert say(cells, "distance") == [few]
  rng = np.random.default_rng(0)
  # Of four steps, three are too small to be tested and none counts for Holm.
  cells = [rng.random(1), rng.random(2), rng.random(9), 1 + rng.random(9)]
  (text,) = say({("g", NLL): cells}, "distance")
  assert text.endswith("differ between size 3 and 4.")
  assert say([np.full(9, 0.5)] * 3, "distance") == [
    "the scores of neighbouring scales are the same."
  ]
  # FEW has 100 permutations: p is at least 1/101, times six steps 0.059.
  cells = rng.random((7, 9)) + np.arange(7)[:, None]
  assert say({("g", NLL): cells}, "distance") == [
    few.replace("runs", "reshuffles")
  ]


def test_the_points_of_every_panel_lie_inside_its_axes(make_table):
  """Groups of one range each, the last the widest."""
  rng = np.random.default_rng(0)
  for num in (1, 4):
    scores = {
      (f"g{i:02}", ACCURACY): [
        rng.uniform(0, 0.02, 9) + n * i / num / 3 for n in range(3)
      ]
      for i in range(num)
    }
    analysis = ask(make_table(scores), "distance")
    for axes in panels(distance.draw(analysis.of_first_metric)):
      low, high = axes.get_ylim()
      (points,) = axes.lines
      assert low == 0
      assert max(points.get_ydata()) <= high
      assert all(bar.get_height() <= high for bar in axes.patches)


def test_groups_of_other_scales_have_their_distances_at_their_own_ticks(
  make_table,
):
  cells = [low_high(9, 3), low_high(3, 9), low_high(6, 6)]
  table = make_table({(name, ACCURACY): cells for name in "ab"})
  is_b = (table.frame["group"] == "b").to_numpy()
  frame = table.frame.assign(scale=table.frame["scale"] + 10.0 * is_b)
  frame["scale_label"] = frame["scale"].map("{:g}".format)
  analysis = ask(table._replace(frame=frame), "distance")
  (section,) = distance.sections(analysis)
  for axes, expected in zip(
    panels(section.figure), (["2", "3"], ["12", "13"]), strict=True
  ):
    texts = [tick.get_text() for tick in axes.get_xticklabels()]
    at = dict(zip(axes.get_xticks(), texts, strict=True))
    (line,) = axes.lines
    assert [at[x] for x in line.get_xdata()] == expected
