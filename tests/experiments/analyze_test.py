"""The command from a file to its report, as a process of its own."""

import html
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emergence import tables
from emergence.analysis import questions
from tests.analyses import analyze
from tests.computed import FEW, statements

HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
  """Two models at four sizes, 24 runs each, as a foreign table has them."""
  rng = np.random.default_rng(0)
  found = []
  for model in ("alpha", "beta"):
    for n in range(4):
      high_S = np.arange(24) < 8 * n
      accuracy_S = np.where(high_S, 80, 5) + rng.normal(0, 3, 24)
      accuracy_S = np.clip(accuracy_S, 0, 100).round(2)
      found.append(
        pd.DataFrame(
          {
            "family": model,
            "params": [f"{2**n}M"] * 24,
            "run": np.arange(24),
            "acc (%)": accuracy_S,
            "loss": (4 - accuracy_S / 30 + rng.normal(0, 0.1, 24)).round(3),
          }
        )
      )
  return pd.concat(found, ignore_index=True)


MAPPING = [
  "--scale_column=params",
  "--seed_column=run",
  "--score_column=acc (%)",
  "--score_column=loss",
  "--group_columns=family",
  "--lower_is_better=loss",
  "--threshold=0.5",
  "--threshold=loss=2",
]


@pytest.fixture(scope="module")
def csv_run(scores, tmp_path_factory):
  folder = tmp_path_factory.mktemp("csv")
  scores.to_csv(folder / "scores.csv", index=False)
  table = folder / "table.json"
  content = analyze(
    folder / "scores.csv", folder / "out", *MAPPING, f"--json={table}"
  )
  return folder, content


def test_foreign_names_percent_and_losses_are_understood(csv_run, scores):
  _, content = csv_run
  frame = content["summary"]
  first = ["family", "scale", "scale_label", "metric", "n_seeds"]
  assert list(frame.columns)[:5] == first
  assert len(frame) == 2 * 4 * 2
  assert frame["scale"].unique().tolist() == [1e6 * 2**n for n in range(4)]
  cells = scores.groupby(["family", "params"])
  for row in frame.itertuples():
    cell = cells.get_group((row.family, row.scale_label))
    if row.metric == "loss":
      assert row.mean == pytest.approx(cell["loss"].mean())
      hits = int((cell["loss"] <= 2).sum())
    else:
      assert row.mean == pytest.approx(cell["acc (%)"].mean() / 100)
      hits = int((cell["acc (%)"] >= 50).sum())
    assert row.success_probability == hits / 24
    interval = stats.binomtest(hits, 24).proportion_ci(method="wilson")
    assert row.success_low == pytest.approx(interval.low, abs=1e-9)
    assert row.success_threshold == (2 if row.metric == "loss" else 0.5)
  directions = {m["name"]: m["higher_is_better"] for m in content["metrics"]}
  assert directions == {"acc (%)": True, "loss": False}


def test_the_command_ends_with_the_table_the_answer_and_the_report(csv_run):
  folder, content = csv_run
  odd, table, answer, report = content["stdout"].split("\n\n")
  assert report == f"report  {folder / 'out' / 'report.html'}\n"
  assert re.fullmatch(
    r"A split is shown in 2 of 2 groups; in family \w+ at params \w+ the seeds"
    r" split in two: \d+ of 24 below .*; over params the share that succeeds"
    r" rises in 2 of 2 groups\.",
    answer,
  )
  header, *rows = [line.split("  ") for line in table.splitlines()]
  assert [name.strip() for name in header if name][-1] == "split"
  assert len(rows) == 2 * 4
  *odd, timing = odd.splitlines()
  assert re.fullmatch(
    r"read [\d.]+ s, analyzed [\d.]+ s, wrote [\d.]+ s", timing
  )
  assert all(line.startswith("- ") for line in odd)
  # What is odd is told once a kind, and the unit of each metric.
  shown = {line[2:] for line in odd}
  kinds = [issue["kind"] for issue in content["audit"]]
  assert len(shown) == len({*kinds}) - 1 + kinds.count("score_unit")
  assert "is taken as percent" in "".join(shown)
  assert (folder / "table.json").read_bytes() == (
    folder / "out" / "summary.json"
  ).read_bytes()
  figures = {path.name for path in (folder / "out" / "figures").iterdir()}
  assert {"summaries.png", "summaries.svg", "trajectories.svg"} <= figures
  page = html.unescape((folder / "out" / "report.html").read_text())
  for text in (*shown, answer):
    assert text in page


def test_a_table_without_a_scale_is_told_without_the_number_of_one(tmp_path):
  scores = np.random.default_rng(2).random(30).round(3)
  file = tmp_path / "a.csv"
  pd.DataFrame({"seed": range(30), "score": scores}).to_csv(file, index=False)
  analysis = questions.analyze(tables.read(file), FEW)
  told = [finding.sentence for finding in statements(analysis)]
  assert any("at the only scale" in text for text in told)
  assert not any("scale 1" in text for text in told)


def test_hostile_text_reaches_all_outputs_as_text(tmp_path):
  rng = np.random.default_rng(4)
  group, metric, long = f"g{HOSTILE}", f"$x$ {HOSTILE}", "x" * 400
  names = [f"{HOSTILE} $\\frac{{", long]
  frame = pd.DataFrame(
    [
      {HOSTILE: n, "seed": s, metric: rng.random(), group: name}
      for name in names
      for n in (1, 2)
      for s in range(6)
    ]
  )
  path = tmp_path / "$x$ <b>.csv"
  frame.to_csv(path, index=False)
  content = analyze(
    path,
    tmp_path / "out",
    f"--scale_column={HOSTILE}",
    f"--score_column={metric}",
    f"--higher_is_better={metric}",
    f'--group_columns="{group.replace(chr(34), chr(34) * 2)}"',
  )
  summary = content["summary"]
  assert summary.columns[0] == group
  assert set(summary[group]) == set(names)
  assert set(summary["metric"]) == {metric}
  groups = {tuple(finding["group"]) for finding in content["findings"]}
  assert groups == {(name,) for name in names}
  for finding in content["findings"]:
    assert len(finding["sentence"]) < 2000
  page = (tmp_path / "out" / "report.html").read_text()
  assert "&lt;script&gt;alert(" in page
  assert "<b>" not in page
  for path in (tmp_path / "out" / "figures").glob("*.svg"):
    assert "<script" not in path.read_text()
    assert len(path.name) < 100


def test_flags_of_the_statistics_reach_them(scores, tmp_path):
  path = tmp_path / "scores.csv"
  scores.to_csv(path, index=False)
  options = analyze(
    *(path, tmp_path / "out", *MAPPING, "--seed=3", "--log_scale"),
    *("--chance=0.1", "--correct_over=table"),
  )["options"]
  assert (options["seed"], options["log_scale"]) == (3, True)
  assert (options["chance"], options["correct_over"]) == (0.1, "table")
