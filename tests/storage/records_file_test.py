import itertools
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from etils import epath

from emergence.config import Cell, identity_hash, to_dict
from emergence.storage import records_file
from emergence.storage.records_file import DamagedError

CELL = Cell.parse("count/width-8/depth-2")


@pytest.fixture
def table(tiny) -> pa.Table:
  key = itertools.product(range(4), tiny.eval_steps, tiny.task.test_lengths)
  metrics = {name: i for i, name in enumerate(records_file.METRICS[:-1])}
  rows = [
    {
      **CELL.columns,
      "num_params": 77,
      **dict.fromkeys(("seed", "init_seed", "data_seed"), seed),
      "step": step,
      "test_set": f"length-{length}",
      "test_length": length,
      **{name: seed + step / 8 + i for name, i in metrics.items()},
      "train_loss": None if step == 0 else 2.0,
      "diverged": False,
    }
    for seed, step, length in key
  ]
  return pa.Table.from_pylist(rows, records_file.schema())


@pytest.fixture
def provenance(tiny) -> dict:
  return {"config": to_dict(tiny), "identity_hash": identity_hash(tiny)}


@pytest.fixture
def path(tmp_path) -> epath.Path:
  return epath.Path(tmp_path) / records_file.name(0, 3)


def write_foreign(path, table, **metadata):
  """As another program would: without our metadata."""
  encoded = {key: json.dumps(value) for key, value in metadata.items()}
  pq.write_table(table.replace_schema_metadata(encoded), str(path))


def test_a_file_reads_back_as_written(table, provenance, path):
  content = records_file.encode(table, provenance)
  assert content == records_file.encode(table, provenance)
  path.write_bytes(content)
  found = records_file.read(path)
  assert found.table.equals(table)
  written = provenance | {
    "schema_version": records_file.SCHEMA_VERSION,
    "columns": table.schema.names,
    "rows": table.num_rows,
  }
  assert found.provenance == written
  assert records_file.read_provenance(path) == written
  # Others find it in order too, checksums included.
  assert pq.read_table(str(path), page_checksum_verification=True).equals(table)


READ_WITHOUT_THREADS = """
import resource
import sys

from etils import epath

from emergence.storage import records_file

import pandas  # With threads of its own.

# Too little for the stack of a thread.
resource.setrlimit(resource.RLIMIT_STACK, (8 * 2**20, resource.RLIM_INFINITY))
with open("/proc/self/statm") as file:
  used = int(file.read().split()[0]) * resource.getpagesize()
limit = used + 4 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
table = records_file.read(epath.Path(sys.argv[1])).table
print(len(records_file.to_frame(table)))
"""


def test_a_lack_of_threads_is_not_taken_for_damage(table, provenance, path):
  path.write_bytes(records_file.encode(table, provenance))
  done = subprocess.run(
    [sys.executable, "-c", READ_WITHOUT_THREADS, str(path)],
    capture_output=True,
    text=True,
  )
  assert (done.stderr, done.stdout) == ("", f"{table.num_rows}\n")


def test_every_flipped_bit_is_detected_or_changes_nothing(
  table, provenance, path
):
  content = records_file.encode(table, provenance)
  expected = records_file.decode(path, content)
  without = 0
  # All of the columns, and some of the footer.
  bits = [*range(8 * 3000), *range(8 * 3000, 8 * len(content), 5)]
  for position in bits:
    flipped = bytearray(content)
    flipped[position // 8] ^= 1 << position % 8
    try:
      found = records_file.decode(path, bytes(flipped))
    except DamagedError:
      continue
    if found.provenance:
      assert found.table.equals(expected.table)
      assert found.provenance == expected.provenance
    else:
      # The footer no longer says where all of its metadata are. A sweep refuses
      # such a file; `records.read` compares its rows with the config.
      without += 1
  assert without <= 16


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.999])
def test_a_file_that_ends_early_is_damaged(table, provenance, path, share):
  content = records_file.encode(table, provenance)
  size = int(len(content) * share)
  for padding in (0, len(content) - size):
    path.write_bytes(content[:size] + bytes(padding))
    for read in (records_file.read, records_file.read_provenance):
      with pytest.raises(DamagedError, match=path.name):
        read(path)


def replaced(table, column, values):
  i = table.schema.get_field_index(column)
  return table.set_column(i, column, values)


@pytest.mark.parametrize(
  ("change", "reason"),
  [
    (lambda t: t.drop_columns(["seed", "step"]), "lacks the columns seed, ste"),
    (lambda t: t.slice(0, 0), "has no rows"),
    (lambda t: t.append_column("seed", t["seed"]), "the same name"),
    (
      lambda t: replaced(t, "seed", t["seed"].cast(pa.string())),
      "seed is string, not int32",
    ),
    (
      lambda t: replaced(t, "nll_sum", t["nll_sum"].cast(pa.float64())),
      "nll_sum is double, not float",
    ),
    (
      lambda t: replaced(t, "step", pa.array([-1] * len(t), pa.int32())),
      "a step in it is below 0",
    ),
    (
      lambda t: replaced(t, "diverged", pa.nulls(len(t), pa.bool_())),
      "diverged has nulls",
    ),
  ],
)
def test_what_is_no_table_of_records_is_damaged(table, path, change, reason):
  write_foreign(path, change(table))
  with pytest.raises(DamagedError, match=reason):
    records_file.read(path)


def test_a_whole_file_of_another_program_is_read(table, path):
  write_foreign(
    path, replaced(table, "task", table["task"].cast("large_string"))
  )
  found = records_file.read(path)
  assert found.table.equals(table)
  assert found.provenance == {}


@pytest.mark.parametrize(
  "metadata",
  [
    [],
    "text",
    {"config": [1]},
    {"identity_hash": 7},
    {"block": "4"},
    {"num_devices": True},
  ],
)
def test_foreign_metadata_end_in_one_line(table, path, metadata):
  write_foreign(path, table, emergence=metadata)
  for read in (records_file.read, records_file.read_provenance):
    with pytest.raises(ValueError, match=f"{path.name} does not say") as caught:
      read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  "provenance",
  [
    {},
    {"config": {"task": 3}},
    {"config": {"x": 1}},
    {"config": {"seeds": {"count": "a"}}},
  ],
)
def test_a_config_that_is_none_is_one_line(path, provenance):
  with pytest.raises(ValueError, match=f"{path.name} carries no config"):
    records_file.config_of(path, provenance)


def test_what_the_machine_cannot_read_is_not_called_damaged(path):
  with pytest.raises(FileNotFoundError):
    records_file.read(path)
  path.mkdir()
  with pytest.raises(IsADirectoryError):
    records_file.read(path)


@pytest.mark.parametrize(
  ("change", "reason"),
  [
    (
      lambda t: t.slice(0, len(t) - 1),
      "lacks seed 3, step 6, test set length-6",
    ),
    (lambda t: t.slice(8), "lacks seed 0, step 0, test set length-4"),
    (lambda t: pa.concat_tables([t, t.slice(0, 1)]), "rows twice"),
    (
      lambda t: replaced(
        t,
        "test_set",
        pa.array(["x", *t["test_set"].to_pylist()[1:]]),
      ),
      "lacks seed 0, step 0, test set length-4",
    ),
    (
      lambda t: replaced(t, "depth", pa.array([3] * len(t), pa.int32())),
      "rows of another depth",
    ),
  ],
)
def test_rows_are_those_of_the_name_and_the_config(
  tiny, table, path, change, reason
):
  records_file.require_complete(path, table, CELL, tiny)
  with pytest.raises(DamagedError, match=reason):
    records_file.require_complete(path, change(table), CELL, tiny)


def test_seeds_that_the_name_lacks_are_damage(tiny, table, path):
  short = path.parent / records_file.name(0, 2)
  with pytest.raises(DamagedError, match="should not have seed 3, step 0"):
    records_file.require_complete(short, table, CELL, tiny)


def test_a_metric_that_a_file_lacks_is_null(tiny, table, path, provenance):
  older = table.drop_columns(["token_accuracy"])
  path.write_bytes(records_file.encode(older, provenance))
  found = records_file.read(path)
  assert found.lacking == ["token_accuracy"]
  assert found.table["token_accuracy"].null_count == table.num_rows
  expected = table.drop_columns(["token_accuracy"])
  assert found.table.drop_columns(["token_accuracy"]).equals(expected)
  records_file.require_complete(path, found.table, CELL, tiny)


def test_a_test_set_without_a_length_is_a_record(table, path):
  unnamed = pa.nulls(table.num_rows, pa.int32())
  write_foreign(path, replaced(table, "test_length", unnamed))
  assert records_file.read(path).table["test_length"].null_count


def test_a_file_of_a_newer_version_is_not_damage(table, path, provenance):
  newer = records_file.SCHEMA_VERSION + 1
  write_foreign(path, table, emergence={"schema_version": newer})
  with pytest.raises(ValueError, match="a newer version") as caught:
    records_file.read(path)
  assert not isinstance(caught.value, DamagedError)
