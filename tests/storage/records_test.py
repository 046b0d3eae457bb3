import errno
import json
import types

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from etils import epath

from emergence.config import (
  Cell,
  cell_hash,
  from_dict,
  identity_hash,
  override,
  to_dict,
)
from emergence.population.population import Snapshot
from emergence.storage import records, records_file
from emergence.storage.files import write_atomically
from emergence.training.evaluate import Scores

DEVICE = types.SimpleNamespace(device_kind="cpu", platform="cpu")
CELL = Cell.parse("count/width-8/depth-2")


def make_table(config, seeds, offset=0.0):
  """Records of made-up scores: each number tells its seed, step and length."""
  snapshots = []
  for step in config.eval_steps:
    base = np.add.outer(np.array(seeds) / 1000, np.arange(2) / 10) + offset
    scores = Scores(*(np.float32(base + step + i) for i in range(5)))
    loss = np.float32(np.array(seeds) + step)
    diverged = np.array([seed == 3 and step > 2 for seed in seeds])
    snapshots.append(Snapshot(step, scores, loss, diverged))
  return records.to_table(config, CELL, 77, seeds, snapshots)


def write(config, workdir, seeds):
  provenance = records.make_provenance(config, CELL, [DEVICE])
  records.write(workdir, CELL, make_table(config, seeds), provenance)


@pytest.fixture
def workdir(tmp_path) -> epath.Path:
  return epath.Path(tmp_path)


def test_records_read_back_as_written(tiny, workdir):
  write(tiny, workdir, [0, 1, 2, 3])
  frame = records.read(workdir)
  assert frame.columns.tolist() == records_file.schema().names
  assert len(frame) == 4 * 4 * 2
  row = frame.query("seed == 3 and step == 4 and test_length == 6")
  (row,) = row.to_dict("records")
  assert (row["task"], row["width"], row["depth"]) == ("count", 8, 2)
  assert row["test_set"] == "length-6"
  assert (row["num_params"], row["init_seed"], row["data_seed"]) == (77, 3, 3)
  assert row["exact_match"] == np.float32(4.103)
  assert row["min_token_log_prob"] == np.float32(8.103)
  assert row["train_loss"] == 7.0
  assert row["diverged"]
  assert frame.query("step == 0")["train_loss"].isna().all()
  assert frame.query("step > 0")["train_loss"].notna().all()
  assert int(frame["diverged"].sum()) == 4


def test_one_line_of_pandas_reads_the_data_set(tiny, workdir):
  write(tiny, workdir, [0, 1])
  write(tiny, workdir, [4, 5, 6])
  (workdir / "records" / str(CELL) / ".left-over.writing").write_bytes(b"junk")
  plain = pd.read_parquet(str(workdir / "records"))
  assert set(plain["seed"]) == {0, 1, 4, 5, 6}
  assert len(plain) == len(records.read(workdir))


def test_a_file_holds_consecutive_seeds_and_says_so_in_its_name(tiny, workdir):
  write(tiny, workdir, [0, 1, 3, 7, 8])
  folder = workdir / "records" / "count" / "width-8" / "depth-2"
  assert sorted(path.name for path in folder.iterdir()) == [
    "seeds-000000-000001.parquet",
    "seeds-000003-000003.parquet",
    "seeds-000007-000008.parquet",
  ]
  for path in folder.iterdir():
    low, high = (int(part) for part in path.stem.split("-")[1:])
    assert set(pq.read_table(path)["seed"].to_pylist()) == set(
      range(low, high + 1)
    )
  assert records.finished_seeds(workdir, tiny, CELL) == {0, 1, 3, 7, 8}
  assert (
    records.finished_seeds(workdir, tiny, Cell.parse("count/width-8/depth-1"))
    == set()
  )


def test_the_same_rows_are_the_same_bytes(tiny, tmp_path):
  contents = []
  for name in ("a", "b"):
    write(tiny, epath.Path(tmp_path / name), [0, 1])
    (path,) = (tmp_path / name).rglob("*.parquet")
    contents.append(path.read_bytes())
  assert contents[0] == contents[1]


def test_provenance_travels_in_the_file(tiny, workdir):
  write(tiny, workdir, [0])
  (path,) = (workdir / "records").glob("*/*/*/*.parquet")
  found = records.read_provenance(path)
  assert found["cell_hash"] == cell_hash(tiny, CELL)
  assert found["identity_hash"] == identity_hash(tiny)
  assert from_dict(found["config"]) == tiny
  assert found["block"] == tiny.seeds.block
  for key in ("git_commit", "jax_version", "device_kind", "num_devices"):
    assert found[key]


def test_every_column_is_described():
  for field in records_file.schema(["width", "depth", "train.weight_decay"]):
    assert field.metadata[b"description"]


def test_records_of_another_experiment_are_refused(tiny, workdir):
  write(tiny, workdir, [0])
  other = override(tiny, ["train.weight_decay=0.5"])
  with pytest.raises(ValueError, match=r"seeds-000000-000000\.parquet holds"):
    records.finished_seeds(workdir, other, CELL)


def test_a_seed_that_another_process_has_finished_is_not_written_again(
  tiny, workdir
):
  write(tiny, workdir, [1])
  write(tiny, workdir, [0, 1, 2])
  names = [p.name for p in (workdir / "records" / str(CELL)).iterdir()]
  assert sorted(names) == [
    "seeds-000000-000000.parquet",
    "seeds-000001-000001.parquet",
    "seeds-000002-000002.parquet",
  ]
  assert set(records.read(workdir)["seed"]) == {0, 1, 2}


def test_a_seed_that_stands_in_two_files_is_not_counted_twice(tiny, tmp_path):
  write(tiny, epath.Path(tmp_path / "a"), [0, 1])
  write(tiny, epath.Path(tmp_path / "b"), [1])
  folder = tmp_path / "a" / "records" / str(CELL)
  (path,) = (tmp_path / "b").rglob("*.parquet")
  path.rename(folder / path.name)
  with pytest.raises(ValueError, match=r"seed 1 stands in .*000-.* and in "):
    records.read(tmp_path / "a")


@pytest.mark.parametrize("damage", ["truncated", "columns", "renamed"])
def test_a_damaged_file_is_named(tiny, workdir, damage):
  write(tiny, workdir, [0])
  (path,) = records.files(workdir)
  if damage == "truncated":
    path.write_bytes(path.read_bytes()[:100])
  elif damage == "columns":
    pq.write_table(pa.table({"seed": [0]}), str(path))
  else:
    path = path.rename(path.parent / "seeds-000000-000001.parquet")
  with pytest.raises(ValueError, match=f"{path.name} .*when it is run again"):
    records.read(workdir)


def test_no_records_is_an_error(workdir):
  with pytest.raises(ValueError, match="no records in"):
    records.read(workdir)


def test_a_write_that_fails_leaves_the_old_file_whole(workdir, monkeypatch):
  path = workdir / "file"
  write_atomically(path, b"old")
  write_atomically(path, b"new")
  assert path.read_bytes() == b"new"

  def fail(file):
    raise OSError(errno.ENOSPC, "said without a path")

  monkeypatch.setattr("os.fsync", fail)
  with pytest.raises(OSError, match="No space left on device") as caught:
    write_atomically(path, b"newer")
  assert caught.value.filename == str(path)
  with pytest.raises(FileNotFoundError) as caught:
    write_atomically(workdir / "none" / "file", b"")
  assert caught.value.filename == str(workdir / "none" / "file")
  assert path.read_bytes() == b"new"
  assert list(workdir.iterdir()) == [path]


def test_a_config_that_is_missing_or_damaged_says_what_to_do(tiny, workdir):
  with pytest.raises(ValueError, match="no such file; name the --workdir"):
    records.read_config(workdir)
  write(tiny, workdir, [0])
  with pytest.raises(ValueError, match="run the sweep's command again"):
    records.read_config(workdir)
  plain = to_dict(tiny)
  plain["train"]["steps"] += 1
  changed = {"config": plain, "identity_hash": identity_hash(tiny)}
  for content in ("", "[1]", '{"config": [1]}', json.dumps(changed)):
    (workdir / "config.json").write_text(content)
    with pytest.raises(
      ValueError, match=r"json is not a readable config.*again"
    ):
      records.read_config(workdir)


@pytest.mark.parametrize(
  ("seeds", "runs"),
  [
    ([], []),
    ([5], [[5]]),
    ([0, 1, 2], [[0, 1, 2]]),
    ([0, 2, 3, 9], [[0], [2, 3], [9]]),
  ],
)
def test_consecutive_runs(seeds, runs):
  assert records.consecutive_runs(seeds) == runs
