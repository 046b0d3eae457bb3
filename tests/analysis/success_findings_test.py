import math

import numpy as np
import pytest
from scipy import stats

from emergence.analysis.series import Options
from emergence.tables.score_table import Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)
NLL = Metric("nll", 0.0, math.inf, "nats", False)
FEW = Options(num_resamples=100, num_permutations=100)


def share(hits, num):
  low, high = stats.binomtest(hits, num).proportion_ci(method="wilson")
  return f"{hits / num:.2f} ({low:.2f}–{high:.2f})"


def of(values, **counts):
  """Scores with so many of each value, such as `of([.1, .9], low=3)`."""
  return np.concatenate(
    [np.full(n, v) for v, n in zip(values, counts.values())]
  )


def low_high(low, high):
  return of([0.05, 0.85], low=low, high=high)


def test_the_largest_step_of_success_is_told_with_wilsons_intervals(
  two_groups, pick
):
  (first, *_) = pick("success")
  frame = two_groups.table.frame.query(
    "group == 'split' and metric == 'exact_match'"
  )
  hits = (frame["score"] >= 0.2) & ~frame["diverged"]
  counts = hits.groupby(frame["scale"]).sum().to_numpy()
  n = int(np.abs(np.diff(counts)).argmax())
  assert first.sentence == (
    f"group split, exact match: between size {n + 1} and {n + 2} the share of"
    f" seeds at ≥ 20% goes from {share(counts[n], 40)} to"
    f" {share(counts[n + 1], 40)}, the largest of 6 steps, and picked for that."
  )
  assert first.numbers["probability_to"] == counts[n + 1] / 40
  assert (first.numbers["scale_from"], first.numbers["scale_to"]) == (
    n + 1,
    n + 2,
  )


def test_success_of_less_is_better_names_its_side(pick):
  (first, *_) = pick("success", metric="nll")
  assert "the share of seeds at ≤ 1 goes" in first.sentence


def test_one_scale_says_nothing_about_change(say):
  assert say([low_high(20, 10)], "success") == [
    f"at size 1 the share of seeds at ≥ 20% is {share(10, 30)}. With one scale"
    " nothing can be said about change over scale."
  ]


def test_a_success_probability_that_never_changes_is_told_once(say):
  assert say([low_high(0, 12)] * 3, "success") == [
    f"the share of seeds at ≥ 20% is {share(12, 12)} at every size."
  ]
  cells = [low_high(6, 6), low_high(10, 10)]
  assert say(cells, "success") == [
    f"the share of seeds at ≥ 20% is {share(6, 12)} at every size, the interval"
    " that of the fewest seeds, 12."
  ]


@pytest.mark.parametrize(
  ("last", "rises"), [(30, True), (25, False), (10, False)]
)
def test_a_fall_is_told_where_intervals_do_not_meet(last, rises, say):
  cells = [low_high(15, 15), low_high(0, 30), low_high(25, 5)]
  cells.append(low_high(30 - last, last) if last != 25 else low_high(15, 15))
  found = say(cells, "success")
  assert found[1] == (
    f"the share of seeds at ≥ 20% falls from {share(30, 30)} at size 2 to"
    f" {share(5, 30)} at 3; the intervals do not meet"
    + (". From the first size to the last it rises." if rises else ".")
  )
  assert len(found) == 2


def test_a_threshold_is_named_with_its_decimals(say):
  cells = [low_high(6, 6)]
  for value, text in ((0.125, "12.5%"), (0.005, "0.5%"), (1.0, "100%")):
    (found,) = say(cells, "success", FEW._replace(threshold=value))
    assert f"the share of seeds at ≥ {text} is" in found


def test_small_studies_of_one_seed_are_all_pairs(say):
  rng = np.random.default_rng(7)
  first = low_high(14, 6) + rng.normal(0, 0.02, 20)
  second = low_high(8, 12) + rng.normal(0, 0.02, 20)
  cells = [np.clip(first, 0, 1), np.clip(second, 0, 1)]
  (text,) = say(cells, "small_studies")
  seen = cells[1] - cells[0][:, None]
  truth = cells[1].mean() - cells[0].mean()
  assert (
    f"the mean changes by {truth:.2f}: {(seen < 0).mean():.0%} of studies with"
    f" 1 seed a scale reverse it and {(abs(seen - truth) >= 0.2).mean():.0%}"
    " miss it by 0.2 or more,"
  ) in text
  # From 0.3 to 0.6: reversed where the first succeeds and the second fails.
  assert (
    "the success probability changes by 0.30: 12% of studies with 1 seed a"
    " scale reverse it"
  ) in text
  num = np.arange(4)
  weight = np.outer(stats.binom.pmf(num, 3, 0.6), stats.binom.pmf(num, 3, 0.3))
  reversed_ = weight[num[:, None] < num].sum()
  assert (
    f"{reversed_:.0%} of studies with 3 seeds a scale reverse it"
    in (text.split("success probability")[1])
  )


def test_a_falling_loss_falls_in_its_own_unit(say):
  rng = np.random.default_rng(8)
  cells = [rng.normal(4, 0.1, 20), rng.normal(1, 0.1, 20)]
  options = FEW._replace(thresholds=(("nll", 2.0),))
  (text,) = say({("g", NLL): cells}, "small_studies", options)
  step = cells[1].mean() - cells[0].mean()
  assert f"the mean changes by −{-step:.2f}: 0% of" in text
  assert "the success probability changes by 1.00" in text


def test_small_studies_are_not_drawn_from_small_studies(say):
  assert not say([[0.1] * 9, [0.9] * 9], "small_studies")
  assert say([[0.1] * 10, [0.9] * 10], "small_studies")
  assert not say([[0.9] * 20] * 3, "small_studies")


def test_thresholds_that_say_the_same_are_named(say):
  cells = [low_high(15, 15), low_high(0, 30)]
  (text,) = say(cells, "threshold")
  low, high = stats.binomtest(15, 30).proportion_ci(method="wilson")
  # Half of the seeds are at 0.05, the others at 0.85.
  assert text == (
    "at size 1 every threshold from 0.06 to 0.85 gives a success probability"
    f" within ({low:.2f}–{high:.2f}), the interval at ≥ 20%; others change the"
    " statement."
  )
  assert not say([low_high(0, 30)], "threshold")


def test_item_noise_is_never_more_than_all(say):
  items = ACCURACY._replace(unit="share of items")
  rng = np.random.default_rng(9)
  cells = [rng.binomial(10, 0.5, 30) / 10]
  (text,) = say({("g", items): cells}, "items", num_items=10.0)
  score_S = cells[0]
  part = (score_S * (1 - score_S)).mean() / 9 / score_S.var(ddof=1)
  assert f"anew would make {min(part, 1):.0%} of the variance" in text
  even = [np.array([0.4, 0.5] * 10)]
  (text,) = say({("g", items): even}, "items", num_items=10.0)
  assert "would make 100% of the variance" in text


def test_divergence_is_told_with_and_without(pick, say):
  (finding,) = pick("divergence")
  # Of scale 2 one seed has no score; the one of scale 7 has a high one.
  assert finding.numbers == {"num_diverged": 2}
  assert finding.sentence.startswith(
    "group split, exact match: 2 runs diverged, at 2, 7. In the success"
    " probability they are failures; that of 2 is"
  )
  assert finding.sentence.endswith("All else is about the runs that did not.")
  assert not pick("divergence", "smooth")
  cells = [[0.9] * 6 + [np.nan] * 2, [0.9] * 8]
  assert say(cells, "divergence") == [
    "2 runs diverged, at 1. In the success probability they are failures; that"
    " of 1 is 0.75 with them and 1.00 without. All else is about the runs that"
    " did not."
  ]
  cells = [[np.nan], [0.9]]
  assert say(cells, "divergence") == [
    "1 run diverged, at 1. In the success probability they are failures; that"
    " of 1 is 0.00 with them and undefined without, as all diverged. All"
    " else is about the runs that did not."
  ]
  (text,) = say({("g", NLL): [[np.nan, 1.0], [1.0, 2.0]]}, "divergence")
  assert text == (
    "1 run diverged, at 1. All else is about the runs that did not."
  )
