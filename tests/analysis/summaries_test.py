import math

import matplotlib
import numpy as np
import pytest
from scipy import stats

from emergence.analysis import questions, summaries
from emergence.plotting import rendering
from tests.computed import ACCURACY, FEW, NLL, each_scale, panels, scales


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


def test_without_a_threshold_there_is_a_median_and_no_success(make_table):
  rng = np.random.default_rng(0)
  table = make_table({("g", NLL): [rng.random(9) for _ in range(3)]})
  analysis = questions.analyze(table, FEW)
  figure = summaries.draw(analysis.series)
  titles = [a.get_title(loc="left") for a in panels(figure)]
  assert titles == ["mode", "mean", "median"]


def test_figures_do_not_depend_on_the_settings_of_their_reader(two_groups):
  several = two_groups.series[:1]
  first = rendering.render(summaries.draw(several), "svg")
  with matplotlib.rc_context({"font.size": 30, "axes.grid": True}):
    again = rendering.render(summaries.draw(several), "svg")
  assert first == again


def test_means_are_of_runs_that_ended_well(two_groups):
  for series, scale, score_S, diverged_S in each_scale(two_groups):
    sign = 1 if series.metric.higher_is_better else -1
    finite_S = score_S[np.isfinite(score_S)]
    boot = scale.bootstrap
    assert sign * boot.mean.value == pytest.approx(finite_S.mean())
    assert sign * boot.median.value == pytest.approx(np.median(finite_S))
    success_S = sign * score_S >= sign * series.threshold
    success_S = score_S[success_S & ~diverged_S]
    if success_S.size >= 10:
      given = sign * boot.mean_given_success.value
      assert given == pytest.approx(success_S.mean())
    else:
      assert math.isnan(boot.mean_given_success.value)
      assert scale.given.reason


def test_intervals_are_those_that_scipy_resamples(two_groups):
  scale = scales(two_groups.series[0])[3]
  found = scale.bootstrap.mean
  expected = stats.bootstrap(
    (scale.population.sample.scores_S,), np.mean, method="percentile", rng=1
  ).confidence_interval
  width = expected.high - expected.low
  assert found.low == pytest.approx(expected.low, abs=0.1 * width)
  assert found.high == pytest.approx(expected.high, abs=0.1 * width)


def test_few_runs_are_drawn_and_said_instead_of_an_interval(make_table, say):
  cells = [[0.1, 0.4, 0.2], [0.5] * 9, np.linspace(0.2, 0.9, 10)]
  analysis = questions.analyze(make_table({("g", ACCURACY): cells}), FEW)
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


def test_a_panel_without_a_mean_of_successes_says_why(make_table):
  cells = [[0.1] * 12, [0.1] * 10 + [0.9] * 2]
  analysis = questions.analyze(make_table({("g", ACCURACY): cells}), FEW)
  *_, given = panels(summaries.draw(analysis.series))
  (text,) = given.texts
  assert text.get_text() == "fewer than 10\nsuccesses\nat every scale"
