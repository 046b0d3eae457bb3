"""Work directories of earlier versions stay readable, and are not trained anew.

tests/old_workdir is what version 1 of the records' schema wrote: two depths,
two values of train.weight_decay, four seeds each in blocks of two. Do not write
it again.
"""

import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest
from etils import epath

from emergence import tables
from emergence.storage import records
from emergence.sweep import pending

OLD = pathlib.Path(__file__).with_name("old_workdir")


@pytest.fixture
def workdir(tmp_path) -> epath.Path:
  shutil.copytree(OLD, tmp_path / "old")
  return epath.Path(tmp_path / "old")


def assert_finished(workdir):
  config = records.read_config(workdir)
  assert records.quarantine_corrupt(workdir, config) == []
  assert pending.find(pending.make_request(config, workdir)) == []


def test_what_the_first_version_wrote_is_read_and_finished(workdir):
  assert_finished(workdir)
  frame = records.read(workdir)
  plain = pd.read_parquet(OLD / "records")
  assert len(frame) == len(plain) == 4 * 4 * 3 * 2
  table = tables.read(workdir)
  assert len(table.frame) == 4 * 4 * 4
  last = plain[(plain["step"] == 4) & (plain["test_length"] == 6)]
  by_metric = table.frame.groupby("metric")["score"].mean()
  for metric in table.metrics:
    assert np.isclose(by_metric[metric], last[metric].mean(), rtol=1e-6)


def without(table, metric):
  """The columns of a file, less a metric and those that it lacked before."""
  lacking = [x for x in table.schema.names if table[x].null_count == len(table)]
  return table.drop_columns([metric, *lacking])


def test_a_new_key_and_a_new_metric_leave_old_records_valid(workdir):
  content = json.loads((workdir / "config.json").read_text())
  del content["config"]["model"]["init_std"]
  (workdir / "config.json").write_text(json.dumps(content))
  for path in records.files(workdir):
    table, provenance = records.read_file(path)
    del provenance["config"]["model"]["init_std"]
    older = without(table, "token_accuracy")
    path.write_bytes(records.encode(older, provenance))
  assert_finished(workdir)
  assert records.read(workdir)["token_accuracy"].isna().all()
  table = tables.read(workdir)
  assert list(table.metrics) == [
    "exact_match",
    "nll_mean",
    "min_token_log_prob",
  ]
  (finding,) = [f for f in table.issues if f.kind == "missing"]
  assert finding.sentence.startswith(
    "16 runs have no score in token_accuracy, because an older version"
  )
  assert not table.frame["diverged"].any()


def test_a_metric_that_only_some_records_have_is_read_where_it_is(workdir):
  whole = tables.read(workdir).frame
  path = records.files(workdir)[0]
  table, provenance = records.read_file(path)
  path.write_bytes(records.encode(without(table, "nll_mean"), provenance))
  assert_finished(workdir)
  found = tables.read(workdir)
  lost = whole[
    (whole["metric"] == "nll_mean")
    & (whole["source"] == str(path.parent.relative_to(workdir)))
    & whole["seed"].isin(records.seeds_of_file(path))
  ]
  assert len(lost) == 2
  assert found.frame.equals(whole.drop(lost.index).reset_index(drop=True))
  assert len(found.curves.query("metric == 'nll_mean'")) == 14 * 3
  _, holes = [f for f in found.issues if f.kind == "missing"]
  assert [row["missing_seeds"] for row in holes.rows] == ["0-1"]
