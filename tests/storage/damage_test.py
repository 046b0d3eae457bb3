import glob
import json
import logging
import os
import pathlib
import types

import numpy as np
import pandas as pd
import pyarrow.dataset
import pytest
from etils import epath

from emergence.config import Cell, identity_hash, override, to_dict
from emergence.population.population import Snapshot
from emergence.storage import damage, records
from emergence.training.evaluate import Scores

DEVICE = types.SimpleNamespace(device_kind="cpu", platform="cpu")
CELL = Cell.parse("count/width-8/depth-2")


def write(config, workdir, seeds, cell=CELL):
  seeds = list(seeds)
  snapshots = [
    Snapshot(
      step,
      Scores(*(np.full((len(seeds), 2), step, np.float32) for _ in range(5))),
      np.zeros(len(seeds), np.float32),
      np.zeros(len(seeds), bool),
    )
    for step in config.eval_steps
  ]
  table = records.to_table(config, cell, 77, seeds, snapshots)
  provenance = records.make_provenance(config, cell, [DEVICE])
  records.write(workdir, cell, table, provenance)


def write_config(config, workdir):
  content = {
    "config": to_dict(config),
    "identity_hash": identity_hash(config),
  }
  (workdir / "config.json").write_text(json.dumps(content))


@pytest.fixture
def workdir(tiny, tmp_path) -> epath.Path:
  """Two blocks of one cell."""
  workdir = epath.Path(tmp_path)
  write_config(tiny, workdir)
  write(tiny, workdir, range(4))
  write(tiny, workdir, range(4, 8))
  return workdir


def contents(workdir):
  return {
    path: path.read_bytes()
    for path in pathlib.Path(workdir).rglob("*")
    if path.is_file()
  }


def test_what_is_whole_stays_untouched(tiny, workdir, caplog):
  before = contents(workdir)
  assert damage.set_aside_damaged(workdir, tiny) == []
  assert contents(workdir) == before
  assert not caplog.records
  assert damage.set_aside_damaged(workdir / "new", tiny) == []


def flip(content):
  """Within the first column; in the footer, it may change nothing."""
  return content[:60] + bytes([content[60] ^ 4]) + content[61:]


@pytest.mark.parametrize(
  "spoil", [flip, lambda c: c[:100], lambda c: b"", lambda c: bytes(len(c))]
)
def test_damaged_records_move_away_and_their_seeds_are_missing(
  tiny, workdir, spoil, caplog
):
  path, other = records.files(workdir)
  spoiled = spoil(path.read_bytes())
  path.write_bytes(spoiled)
  (moved,) = damage.set_aside_damaged(workdir, tiny)
  assert moved.read_bytes() == spoiled
  assert records.files(workdir) == [other]
  assert records.finished_seeds(workdir, tiny, CELL) == {4, 5, 6, 7}
  (line,) = caplog.records
  assert line.levelno == logging.WARNING
  for part in (str(path), str(moved), "its seeds are trained again"):
    assert part in line.getMessage()
  assert "\n" not in line.getMessage()
  # Damaged once more, it does not replace what lies there.
  write(tiny, workdir, range(4))
  path.write_bytes(b"")
  (second,) = damage.set_aside_damaged(workdir, tiny)
  assert moved.read_bytes() == spoiled
  assert second.read_bytes() == b""


def test_a_file_that_another_process_has_mended_meanwhile_stays(
  tiny, workdir, monkeypatch
):
  path = records.files(workdir)[0]
  whole = path.read_bytes()
  path.write_bytes(whole[:100])
  judge = damage._require_whole

  def judge_then_mend(*args):
    try:
      judge(*args)
    finally:
      path.write_bytes(whole)

  monkeypatch.setattr(damage, "_require_whole", judge_then_mend)
  assert damage.set_aside_damaged(workdir, tiny) == []
  assert path.read_bytes() == whole


def test_no_table_tool_reads_what_is_set_aside(tiny, workdir):
  path, other = records.files(workdir)
  path.write_bytes(path.read_bytes()[:100])
  damage.set_aside_damaged(workdir, tiny)
  folder = workdir / "records"
  assert set(pd.read_parquet(str(folder))["seed"]) == {4, 5, 6, 7}
  found = pyarrow.dataset.dataset(str(folder), format="parquet").files
  assert found == [str(other)]
  # What polars and duckdb are given, be it for the whole directory.
  for pattern in ("records/**/*.parquet", "**/*.parquet", "**/*parquet*"):
    found = glob.glob(f"{workdir}/{pattern}", recursive=True)
    assert [p for p in found if p.endswith(".parquet")] == [str(other)]


def test_records_of_another_experiment_are_refused_and_nothing_moves(
  tiny, workdir
):
  other = override(tiny, ["train.weight_decay=0.5"])
  # Of a cell that is not in the grid, beside a file that is damaged.
  write(other, workdir, range(4), Cell.parse("count/width-64/depth-9"))
  path = records.files(workdir)[-1]
  path.write_bytes(b"")
  (workdir / "config.json").write_text("{")
  before = contents(workdir)
  with pytest.raises(ValueError, match=r"width-64.*of another experiment"):
    damage.set_aside_damaged(workdir, tiny)
  assert contents(workdir) == before


def test_a_directory_of_another_experiment_is_named_as_such(tiny, workdir):
  other = override(tiny, ["train.weight_decay=0.5"])
  records.files(workdir)[0].write_bytes(b"")
  before = contents(workdir)
  with pytest.raises(ValueError, match=r"train.weight_decay is 0.1 there"):
    damage.set_aside_damaged(workdir, other)
  assert contents(workdir) == before


def test_a_file_in_the_folder_of_another_cell_is_refused(tiny, workdir):
  path = records.files(workdir)[0]
  place = workdir / "records" / "count" / "width-8" / "depth-1"
  place.mkdir()
  path.rename(place / path.name)
  with pytest.raises(ValueError, match=r"depth-1.*holds seeds of another"):
    damage.set_aside_damaged(workdir, tiny)


def test_what_the_machine_cannot_read_is_no_damage(tiny, workdir, monkeypatch):
  def fail(self):
    raise PermissionError(13, "Permission denied", str(self))

  monkeypatch.setattr(type(workdir), "read_bytes", fail)
  with pytest.raises(PermissionError):
    damage.set_aside_damaged(workdir, tiny)


def test_a_file_that_another_process_moves_during_the_look_is_passed_over(
  tiny, workdir
):
  folder = workdir / "records" / str(CELL)
  # Listed, and not there any more.
  os.symlink(folder / "moved", folder / "seeds-000008-000011.parquet")
  assert len(records.files(workdir)) == 3
  assert damage.set_aside_damaged(workdir, tiny) == []
  assert records.finished_seeds(workdir, tiny, CELL) == set(range(8))


def test_a_damaged_config_moves_away_where_the_records_are_ours(
  tiny, workdir, caplog
):
  path = workdir / "config.json"
  path.write_bytes(path.read_bytes()[:200])
  (moved,) = damage.set_aside_damaged(workdir, tiny)
  assert moved.stat().length == 200
  assert not path.exists()
  (line,) = caplog.records
  assert "it is written again" in line.getMessage()
  assert len(records.files(workdir)) == 2


def test_only_what_was_being_written_is_removed(workdir):
  before = contents(workdir)
  (workdir / "runs").mkdir()
  (workdir / ".hidden").write_text("")
  places = [
    workdir / "runs" / ".x.json.0123abcd.writing",
    workdir / ".config.json.0123abcd.writing",
    workdir / "records" / str(CELL) / ".seeds-0-1.parquet.0123abcd.writing",
  ]
  for place in places:
    place.write_text("")
  assert damage.remove_unfinished(workdir) == 0
  for place in places[:2]:
    os.utime(place, (0, 0))
  os.utime(workdir / ".hidden", (0, 0))
  assert damage.remove_unfinished(workdir) == 2
  places[2].unlink()
  (workdir / ".hidden").unlink()
  assert contents(workdir) == before
