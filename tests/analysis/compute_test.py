"""Statistics of each scale, against the rows of the table."""

import math

import diptest
import numpy as np
import pytest
from scipy import stats

from emergence.analysis import compute
from emergence.tables.score_table import Metric
from tests.computed import ACCURACY, FEW, NLL, analyze_one, each_scale


def test_a_population_is_the_rows_of_its_cell(two_groups):
  for _, scale, score_S, diverged_S in each_scale(two_groups):
    np.testing.assert_array_equal(scale.population.scores_S, score_S)
    np.testing.assert_array_equal(scale.population.diverged_S, diverged_S)
    np.testing.assert_array_equal(
      scale.population.finite_S, score_S[~np.isnan(score_S)]
    )
  groups = [(s.group, s.metric.name) for s in two_groups.series]
  assert groups == [
    (("split",), "exact_match"),
    (("split",), "nll"),
    (("smooth",), "exact_match"),
    (("smooth",), "nll"),
  ]


def test_success_counts_diverged_runs_as_failures_and_shows_it_without(
  two_groups,
):
  for series, scale, score_S, diverged_S in each_scale(two_groups):
    at_least_S = (
      score_S <= 1.0 if series.metric.name == "nll" else score_S >= 0.2
    )
    hits = int((at_least_S & ~diverged_S).sum())
    for found, num in (
      (scale.success.diverged_fail, diverged_S.size),
      (scale.success.diverged_left_out, int((~diverged_S).sum())),
    ):
      expected = stats.binomtest(hits, num).proportion_ci(method="wilson")
      assert found.probability == hits / num
      assert (found.low, found.high) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
      )
    where = scale.survival.threshold_T
    sign = 1 if series.metric.higher_is_better else -1
    share = ((sign * score_S >= where[:, None] - 1e-6) & ~diverged_S).mean(1)
    np.testing.assert_allclose(scale.survival.probability_T, share)


def test_the_score_of_a_diverged_run_counts_nowhere(make_table):
  """20 of 60 diverged, with the score of a failure; all others succeed."""
  score_S = np.append(
    np.zeros(20), np.random.default_rng(0).normal(0.7, 0.05, 40)
  )
  marks = {("g", 1, seed) for seed in range(20)}
  found = analyze_one(make_table, ACCURACY, [score_S], diverged=marks).scales[0]
  assert found.success.diverged_fail.probability == pytest.approx(2 / 3)
  assert found.success.diverged_left_out.probability == 1
  assert found.modality.label != "bimodal"
  assert "20 diverged" in found.modality.evidence
  assert found.bootstrap.mean.value == pytest.approx(score_S[20:].mean())


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
  scale = two_groups.series[0].scales[3]
  found = scale.bootstrap.mean
  expected = stats.bootstrap(
    (scale.population.scores_S,), np.mean, method="percentile", rng=1
  ).confidence_interval
  width = expected.high - expected.low
  assert found.low == pytest.approx(expected.low, abs=0.1 * width)
  assert found.high == pytest.approx(expected.high, abs=0.1 * width)


def test_one_correction_covers_all_cells_and_metrics(two_groups):
  assert two_groups.family_size == 2 * 2 * 7
  labels = [s.modality for one in two_groups.series for s in one.scales]
  p_T = np.array([label.p for label in labels])
  order = np.argsort(p_T, kind="stable")  # NaN last, and they count.
  running, expected_T = 0.0, np.full(p_T.size, np.nan)
  for rank, t in enumerate(order):
    if not math.isnan(p_T[t]):
      running = max(running, min(1.0, p_T[t] * (p_T.size - rank)))
      expected_T[t] = running
  found_T = [label.p_adjusted for label in labels]
  np.testing.assert_allclose(found_T, expected_T)
  assert {label.family_size for label in labels} == {28}


def test_labels_rest_on_the_dip_of_the_scores(two_groups):
  split, smooth = two_groups.series[0], two_groups.series[2]
  assert split.scales[split.first_detectable].modality.label == "bimodal"
  assert [s.modality.label for s in split.scales[2:5]] == ["bimodal"] * 3
  assert smooth.first_detectable is None
  for scale in split.scales[2:5]:
    scores_S = scale.population.finite_S
    assert scale.modality.dip == pytest.approx(diptest.dipstat(scores_S), 0.05)
    assert diptest.diptest(scores_S)[1] < 0.001
    assert 0.2 < scale.modality.antimode < 0.7
    above = (scores_S >= scale.modality.antimode).sum()
    assert scale.beyond.value == above / scale.population.scores_S.size
  assert all(
    scale.beyond is None
    for scale in split.scales
    if scale.modality.label != "bimodal"
  )


def test_less_is_better_is_the_mirror_image_of_more(make_table):
  rng = np.random.default_rng(2)
  cells = [
    np.where(np.arange(30) < 4 * n, 1.0, 5.0) + rng.normal(0, 0.2, 30)
    for n in range(7)
  ]
  options = FEW._replace(thresholds=(("nll", 2.0), ("up", -2.0)))
  up = Metric("up", -math.inf, 0.0, "nats", True)
  down = analyze_one(
    make_table, NLL, cells, options._replace(thresholds=(("nll", 2.0),))
  )
  up = analyze_one(
    make_table,
    up,
    [-cell for cell in cells],
    options._replace(thresholds=(("up", -2.0),)),
  )
  for a, b in zip(down.scales, up.scales):
    assert a.success.diverged_fail.probability == (
      b.success.diverged_fail.probability
    )
    assert a.bootstrap.mean == b.bootstrap.mean
    assert a.modality.label == b.modality.label
    assert a.modality.antimode == pytest.approx(
      -b.modality.antimode, nan_ok=True
    )
    if a.beyond:
      assert a.beyond.value == b.beyond.value
  np.testing.assert_allclose(down.distances.w2_NN, up.distances.w2_NN)
  np.testing.assert_array_equal(
    down.trajectories.linearity_S, up.trajectories.linearity_S
  )
  assert down.trajectories.improvement_S.max() > 3  # Falling is improving.
  assert down.pairing == up.pairing
  assert down.abruptness._replace(note="") == up.abruptness._replace(note="")
  assert down.studies == up.studies
  assert (down.threshold, up.threshold) == (2.0, -2.0)


def test_item_noise_is_told_where_items_were_drawn(make_table):
  rng = np.random.default_rng(3)
  items = Metric("exact_match", 0.0, 1.0, "share of items", True)
  cells = [rng.binomial(50, rng.beta(5, 5, 200)) / 50]
  found = analyze_one(make_table, items, cells, num_items=50.0)
  share = found.scales[0].item_noise.share
  # Beta(5, 5): between seeds 1/44, within 50 items (1/4 − 1/44)/50.
  within = (0.25 - 1 / 44) / 50
  assert share == pytest.approx(within / (within + 1 / 44), rel=0.2)
  for fields in ({"items_enumerated": True}, {"num_items": np.nan}):
    fields = {"num_items": 50.0} | fields
    found = analyze_one(make_table, items, cells, **fields)
    assert found.scales[0].item_noise is None


def test_one_scale_and_one_seed_give_what_can_be_said(make_table):
  rng = np.random.default_rng(4)
  one = analyze_one(make_table, ACCURACY, [rng.random(30)])
  assert one.trajectories is one.pairing is one.abruptness is None
  assert one.paths == one.studies == []
  assert one.distances.parts == {}
  assert one.scales[0].success.diverged_fail.num_runs == 30
  single = analyze_one(make_table, ACCURACY, [[0.1], [0.3], [0.9]])
  for scale in single.scales:
    assert scale.modality.label == "undecided"
    assert math.isnan(scale.bootstrap.mean.low)
    assert math.isnan(scale.modality.p)
  assert (single.distances.test.p_KK == 1).all()
  assert {p.verdict for p in single.paths} == {"undecided"}
  assert math.isnan(single.pairing.p)


def test_a_scale_at_which_every_seed_diverged_is_a_failure_and_no_more(
  make_table,
):
  rng = np.random.default_rng(5)
  cells = [rng.random(12), np.full(12, np.nan), rng.random(12)]
  found = analyze_one(make_table, ACCURACY, cells)
  assert found.scales[1].success.diverged_fail.num_successes == 0
  assert found.scales[1].success.diverged_left_out is None
  assert found.scales[1].modality.label == "undecided"
  assert found.scales[1].mode_shares is None
  assert found.distances is found.abruptness is None
  assert found.paths == []
  assert found.trajectories.num_incomplete == 12


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (
      {"thresholds": (("<b>", 0.5),)},
      "no metric '<b>'; there are 'exact_match'",
    ),
    ({"threshold": 20.0}, r"20 is outside of \[0, 1\]"),
    ({"thresholds": (("exact_match", -0.1),)}, r"-0.1 is outside of \[0, 1\]"),
  ],
)
def test_a_threshold_that_cannot_be_is_refused(make_table, options, message):
  with pytest.raises(ValueError, match=message):
    analyze_one(make_table, ACCURACY, [[0.1, 0.2]], FEW._replace(**options))


def test_the_same_seed_gives_the_same_and_another_seed_other_resamples(
  make_table,
):
  rng = np.random.default_rng(6)
  cells = [rng.random(15) for _ in range(3)]
  first, again, other = (
    analyze_one(make_table, ACCURACY, cells, FEW._replace(seed=seed))
    for seed in (0, 0, 1)
  )
  assert first.scales[0].bootstrap == again.scales[0].bootstrap
  assert first.paths == again.paths
  assert first.pairing == again.pairing
  assert (
    first.scales[0].bootstrap.mean.low != other.scales[0].bootstrap.mean.low
  )


def test_the_order_of_the_rows_does_not_matter(make_table):
  rng = np.random.default_rng(7)
  table = make_table({("g", ACCURACY): [rng.random(15) for _ in range(3)]})
  found = compute.analyze(table, FEW).series[0]
  upside_down = table.frame.sort_values("scale", ascending=False)
  other = compute.analyze(table._replace(frame=upside_down), FEW).series[0]
  np.testing.assert_array_equal(found.distances.w2_NN, other.distances.w2_NN)
  assert [s.population.label for s in other.scales] == ["1", "2", "3"]
