import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from etils import epath

from emergence.config import Cell, identity_hash, override, to_dict
from emergence.storage import records
from emergence.storage.files import glob_below
from emergence.storage.records import CorruptError
from emergence.training.evaluate import Scores
from tests.numbered_records import make_table, write, write_config

CELL = Cell.parse("count/width-8/depth-2")


@pytest.fixture
def table(tiny) -> pa.Table:
  return make_table(tiny, CELL, range(4))


@pytest.fixture
def provenance(tiny) -> dict:
  return {"config": to_dict(tiny), "identity_hash": identity_hash(tiny)}


@pytest.fixture
def path(workdir) -> epath.Path:
  return workdir / "seeds-000000-000003.parquet"


@pytest.fixture
def two_blocks(tiny, workdir) -> epath.Path:
  write_config(tiny, workdir)
  write(tiny, workdir, CELL, range(4))
  write(tiny, workdir, CELL, range(4, 8))
  return workdir


def test_records_read_back_as_written(tiny, workdir):
  write(tiny, workdir, CELL, [0, 1, 2, 3])
  frame = records.read(workdir)
  assert frame.columns.tolist() == records.schema().names
  assert len(frame) == 4 * 4 * 2
  row = frame.query("seed == 3 and step == 4 and test_length == 6")
  (row,) = row.to_dict("records")
  assert (row["task"], row["width"], row["depth"]) == ("count", 8, 2)
  assert row["test_set"] == "length-6"
  assert (row["num_params"], row["init_seed"], row["data_seed"]) == (77, 3, 3)
  for i, metric in enumerate(Scores._fields):
    number = np.float32(4.103 + i)
    is_count = metric in records.ERROR_COUNTS
    assert row[metric] == (int(number) if is_count else number)
  assert row["train_loss"] == 7.0
  assert row["diverged"]
  assert frame.query("step == 0")["train_loss"].isna().all()
  assert frame.query("step > 0")["train_loss"].notna().all()
  assert int(frame["diverged"].sum()) == 4


def test_a_crossed_seed_is_an_initialization_and_a_data_stream(tiny):
  crossed = ["seeds.design=crossed", "seeds.num_init=2", "seeds.num_data=4"]
  table = make_table(override(tiny, crossed), CELL, [6])
  row = table.to_pylist()[0]
  assert (row["seed"], row["init_seed"], row["data_seed"]) == (6, 1, 2)


def test_a_file_holds_consecutive_seeds_and_says_so_in_its_name(tiny, workdir):
  write(tiny, workdir, CELL, [0, 1, 3, 7, 8])
  folder = workdir / "records" / "count" / "width-8" / "depth-2"
  assert {
    p.name: {*pq.read_table(p)["seed"].to_pylist()} for p in folder.iterdir()
  } == {
    "seeds-000000-000001.parquet": {0, 1},
    "seeds-000003-000003.parquet": {3},
    "seeds-000007-000008.parquet": {7, 8},
  }
  assert records.recorded_seeds(workdir, CELL) == {0, 1, 3, 7, 8}
  other = Cell.parse("count/width-8/depth-1")
  assert records.recorded_seeds(workdir, other) == set()


def test_a_seed_that_another_process_has_finished_is_not_written_again(
  tiny, workdir
):
  write(tiny, workdir, CELL, [1])
  write(tiny, workdir, CELL, [0, 1, 2])
  assert [path.name for path in records.files(workdir)] == [
    f"seeds-{seed:06d}-{seed:06d}.parquet" for seed in range(3)
  ]
  assert set(records.read(workdir)["seed"]) == {0, 1, 2}


def test_a_config_that_is_missing_or_corrupt_says_what_to_do(tiny, workdir):
  with pytest.raises(ValueError, match=r"there is no .*; give the work dir"):
    records.read_config(workdir)
  with pytest.raises(ValueError, match="no records in"):
    records.read(workdir)
  write_config(tiny, workdir, identity="0123")
  changed = (workdir / "config.json").read_text()
  for content in ("", "[1]", '{"config": [1]}', changed):
    (workdir / "config.json").write_text(content)
    with pytest.raises(CorruptError, match=r"config\.json is corrupt.*again"):
      records.read_config(workdir)


def write_foreign(path, table, **metadata):
  """As another program would: without our metadata."""
  encoded = {key: json.dumps(value) for key, value in metadata.items()}
  pq.write_table(table.replace_schema_metadata(encoded), str(path))


def test_every_flipped_bit_is_detected_or_changes_nothing(
  table, provenance, path
):
  content = records.encode(table, provenance)
  expected = records.decode(path, content)
  assert expected.table.equals(table)
  without = 0
  for position in range(0, 8 * len(content), 601):
    flipped = bytearray(content)
    flipped[position // 8] ^= 1 << position % 8
    try:
      found = records.decode(path, bytes(flipped))
    except CorruptError:
      continue
    if found.provenance:
      assert found.table.equals(expected.table)
      assert found.provenance == expected.provenance
    else:
      # The footer no longer says where all of its metadata are. A sweep refuses
      # such a file; `records.read` compares its rows with the config.
      without += 1
  assert without <= 2


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_file_that_ends_early_is_corrupt(table, provenance, path, share):
  content = records.encode(table, provenance)
  size = int(len(content) * share)
  for padding in (0, len(content) - size):
    path.write_bytes(content[:size] + bytes(padding))
    for read in (records.read_file, records.read_provenance):
      with pytest.raises(CorruptError, match=path.name):
        read(path)


def test_what_is_no_table_of_records_is_corrupt(table, path):
  write_foreign(path, table.drop_columns(["seed", "step"]))
  with pytest.raises(CorruptError, match="lacks the columns seed, step"):
    records.read_file(path)


def test_a_whole_file_of_another_program_is_read(table, path):
  write_foreign(path, table)
  found = records.read_file(path)
  assert found.table.equals(table)
  assert found.provenance == {}


@pytest.mark.parametrize(
  "metadata", ["text", {"schema_version": records.SCHEMA_VERSION + 1}]
)
def test_metadata_of_others_and_of_newer_versions_are_no_corruption(
  table, path, metadata
):
  write_foreign(path, table, emergence=metadata)
  with pytest.raises(ValueError, match=f"{path.name} cannot be") as caught:
    records.read_file(path)
  assert not isinstance(caught.value, CorruptError)


def test_rows_are_those_of_the_name_and_the_config(tiny, table, path):
  records.require_complete(path, table, CELL, tiny)
  column = table.schema.get_field_index("depth")
  depths = pa.array([3] * len(table), pa.int32())
  renamed = path.parent / "seeds-000000-000002.parquet"
  for given, rows, reason in (
    (path, table.slice(0, len(table) - 1), "needs one row"),
    (
      path,
      table.set_column(column, "depth", depths),
      "rows whose depth is not",
    ),
    (renamed, table, "each seed in the file's name"),
  ):
    with pytest.raises(CorruptError, match=reason):
      records.require_complete(given, rows, CELL, tiny)


def contents(workdir):
  return {p: p.read_bytes() for p in glob_below(workdir, "*") if p.is_file()}


def test_a_corrupt_file_is_named_and_moved_where_it_replaces_no_other(
  tiny, two_blocks
):
  path, other = records.files(two_blocks)
  for content in (b"", b"noise"):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path.name} is corrupt.* again"):
      records.read(two_blocks)
    records.quarantine_corrupt(two_blocks, tiny)
    assert records.files(two_blocks) == [other]
    write(tiny, two_blocks, CELL, range(4))
  damaged = contents(two_blocks / "damaged")
  assert sorted(damaged.values()) == [b"", b"noise"]


def test_a_directory_of_another_experiment_is_refused_and_nothing_moves(
  tiny, two_blocks
):
  other = override(tiny, ["train.weight_decay=0.5"])
  records.files(two_blocks)[-1].write_bytes(b"")
  before = contents(two_blocks)
  with pytest.raises(ValueError, match=r"decay is 0.1 there, but 0.5 in"):
    records.quarantine_corrupt(two_blocks, other)
  assert contents(two_blocks) == before
  # Only one file is, of a cell that is not in the grid.
  write(other, two_blocks, Cell.parse("count/width-64/depth-9"), range(4))
  (two_blocks / "config.json").write_text("{")
  before = contents(two_blocks)
  with pytest.raises(ValueError, match=r"width-64.*of another experiment"):
    records.quarantine_corrupt(two_blocks, tiny)
  assert contents(two_blocks) == before


def test_records_of_a_grid_with_other_axes_are_refused(tiny, two_blocks):
  (two_blocks / "config.json").unlink()
  axes = {"task.max_train_length": (4, 5)}
  grid = dataclasses.replace(tiny.grid, axes=axes)
  other = dataclasses.replace(tiny, grid=grid)
  with pytest.raises(ValueError, match="axes width, depth, not width, "):
    records.quarantine_corrupt(two_blocks, other)
