import numpy as np

from emergence.analysis import summaries
from tests.computed import ACCURACY, ask, panels


def test_summaries_are_in_the_unit_of_the_metric_with_their_intervals(
  two_groups,
):
  several = [s for s in two_groups.series if s.metric.name == "nll"]
  figure = summaries.draw(several)
  axes = {a.get_title(loc="left"): a for a in panels(figure)}
  assert list(axes) == ["mode", "mean", "P(score ≤ 1)", "mean of seeds ≤ 1"]
  frame = two_groups.table.frame.query("metric == 'nll' and group == 'split'")
  mean_N = frame.groupby("scale")["score"].mean()
  container = axes["mean"].containers[0]
  np.testing.assert_allclose(container.lines[0].get_ydata(), mean_N)
  (bars,) = container.lines[2]
  for (low, high), mean in zip(
    (segment[:, 1] for segment in bars.get_segments()), mean_N
  ):
    assert low < mean < high
  hits = (frame["score"] <= 1) & ~frame["diverged"]
  np.testing.assert_allclose(
    axes["P(score ≤ 1)"].containers[0].lines[0].get_ydata(),
    hits.groupby(frame["scale"]).mean(),
  )


def test_few_runs_are_drawn_and_said_instead_of_an_interval(make_table, say):
  cells = [[0.1, 0.4, 0.2], [0.5] * 9, np.linspace(0.2, 0.9, 10)]
  table = make_table({("g", ACCURACY): cells})
  analysis = ask(table, "summaries", "success", "curve", "modality")
  figure = summaries.draw(analysis.series)
  (mean,) = [a for a in panels(figure) if a.get_title(loc="left") == "mean"]
  drawn = [line.get_ydata().tolist() for line in mean.lines]
  assert cells[0] in drawn
  assert cells[1] in drawn
  assert cells[2].tolist() not in drawn
  (bars,) = mean.containers[0].lines[2]
  lengths = [np.ptp(segment[:, 1]) for segment in bars.get_segments()]
  assert lengths[:2] == [0, 0]
  assert lengths[2] > 0
  assert say(cells, "summaries") == [
    "the scores are 0.1, 0.2 and 0.4 at size 1, and all 0.5 (9 runs) at size 2."
  ]
  assert not say(cells[2:], "summaries")
