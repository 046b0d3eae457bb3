import math
import re

import numpy as np
import pytest

from emergence.analysis import compute, findings
from emergence.analysis.series import Options
from emergence.tables.score_table import Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)
NLL = Metric("nll", 0.0, math.inf, "nats", False)
FEW = Options(num_resamples=100, num_permutations=100)


def test_differences_carry_distance_null_p_and_correction(two_groups, pick):
  for group in ("split", "smooth"):
    (finding,) = pick("difference", group)
    frame = two_groups.table.frame.query(
      f"group == '{group}' and metric == 'exact_match'"
    )
    cells = [cell.dropna() for _, cell in frame.groupby("scale")["score"]]
    level_U = (np.arange(400_000) + 0.5) / 400_000
    quantiles = [
      np.quantile(cell, level_U, method="inverted_cdf") for cell in cells
    ]
    steps = np.sqrt(np.mean(np.diff(quantiles, axis=0) ** 2, axis=1))
    numbers = finding.numbers
    n = int(steps.argmax())
    assert numbers["scale_from"] == n + 1
    assert numbers["w2"] == pytest.approx(steps.max(), rel=1e-4)
    assert numbers["p"] >= 1 / 301
    differ = finding.sentence.split("5% level: ")[1].split(". That")[0]
    assert finding.sentence.startswith(
      f"group {group}, exact match: between size {n + 1} and {n + 2} the"
      f" distributions are {steps.max():.3g} apart in Wasserstein-2, more than"
      f" any other neighbours; 95 % of permutations do not pass"
      f" {numbers['null']:.3g}, p = {numbers['p']:.2g},"
      f" {numbers['p_adjusted']:.2g} after Holm over 6 steps."
    )
    series = next(
      s
      for s in two_groups.series
      if (s.group, s.metric.name) == ((group,), "exact_match")
    )
    p_N = [series.distances.test.p_KK[k, k + 1] for k in range(6)]
    # Holm: the smallest k p-values pass as long as each is below 5 % / rest.
    order = np.argsort(p_N, kind="stable")
    passed = []
    for rank, k in enumerate(order):
      if p_N[k] > 0.05 / (6 - rank):
        break
      passed.append(k)
    assert differ == "; ".join(f"{k + 1} and {k + 2}" for k in sorted(passed))


def test_differences_of_two_scales_are_not_corrected(say):
  rng = np.random.default_rng(0)
  cells = [rng.random(12), rng.random(12)]
  (found,) = say(cells, "difference")
  assert "Holm" not in found
  assert "any other" not in found
  (found,) = say(cells, "difference", FEW._replace(within_seed=True))
  assert "95 % of permutations within seeds do not pass" in found
  assert say([np.full(9, 0.5)] * 3, "difference") == [
    "the scores of neighbouring scales are the same."
  ]


def test_the_first_detectable_scale_comes_with_its_evidence(two_groups, pick):
  (finding,) = pick("modality")
  series = two_groups.series[0]
  n = series.first_detectable
  scale = series.scales[n]
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
    if series.scales[k].modality.label == "bimodal"
  ]
  assert f"Two modes too at {', '.join(later)}." in text
  assert "Before it a minor mode of any weight may have gone unseen" in text


def test_the_better_side_is_the_lower_one_where_less_is_better(
  two_groups, pick
):
  (finding,) = pick("modality", metric="nll")
  series = two_groups.series[1]
  scale = series.scales[series.first_detectable]
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
  analysis = compute.analyze(make_table({("g", ACCURACY): cells}), FEW)
  (found,) = [f for f in findings.findings(analysis) if f.kind == "modality"]
  tested = [s.modality for s in analysis.series[0].scales]
  p_T = [m.p for m in tested if not math.isnan(m.p)]
  lowest = min(p_T)
  assert found.sentence == (
    "exact match: two modes are detected at no size; floor at 1; unimodal at 2;"
    " undecided at 3; ceiling at 4. The lowest p of the dip test:"
    f" {lowest:.2g}, {min(1, 4 * lowest):.2g} after Holm over 4 tests."
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
  analysis = compute.analyze(make_table({("g", ACCURACY): cells}), FEW)
  p_T = [s.modality.p for s in analysis.series[0].scales]
  (text,) = say(cells, "modality")
  assert f"dip test: {min(p_T):.2g}, 1 after Holm" in text


def test_many_scales_are_counted_not_listed(say):
  rng = np.random.default_rng(3)
  cells = [rng.random(8) for _ in range(20)]
  (text,) = say(cells, "modality")
  assert "undecided at every size" in text
  cells += [np.ones(150)]
  (text,) = say(cells, "modality")
  assert "undecided at 20 of 21 scales" in text


def test_another_metric_agrees_or_does_not(said, make_table):
  texts = [f.sentence for f in said if f.kind == "metrics"]
  assert all(
    re.fullmatch(
      r"group split, size \d: two modes are detected in exact match and in nll"
      r"\.",
      text,
    )
    for text in texts
  )
  assert texts
  rng = np.random.default_rng(4)
  split = [np.repeat([0.05, 0.85], 20) + rng.normal(0, 0.02, 40)]
  one = [rng.normal(3, 0.2, 40)]
  same = [-np.log(split[0])]
  names = {
    ("g", ACCURACY): np.clip(split, 0, 1),
    ("g", NLL): one,
    ("g", NLL._replace(name="other_loss")): same,
  }
  analysis = compute.analyze(make_table(names), FEW)
  (finding,) = [f for f in findings.findings(analysis) if f.kind == "metrics"]
  assert finding.sentence == (
    "size 1: two modes are detected in exact match and in other loss, not in"
    " nll."
  )
  assert finding.numbers["other"] == ["nll"]
  # Whichever of them comes first.
  turned = dict(reversed(names.items()))
  analysis = compute.analyze(make_table(turned), FEW)
  (finding,) = [f for f in findings.findings(analysis) if f.kind == "metrics"]
  assert set(finding.numbers["bimodal"]) == {"exact_match", "other_loss"}
  alone = {("g", NLL): one, ("g", ACCURACY): np.clip(split, 0, 1)}
  analysis = compute.analyze(make_table(alone), FEW)
  (finding,) = [f for f in findings.findings(analysis) if f.kind == "metrics"]
  assert finding.sentence == (
    "size 1: two modes are detected in exact match, not in nll."
  )


def test_paths_say_which_way_and_warn_of_steep_metrics(pick, say):
  (split,) = pick("path")
  (smooth,) = pick("path", "smooth")
  assert (
    "on the way from size 1 to 7: a mixture of both ends'" in split.sentence
  )
  assert split.sentence.endswith("compare with a likelihood.")
  assert "joined quantile by quantile (displacement)" in smooth.sentence
  assert "steep" not in smooth.sentence
  (nll,) = pick("path", metric="nll")
  assert "mixture" in nll.sentence
  assert "steep" not in nll.sentence
  assert sum(split.numbers["verdicts"].values()) == 5
  rng = np.random.default_rng(5)
  (text,) = say([rng.random(9) for _ in range(4)], "path")
  assert text == "on the way from size 1 to 4: undecided all the way."
  # Beyond both ends.
  cells = [rng.normal(m, 0.02, 60) for m in (0.2, 0.9, 0.3)]
  (text,) = say(cells, "path")
  assert text == "on the way from size 1 to 3: neither path fits at 2."
