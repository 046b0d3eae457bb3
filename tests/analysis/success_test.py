import numpy as np
import pytest
from scipy import stats

from emergence.analysis import output, questions
from tests.computed import (
  ACCURACY,
  FEW,
  analyze_one,
  each_scale,
  low_high,
  read_csv,
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
    where = scale.threshold_curve.threshold_T
    sign = 1 if series.metric.higher_is_better else -1
    share = ((sign * score_S >= where[:, None] - 1e-6) & ~diverged_S).mean(1)
    np.testing.assert_allclose(scale.threshold_curve.probability_T, share)


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
  assert found.modality.label == "not_shown"
  assert "20 diverged" in found.modality.evidence
  assert found.bootstrap.mean.value == pytest.approx(score_S[20:].mean())


@pytest.mark.parametrize(
  ("num", "method"), [(1, "exact"), (9, "exact"), (10, "wilson")]
)
def test_few_runs_have_the_exact_interval_and_one_run_no_share(
  num, method, make_table
):
  cells = {("g", ACCURACY): [low_high(0, num)] * 2}
  rows = output.summary(questions.analyze(make_table(cells), FEW))
  expected = stats.binomtest(num, num).proportion_ci(method=method)
  for row in rows:
    assert row["n_successes"] == num
    assert row["success_probability"] == (None if num == 1 else 1)
    assert row["success_low"] == pytest.approx(expected.low)


def test_a_single_run_has_no_share_anywhere(make_table):
  table = make_table({("g", ACCURACY): [[0.1], [0.9], [0.4]]})
  files = output.files(questions.analyze(table, FEW))
  summary = read_csv(files["summary.csv"])
  assert summary["n_successes"].tolist() == [0, 1, 1]
  for name in ("probability", "probability_finite", "logistic", "isotonic"):
    assert summary[f"success_{name}"].isna().all()
  parts = read_csv(files["decomposition.csv"])
  assert parts[["share_from", "share_to"]].isna().all(axis=None)
