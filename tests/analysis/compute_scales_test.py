"""Statistics over scales, against the rows of the table."""

import itertools
import math

import numpy as np
import ot
import pandas as pd
import pytest
from scipy import stats

from emergence.statistics.abruptness import jump
from tests.computed import ACCURACY, FEW, analyze_one, raw


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


def rounded(centres, num_items, num=200, sd=0.08):
  """Normal scores of each scale, on the grid of its own number of items."""
  rng = np.random.default_rng(0)
  return [
    np.clip(np.round(rng.normal(m, sd, num) * k) / k, 0, 1)
    for m, k in zip(centres, num_items, strict=True)
  ]


def test_a_path_over_scales_of_unlike_grids_is_judged_on_the_coarsest(
  make_table,
):
  items = (1000, 10, 10)
  found = analyze_one(
    make_table, ACCURACY, rounded((0.25, 0.5, 0.75), items), num_items=items
  )
  (path,) = found.paths
  assert path.verdict == "displacement"


def test_the_mode_jumps_between_the_modes_that_are_told(make_table):
  items = (1000, 10, 10)
  cells = rounded((0.25, 0.52, 0.75), items)
  found = analyze_one(make_table, ACCURACY, cells, num_items=items)
  modes = [scale.modality.shape.mode for scale in found.scales]
  assert found.abruptness.mode == pytest.approx(jump(modes))
