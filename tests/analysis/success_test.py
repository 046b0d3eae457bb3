import numpy as np
import pytest
from scipy import stats

from tests.computed import (
  ACCURACY,
  FEW,
  analyze_one,
  each_scale,
  low_high,
  scales,
)


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
  found = analyze_one(make_table, ACCURACY, [score_S], diverged=marks)
  (found,) = scales(found)
  assert found.success.diverged_fail.probability == pytest.approx(2 / 3)
  assert found.success.diverged_left_out.probability == 1
  assert found.modality.label != "bimodal"
  assert "20 diverged" in found.modality.evidence
  assert found.bootstrap.mean.value == pytest.approx(score_S[20:].mean())


def share(hits, num):
  low, high = stats.binomtest(hits, num).proportion_ci(method="wilson")
  return f"{hits / num:.2f} ({low:.2f}–{high:.2f})"


def test_the_largest_step_of_success_is_told_with_wilsons_intervals(
  two_groups, pick
):
  (first, *_) = pick("success")
  frame = two_groups.table.frame.query(
    "group == 'split' and metric == 'exact_match'"
  )
  hits = (frame["score"] >= 0.2) & ~frame["diverged"]
  counts = hits.groupby(frame["scale"]).sum().to_numpy()
  n = int(np.abs(np.diff(counts)).argmax())
  assert first.sentence == (
    f"group split, exact match: between size {n + 1} and {n + 2} the share of"
    f" seeds at ≥ 20% goes from {share(counts[n], 40)} to"
    f" {share(counts[n + 1], 40)}, the largest of 6 steps, and picked for that."
  )
  assert first.numbers["probability_to"] == counts[n + 1] / 40
  assert (first.numbers["scale_from"], first.numbers["scale_to"]) == (
    n + 1,
    n + 2,
  )


def test_success_of_less_is_better_names_its_side(pick):
  (first, *_) = pick("success", metric="nll")
  assert "the share of seeds at ≤ 1 goes" in first.sentence


def test_one_scale_says_nothing_about_change(say):
  assert say([low_high(20, 10)], "success") == [
    f"at size 1 the share of seeds at ≥ 20% is {share(10, 30)}. With one scale"
    " nothing can be said about change over scale."
  ]


def test_a_success_probability_that_never_changes_is_told_once(say):
  assert say([low_high(0, 12)] * 3, "success") == [
    f"the share of seeds at ≥ 20% is {share(12, 12)} at every size."
  ]
  cells = [low_high(6, 6), low_high(10, 10)]
  assert say(cells, "success") == [
    f"the share of seeds at ≥ 20% is {share(6, 12)} at every size, the interval"
    " that of the fewest seeds, 12."
  ]


@pytest.mark.parametrize(
  ("last", "rises"), [(30, True), (25, False), (10, False)]
)
def test_a_fall_is_told_where_intervals_do_not_meet(last, rises, say):
  cells = [low_high(15, 15), low_high(0, 30), low_high(25, 5)]
  cells.append(low_high(30 - last, last) if last != 25 else low_high(15, 15))
  found = say(cells, "success")
  assert found[1] == (
    f"the share of seeds at ≥ 20% falls from {share(30, 30)} at size 2 to"
    f" {share(5, 30)} at 3; the intervals do not meet"
    + (". From the first size to the last it rises." if rises else ".")
  )
  assert len(found) == 2


def test_a_threshold_is_named_with_its_decimals(say):
  cells = [low_high(6, 6)]
  for value, text in ((0.125, "12.5%"), (0.005, "0.5%"), (1.0, "100%")):
    (found,) = say(cells, "success", FEW._replace(threshold=value))
    assert f"the share of seeds at ≥ {text} is" in found
