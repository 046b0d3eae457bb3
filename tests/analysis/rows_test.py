import io
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emergence.analysis import rows
from emergence.tables.score_table import Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)


def read_csv(content):
  return pd.read_csv(io.BytesIO(content))


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
    assert row.n_seeds == 40
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
    if row.modality == "bimodal":
      shares = row.mode_share_below + row.mode_share_above
      assert shares == pytest.approx(1)
      assert finite_S.min() < row.antimode < finite_S.max()
      low, high = (
        row.success_beyond_antimode_low,
        row.success_beyond_antimode_high,
      )
      assert low <= row.success_beyond_antimode <= high
      better = finite_S < row.antimode
      better = better if row.metric == "nll" else ~better
      if not diverged_S.any():
        assert row.success_beyond_antimode == pytest.approx(better.mean())
    else:
      assert math.isnan(row.success_beyond_antimode)


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


def test_neighbours_and_the_largest_scale_are_those_of_distances(
  written, two_groups
):
  frame = read_csv(written["summary.csv"])
  pairs = read_csv(written["distances.csv"])
  assert len(pairs) == 4 * 21
  keys = ["group", "metric", "scale_from", "scale_to"]
  pairs = pairs.set_index(keys)
  for row in frame.itertuples():
    if row.scale == 1:
      assert math.isnan(row.w2_to_previous)
      assert math.isnan(row.w2_to_previous_p)
    else:
      pair = pairs.loc[row.group, row.metric, row.scale - 1, row.scale]
      assert row.w2_to_previous == pair["w2"]
      assert row.w2_to_previous_null == pair["w2_null"]
      assert row.w2_to_previous_p == pair["w2_p"]
    if row.scale < 7:
      pair = pairs.loc[row.group, row.metric, row.scale, 7]
      assert row.w2_to_largest == pair["w2"]
    else:
      assert row.w2_to_largest == 0
  raw = two_groups.table.frame.groupby(["group", "metric", "scale"])["score"]
  for (group, metric, low, high), pair in pairs.iterrows():
    x, y = (
      raw.get_group((group, metric, scale)).dropna() for scale in (low, high)
    )
    assert pair["w1"] == pytest.approx(
      stats.wasserstein_distance(x, y), rel=1e-6
    )
    parts = pair["location"] + pair["spread"] + pair["shape"]
    assert parts == pytest.approx(pair["w2"] ** 2, rel=1e-6)
    location = (x.mean() - y.mean()) ** 2
    assert pair["location"] == pytest.approx(location, abs=1e-12)
    spread = (x.std(ddof=0) - y.std(ddof=0)) ** 2
    assert pair["spread"] == pytest.approx(spread, abs=1e-12)
    assert pair["permuted"] == "all runs"


def test_trajectories_have_a_row_a_seed_and_its_ranks(written, two_groups):
  frame = read_csv(written["trajectories.csv"])
  assert len(frame) == 4 * 40
  for _, own in frame.groupby(["group", "metric"]):
    for name in ("linearity", "breakthroughness"):
      known = own[np.isfinite(own[name])]
      best_first = known.sort_values(name, ascending=False)
      assert best_first[f"{name}_rank"].tolist() == list(
        range(1, len(known) + 1)
      )
      others = own[~np.isfinite(own[name])]
      assert (others[f"{name}_rank"] == 0).all()
  lost = frame.query(
    "group == 'split' and metric == 'nll' and linearity != linearity"
  )["seed"]
  assert lost.tolist() == [3, 5]


def test_paths_stand_beside_the_scale_that_they_are_of(written, two_groups):
  frame = read_csv(written["paths.csv"])
  assert len(frame) == 4 * 5
  for series in two_groups.series:
    own = frame.query(
      f"group == '{series.group[0]}' and metric == '{series.metric.name}'"
    )
    assert own["scale"].tolist() == [2, 3, 4, 5, 6]
    assert own["verdict"].tolist() == [p.verdict for p in series.paths]
    assert (own["mixture_share"].diff().dropna() > -1e-9).all()
  split = frame.query("group == 'split' and metric == 'exact_match'")
  assert set(split["verdict"]) <= {"mixture", "undecided"}
  np.testing.assert_allclose(
    split["mixture_share"], np.arange(1, 6) / 6, atol=0.05
  )
  smooth = frame.query("group == 'smooth' and metric == 'exact_match'")
  assert "mixture" not in set(smooth["verdict"])
  np.testing.assert_allclose(
    smooth["displacement_share"], np.arange(1, 6) / 6, atol=0.05
  )


@pytest.mark.parametrize("name", ["modality", "w2", "verdict", "linearity"])
def test_a_group_may_not_be_named_like_a_result(make_table, name):
  table = make_table({("g", ACCURACY): [[0.1]]})
  rows.require_distinct_columns(table)
  taken = table._replace(
    frame=table.frame.rename(columns={"group": name}), group_columns=(name,)
  )
  with pytest.raises(ValueError, match=f"'{name}' is a column of the results"):
    rows.require_distinct_columns(taken)


def test_plain_takes_numpy_and_named_tuples_apart():
  found = rows.plain(
    {
      1: np.float32(0.5),
      "a": np.array([1.0, np.nan, np.inf, -np.inf]),
      "b": ACCURACY,
      "c": (np.int64(3), np.bool_(True), None, "x"),
    }
  )
  assert found == {
    "1": 0.5,
    "a": [1.0, None, "Infinity", "-Infinity"],
    "b": {
      "name": "exact_match",
      "low": 0.0,
      "high": 1.0,
      "unit": "fraction",
      "higher_is_better": True,
    },
    "c": [3, True, None, "x"],
  }
  assert type(found["c"][1]) is bool


def test_both_orders_of_groups_and_metrics_are_those_of_the_table(written):
  frame = read_csv(written["summary.csv"])
  found = list(dict.fromkeys(zip(frame["group"], frame["metric"])))
  assert found == list(
    itertools.product(["split", "smooth"], ["exact_match", "nll"])
  )


def test_all_that_is_written_is_in_the_unit_of_the_metric(written, two_groups):
  content = json.loads(written["summary.json"])
  nll = [s for s in content["series"] if s["metric"] == "nll"]
  assert len(nll) == 2
  for entry in nll:
    assert entry["abruptness"]["threshold"] == 1.0
    for curve in entry["survival"]:
      assert min(curve["threshold"]) >= 0
  studies = [s for s in content["small_studies"] if s["metric"] == "nll"]
  frame = two_groups.table.frame.query("metric == 'nll'")
  means = frame.groupby(["group", "scale"])["score"].mean()
  for study in studies:
    assert study["threshold"] == 1.0
    if study["statistic"] == "mean":
      step = (
        means[study["group"], study["scale_to"]]
        - means[study["group"], study["scale_from"]]
      )
      assert study["difference"] == pytest.approx(step)
