import math

import numpy as np
import pytest
from scipy import stats

from emergence.analysis import output, questions
from tests.computed import ACCURACY, FEW, read_csv, strict


def test_json_is_strict_and_has_each_series(written, two_groups):
  content = strict(written["summary.json"])
  assert content["metrics"][1]["high"] == "Infinity"
  assert len(content["series"]) == 4
  split = content["series"][0]
  assert (split["group"], split["metric"]) == ("split", "exact_match")
  assert split["higher_is_better"] is True
  first = two_groups.series[0].answers["modality"].first
  assert split["first_separated_scale"] == first + 1
  # A threshold of a loss is a loss.
  assert min(content["series"][1]["threshold_curve"][3]["threshold"]) >= 0
  steps = {
    (s["group"], s["metric"], s["scale_from"], s["num_seeds"])
    for s in content["small_studies"]
  }
  assert len(steps) == 4 * 6 * 4


def test_the_summary_is_what_the_raw_scores_say(written, two_groups):
  frame = read_csv(written["summary.csv"])
  assert len(frame) == 2 * 2 * 7
  raw = two_groups.table.frame.groupby(["group", "metric", "scale"])
  for row in frame.itertuples():
    cell = raw.get_group((row.group, row.metric, row.scale))
    score_S = cell["score"].to_numpy()
    finite_S = score_S[np.isfinite(score_S)]
    diverged_S = cell["diverged"].to_numpy(bool)
    hit_S = score_S <= 1 if row.metric == "nll" else score_S >= 0.2
    hit_S &= ~diverged_S
    assert row.n_diverged == diverged_S.sum()
    assert row.mean == pytest.approx(finite_S.mean())
    assert row.median == pytest.approx(np.median(finite_S))
    assert row.success_threshold == (1.0 if row.metric == "nll" else 0.2)
    assert row.success_probability == pytest.approx(hit_S.mean())
    wilson = stats.binomtest(int(hit_S.sum()), 40).proportion_ci(
      method="wilson"
    )
    assert row.success_low == pytest.approx(wilson.low, abs=1e-9)
    assert row.success_high == pytest.approx(wilson.high)
    assert row.success_probability_finite == pytest.approx(
      hit_S.sum() / (~diverged_S).sum()
    )
    if hit_S.sum() >= 10:
      assert row.mean_given_success == pytest.approx(score_S[hit_S].mean())
      assert math.isnan(float(row.mean_given_success_reason or "nan"))
    else:
      assert math.isnan(row.mean_given_success)
      assert "needs 10" in row.mean_given_success_reason


def test_intervals_are_in_the_unit_of_the_metric_and_hold_their_value(written):
  frame = read_csv(written["summary.csv"])
  for name in ("mean", "median", "mean_given_success", "success"):
    value = frame["success_probability" if name == "success" else name]
    known = value.notna()
    assert known.any()
    low, high = frame[f"{name}_low"], frame[f"{name}_high"]
    assert (low[known] <= value[known]).all()
    assert (value[known] <= high[known]).all()
    assert low[~known].isna().all()
    assert high[~known].isna().all()
  assert (frame["mean_low"] > 0).all()


def test_a_cell_without_any_score_has_a_row_with_what_is_missing(make_table):
  table = make_table({("g", ACCURACY): [[0.1, 0.2, 0.3]]})
  missing = {("g", 1.0, "exact_match"): 1, ("g", 2.0, "exact_match"): 4}
  analysis = questions.analyze(table._replace(num_missing=missing), FEW)
  frame = read_csv(output.files(analysis)["summary.csv"])
  assert frame["n_seeds"].tolist() == [3, 0]
  assert frame["n_missing"].tolist() == [1, 4]
  assert frame["scale"].tolist() == [1, 2]
  assert frame["mean"].isna().tolist() == [False, True]
