import numpy as np
import pytest

from emergence.statistics import dip
from emergence.statistics.calibration import dip_tables


def test_ranks_run_from_the_largest_dip_to_the_smallest():
  ranks = dip_tables.ranks(10**6)
  assert (ranks[0], ranks[-1]) == (1, 10**6)
  assert (np.diff(ranks) > 0).all()
  np.testing.assert_array_equal(dip.null_table().rank_K, ranks)


def test_a_column_is_the_order_statistics_of_uniform_dips():
  column_K = dip_tables.null_column(12, 500, seed=3)
  samples_RS = np.random.default_rng([3, 12]).random((500, 12))
  dip_R = sorted(map(float, dip.dips(samples_RS)), reverse=True)
  expected = [np.sqrt(12) * dip_R[rank - 1] for rank in dip_tables.ranks(500)]
  np.testing.assert_allclose(column_K, expected)


def test_the_tables_of_the_package_are_those_of_this_module():
  null = dip.null_table()
  np.testing.assert_array_equal(null.num_runs_N, dip_tables.SIZES)
  size, draws = 100, 20_000
  again_K = dip_tables.null_column(size, draws, seed=9)
  for rank, scaled in zip(dip_tables.ranks(draws), again_K):
    if 200 <= rank <= 0.95 * draws:
      p = dip.p_value(scaled / np.sqrt(size), size)
      assert p == pytest.approx(rank / draws, rel=5 / np.sqrt(rank))
  num_runs_N, weight_W, p_NW = dip.power_table()
  np.testing.assert_array_equal(num_runs_N, dip_tables.SIZES)
  np.testing.assert_array_equal(weight_W, dip_tables.WEIGHTS)
  row = list(num_runs_N).index(size)
  again = dip_tables.power_cell(size, 0.5, 1000, seed=9)
  assert again == pytest.approx(p_NW[row, -1], rel=0.8)


def test_what_is_written_can_be_read(tmp_path, monkeypatch):
  monkeypatch.setattr(dip_tables, "SIZES", (5, 30))
  dip_tables.main(["--out", str(tmp_path), "--draws", "300", "--samples", "20"])
  monkeypatch.setattr(dip, "TABLES", tmp_path)
  dip.null_table.cache_clear()
  dip.power_table.cache_clear()
  try:
    assert dip.null_table().draws == 300
    assert dip.p_value(0.2, 30) == pytest.approx(1 / 301)
    assert dip.power_table()[2].shape == (2, len(dip_tables.WEIGHTS))
  finally:
    dip.null_table.cache_clear()
    dip.power_table.cache_clear()
  file = (tmp_path / "dip_null.csv").read_text()
  assert "seed 0" in file
  assert "diptest" in file


def test_minor_modes_have_their_weight_and_distance():
  rng = np.random.default_rng(0)
  sample_RS = dip_tables.minor_mode(rng, 10, 2000, 0.3, 9.0)
  upper_RS = sample_RS > 4.5
  assert upper_RS.mean() == pytest.approx(0.3, abs=0.01)
  distance = sample_RS[upper_RS].mean() - sample_RS[~upper_RS].mean()
  assert distance == pytest.approx(9, abs=0.05)
