import math
import re

import numpy as np
import pytest
from scipy import stats

from emergence.analysis import compute
from emergence.analysis import findings as findings_lib
from emergence.analysis.series import Options
from emergence.tables.score_table import Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)
NLL = Metric("nll", 0.0, math.inf, "nats", False)
FEW = Options(num_resamples=100, num_permutations=100)
KINDS = """success difference modality metrics path abruptness pairing
trajectories small_studies threshold items divergence""".split()


def analyze(make_table, scores, options=FEW, **fields):
  if not isinstance(scores, dict):
    scores = {("g", ACCURACY): scores}
  return compute.analyze(make_table(scores, **fields), options)


def say(make_table, scores, kind=None, options=FEW, **fields):
  """The sentences of a table, of one kind, without their heading."""
  analysis = analyze(make_table, scores, options, **fields)
  return [
    f.sentence.split(": ", 1)[1]
    for f in findings_lib.findings(analysis)
    if kind in (None, f.kind)
  ]


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


@pytest.fixture(scope="module")
def found(two_groups):
  return findings_lib.findings(two_groups)


def pick(found, kind, group="split", metric="exact_match"):
  return [
    f for f in found if (f.kind, f.group, f.metric) == (kind, (group,), metric)
  ]


def test_every_sentence_reads_as_one(found, two_groups):
  assert {f.kind for f in found} <= set(KINDS)
  assert [f.kind for f in found][-1] == "metrics"
  for finding in found:
    text = finding.sentence
    assert text.startswith(f"group {finding.group[0]}, "), text
    assert re.fullmatch(r"[^\n]+[^.]\.", text), text
    for wrong in ("..", ";.", ":.", "  ", " ,", "( ", "-0.", "nan", "inf,"):
      assert wrong not in text, text
    assert not re.search(r"\b(nan|inf|None)\b", text), text
    assert "1 seeds" not in text
    assert "1 runs" not in text


def test_the_largest_step_of_success_is_told_with_wilsons_intervals(
  found, two_groups
):
  (first, *_) = pick(found, "success")
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


def test_success_of_less_is_better_names_its_side(found):
  (first, *_) = pick(found, "success", metric="nll")
  assert "the share of seeds at ≤ 1 goes" in first.sentence


def test_one_scale_says_nothing_about_change(make_table):
  assert say(make_table, [low_high(20, 10)], "success") == [
    f"at size 1 the share of seeds at ≥ 20% is {share(10, 30)}. With one scale"
    " nothing can be said about change over scale."
  ]


def test_a_success_probability_that_never_changes_is_told_once(make_table):
  assert say(make_table, [low_high(0, 12)] * 3, "success") == [
    f"the share of seeds at ≥ 20% is {share(12, 12)} at every size."
  ]
  cells = [low_high(6, 6), low_high(10, 10)]
  assert say(make_table, cells, "success") == [
    f"the share of seeds at ≥ 20% is {share(6, 12)} at every size, the interval"
    " that of the fewest seeds, 12."
  ]


@pytest.mark.parametrize(
  ("last", "rises"), [(30, True), (25, False), (10, False)]
)
def test_a_fall_is_told_where_intervals_do_not_meet(make_table, last, rises):
  cells = [low_high(15, 15), low_high(0, 30), low_high(25, 5)]
  cells.append(low_high(30 - last, last) if last != 25 else low_high(15, 15))
  found = say(make_table, cells, "success")
  assert found[1] == (
    f"the share of seeds at ≥ 20% falls from {share(30, 30)} at size 2 to"
    f" {share(5, 30)} at 3; the intervals do not meet"
    + (". From the first size to the last it rises." if rises else ".")
  )
  assert len(found) == 2


def test_a_threshold_is_named_with_its_decimals(make_table):
  cells = [low_high(6, 6)]
  for value, text in ((0.125, "12.5%"), (0.005, "0.5%"), (1.0, "100%")):
    (found,) = say(make_table, cells, "success", FEW._replace(threshold=value))
    assert f"the share of seeds at ≥ {text} is" in found


def test_differences_carry_distance_null_p_and_correction(found, two_groups):
  for group in ("split", "smooth"):
    (finding,) = pick(found, "difference", group)
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


def test_differences_of_two_scales_are_not_corrected(make_table):
  rng = np.random.default_rng(0)
  cells = [rng.random(12), rng.random(12)]
  (found,) = say(make_table, cells, "difference")
  assert "Holm" not in found
  assert "any other" not in found
  (found,) = say(
    make_table, cells, "difference", FEW._replace(within_seed=True)
  )
  assert "95 % of permutations within seeds do not pass" in found
  assert say(make_table, [np.full(9, 0.5)] * 3, "difference") == [
    "the scores of neighbouring scales are the same."
  ]


def test_the_first_detectable_scale_comes_with_its_evidence(found, two_groups):
  (finding,) = pick(found, "modality")
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
  found, two_groups
):
  (finding,) = pick(found, "modality", metric="nll")
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
  analysis = analyze(make_table, cells)
  (found,) = [
    f for f in findings_lib.findings(analysis) if f.kind == "modality"
  ]
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
  make_table,
):
  rng = np.random.default_rng(2)
  cells = [rng.normal(0.5, 0.08, 40) for _ in range(6)]
  analysis = analyze(make_table, cells)
  p_T = [s.modality.p for s in analysis.series[0].scales]
  (text,) = say(make_table, cells, "modality")
  assert f"dip test: {min(p_T):.2g}, 1 after Holm" in text


def test_many_scales_are_counted_not_listed(make_table):
  rng = np.random.default_rng(3)
  cells = [rng.random(8) for _ in range(20)]
  (text,) = say(make_table, cells, "modality")
  assert "undecided at every size" in text
  cells += [np.ones(150)]
  (text,) = say(make_table, cells, "modality")
  assert "undecided at 20 of 21 scales" in text


def test_another_metric_agrees_or_does_not(make_table, found):
  texts = [f.sentence for f in found if f.kind == "metrics"]
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
  split = [low_high(20, 20) + rng.normal(0, 0.02, 40)]
  one = [rng.normal(3, 0.2, 40)]
  same = [-np.log(split[0])]
  names = {
    ("g", ACCURACY): np.clip(split, 0, 1),
    ("g", NLL): one,
    ("g", NLL._replace(name="other_loss")): same,
  }
  analysis = analyze(make_table, names)
  (finding,) = [
    f for f in findings_lib.findings(analysis) if f.kind == "metrics"
  ]
  assert finding.sentence == (
    "size 1: two modes are detected in exact match and in other loss, not in"
    " nll."
  )
  assert finding.numbers["other"] == ["nll"]


def test_paths_say_which_way_and_warn_of_steep_metrics(found, make_table):
  (split,) = pick(found, "path")
  (smooth,) = pick(found, "path", "smooth")
  assert (
    "on the way from size 1 to 7: a mixture of both ends'" in split.sentence
  )
  assert split.sentence.endswith("compare with a likelihood.")
  assert "joined quantile by quantile (displacement)" in smooth.sentence
  assert "steep" not in smooth.sentence
  (nll,) = pick(found, "path", metric="nll")
  assert "mixture" in nll.sentence
  assert "steep" not in nll.sentence
  assert sum(split.numbers["verdicts"].values()) == 5
  rng = np.random.default_rng(5)
  (text,) = say(make_table, [rng.random(9) for _ in range(4)], "path")
  assert text == "on the way from size 1 to 4: undecided all the way."
  # Beyond both ends.
  cells = [rng.normal(m, 0.02, 60) for m in (0.2, 0.9, 0.3)]
  (text,) = say(make_table, cells, "path")
  assert text == "on the way from size 1 to 3: neither path fits at 2."


def test_abruptness_is_that_of_the_raw_scores(found, two_groups):
  (finding,) = pick(found, "abruptness", "smooth")
  frame = two_groups.table.frame.query(
    "group == 'smooth' and metric == 'exact_match'"
  )
  by_scale = frame.groupby("scale")["score"]
  jumps = []
  for value_N in (
    by_scale.mean(),
    by_scale.apply(lambda s: (s >= 0.2).mean()),
  ):
    jumps.append(np.abs(np.diff(value_N)).max() / np.ptp(value_N))
  text = finding.sentence
  assert f"mean {jumps[0]:.2f}, success probability {jumps[1]:.2f}" in text
  numbers = finding.numbers
  difference = numbers["mode"] - jumps[1]
  shown = f"{difference:.2f}".replace("-", "−")
  assert f"mode less success probability {shown}, in resamples (" in text
  assert "covers less than 95 %" in text
  assert numbers["difference_low"] <= difference <= numbers["difference_high"]


def test_abruptness_of_single_seeds_has_no_interval(make_table):
  (text,) = say(make_table, [[0.1], [0.15], [0.9]], "abruptness")
  assert re.search(r"success probability [−\d.]+\. For two clusters", text)
  # Of two scales, or without any change, there is nothing to tell.
  assert not say(make_table, [[0.1], [0.9]], "abruptness")
  assert not say(make_table, [[0.5]] * 3, "abruptness")


def test_the_best_seeds_and_those_without_rank_are_told(found, two_groups):
  for group in ("split", "smooth"):
    (finding,) = pick(found, "trajectories", group)
    frame = two_groups.table.frame.query(
      f"group == '{group}' and metric == 'exact_match'"
    )
    table = frame.pivot(index="seed", columns="scale", values="score").dropna()
    y_SN = table.to_numpy()
    step_SN = np.diff(y_SN, axis=1)
    size_S = np.ptp(y_SN, axis=1) * np.sign(y_SN.argmax(1) - y_SN.argmin(1))
    for name, measure_S in (
      ("finite breakthroughness", size_S / np.sqrt(np.median(step_SN**2, 1))),
      ("linearity", size_S / np.sqrt(np.mean(step_SN**2, 1))),
    ):
      s = int(measure_S.argmax())
      assert (
        f"the highest {name} is {measure_S[s]:.3g}, of seed {table.index[s]}"
      ) in finding.sentence
  (finding,) = pick(found, "trajectories")
  assert "no score at some scale: 2 of 40 seeds" in finding.sentence


def test_infinite_and_constant_seeds_are_counted(make_table):
  leap = [0.0] * 4 + [0.9] * 3
  slow = np.linspace(0, 1, 7)
  cells = np.stack([leap, leap, [0.3] * 7, slow], axis=1)
  (text,) = say(make_table, list(cells), "trajectories")
  assert text == (
    "the highest finite breakthroughness is 6, of seed 3; the highest linearity"
    " is 6, of seed 3; infinite breakthroughness, as most steps are 0: 2 of 4"
    " seeds; no change at all: 1 of 4 seeds."
  )
  (text,) = say(make_table, list(cells[:5]), "trajectories")
  assert text.startswith("5 scales are too few to rank seeds, which needs 6;")


def test_pairing_is_told_with_what_an_index_shares(make_table):
  rng = np.random.default_rng(6)
  skill_S = rng.random(30)
  alike = [
    np.clip(skill_S / 2 + 0.05 * n + rng.normal(0, 0.02, 30), 0, 1)
    for n in range(7)
  ]
  meaning = "At two scales a seed index shares the data stream."
  (text,) = say(make_table, alike, "pairing", seed_meaning=meaning)
  rank = np.mean(
    [stats.spearmanr(alike[a], alike[b])[0] for a in range(7) for b in range(a)]
  )
  assert text.startswith(
    "seeds of one index do alike at different scales: mean rank correlation"
    f" {rank:.2f}, p = 0.0099. Highest of all seeds"
  )
  assert text.endswith(meaning)
  assert "join runs" not in text
  strangers = [rng.permutation(cell) for cell in alike]
  (text,) = say(make_table, strangers, "pairing")
  assert "are not seen to do alike" in text
  assert "may then join runs that have nothing in common" in text
  assert text.endswith("Not known.")


@pytest.mark.parametrize(
  ("cells", "why"),
  [
    ([[0.1], [0.4]], "1 seed has a score at every scale"),
    ([[0.1, 0.2], [0.4, 0.1]], "2 seeds have a score at every scale"),
    ([[0.5] * 5, [0.5] * 5], "seeds differ at fewer than two scales"),
  ],
)
def test_why_pairing_cannot_be_told_is_told(make_table, cells, why):
  (text,) = say(make_table, cells, "pairing")
  assert f"cannot be said: {why}" in text


def test_small_studies_of_one_seed_are_all_pairs(make_table):
  rng = np.random.default_rng(7)
  first = low_high(14, 6) + rng.normal(0, 0.02, 20)
  second = low_high(8, 12) + rng.normal(0, 0.02, 20)
  cells = [np.clip(first, 0, 1), np.clip(second, 0, 1)]
  (text,) = say(make_table, cells, "small_studies")
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


def test_a_falling_loss_falls_in_its_own_unit(make_table):
  rng = np.random.default_rng(8)
  cells = [rng.normal(4, 0.1, 20), rng.normal(1, 0.1, 20)]
  options = FEW._replace(thresholds=(("nll", 2.0),))
  (text,) = say(make_table, {("g", NLL): cells}, "small_studies", options)
  step = cells[1].mean() - cells[0].mean()
  assert f"the mean changes by −{-step:.2f}: 0% of" in text
  assert "the success probability changes by 1.00" in text


def test_small_studies_are_not_drawn_from_small_studies(make_table):
  assert not say(make_table, [[0.1] * 9, [0.9] * 9], "small_studies")
  assert say(make_table, [[0.1] * 10, [0.9] * 10], "small_studies")
  assert not say(make_table, [[0.9] * 20] * 3, "small_studies")


def test_thresholds_that_say_the_same_are_named(make_table):
  cells = [low_high(15, 15), low_high(0, 30)]
  (text,) = say(make_table, cells, "threshold")
  low, high = stats.binomtest(15, 30).proportion_ci(method="wilson")
  # Half of the seeds are at 0.05, the others at 0.85.
  assert text == (
    "at size 1 every threshold from 0.06 to 0.85 gives a success probability"
    f" within ({low:.2f}–{high:.2f}), the interval at ≥ 20%; others change the"
    " statement."
  )
  assert not say(make_table, [low_high(0, 30)], "threshold")


def test_item_noise_is_never_more_than_all(make_table):
  items = ACCURACY._replace(unit="share of items")
  rng = np.random.default_rng(9)
  cells = [rng.binomial(10, 0.5, 30) / 10]
  (text,) = say(make_table, {("g", items): cells}, "items", num_items=10.0)
  score_S = cells[0]
  part = (score_S * (1 - score_S)).mean() / 9 / score_S.var(ddof=1)
  assert f"anew would make {min(part, 1):.0%} of the variance" in text
  even = [np.array([0.4, 0.5] * 10)]
  (text,) = say(make_table, {("g", items): even}, "items", num_items=10.0)
  assert "would make 100% of the variance" in text


def test_divergence_is_told_with_and_without(make_table, found):
  (finding,) = pick(found, "divergence")
  # Of scale 2 one seed has no score; the one of scale 7 has a high one.
  assert finding.numbers == {"num_diverged": 2}
  assert finding.sentence.startswith(
    "group split, exact match: 2 runs diverged, at 2, 7. In the success"
    " probability they are failures; that of 2 is"
  )
  assert finding.sentence.endswith("All else is about the runs that did not.")
  assert not pick(found, "divergence", "smooth")
  cells = [[0.9] * 6 + [np.nan] * 2, [0.9] * 8]
  assert say(make_table, cells, "divergence") == [
    "2 runs diverged, at 1. In the success probability they are failures; that"
    " of 1 is 0.75 with them and 1.00 without. All else is about the runs that"
    " did not."
  ]
  cells = [[np.nan], [0.9]]
  assert say(make_table, cells, "divergence") == [
    "1 run diverged, at 1. In the success probability they are failures; that"
    " of 1 is 0.00 with them and undefined without, as all diverged. All"
    " else is about the runs that did not."
  ]
  (text,) = say(
    make_table, {("g", NLL): [[np.nan, 1.0], [1.0, 2.0]]}, "divergence"
  )
  assert text == (
    "1 run diverged, at 1. All else is about the runs that did not."
  )


def test_no_sentence_of_odd_data_says_nan(make_table):
  rng = np.random.default_rng(10)
  tables = [
    [rng.random(12)],
    [[0.3]],
    [[0.3], [0.5], [0.1]],
    [[0.5] * 12] * 4,
    [rng.random(12), [np.nan] * 12, rng.random(12)],
    [[np.nan] * 12, rng.random(12), [0.9] * 12],
    [[0.0] * 12] * 3 + [[1.0] * 12] * 4,
    [[0.1, np.nan], [np.nan, 0.2], [0.3, 0.4]],
    [0.3 + 0.1 * n + 0.05 * rng.random(12) for n in range(4)],
  ]
  for cells in tables:
    for text in say(make_table, cells):
      assert not re.search(r"\b(nan|inf|None)\b", text), text
      assert "1 seeds" not in text, text
      assert "1 runs" not in text, text
    if np.isfinite(np.concatenate(cells)).all():
      scores = {("g", NLL): [-np.log(np.maximum(c, 1e-3)) for c in cells]}
      for text in say(make_table, scores):
        assert not re.search(r"\b(nan|inf|None)\b", text), text


def test_foreign_names_are_one_line_and_cut(make_table):
  long = "x" * 500
  metric = ACCURACY._replace(name="<script>$x$\n\x1b[31m")
  scores = {(long, metric): [[0.1]], ("$x$", metric): [[0.2]]}
  analysis = analyze(make_table, scores, scale_name=long)
  for finding in findings_lib.findings(analysis):
    assert len(finding.sentence) < 500
    assert finding.sentence.isprintable()
    assert "<script>$x$\\n\\x1b[31m: " in finding.sentence
    assert finding.group in ((long,), ("$x$",))
