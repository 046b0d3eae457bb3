import itertools
import math
import os
import pathlib
import re
import subprocess
import sys
import time

import diptest
import numpy as np
import ot
import pandas as pd
import pytest
from scipy import stats

from emergence.analysis import compute
from emergence.analysis.series import Options
from emergence.tables.score_table import Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)
NLL = Metric("nll", 0.0, math.inf, "nats", False)
FEW = Options(num_resamples=100, num_permutations=100)


def raw(series, analysis, column="score"):
  """Rows of a series as the table has them: scale -> column by seed."""
  frame = analysis.table.frame
  own = frame[
    (frame["group"] == series.group[0])
    & (frame["metric"] == series.metric.name)
  ]
  return {
    scale: cell.set_index("seed")[column]
    for scale, cell in own.groupby("scale")
  }


def each_scale(analysis):
  for series in analysis.series:
    scores, diverged = raw(series, analysis), raw(series, analysis, "diverged")
    for scale in series.scales:
      at = scale.population.scale
      yield series, scale, scores[at].to_numpy(), diverged[at].to_numpy(bool)


def analyze_one(make_table, metric, cells, options=FEW, **fields):
  (found,) = compute.analyze(
    make_table({("g", metric): cells}, **fields), options
  ).series
  return found


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


def test_distances_agree_with_scipy_and_pot(two_groups):
  for series in two_groups.series:
    found = series.distances
    samples = [
      cell.dropna().to_numpy() for cell in raw(series, two_groups).values()
    ]
    for i, j in itertools.combinations(range(7), 2):
      x, y = samples[i], samples[j]
      w2 = math.sqrt(ot.wasserstein_1d(x, y, p=2))
      assert found.w1_NN[i, j] == pytest.approx(
        stats.wasserstein_distance(x, y), rel=1e-6
      )
      assert found.w2_NN[i, j] == pytest.approx(w2, rel=1e-6)
      assert sum(found.parts[i, j]) == pytest.approx(w2**2, abs=1e-9)
      assert found.test.distance_KK[i, j] == pytest.approx(w2, rel=1e-6)
    assert len(found.parts) == 21


def test_neighbours_are_tested_by_permutation(two_groups):
  series = two_groups.series[2]
  x, y = (series.scales[n].population.scores_S for n in (2, 3))
  found = stats.permutation_test(
    (x, y),
    lambda a, b: np.sqrt(np.mean((np.sort(a) - np.sort(b)) ** 2)),
    n_resamples=999,
    alternative="greater",
    rng=1,
  )
  test = series.distances.test
  assert test.p_KK[2, 3] < 0.01
  assert found.pvalue < 0.01
  null = np.quantile(found.null_distribution, 0.95)
  assert test.null_KK[2, 3] == pytest.approx(null, rel=0.2)


def test_scales_are_permuted_within_seeds_only_where_they_have_the_same(
  make_table,
):
  rng = np.random.default_rng(0)
  cells = [rng.random(12), rng.random(12)]
  options = FEW._replace(within_seed=True)
  one = analyze_one(make_table, ACCURACY, cells, options)
  assert one.distances.within_seed
  other = analyze_one(make_table, ACCURACY, cells, FEW)
  assert not other.distances.within_seed
  for odd in ([cells[0], cells[1][:-1]], [cells[0], [*cells[1][:-1], np.nan]]):
    found = analyze_one(make_table, ACCURACY, odd, options)
    assert not found.distances.within_seed


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
    above = (scores_S >= scale.beyond.antimode).mean()
    assert scale.beyond.probability == above
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
      assert a.beyond.probability == b.beyond.probability
  np.testing.assert_allclose(down.distances.w2_NN, up.distances.w2_NN)
  np.testing.assert_array_equal(
    down.trajectories.linearity_S, up.trajectories.linearity_S
  )
  assert down.trajectories.improvement_S.max() > 3  # Falling is improving.
  assert down.pairing == up.pairing
  assert down.abruptness._replace(note="") == up.abruptness._replace(note="")
  assert down.studies == up.studies
  assert (down.threshold, up.threshold) == (2.0, -2.0)


def test_trajectories_are_those_of_seeds_that_stand_at_every_scale(two_groups):
  for series in two_groups.series:
    cells = pd.DataFrame(raw(series, two_groups))
    assert series.seeds == tuple(cells.index)
    sign = 1 if series.metric.higher_is_better else -1
    for s, seed in enumerate(series.seeds):
      y = sign * cells.loc[seed].to_numpy()
      found = series.trajectories
      if np.isnan(y).any():
        assert math.isnan(found.linearity_S[s])
        continue
      size = np.sign(np.argmax(y) - np.argmin(y)) * (y.max() - y.min())
      steps = np.diff(y)
      assert found.improvement_S[s] == pytest.approx(size)
      assert found.linearity_S[s] == pytest.approx(
        size / math.sqrt(np.mean(steps**2))
      )
      assert found.breakthroughness_S[s] == pytest.approx(
        size / math.sqrt(np.median(steps**2))
      )
    complete = cells.dropna()
    assert found.num_incomplete == len(cells) - len(complete)
    pairs = [
      stats.spearmanr(complete[a], complete[b])[0]
      for a, b in itertools.combinations(complete, 2)
    ]
    assert series.pairing.correlation == pytest.approx(np.mean(pairs))


def test_a_seed_that_is_missing_somewhere_is_no_trajectory(make_table):
  rng = np.random.default_rng(1)
  cells = [rng.random(6), rng.random(9), rng.random(7)]
  found = analyze_one(make_table, ACCURACY, cells)
  assert found.seeds == tuple(range(6))
  assert len(found.trajectories.linearity_S) == 6


def test_abruptness_is_the_largest_step_over_the_range(two_groups):
  for series in two_groups.series:
    found = series.abruptness
    scores = raw(series, two_groups)
    diverged = raw(series, two_groups, "diverged")
    means, shares = [], []
    for scale, cell in scores.items():
      kept = cell[~diverged[scale].astype(bool)]
      means.append(kept.mean())
      hits = kept <= 1 if series.metric.name == "nll" else kept >= 0.2
      shares.append(hits.sum() / len(cell))
    for value, values in (
      (found.mean, means),
      (found.success_probability, shares),
    ):
      steps = np.abs(np.diff(values))
      assert value == pytest.approx(steps.max() / np.ptp(values))
    assert found.difference == pytest.approx(
      found.mode - found.success_probability
    )
    assert found.difference_low <= found.difference <= found.difference_high


def test_studies_of_one_seed_are_all_pairs_of_runs(two_groups):
  series = two_groups.series[0]
  scores = list(raw(series, two_groups).values())
  diverged = list(raw(series, two_groups, "diverged").values())
  for n, studies in enumerate(series.studies):
    one = {s.statistic: s for s in studies if s.num_seeds == 1}
    x, y = (scores[m].dropna().to_numpy() for m in (n, n + 1))
    seen = y - x[:, None]
    truth = y.mean() - x.mean()
    assert one["mean"].difference == pytest.approx(truth)
    assert one["mean"].reversed == pytest.approx(
      (np.sign(seen) == -np.sign(truth)).mean()
    )
    assert one["mean"].missed == pytest.approx(
      (np.abs(seen - truth) >= 0.2).mean()
    )
    p, q = (
      ((scores[m] >= 0.2) & ~diverged[m].astype(bool)).mean()
      for m in (n, n + 1)
    )
    share = one["success_probability"]
    assert share.difference == pytest.approx(q - p)
    assert share.reversed == pytest.approx(
      p * (1 - q) if q > p else q * (1 - p)
    )


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


def peak_bytes(pid: int) -> int:
  """Most memory that a process has held so far; 0 where that is not told."""
  try:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
  except OSError:
    return 0
  found = re.search(r"VmHWM:\s+(\d+) kB", status)
  return 1024 * int(found[1]) if found else 0


@pytest.mark.slow
def test_a_full_analysis_takes_less_than_a_minute_and_two_gigabytes(tmp_path):
  rng = np.random.default_rng(0)
  rows = []
  for n in range(24):
    high_S = rng.random(250) < n / 23
    score_S = np.clip(
      np.where(high_S, 0.8, 0.02) + rng.normal(0, 0.1, 250), 0, 1
    )
    rows.append(
      pd.DataFrame(
        {
          "params": 1000 * (n + 1),
          "run": np.arange(250),
          "accuracy": score_S,
          "tokens": np.sqrt(score_S),
          "nll": -np.log(score_S + 0.01) + rng.exponential(0.1, 250),
          "log_prob": 3 * np.log(score_S + 0.01) - rng.exponential(0.3, 250),
        }
      )
    )
  pd.concat(rows).to_parquet(tmp_path / "scores.parquet")
  command = [sys.executable, "-m", "experiments.analyze"]
  command += [f"--records={tmp_path / 'scores.parquet'}"]
  command += [f"--out={tmp_path / 'out'}", "--resamples=1000"]
  command += ["--scale_column=params", "--seed_column=run"]
  command += ["--lower_is_better=nll", "--threshold=nll=1"]
  command += ["--threshold=log_prob=-5"]
  for name in ("accuracy", "tokens", "nll", "log_prob"):
    command.append(f"--score_column={name}")
  start = time.monotonic()
  with (
    (tmp_path / "stdout").open("w") as out,
    (tmp_path / "stderr").open("w") as err,
  ):
    process = subprocess.Popen(
      command,
      stdout=out,
      stderr=err,
      env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    # What the system reports at its end includes the peak of these tests.
    peak = 0
    while process.poll() is None:
      peak = max(peak, peak_bytes(process.pid))
      time.sleep(0.02)
  seconds = time.monotonic() - start
  assert (tmp_path / "stderr").read_text() == ""
  assert process.returncode == 0
  (timing,) = [
    line
    for line in (tmp_path / "stdout").read_text().splitlines()
    if line.startswith("read ")
  ]
  told = sum(float(part.split()[1]) for part in timing.split(", "))
  assert seconds / 2 < told <= seconds
  print(f"{timing}; {seconds:.1f} s of wall time, peak {peak / 1e9:.2f} GB")
  assert peak < 2e9
  assert seconds < 60
  frame = pd.read_csv(tmp_path / "out" / "summary.csv")
  assert len(frame) == 24 * 4
