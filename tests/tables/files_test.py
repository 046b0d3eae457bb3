import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emergence.tables import files

ROWS = [
  {"scale": "125M", "seed": "0", "näme": "a, b", "score": "0.5"},
  {"scale": "1.3B", "seed": "1", "näme": 'say "x"', "score": ""},
]


def as_separated(separator):
  return pd.DataFrame(ROWS).to_csv(index=False, sep=separator)


def read(tmp_path, name, content):
  path = tmp_path / name
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return files.read_rows(path)


@pytest.mark.parametrize(
  ("name", "content"),
  [
    ("t.csv", as_separated(",").encode()),
    ("t.csv", as_separated(",").replace("\n", "\r\n").encode()),
    ("t.csv", as_separated(";").encode()),
    ("t.csv", as_separated("\t").encode("utf-16")),
    ("T.TSV", as_separated("\t").encode("utf-8-sig")),
    ("t.csv", as_separated(",").encode("utf-8-sig")),
    ("t.jsonl", "\n\n".join(map(json.dumps, ROWS)).encode("utf-8-sig")),
    ("t.ndjson", "\n".join(map(json.dumps, ROWS)).encode()),
    ("t.json", json.dumps(ROWS).encode()),
  ],
)
def test_every_kind_of_text_gives_the_same_rows(tmp_path, name, content):
  assert read(tmp_path, name, content).to_dict("records") == ROWS


def test_parquet_keeps_numbers_and_pandas_indices(tmp_path):
  frame = pd.DataFrame({"scale": [1, 2], "score": [0.5, None]})
  frame.set_index("scale").to_parquet(tmp_path / "t.parquet")
  found = files.read_rows(tmp_path / "t.parquet")
  assert found["scale"].tolist() == [1, 2]
  assert found["score"].tolist() == [0.5, None]
  assert found.index.tolist() == ["t.parquet row 1", "t.parquet row 2"]


def test_rows_know_their_line(tmp_path):
  content = 'scale,note\n1,"two\nlines"\n\n2,x\n'
  found = read(tmp_path, "t.csv", content)
  assert found.index.tolist() == ["t.csv line 3", "t.csv line 5"]
  found = read(tmp_path, "t.jsonl", '{"a": 1}\n\n{"b": NaN}\n')
  assert found.index.tolist() == ["t.jsonl line 1", "t.jsonl line 3"]
  assert found["a"].tolist() == [1, None]


def parquet_bytes():
  sink = pa.BufferOutputStream()
  pq.write_table(pa.table({"score": list(range(100))}), sink)
  return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("t.csv", b"", "is empty"),
    ("t.csv", b" \n\n", "is empty"),
    ("t.csv", b"\xef\xbb\xbf", "is empty"),
    ("t.csv", b"scale,score\n", "has no rows"),
    ("t.csv", b"scale,score\n1,2\n1\n", "line 3: 1 fields where .* names 2"),
    ("t.csv", b"scale,score\n1,2,3\n", "line 2: 3 fields where .* names 2"),
    ("t.csv", b'scale,score\n1,"2\n3,4\n', "line 3: unexpected end of data"),
    ("t.csv", b"a,b,a\n1,2,3\n", "two columns 'a'"),
    ("t.csv", "näme\n1\n".encode("latin-1"), "line 1: byte 0xe4 is not UTF-8"),
    ("t.csv", "a,b\n1,2\n".encode("utf-16-le"), "it holds zero bytes"),
    ("t.csv", parquet_bytes(), "is not UTF-8|zero bytes"),
    ("t.csv", b"\xff\xfea", "is not UTF-16"),
    ("t.jsonl", b'{"a": 1}\n{"a": ', "line 2 is not readable JSON"),
    ("t.jsonl", b"[1]\n", "line 1 is no object"),
    ("t.jsonl", b'{"a": 1, "a": 2}\n', "line 1 .* key 'a' stands twice"),
    ("t.jsonl", b'{"a": ' + b"9" * 5000 + b"}\n", "line 1 is not readable"),
    ("t.json", b"[" * 100_000, "nested too deep"),
    ("t.json", b'{"results": {}}', "no list of objects; .* give their folder"),
    ("t.json", b"[]", "has no rows"),
    ("t.parquet", b"PAR1junk", "not readable Parquet"),
    ("t.parquet", parquet_bytes()[:-20], "not readable Parquet"),
    ("t.xlsx", b"PK", "cannot tell what .*xlsx is; expected"),
    ("t.pkl", b"\x80\x04", "cannot tell what .*pkl is; expected"),
  ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, name, content, message):
  with pytest.raises(ValueError, match=message) as caught:
    read(tmp_path, name, content)
  assert name in str(caught.value)
