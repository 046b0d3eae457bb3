"""Tables in CSV, JSON lines, JSON and Parquet files."""

import itertools
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from etils import epath

from emergence import tables
from emergence.tables import table_file
from tests.harness_files import find, kinds

ROWS = [
  {"scale": "125M", "seed": "0", "näme": "a, b", "score": "0.5"},
  {"scale": "1.3B", "seed": "1", "näme": 'say "x"', "score": ""},
]


def as_separated(separator):
  return pd.DataFrame(ROWS).to_csv(index=False, sep=separator)


def read_rows(tmp_path, name, content):
  path = epath.Path(tmp_path / name)
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return table_file.read_rows(path)


@pytest.mark.parametrize(
  ("name", "content"),
  [
    ("t.csv", "\n" + as_separated(",").replace("\n", "\r\n")),
    ("t.csv", as_separated(";")),
    ("t.csv", as_separated("\t").encode("utf-16")),
    ("T.TSV", as_separated("\t").encode("utf-8-sig")),
    ("t.ndjson", "\n\n".join(map(json.dumps, ROWS)).encode("utf-8-sig")),
    ("t.json", json.dumps(ROWS)),
  ],
)
def test_every_kind_of_text_gives_the_same_rows(tmp_path, name, content):
  assert read_rows(tmp_path, name, content).to_dict("records") == ROWS


def test_parquet_keeps_numbers_and_pandas_indices(tmp_path):
  path = epath.Path(tmp_path / "t.parquet")
  seeds = pd.array([2**53 + 1, None], dtype="Int64")
  frame = pd.DataFrame({"scale": [1, 2], "score": [0.5, None], "seed": seeds})
  frame.set_index(["seed", "scale"]).to_parquet(path)
  found = table_file.read_rows(path)
  assert found["scale"].tolist() == [1, 2]
  assert found["score"].tolist() == [0.5, None]
  assert found["seed"].tolist() == [2**53 + 1, None]
  assert found.index.tolist() == ["t.parquet row 1", "t.parquet row 2"]


def test_a_column_that_one_file_of_a_folder_lacks_is_missing_there(tmp_path):
  (tmp_path / "a.jsonl").write_text('{"scale": 1, "seed": 1, "acc": 0.5}\n')
  (tmp_path / "b.jsonl").write_text('{"scale": 1, "seed": 2, "loss": 0.5}\n')
  frame = tables.read(tmp_path, score_columns=["acc"]).frame
  assert not frame["diverged"].any()


def test_a_nan_in_parquet_is_a_score_and_a_null_is_none(tmp_path):
  scores = pa.array([np.nan, None, 0.5], from_pandas=False)
  table = pa.table({"scale": [1] * 3, "seed": [0, 1, 2], "score": scores})
  pq.write_table(table, tmp_path / "t.parquet")
  found = tables.read(tmp_path / "t.parquet").frame
  assert found[["seed", "diverged"]].values.tolist() == [[0, True], [2, False]]


def test_rows_know_their_line(tmp_path):
  content = '\nscale,note\n1,"two\nlines"\n\n2,x\n'
  found = read_rows(tmp_path, "t.csv", content)
  assert found.index.tolist() == ["t.csv line 4", "t.csv line 6"]
  content = f'{{"a": {2**53 + 1}}}\n\n{{"b": NaN}}\n'
  found = read_rows(tmp_path, "t.jsonl", content)
  assert found.index.tolist() == ["t.jsonl line 1", "t.jsonl line 3"]
  assert found["a"].tolist() == [2**53 + 1, None]


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("t.csv", b"a,b\n1,2\n1\n", "line 3 has 1 field, but .* names 2 columns"),
    ("t.csv", b"a,b,a\n1,2,3\n", "two columns 'a'"),
    ("t.csv", "näme\n1\n".encode("latin-1"), "0xe4 .* save the file as UTF-8"),
    ("t.jsonl", b'{"a": 1}\n{"a": ', "not readable: line 2: Expecting value"),
    ("t.parquet", b"PAR1", "t.parquet is not readable"),
    ("t.pkl", b"\x80\x04", "cannot tell what .*pkl is; expected"),
  ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, message):
  with pytest.raises(ValueError, match=message) as caught:
    read_rows(tmp_path, name, content)
  assert name in str(caught.value)
  assert "\n" not in str(caught.value)


GRID = list(itertools.product(["x", "y"], ["125M", "1.3B"], range(4)))
ACCURACY = np.random.default_rng(0).integers(1, 20, len(GRID)) / 20


def make_frame():
  """What someone's sweep of two models might look like."""
  models, sizes, seeds = zip(*GRID)
  return pd.DataFrame(
    {
      "model": models,
      "params": sizes,
      "seed": seeds,
      "accuracy": ACCURACY,
      "loss": 3 - ACCURACY,
      "host": "a1",
    }
  )


def read(path, **options):
  defaults = {
    "scale_column": "params",
    "score_columns": ["accuracy", "loss"],
    "group_columns": ["model"],
    "lower_is_better": ["loss"],
  }
  return tables.read(path, **defaults | options)


def flagged_nan(path, frame):
  """Both kinds of runs without a number: seed 3 diverged, seed 2 is missing."""
  accuracy = frame["accuracy"].map(str)
  accuracy[2], accuracy[3] = None, "NaN"
  frame = frame.assign(accuracy=accuracy)
  return write(path, frame.sample(frac=1, random_state=0))


def write(path, frame):
  if path.suffix == ".csv":
    frame.to_csv(path, index=False, encoding="utf-8-sig")
  else:
    frame.to_parquet(path)
  return path


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_every_kind_of_file_gives_the_same_table(tmp_path, name):
  frame = make_frame()
  table = read(flagged_nan(tmp_path / name, frame))
  assert table.group_columns == ("model",)
  assert table.scale_name == "params"
  assert list(table.metrics) == ["accuracy", "loss"]
  assert table.metrics["accuracy"] == ("accuracy", 0, 1, "fraction", True)
  assert table.metrics["loss"][1:3] == (-np.inf, np.inf)
  assert not table.metrics["loss"].higher_is_better
  frame.loc[3, "accuracy"] = np.nan
  frame["scale"] = frame["params"].map({"125M": 125e6, "1.3B": 1.3e9})
  key = ["model", "scale", "seed", "metric"]
  long = frame.melt(key[:3], ["accuracy", "loss"], "metric", "score")
  expected = long.drop(index=2).sort_values(key, ignore_index=True)
  found = table.frame[expected.columns]
  pd.testing.assert_frame_equal(found, expected, check_dtype=False)
  diverged = table.frame[table.frame["diverged"]]
  assert diverged[key].values.tolist() == [["x", 125e6, 3, "accuracy"]]
  assert kinds(table) == {
    *("unused_columns", "score_unit", "non_finite", "missing")
  }
  (hole,) = find(table, "missing").rows
  assert (hole["metric"], hole["missing_seeds"]) == ("accuracy", "2")
  counts = {cell: n for cell, n in table.num_missing.items() if n}
  assert counts == {("x", 125e6, "accuracy"): 1}
  assert "'host'" in find(table, "unused_columns").sentence
  assert find(table, "non_finite").rows[0]["source"].startswith(name)


def test_a_table_in_long_form(tmp_path):
  long = make_frame().melt(
    ["model", "params", "seed"], ["accuracy", "loss"], "what", "value"
  )
  path = write(tmp_path / "t.csv", long)
  table = read(path, score_columns=["value"], metric_column="what")
  wide = read(write(tmp_path / "u.csv", make_frame()))
  assert table.metrics == wide.metrics
  columns = ["model", "scale", "seed", "metric", "score"]
  pd.testing.assert_frame_equal(table.frame[columns], wide.frame[columns])


def test_a_metric_without_a_finite_score_is_refused(tmp_path):
  path = write(tmp_path / "t.csv", make_frame().assign(loss=np.nan))
  with pytest.raises(ValueError, match="'loss' has no finite score"):
    read(path)


def test_a_training_step_that_is_no_number_is_named(tmp_path):
  (tmp_path / "t.csv").write_text(
    "scale,seed,step,score\n1,0,10,0.5\n1,0,end,0.6\n"
  )
  with pytest.raises(
    ValueError, match=r"line 3, column 'step': 'end' is no training step"
  ):
    tables.read(tmp_path / "t.csv", step_column="step")
