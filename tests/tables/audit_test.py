import itertools

import numpy as np
import pandas as pd

from emergence.tables.audit import audit
from emergence.tables.score_table import Metric, ScoreTable
from tests.harness_files import find

METRICS = {
  "acc": Metric("acc", 0, 1, "fraction", True),
  "aaa": Metric("aaa", 0, 1, "fraction", True),
}


def make_table(rows):
  """From (task, scale, seed, metric, score)."""
  names = ["task", "scale", "seed", "metric", "score"]
  frame = pd.DataFrame(rows, columns=names).assign(
    scale_label=[str(row[1]) for row in rows],
    diverged=False,
    num_items=np.nan,
    source=[f"t line {n}" for n in range(2, len(rows) + 2)],
  )
  return ScoreTable(frame, ("task",), "depth", METRICS, "", "", [])


def full_grid(tasks="ab", scales=(1, 2), seeds=range(3)):
  return [
    (task, scale, seed, metric, (scale + seed) / 10)
    for task, scale, seed, metric in itertools.product(
      tasks, scales, seeds, METRICS
    )
  ]


def test_repeated_rows_count_once():
  rows = [("a", 1, 0, "acc", np.nan), *full_grid()[1:]]
  table = audit(make_table([*rows, rows[0], rows[0], rows[5]]))
  assert len(table.frame) == len(rows)
  issue = find(table, "duplicate")
  assert "3 rows repeat" in issue.sentence
  lines = [int(row["source"].removeprefix("t line ")) for row in issue.rows]
  assert lines == [2, 7, 26, 27, 28]


def test_a_rule_settles_two_scores_and_both_are_reported():
  table = audit(make_table([*full_grid(), ("b", 2, 1, "acc", 0.9)]), "first")
  row = table.frame.query("task == 'b' and scale == 2 and seed == 1")
  assert row.query("metric == 'acc'")["score"].tolist() == [0.3]
  told = [row["score"] for row in find(table, "conflicting_score").rows]
  assert told == [0.3, 0.9]


def test_scores_that_are_not_finite_are_diverged_runs():
  rows = [*full_grid(), ("a", 1, 3, "acc", np.inf), ("a", 1, 4, "acc", np.nan)]
  table = audit(make_table(rows))
  diverged = table.frame[table.frame["diverged"]]
  assert diverged["seed"].tolist() == [3, 4]
  assert diverged["score"].isna().all()
  told = [r["score"] for r in find(table, "non_finite").rows]
  np.testing.assert_equal(told, [np.inf, np.nan])


def test_holes_are_told_by_cell():
  rows = full_grid(seeds=range(6))
  rows = [r for r in rows if r[:3] != ("a", 2, 4) and r[:3] != ("a", 2, 5)]
  rows = [r for r in rows if r[:4] != ("b", 1, 0, "acc")]
  rows += [("c", 1, seed, "acc", 0.5) for seed in range(3)]
  issue = find(audit(make_table(rows)), "missing")
  assert issue.rows == [
    {"task": "a", "scale": 2, "metric": "all", "missing_seeds": "4-5"},
    {"task": "b", "scale": 1, "metric": "acc", "missing_seeds": "0"},
  ]  # Group c is of one scale.
  assert "0 cells are empty and 2 cells lack" in issue.sentence


def test_a_group_without_any_score_is_told():
  table = make_table(full_grid())
  is_blank = (table.frame["task"] == "b").to_numpy()
  frame = table.frame.assign(missing=is_blank)
  frame.loc[is_blank, "score"] = np.nan
  table = audit(table._replace(frame=frame))
  assert find(table, "missing").rows == [
    {"task": "b", "scale": scale, "metric": "all", "missing_seeds": "all"}
    for scale in (1, 2)
  ]
  assert table.num_missing["b", 2, "acc"] == 3


def test_seeds_of_their_own_at_each_scale_are_no_holes():
  rows = full_grid("a", (1,), range(3)) + full_grid("a", (2,), range(3, 6))
  table = audit(make_table(rows))
  assert [issue.kind for issue in table.issues] == ["unpaired"]
  assert find(table, "unpaired").rows == [{"task": "a"}]


def test_one_scale_and_one_seed_say_what_cannot_be_said():
  table = audit(make_table(full_grid("a", (1,))))
  assert [issue.kind for issue in table.issues] == ["one_scale"]
  assert find(table, "one_scale").rows == [{"task": "a", "scale": 1}]
  table = audit(make_table(full_grid("a", (1, 2), (0,))))
  assert [issue.kind for issue in table.issues] == ["one_seed"]
  assert "with one seed only: 2 of 2" in find(table, "one_seed").sentence
