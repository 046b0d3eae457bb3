import numpy as np
import pytest

from emergence.analysis import agreement
from tests.computed import ACCURACY, NLL, answers_of, ask


def split(num_low, num_high):
  rng = np.random.default_rng(0)
  centre_S = np.repeat([0.05, 0.85], [num_low, num_high])
  return np.clip(centre_S + rng.normal(0, 0.02, centre_S.size), 0.001, 1)


def counts(row):
  return row["both_upper":"both_lower"].tolist()


def test_seeds_that_change_sides_are_counted(make_table):
  score_S = split(20, 20)
  loss_S = -np.log(score_S)
  # A seed that is low in exact match has a low loss, and the other way round.
  loss_S[[0, 39]] = loss_S[[39, 0]]
  table = make_table({("g", ACCURACY): [score_S], ("g", NLL): [loss_S]})
  analysis = ask(table, "modality", "agreement")
  (text,), frame = answers_of(analysis, "agreement")
  assert text == (
    "exact match: at size 1 a valley separates good from poor seeds in this"
    " metric and in nll: 38 of 40 seeds are on the same side in both (20"
    " expected by chance)."
  )
  (row,) = [row for _, row in frame.iterrows()]
  assert (row["metric"], row["other_metric"]) == ("exact_match", "nll")
  assert counts(row) == [19, 1, 1, 19]
  assert row["kappa_low"] < row["kappa"] == pytest.approx(0.9)
  assert 0.05 < row["antimode"] < 0.85
  (section,) = agreement.sections(analysis)
  assert section.table.rows[0][3:7] == ["19", "1", "1", "19"]


def test_seeds_are_matched_and_diverged_ones_left_out(make_table):
  score_S = split(20, 20)
  scores = {("g", ACCURACY): [score_S], ("g", NLL): [-np.log(score_S)]}
  table = make_table(scores, diverged={("g", 1, 0)})
  frame = table.frame
  lacking = (frame["metric"] == "nll") & (frame["seed"] == 39)
  frame = frame[~lacking].sample(frac=1, random_state=0)
  found = ask(table._replace(frame=frame), "modality", "agreement")
  _, rows = answers_of(found, "agreement")
  assert counts(rows.iloc[0]) == [19, 0, 0, 19]


def test_nothing_is_said_of_few_runs_or_of_chance_valleys(make_table):
  one_hump = np.random.default_rng(1).normal(3, 0.2, 40) / 10
  for score_S in (split(3, 3), one_hump):
    scores = {("g", ACCURACY): [score_S], ("g", NLL): [-np.log(score_S)]}
    analysis = ask(make_table(scores), "modality", "agreement")
    assert answers_of(analysis, "agreement")[0] == []
