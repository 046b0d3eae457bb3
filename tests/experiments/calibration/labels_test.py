import csv

import pytest

from experiments.calibration import labels


def table(path=labels.TABLE):
  lines = path.read_text(encoding="utf-8").splitlines()
  assert lines[0].startswith("# python -m experiments.calibration.labels")
  return list(csv.DictReader(lines[1:]))


def test_the_table_of_the_repository_is_that_of_this_program():
  rows = table()
  expected = [
    (name, kind, str(size))
    for families, kind, sizes in (
      (labels.level_distributions(), "level", labels.LEVEL_SIZES),
      (labels.weak_distributions(), "weak", labels.LEVEL_SIZES),
      (labels.power_distributions(), "power", labels.POWER_SIZES),
    )
    for name in families
    for size in sizes
  ]
  assert [(r["family"], r["kind"], r["runs"]) for r in rows] == expected
  name = ".9 at 0, .1 at .9"
  (row,) = [r for r in rows if (r["family"], r["runs"]) == (name, "32")]
  num = int(row["populations"])
  share = labels.shares(labels.power_distributions()[name], num, 32, 0)
  assert f"{1 - share['not_shown']:.3f}" == row["separated"]


def test_the_level_is_kept_and_few_runs_that_break_out_are_seen():
  rows = table()
  levels = [float(r["separated"]) for r in rows if r["kind"] == "level"]
  assert len({r["family"] for r in rows if r["kind"] == "level"}) >= 15
  assert max(levels) <= 0.05
  weak = [float(r["separated"]) for r in rows if r["kind"] == "weak"]
  assert max(weak) <= 0.15
  power = {
    r["runs"]: float(r["separated"])
    for r in rows
    if r["family"] == ".9 at 0, .1 at .9"
  }
  # Three runs or more outside of the floor are seen, fewer never are.
  assert power["32"] == pytest.approx(0.63, abs=0.05)
  assert power["64"] == pytest.approx(0.96, abs=0.03)
  assert power["128"] > 0.99


def test_the_command_writes_shares_that_sum_to_one(tmp_path, monkeypatch):
  monkeypatch.setattr(labels, "LEVEL_SIZES", (20,))
  monkeypatch.setattr(labels, "POWER_SIZES", (20,))
  labels.main(tmp_path / "labels.csv", 2, 0)
  for row in table(tmp_path / "labels.csv"):
    parts = [float(row[name]) for name in labels.LABELS[:-1]]
    assert sum(parts) == float(row["separated"])
