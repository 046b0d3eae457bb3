import math

import diptest
import numpy as np
import pytest

from emergence.analysis import modality, questions
from tests.computed import ACCURACY, FEW, panels, scales, statements


def test_ridges_have_each_seed_at_its_score(two_groups):
  left, right = panels(modality.draw(two_groups.of_first_metric))
  assert left.get_title(loc="left") == "group split"
  assert right.get_title(loc="left") == "group smooth"
  series = two_groups.series[0]
  dots = [line for line in left.lines if line.get_linestyle() == "None"]
  for line, scale in zip(dots, scales(series)):
    np.testing.assert_array_equal(line.get_xdata(), scale.population.finite_S)
  names = [text.get_text() for text in left.get_yticklabels()]
  assert names == [
    f"size {n + 1}\n{s.modality.label}" for n, s in enumerate(scales(series))
  ]


def test_one_correction_covers_all_cells_and_metrics(two_groups):
  labels = [s.modality for one in two_groups.series for s in scales(one)]
  p_T = np.array([label.p for label in labels])
  order = np.argsort(p_T, kind="stable")  # NaN last, and they count.
  running, expected_T = 0.0, np.full(p_T.size, np.nan)
  for rank, t in enumerate(order):
    if not math.isnan(p_T[t]):
      running = max(running, min(1.0, p_T[t] * (p_T.size - rank)))
      expected_T[t] = running
  found_T = [label.p_adjusted for label in labels]
  np.testing.assert_allclose(found_T, expected_T)
  assert {label.family_size for label in labels} == {28}


def test_labels_rest_on_the_dip_of_the_scores(two_groups):
  split, smooth = two_groups.series[0], two_groups.series[2]
  first = split.answers["modality"].first
  assert scales(split)[first].modality.label == "bimodal"
  assert [s.modality.label for s in scales(split)[2:5]] == ["bimodal"] * 3
  assert smooth.answers["modality"].first is None
  for scale in scales(split)[2:5]:
    scores_S = scale.population.finite_S
    assert scale.modality.dip == pytest.approx(diptest.dipstat(scores_S), 0.05)
    assert diptest.diptest(scores_S)[1] < 0.001
    assert 0.2 < scale.modality.antimode < 0.7
    above = (scores_S >= scale.modality.antimode).mean()
    assert scale.beyond.value == above
  assert all(
    scale.beyond is None
    for scale in scales(split)
    if scale.modality.label != "bimodal"
  )


def test_the_first_detectable_scale_comes_with_its_evidence(two_groups, pick):
  (finding,) = pick("modality")
  series = two_groups.series[0]
  n = series.answers["modality"].first
  scale = scales(series)[n]
  score_S = scale.population.finite_S
  numbers = finding.numbers
  above = (score_S >= numbers["antimode"]).mean()
  text = finding.sentence
  assert f"the first size with two detectable modes is {n + 1}, with" in text
  assert (
    f"with {100 * above:.3g}% of {score_S.size} runs at or above the antimode"
  ) in text
  assert f"p = {numbers['p']:.2g}, {numbers['p_adjusted']:.2g} after" in text
  assert "after Holm over 28 tests" in text
  assert numbers["scale"] == n + 1
  low, high = scale.beyond.low, scale.beyond.high
  share = (score_S > numbers["antimode"]).sum() / 40
  assert (
    f"On the better side of the antimode of {n + 1} are {share:.2f}"
    f" ({low:.2f}–{high:.2f}) of all its seeds"
  ) in text
  later = [
    str(k + 1)
    for k in range(n + 1, 7)
    if scales(series)[k].modality.label == "bimodal"
  ]
  assert f"Two modes too at size {' and '.join(later)}." in text
  assert "Before it a minor mode of any weight may have gone unseen" in text


def test_the_better_side_is_the_lower_one_where_less_is_better(
  two_groups, pick
):
  (finding,) = pick("modality", metric="nll")
  series = two_groups.series[1]
  scale = scales(series)[series.answers["modality"].first]
  better = (scale.population.finite_S < finding.numbers["antimode"]).sum() / 40
  assert finding.numbers["beyond_antimode"] == better
  assert f"are {better:.2f} (" in finding.sentence


def test_without_two_modes_all_labels_are_listed(make_table):
  rng = np.random.default_rng(1)
  cells = [
    np.zeros(150),
    np.clip(rng.normal(0.5, 0.1, 400), 0, 1),
    rng.random(9),
    np.ones(150),
  ]
  analysis = questions.analyze(make_table({("g", ACCURACY): cells}), FEW)
  (found,) = [f for f in statements(analysis) if f.kind == "modality"]
  tested = [s.modality for s in scales(analysis.series[0])]
  p_T = [m.p for m in tested if not math.isnan(m.p)]
  lowest = min(p_T)
  assert found.sentence == (
    "exact match: two modes are detected at no size; floor at size 1;"
    " unimodal at size 2; undecided at size 3; ceiling at size 4. The lowest p"
    f" of the dip test: {lowest:.2g}, {min(1, 4 * lowest):.2g} after Holm over"
    " 4 tests."
    " Undecided is not unimodal: the evidence of each says why."
  )
  assert found.numbers["labels"] == dict.fromkeys(
    ["floor", "unimodal", "undecided", "ceiling"], 1
  )


def test_the_lowest_p_is_the_lowest_even_where_holm_makes_all_of_them_one(
  make_table, say
):
  rng = np.random.default_rng(2)
  cells = [rng.normal(0.5, 0.08, 40) for _ in range(6)]
  analysis = questions.analyze(make_table({("g", ACCURACY): cells}), FEW)
  p_T = [s.modality.p for s in scales(analysis.series[0])]
  (text,) = say(cells, "modality")
  assert f"dip test: {min(p_T):.2g}, 1 after Holm" in text


def test_many_scales_are_counted_not_listed(say):
  rng = np.random.default_rng(3)
  cells = [rng.random(8) for _ in range(20)]
  (text,) = say(cells, "modality")
  assert "undecided at every scale" in text
  cells += [np.ones(150)]
  (text,) = say(cells, "modality")
  assert "undecided at 20 of 21 scales" in text
