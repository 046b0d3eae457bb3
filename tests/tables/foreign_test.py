import itertools
import json

import numpy as np
import pandas as pd
import pytest

from emergence import tables

GRID = list(itertools.product(["x", "y"], ["125M", "1.3B"], range(4)))
ACCURACY = np.random.default_rng(0).integers(1, 20, len(GRID)) / 20


def make_frame():
  """What someone's sweep of two models might look like."""
  return pd.DataFrame(
    {
      "model": [model for model, _, _ in GRID],
      "params": [size for _, size, _ in GRID],
      "seed": [seed for _, _, seed in GRID],
      "accuracy": ACCURACY,
      "loss": 3 - ACCURACY,
      "host": "a1",
    }
  )


def read(path, **arguments):
  defaults = {
    "scale_column": "params",
    "score_columns": ["accuracy", "loss"],
    "group_columns": ["model"],
    "lower_is_better": ["loss"],
  }
  return tables.read(path, **defaults | arguments)


def write(path, frame):
  if path.suffix == ".csv":
    frame.to_csv(path, index=False, encoding="utf-8-sig")
  elif path.suffix == ".parquet":
    frame.to_parquet(path)
  else:
    frame.to_json(path, orient="records", lines=True)
  return path


def kinds(table):
  return [finding.kind for finding in table.findings]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_every_kind_of_file_gives_the_same_table(tmp_path, name):
  frame = make_frame().sample(frac=1, random_state=0)
  table = read(write(tmp_path / name, frame))
  assert table.group_columns == ("model",)
  assert table.scale_name == "params"
  assert list(table.metrics) == ["accuracy", "loss"]
  assert table.metrics["accuracy"] == ("accuracy", 0, 1, "fraction", True)
  assert table.metrics["loss"][1:3] == (-np.inf, np.inf)
  assert not table.metrics["loss"].higher_is_better
  assert table.seeds_shared is None
  long = make_frame().melt(
    ["model", "params", "seed"], ["accuracy", "loss"], "metric", "score"
  )
  long["scale"] = long["params"].map({"125M": 125e6, "1.3B": 1.3e9})
  key = ["model", "scale", "seed", "metric"]
  expected = long.sort_values(key)[[*key, "params", "score"]]
  found = table.frame[[*key, "scale_label", "score"]]
  np.testing.assert_array_equal(found.to_numpy(), expected.to_numpy())
  assert not table.frame["diverged"].any()
  assert kinds(table) == ["unused_columns", "score_unit", "score_unit"]
  assert "'host'" in table.findings[0].sentence


def test_percent_become_fractions(tmp_path):
  frame = make_frame()
  plain = read(write(tmp_path / "a.csv", frame)).frame["score"]
  for name, scores in [
    ("b.csv", frame["accuracy"] * 100),
    ("c.csv", (frame["accuracy"] * 100).map("{:g} %".format)),
  ]:
    table = read(write(tmp_path / name, frame.assign(accuracy=scores)))
    np.testing.assert_allclose(table.frame["score"], plain)


def test_a_floor_in_percent_needs_to_be_told(tmp_path):
  path = write(tmp_path / "t.csv", make_frame())
  table = read(path, score_unit=["accuracy=percent"])
  scores = table.frame.query("metric == 'accuracy'")["score"]
  assert scores.max() == pytest.approx(ACCURACY.max() / 100)


def test_a_table_in_long_form(tmp_path):
  long = make_frame().melt(
    ["model", "params", "seed"], ["accuracy", "loss"], "what", "value"
  )
  table = read(
    write(tmp_path / "t.csv", long),
    score_columns=["value"],
    metric_column="what",
  )
  wide = read(write(tmp_path / "u.csv", make_frame()))
  assert table.metrics == wide.metrics
  columns = ["model", "scale", "seed", "metric", "score"]
  pd.testing.assert_frame_equal(table.frame[columns], wide.frame[columns])
  with pytest.raises(ValueError, match="goes with a single --score_column"):
    read(tmp_path / "u.csv", metric_column="host")


def test_summary_rows_are_left_out_and_reported(tmp_path):
  frame = make_frame().astype({"seed": str})
  mean = frame.assign(seed="mean", accuracy=0.5)[:2]
  path = write(tmp_path / "t.csv", pd.concat([frame, mean]))
  table = read(path, where=["seed!=mean"])
  assert table.frame["seed"].dtype == np.int64
  (excluded,) = [f for f in table.findings if f.kind == "excluded"]
  assert [row["source"] for row in excluded.rows] == [
    "t.csv line 18",
    "t.csv line 19",
  ]
  assert excluded.rows[0]["seed"] == "mean"


def test_an_empty_score_is_a_diverged_run_and_reported(tmp_path):
  frame = make_frame()
  frame.loc[3, "accuracy"] = np.nan
  for name in ("t.csv", "t.jsonl", "t.parquet"):
    table = read(write(tmp_path / name, frame))
    diverged = table.frame[table.frame["diverged"]]
    assert diverged[["model", "seed", "metric"]].values.tolist() == [
      ["x", 3, "accuracy"]
    ]
    (finding,) = [f for f in table.findings if f.kind == "non_finite"]
    assert finding.rows[0]["source"].startswith(name)


def test_rows_that_repeat_and_rows_that_disagree(tmp_path):
  frame = make_frame()
  again = pd.concat([frame, frame[:3]])
  table = read(write(tmp_path / "t.csv", again))
  assert len(table.frame) == 2 * len(GRID)
  assert "duplicate" in kinds(table)
  other = frame[:1].assign(accuracy=0.99, host="b2")
  path = write(tmp_path / "u.csv", pd.concat([frame, other]))
  with pytest.raises(
    ValueError, match=r"u\.csv line 2 and u\.csv line 18"
  ) as e:
    read(path)
  assert "They differ in 'host'" in str(e.value)
  table = read(path, conflicting_scores="last")
  assert table.frame["score"].max() >= 0.99


def test_a_scale_written_in_two_ways_is_one(tmp_path):
  frame = make_frame()
  frame.loc[::2, "params"] = frame.loc[::2, "params"].replace("1.3B", "1300m")
  table = read(write(tmp_path / "t.csv", frame))
  assert set(table.frame["scale"]) == {125e6, 1.3e9}
  (finding,) = [f for f in table.findings if f.kind == "scale_label"]
  assert finding.rows == [{"scale": 1.3e9, "labels": ["1.3B", "1300m"]}]


def test_foreign_text_stays_text(tmp_path):
  evil = "<script>alert(1)</script>\n=cmd|' /C calc'!A0"
  table = read(write(tmp_path / "t.csv", make_frame().replace("x", evil)))
  assert set(table.frame["model"]) == {evil, "y"}
  for finding in table.findings:
    assert "\n" not in finding.sentence
    json.dumps(finding.rows, allow_nan=False)


def replace(column, value, row=5):
  frame = make_frame().astype(object)
  frame.loc[row, column] = value
  return frame


@pytest.mark.parametrize(
  ("frame", "arguments", "message"),
  [
    (make_frame(), {"scale_column": "Param"}, "mean 'params'"),
    (make_frame(), {"seed_column": "sed"}, "--seed_column: no .* mean 'seed'"),
    (make_frame(), {"score_columns": ["ACCURACY"]}, "you mean 'accuracy'"),
    (make_frame(), {"score_columns": ["zzz"]}, "there are 'model', 'params'"),
    (make_frame(), {"group_columns": ["params"]}, "is the --scale_column"),
    (make_frame(), {"where": ["hots=1"]}, "did you mean 'host'"),
    (
      make_frame().rename(columns={"model": "source"}),
      {"group_columns": ["source"]},
      "'source' is a name of the analysis",
    ),
    (replace("params", "mean"), {}, "line 7, column 'params': 'mean' is no sc"),
    (replace("params", ""), {}, "line 7, column 'params': '' is no scale"),
    (replace("seed", ""), {}, "line 7: no seed"),
    (replace("accuracy", "N/A"), {}, "line 7, column 'accuracy': 'N/A' is no"),
    (replace("accuracy", "9" * 400), {}, "line 7, .* beyond double precision"),
    (replace("accuracy", "50%"), {}, "line 2: 'accuracy' has no percent sign"),
    (make_frame().assign(loss=np.nan), {}, "'loss' has no finite score in 16"),
    (make_frame(), {"score_unit": ["percents"]}, "one of auto, percent"),
    (make_frame(), {"score_unit": ["los=raw"]}, "did you mean 'loss'"),
    (replace("accuracy", 1.5), {"score_unit": ["fraction"]}, "line 7: 'accur"),
    (make_frame(), {"group_columns": []}, "Tell such rows apart with --group"),
  ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, frame, arguments, message):
  with pytest.raises(ValueError, match=message) as caught:
    read(write(tmp_path / "t.csv", frame), **arguments)
  assert "\n" not in str(caught.value)


def test_control_characters_do_not_reach_the_terminal(tmp_path):
  path = write(tmp_path / "t.csv", replace("accuracy", "\x1b[2Jboo"))
  with pytest.raises(ValueError, match="is no score") as caught:
    read(path)
  assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
  ("rows", "kind"), [(slice(0, 4), "one_scale"), (slice(0, 16, 4), "one_seed")]
)
def test_little_data_says_what_cannot_be_said(tmp_path, rows, kind):
  table = read(write(tmp_path / "t.csv", make_frame()[rows]))
  assert kind in kinds(table)


def test_a_large_table_is_read_in_seconds(tmp_path):
  """24 scales × 250 seeds × 4 metrics, the size of a paper."""
  grid = pd.DataFrame(
    itertools.product(range(1, 25), range(250)), columns=["scale", "seed"]
  )
  scores = np.random.default_rng(0).uniform(size=(len(grid), 4))
  frame = grid.join(pd.DataFrame(scores, columns=list("abcd")))
  frame.to_csv(tmp_path / "t.csv", index=False)
  table = tables.read(tmp_path / "t.csv", score_columns=list("abcd"))
  found = table.frame.pivot(
    index=["scale", "seed"], columns="metric", values="score"
  )
  np.testing.assert_allclose(found.to_numpy(), scores)
