import re

import numpy as np
import pytest

from emergence.analysis import output, questions
from emergence.report import answer
from tests.computed import ACCURACY, FEW, NLL, low_high


def mixture(rng, share, num=60, low=0.02, high=0.95):
  """The first seeds are good ones."""
  center_S = np.where(np.arange(num) < round(share * num), high, low)
  return np.clip(center_S + rng.normal(0, 0.015, num), 0, 1)


@pytest.fixture(scope="module")
def analyze(make_table):
  def analyze(scores, options=FEW, **fields):
    if not isinstance(scores, dict):
      scores = {("g", ACCURACY): scores}
    kinds = ("summaries", "success", "curve", "modality")
    return questions.analyze(make_table(scores, **fields), options, kinds=kinds)

  return analyze


@pytest.fixture(scope="module")
def ask(analyze):
  return lambda *args, **fields: answer.sentence(analyze(*args, **fields))


def test_a_split_is_counted_and_the_share_told(ask):
  rng = np.random.default_rng(0)
  cells = [mixture(rng, share) for share in (0, 0.45, 0.8)]
  cells[1][-9:] = np.linspace(0.3, 0.7, 9)
  below, above = (cells[1] < 0.1).sum(), (cells[1] >= 0.9).sum()
  assert (below, above) == (24, 27)
  assert ask(cells) == (
    "At size 2 the seeds split in two: 24 of 60 below 0.1, 27 above 0.9 (p <"
    " 0.001); from size 1 to 3 the share that succeeds rises from 0.00 to"
    f" {(cells[2] >= 0.2).mean():.2f}."
  )


def test_the_only_scale_is_named_once(ask):
  text = ask([mixture(np.random.default_rng(1), 0.4)])
  assert text.startswith("At size 1 the seeds split in two: 36 of 60 below 0.1")
  assert "; 24 of 60 seeds end at ≥ 20%" in text
  assert text.count("size 1") == 1


def test_scores_of_which_lower_is_better_have_a_mean_and_no_share(ask):
  rng = np.random.default_rng(2)
  cells = [3 - 2 * mixture(rng, share) for share in (0, 0.5)]
  assert re.fullmatch(
    r"At size 2 the seeds split in two: 30 of 60 below [\d.]+, 30 above"
    rf" \(p < 0.001\); the mean is {cells[0].mean():.3g} at size 1 and"
    rf" {cells[1].mean():.3g} at 2\.",
    ask({("g", NLL): cells}),
  )


@pytest.mark.parametrize(
  ("means", "told"),
  [
    ([np.nan, 3, 2], "all runs diverged at size 1 and the mean is 2 at size 3"),
    ([np.nan, 3, np.nan], "all runs diverged at size 1 and 3"),
  ],
)
def test_an_end_where_all_runs_diverged_has_no_mean(ask, means, told):
  text = ask({("g", NLL): [np.full(30, x) for x in means]})
  assert text.endswith(f"; {told}.")


def test_where_nothing_is_seen_it_is_said(ask):
  rng = np.random.default_rng(4)
  assert ask([rng.normal(0.5, 0.05, 60).clip(0, 1)] * 3) == (
    "No split is shown at any size; two modes would often be missed with so few"
    " seeds; 60 of 60 seeds end at ≥ 20% (0.94–1.00) at every scale."
  )
  assert ask([[0.1, 0.12, 0.15], [0.8, 0.9, 0.95]]) == (
    "No split is shown at any size: fewer than 20 seeds have a score, too few"
    " to test for two modes; from size 1 to 2 the share that succeeds goes from"
    " 0 of 3 to 3 of 3; there are too few seeds to show a trend."
  )


def test_groups_are_counted(ask):
  rng = np.random.default_rng(5)
  rising = [mixture(rng, share) for share in (0, 0.3, 0.9)]
  scores = {
    ("up", ACCURACY): rising,
    ("down", ACCURACY): [mixture(rng, share) for share in (0.9, 0.5, 0.1)],
    ("flat", ACCURACY): [rng.normal(0.6, 0.05, 60) for _ in range(3)],
  }
  low, high = (rising[1] < 0.1).sum(), (rising[1] > 0.9).sum()
  assert ask(scores) == (
    "A split is shown in 2 of 3 groups; in group up at size 2 the seeds split"
    f" in two: {low} of 60 below 0.1, {high} above 0.9 (p < 0.001); over size"
    " the share that succeeds rises in 1 and falls in 1 of 3 groups."
  )


def test_runs_and_groups_without_a_score_are_told(analyze):
  cells = [low_high(0, 12), low_high(12, 0)]
  scores = {(name, ACCURACY): cells for name in ("a", "b")}
  num_missing = {("c", 1.0, "exact_match"): 3, ("a", 2.0, "exact_match"): 1}
  text = answer.text(analyze(scores, num_missing=num_missing))
  assert text.endswith(
    "falls in 2 of the 2 groups with scores at two or more scales. 4 pairs of a"
    " scale and a seed have no score, among them all of group c, and are left"
    " out of all results.\n"
  )


def test_a_trend_is_corrected_over_the_groups(analyze):
  rising, flat = [low_high(9, 3), low_high(3, 9)], [low_high(6, 6)] * 2
  alone = analyze({("a", ACCURACY): rising})
  (trend,) = [s.answers["curve"].trend for s in alone.series]
  assert trend.p_adjusted == trend.p < 0.05
  scores = {(name, ACCURACY): flat for name in "bcd"}
  found = analyze({("a", ACCURACY): rising} | scores)
  assert found.series[0].answers["curve"].trend.p_adjusted == 4 * trend.p
  assert "is not shown to change in any group" in answer.sentence(found)


def test_groups_with_too_few_seeds_for_a_change_are_said_to_be(ask):
  groups = {(g, ACCURACY): [np.zeros(4), np.ones(4)] for g in "abc"}
  assert "too few seeds to show a change in any group" in ask(groups)


def test_the_table_has_the_numbers_of_the_summary(two_groups):
  _, rows = answer.table(two_groups)
  summary = [
    row for row in output.summary(two_groups) if row["metric"] == "exact_match"
  ]
  assert len(summary) == 14
  for row, expected in zip(rows, summary, strict=True):
    assert row == [
      f"group {expected['group']}",
      expected["scale_label"],
      "40",
      f"{expected['mode']:.2f}",
      "{mean:.2f}\n({mean_low:.2f}–{mean_high:.2f})".format(**expected),
      "{success_probability:.2f}\n({success_low:.2f}–{success_high:.2f})".format(
        **expected
      ),
      expected["modality"].replace("_", " "),
    ]


def test_a_long_table_is_cut_on_a_terminal(analyze):
  text = answer.text(analyze([[0.1 + n / 1000] for n in range(70)]))
  assert "\n10 more rows are in summary.csv\n" in text
  assert len(text.splitlines()) < 70
