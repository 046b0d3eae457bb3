import numpy as np
import pytest

from emergence.analysis import output, questions
from tests.computed import ACCURACY, FEW, analyze_one, read_csv, scales


def test_the_score_of_a_diverged_run_counts_nowhere(make_table):
  """20 of 60 diverged, with the score of a failure; all others succeed."""
  score_S = np.append(
    np.zeros(20), np.random.default_rng(0).normal(0.7, 0.05, 40)
  )
  marks = {("g", 1, seed) for seed in range(20)}
  kinds = ("summaries", "success", "modality")
  found = analyze_one(
    make_table, ACCURACY, [score_S], kinds=kinds, diverged=marks
  )
  (found,) = scales(found)
  assert found.success.diverged_fail.probability == pytest.approx(2 / 3)
  assert found.success.diverged_left_out.probability == 1
  assert found.modality.label == "not_shown"
  assert found.modality.num_runs == 40
  assert found.bootstrap.mean.value == pytest.approx(score_S[20:].mean())


def test_a_single_run_has_no_share_anywhere(make_table):
  table = make_table({("g", ACCURACY): [[0.1], [0.9], [0.4]]})
  files = output.files(questions.analyze(table, FEW))
  summary = read_csv(files["summary.csv"])
  assert summary["n_successes"].tolist() == [0, 1, 1]
  for name in ("probability", "probability_finite", "logistic", "isotonic"):
    assert summary[f"success_{name}"].isna().all()
  parts = read_csv(files["decomposition.csv"])
  assert parts[["share_from", "share_to"]].isna().all(axis=None)
