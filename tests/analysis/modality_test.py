import diptest
import numpy as np
import pytest

from emergence.analysis import modality
from emergence.statistics import dip
from tests.computed import ACCURACY, FEW, NLL, ask, holm, scales


def test_families_are_the_scales_of_a_series_and_all_other_metrics(two_groups):
  by_metric = two_groups.by_metric
  families = [[series] for series in by_metric["exact_match"]]
  families.append(by_metric["nll"])
  for family in families:
    labels = [s.modality for series in family for s in scales(series)]
    expected_T = holm([label.p for label in labels])
    np.testing.assert_allclose([x.p_adjusted for x in labels], expected_T)
    dips_T = holm([label.dip_p for label in labels])
    np.testing.assert_allclose([x.dip_p_adjusted for x in labels], dips_T)
    assert {x.family_size for x in labels} == {7 * len(family)}


def family_sizes(analysis):
  return [
    s.answers["modality"].by_scale[0].family_size for s in analysis.series
  ]


def test_one_correction_over_the_whole_table_is_an_option(make_table):
  rng = np.random.default_rng(0)
  cells = [rng.random(30) for _ in range(3)]
  scores = {("g", ACCURACY): cells, ("h", ACCURACY): cells}
  scores["g", NLL] = [np.full(30, 1.0), *cells[1:]]
  table = make_table(scores)
  whole = ask(table, "modality", options=FEW._replace(correct_over="table"))
  # One cell of equal scores cannot be tested, and does not count.
  assert family_sizes(whole) == [8, 8, 8]
  own = family_sizes(ask(table, "modality"))
  assert sorted(own) == [2, 3, 3]


def test_labels_rest_on_the_dip_of_the_scores(two_groups):
  split, smooth = two_groups.series[0], two_groups.series[2]
  first = split.answers["modality"].first
  assert scales(split)[first].modality.label != "not_shown"
  assert [s.modality.label for s in scales(split)[2:5]] == ["two_modes"] * 3
  assert smooth.answers["modality"].first is None
  for scale in scales(split)[2:5]:
    scores_S = scale.population.finite_S
    assert scale.modality.dip == pytest.approx(diptest.dipstat(scores_S), 0.05)
    assert diptest.diptest(scores_S)[1] < 0.001
    assert 0.2 < scale.modality.antimode < 0.7
    above = (scores_S >= scale.modality.antimode).mean()
    assert scale.modality.peaks.weight_above == above


def test_diverged_runs_count_as_failures_in_the_share_beside_a_ridge(
  make_table,
):
  cells = [[0.1, 0.9, np.nan, np.nan], [np.nan] * 4]
  series = ask(make_table({("g", ACCURACY): cells}), "modality").series
  (axes,) = modality.draw(series).axes
  assert [t.get_text() for t in axes.texts] == ["25%", "0%", "≥ 20%"]


def test_the_scale_that_splits_most_evenly_is_said_with_its_seeds(
  two_groups, pick
):
  first, second = pick("modality")
  rows = scales(two_groups.series[0])
  shown = [n for n, row in enumerate(rows) if row.modality.label != "not_shown"]
  n = min(shown, key=lambda n: abs(rows[n].modality.peaks.weight_above - 0.5))
  score_S, modality = rows[n].population.finite_S, rows[n].modality
  below = int((score_S < modality.antimode).sum())
  assert first.sentence == (
    f"group split, exact match: at size {n + 1} the seeds split in two: {below}"
    f" of {len(score_S)} below {modality.antimode:.2g},"
    f" {len(score_S) - below} above."
  )
  shown.remove(n)
  names = " and ".join(str(i + 1) for i in shown)
  assert second.sentence.endswith(f": a split is also shown at size {names}.")


def test_a_breakout_and_a_falloff_are_said_with_their_counts(say):
  others = np.linspace(0.75, 0.95, 7)
  cell = np.append(np.zeros(63), others)
  assert say([cell], "modality") == [
    "at size 1 some seeds break out of the floor: 63 of 70 are at the floor,"
    f" and half of the other 7 score {np.median(others):.2g} or better."
  ]
  assert say([1 - cell], "modality") == [
    "at size 1 some seeds fall off the ceiling: 63 of 70 are at the ceiling,"
    f" and half of the other 7 score {np.median(1 - others):.2g} or worse."
  ]


def test_power_is_claimed_only_where_it_was_tested(say):
  """Not where runs are few or equal, nor where a gap may be the grid's."""
  even = np.linspace(0.4, 0.6, 250)
  few, equal, ends = even[:19], np.zeros(25), np.repeat([0.0, 1.0], 50)
  cells = [even, few, equal, ends]
  texts = say(cells, "modality")
  weight = dip.detectable_weight(250, 0.05 / 6)
  assert texts == [
    "no split is shown; at size 1 a second mode of the same width"
    f" with {100 * weight:.0f}% of the seeds or more, 5 sd away, would be"
    " detected four times in five.",
    "at size 2 fewer than 20 seeds have a score, too few to test for two"
    " modes.",
    "at size 3 all scores are equal, so nothing could be tested.",
    "at size 4 the two groups may be two neighbouring points of the score grid;"
    " this cannot be decided without the number of test items.",
  ]
