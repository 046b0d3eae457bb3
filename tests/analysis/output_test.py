import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from etils import epath

from emergence.analysis import compute, findings, output, rows
from emergence.analysis.series import Options
from emergence.tables.score_table import Finding, Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)
NLL = Metric("nll", 0.0, math.inf, "nats", False)
FEW = Options(num_resamples=100, num_permutations=100)
# What readers of summary.csv rely on, after the group columns.
PROMISED = """n_seeds n_diverged mean median mode mode_stable success_threshold
success_probability success_low success_high mean_given_success dip dip_p
dip_p_adjusted modality antimode w2_to_previous w2_to_previous_null
w2_to_previous_p w2_to_largest mean_low mean_high median_low median_high
mean_given_success_low mean_given_success_high""".split()
FILES = [
  "distances.csv",
  "paths.csv",
  "summary.csv",
  "summary.json",
  "trajectories.csv",
]


def files_of(analysis):
  return output.files(analysis, findings.findings(analysis))


def strict(content):
  """JSON as the standard has it: without NaN and Infinity."""

  def refuse(name):
    raise AssertionError(f"{name} is no JSON")

  return json.loads(content, parse_constant=refuse)


def test_every_file_is_there_and_the_summary_has_its_columns(written):
  assert sorted(written) == FILES
  header = list(pd.read_csv(io.BytesIO(written["summary.csv"])).columns)
  assert header[:4] == ["group", "scale", "scale_label", "metric"]
  assert header == ["group", *rows.SUMMARY_COLUMNS]
  assert set(PROMISED) <= set(header)
  columns = strict(written["summary.json"])["columns"]
  assert list(columns) == header[1:]
  assert all(columns.values())


def test_json_is_strict_and_has_each_series(written, two_groups):
  content = strict(written["summary.json"])
  assert content["family_size"] == 28
  assert content["group_columns"] == ["group"]
  assert content["scale_name"] == "size"
  assert content["metrics"][1]["high"] == "Infinity"
  assert len(content["series"]) == 4
  split = content["series"][0]
  assert (split["group"], split["metric"]) == ("split", "exact_match")
  assert split["higher_is_better"] is True
  first = two_groups.series[0].first_detectable
  assert split["first_detectable_bimodal_scale"] == first + 1
  curve = split["survival"][3]
  score_S = two_groups.series[0].scales[3].population.scores_S
  for threshold, share in zip(curve["threshold"], curve["probability"]):
    assert share == pytest.approx((score_S >= threshold - 1e-6).mean())
  half = math.sqrt(math.log(40) / 80)
  np.testing.assert_allclose(
    curve["low"], np.maximum(np.array(curve["probability"]) - half, 0)
  )
  assert content["options"]["num_resamples"] == 300
  steps = {
    (s["group"], s["metric"], s["scale_from"], s["num_seeds"])
    for s in content["small_studies"]
  }
  assert len(steps) == 4 * 6 * 4
  kinds = {finding["kind"] for finding in content["findings"]}
  assert {"success", "modality", "path", "divergence"} <= kinds


def odd_tables(make_table):
  rng = np.random.default_rng(0)
  yield "one scale", make_table({("g", ACCURACY): [rng.random(9)]})
  yield "one seed", make_table({("g", ACCURACY): [[0.1], [0.5], [0.4]]})
  yield "equal", make_table({("g", ACCURACY): [np.full(9, 0.5)] * 4})
  yield "two equal, open", make_table({("g", NLL): [[3.0, 3.0], [2.0, 2.0]]})
  yield (
    "floor with a leap",
    make_table({("g", ACCURACY): [np.zeros(9)] * 5 + [np.ones(9)]}),
  )
  lost = [rng.random(9), np.full(9, np.nan), rng.random(9)]
  yield "all diverged at one scale", make_table({("g", ACCURACY): lost})


def test_no_number_that_is_none_becomes_text(make_table):
  for name, table in odd_tables(make_table):
    files = files_of(compute.analyze(table, FEW))
    assert sorted(files) == FILES
    strict(files["summary.json"])
    for file in FILES:
      if file.endswith(".csv"):
        lines = files[file].decode().splitlines()
        assert lines[0].startswith("group,"), name
        for line in lines:
          assert "nan" not in line.lower().split(","), (name, file)
          assert "None" not in line.split(","), (name, file)


def test_tables_without_rows_have_their_columns(make_table, written):
  _, table = next(odd_tables(make_table))
  empty = files_of(compute.analyze(table, FEW))
  for file in ("distances.csv", "paths.csv", "trajectories.csv"):
    assert empty[file].splitlines() == written[file].splitlines()[:1]


def test_infinite_breakthroughness_is_told_and_not_ranked(make_table):
  tables = dict(odd_tables(make_table))
  content = files_of(compute.analyze(tables["floor with a leap"], FEW))
  frame = pd.read_csv(io.BytesIO(content["trajectories.csv"]))
  assert np.isinf(frame["breakthroughness"]).all()
  assert (frame["breakthroughness_rank"] == 0).all()
  (found,) = strict(content["summary.json"])["series"]
  assert found["trajectories"]["num_infinite"] == 9


def test_foreign_text_and_the_audit_come_through_as_they_are(make_table):
  hostile = '<script>,"$x$"\n新'
  finding = Finding("missing", hostile, [{"seed": hostile, "score": 0.5}])
  table = make_table(
    {(hostile, ACCURACY): [[0.1, 0.2]]}, findings=[finding], condition=hostile
  )
  content = files_of(compute.analyze(table, FEW))
  frame = pd.read_csv(io.BytesIO(content["summary.csv"]))
  assert frame["group"].tolist() == [hostile]
  found = strict(content["summary.json"])
  assert found["audit"] == [finding._asdict()]
  assert found["condition"] == hostile
  assert found["series"][0]["group"] == hostile


def test_files_are_written_only_where_they_change(written, tmp_path):
  folder = tmp_path / "new" / "folder"
  output.write_files(epath.Path(folder), written)
  times = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
  assert sorted(times) == FILES
  output.write_files(epath.Path(folder), written | {"paths.csv": b"other"})
  changed = {
    p.name for p in folder.iterdir() if p.stat().st_mtime_ns != times[p.name]
  }
  assert changed == {"paths.csv"}
  assert (folder / "paths.csv").read_bytes() == b"other"
