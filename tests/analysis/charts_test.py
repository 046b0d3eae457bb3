import math

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection

from emergence.analysis import charts, compute
from emergence.analysis.series import Options
from emergence.plotting import rendering
from emergence.tables.score_table import Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)
NLL = Metric("nll", 0.0, math.inf, "nats", False)
FEW = Options(num_resamples=100, num_permutations=100)


def draw_all(analysis):
  """Every figure that the series of the first metric have, rendered."""
  several = [
    s for s in analysis.series if s.metric == analysis.series[0].metric
  ]
  drawn = {
    "distributions": charts.distributions(analysis, several),
    "summaries": charts.summaries(analysis, several),
  }
  if several[0].threshold is not None:
    drawn["survival"] = charts.survival(analysis, several)
  longer = [s for s in several if len(s.scales) > 1]
  if any(s.distances for s in longer):
    drawn["distances"] = charts.distances(
      analysis, [s for s in longer if s.distances]
    )
  if any(s.trajectories for s in longer):
    drawn["trajectories"] = charts.trajectories(
      analysis, [s for s in longer if s.trajectories]
    )
  for figure in drawn.values():
    assert len(rendering.render(figure, "png", dpi=50)) > 1000
  return drawn


def panels(figure):
  return [axes for axes in figure.axes if axes.axison]


@pytest.fixture(scope="module")
def drawn(two_groups):
  return draw_all(two_groups)


def test_ridges_have_each_seed_at_its_score(drawn, two_groups):
  left, right = panels(drawn["distributions"])
  assert left.get_title(loc="left") == "group split"
  assert right.get_title(loc="left") == "group smooth"
  series = two_groups.series[0]
  dots = [line for line in left.lines if line.get_linestyle() == "None"]
  for line, scale in zip(dots, series.scales):
    np.testing.assert_array_equal(line.get_xdata(), scale.population.finite_S)
  names = [text.get_text() for text in left.get_yticklabels()]
  assert names == [
    f"size {n + 1}\n{s.modality.label}" for n, s in enumerate(series.scales)
  ]


def test_summaries_are_in_the_unit_of_the_metric_with_their_intervals(
  two_groups,
):
  several = [s for s in two_groups.series if s.metric.name == "nll"]
  figure = charts.summaries(two_groups, several)
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
  analysis = compute.analyze(table, FEW)
  figure = charts.summaries(analysis, analysis.series)
  titles = [a.get_title(loc="left") for a in panels(figure)]
  assert titles == ["mode", "mean", "median"]


def test_survival_curves_are_shares_at_or_beyond_each_threshold(
  drawn, two_groups
):
  left, _ = panels(drawn["survival"])
  lines = [line for line in left.lines if line.get_label().startswith("size")]
  assert len(lines) == 7
  score_S = two_groups.series[0].scales[3].population.scores_S
  x, y = lines[3].get_data()
  np.testing.assert_allclose(y, (score_S >= x[:, None] - 1e-6).mean(axis=1))
  (band,) = [c for c in left.collections if isinstance(c, PolyCollection)]
  low, high = band.get_paths()[0].get_extents().get_points()[:, 1]
  assert (low, high) == (0, 1)
  assert 0.2 in [line.get_xdata()[0] for line in left.lines]


def test_distances_stand_over_their_nulls(drawn, two_groups):
  left, _ = panels(drawn["distances"])
  series = two_groups.series[0]
  (dots,) = left.lines
  cells = [scale.population.finite_S for scale in series.scales]
  bars = [bar.get_height() for bar in left.patches]
  for n in range(6):
    if cells[n].size == cells[n + 1].size:
      gap = np.sort(cells[n]) - np.sort(cells[n + 1])
      assert dots.get_ydata()[n] == pytest.approx(math.sqrt((gap**2).mean()))
    assert bars[n] == series.distances.test.null_KK[n, n + 1]
  assert [t.get_text() for t in left.get_xticklabels()] == list("234567")


def test_trajectories_join_the_scores_of_a_seed(drawn, two_groups):
  left, _ = panels(drawn["trajectories"])
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
  (legend,) = drawn["trajectories"].legends
  assert [text.get_text() for text in legend.get_texts()] == [
    "highest breakthroughness",
    "highest linearity",
  ]


def test_no_colour_is_explained_where_no_seed_is_ranked(make_table):
  rng = np.random.default_rng(1)
  table = make_table({("g", ACCURACY): [rng.random(9) for _ in range(3)]})
  analysis = compute.analyze(table, FEW)
  assert not charts.trajectories(analysis, analysis.series).legends


def odd_tables():
  rng = np.random.default_rng(2)
  draw = lambda count, size=9: [rng.random(size) for _ in range(count)]
  yield "one scale", {("g", ACCURACY): draw(1)}, None
  yield "one seed", {("g", ACCURACY): draw(4, 1)}, None
  yield "equal scores", {("g", ACCURACY): [[0.5] * 9] * 4}, None
  yield "likelihood", {("g", NLL): draw(4)}, None
  yield "two equal likelihoods", {("g", NLL): [[3.0, 3.0], [2.0, 2.0]]}, None
  yield "thirty scales", {("g", ACCURACY): draw(30)}, None
  groups = {(f"g{i}", ACCURACY): draw(3) for i in range(12)}
  yield "twelve groups", groups, None
  yield "scales below zero", {("g", ACCURACY): draw(4)}, [-3, 0, 2, 5]
  yield "far scales", {("g", ACCURACY): draw(3)}, [1e-300, 1, 1e300]
  yield "near scales", {("g", ACCURACY): draw(3)}, [1, 1 + 1e-12, 2]
  huge = [10.0 ** (6 * n) * rng.normal(size=9) for n in range(3)]
  open_ended = Metric("x", -math.inf, math.inf, "as given", True)
  yield "huge scores", {("g", open_ended): huge}, None
  yield "tiny scores", {("g", open_ended): [h * 1e-20 for h in huge]}, None
  lost = [*draw(1), [np.nan] * 9, *draw(1)]
  yield "all diverged at one scale", {("g", ACCURACY): lost}, None


@pytest.mark.parametrize(
  ("scores", "scales"),
  [(s, x) for _, s, x in odd_tables()],
  ids=[name for name, _, _ in odd_tables()],
)
def test_odd_data_is_drawn_without_a_warning(make_table, scores, scales):
  draw_all(compute.analyze(make_table(scores, scales), FEW))


def test_foreign_names_are_drawn_as_they_are(make_table):
  rng = np.random.default_rng(3)
  names = [r"$x$ $\frac{ <script>", "long " * 80, "新 \n\x1b 100% _^"]
  for name in names:
    metric = ACCURACY._replace(name=name)
    table = make_table(
      {(group, metric): [rng.random(5), rng.random(5)] for group in names},
      scale_name=name,
    )
    frame = table.frame.assign(scale_label=[name] * len(table.frame))
    drawn = draw_all(compute.analyze(table._replace(frame=frame), FEW))
    svg = rendering.render(drawn["summaries"], "svg").decode()
    assert "<script" not in svg


def test_figures_do_not_depend_on_the_settings_of_their_reader(two_groups):
  several = two_groups.series[:1]
  first = rendering.render(charts.summaries(two_groups, several), "svg")
  with matplotlib.rc_context({"font.size": 30, "axes.grid": True}):
    again = rendering.render(charts.summaries(two_groups, several), "svg")
  assert first == again
