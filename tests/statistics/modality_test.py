import time

import numpy as np
import pytest
from scipy import stats

from emergence.statistics import dip, modality
from emergence.statistics.sample import REAL, UNIT, Sample


def label(scores_S, support=UNIT, step=None):
  return modality.label(Sample.of(scores_S, support, step))


def label_family(scores, support=UNIT):
  return modality.label_family([Sample.of(s, support) for s in scores])


def quantiles(law, num):
  """An even sample of a law: its quantiles."""
  return law.ppf((np.arange(num) + 0.5) / num)


def two_modes(num, weight=0.5, distance=8.0):
  high = round(num * weight)
  return np.concatenate(
    [
      quantiles(stats.norm(0, 1), num - high),
      quantiles(stats.norm(distance, 1), high),
    ]
  )


def test_two_clear_modes_are_bimodal():
  found = label(two_modes(100, 0.4), REAL)
  assert found.label == "bimodal"
  assert found.p == found.p_adjusted < 1e-4
  assert found.antimode == pytest.approx(4, abs=1)
  assert found.shape.weight_above == 0.4
  assert "40% of 100 runs at or above the antimode at 4" in found.evidence
  assert f"dip {found.dip:.3f}, p = {found.p:.2g}" in found.evidence


@pytest.mark.parametrize(
  ("num", "expected"), [(100, "undecided"), (250, "uni")]
)
def test_unimodal_is_said_only_where_two_modes_would_have_been_seen(
  num, expected
):
  found = label(quantiles(stats.norm(0.5, 0.1), num))
  assert found.label.startswith(expected)
  assert found.p > 0.5
  assert found.smallest_weight == dip.detectable_weight(num, 0.05)
  assert (found.smallest_weight <= 0.3) == (num == 250)
  assert f"{found.smallest_weight:.3g} of them" in found.evidence


def test_an_atom_at_an_end_is_a_mode_only_beyond_an_antimode():
  falling_S = np.maximum(quantiles(stats.norm(0.05, 0.15), 250), 0)
  assert (falling_S == 0).sum() > 80
  assert label(falling_S).label == "unimodal"
  assert label(1 - falling_S).label == "unimodal"
  apart_S = np.append(np.zeros(125), quantiles(stats.norm(0.6, 0.1), 125))
  assert label(apart_S).label == "bimodal"
  assert label(np.rint(11 * apart_S) / 11).label == "bimodal"


def test_a_rejected_dip_without_an_antimode_is_undecided():
  # Both modes within one bandwidth: 0.02 of the support is its least.
  scores_S = 0.5 + 0.001 * two_modes(200)
  found = label(scores_S, (-10.0, 10.0))
  assert found.p_adjusted < 1e-4
  assert found.label == "undecided"
  assert "no antimode" in found.evidence


@pytest.mark.parametrize(
  ("scores", "expected"),
  [
    (np.zeros(32), "floor"),
    (np.ones(32), "ceiling"),
    (np.append(np.zeros(96), np.ones(4)), "floor"),
    (np.append(np.zeros(94), np.ones(6)), "undecided"),
    (np.zeros(5), "undecided"),  # Half of all seeds may well be elsewhere.
    (np.linspace(0.95, 1, 40, dtype=np.float32), "ceiling"),
    (np.full(250, 0.5), "unimodal"),
    (np.full(50, 0.5), "undecided"),
  ],
)
def test_ends_and_constants(scores, expected):
  assert label(scores).label == expected


def test_the_bound_on_runs_elsewhere_is_that_of_clopper_and_pearson():
  evidence = label(np.append(np.zeros(97), np.ones(3))).evidence
  bound = stats.binomtest(3, 100, alternative="less").proportion_ci(0.95).high
  assert f"at most {bound:.0%} of seeds" in evidence
  assert "97 of 100 runs" in evidence


@pytest.mark.parametrize("at_the_end", [0.0, 1.0])
def test_a_significant_minority_is_a_mode_and_no_part_of_a_floor(at_the_end):
  rng = np.random.default_rng(1)
  scores_S = np.append(np.zeros(9510), rng.normal(0.8, 0.05, 490).clip(0, 1))
  found = label(np.abs(at_the_end - scores_S))
  assert found.label == "bimodal"
  share = "4.9%" if at_the_end == 0 else "95.1%"
  assert f"{share} of 10000 runs at or above the antimode" in found.evidence
  few = label(np.abs(at_the_end - scores_S[9310:9520]))
  assert few.label == ("floor" if at_the_end == 0 else "ceiling")
  assert "4.8% elsewhere" in few.evidence


@pytest.mark.parametrize(
  ("num_low", "num_high", "num_far"), [(47, 47, 6), (47, 50, 3), (120, 123, 7)]
)
def test_runs_far_out_do_not_hide_two_modes(num_low, num_high, num_far):
  rng = np.random.default_rng(2)
  scores_S = np.concatenate(
    [
      rng.normal(0.3, 0.05, num_low),
      rng.normal(2, 0.2, num_high),
      rng.normal(1000, 50, num_far),
    ]
  )
  found = label(scores_S, (0.0, np.inf))
  assert found.label == "bimodal"
  assert found.antimode == pytest.approx(1, abs=0.3)
  assert found.shape.weight_above == (num_high + num_far) / scores_S.size
  assert np.abs(scores_S - found.shape.mode).min() < 0.05


@pytest.mark.parametrize(
  ("num", "step", "reason"),
  [
    (2, 0.05, "at least 20 runs, these are 4"),
    (9, 0.05, "at least 20 runs, these are 18"),
    (10, 0.05, ""),
    (50, 0.05, ""),
    (50, None, "number of test items would tell"),
    (50, 1, "one item"),
    (500, 1, "one item"),
  ],
)
def test_half_at_zero_and_half_at_one_are_two_modes_of_enough_runs_and_items(
  num, step, reason
):
  found = label(np.repeat([0.0, 1.0], num), step=step)
  assert found.label == ("undecided" if reason else "bimodal")
  assert reason in found.evidence


def test_two_frequent_scores_are_two_modes_if_others_show_the_grid():
  # At 0 and 1, the others in between exclude scores of one item.
  scores_S = np.repeat([0, 0.9, 0.95, 1], [50, 4, 6, 40])
  assert label(scores_S).label == "bimodal"
  # At 0 and 1/3 they may be one mode of three items.
  scores_S = np.repeat([0, 1 / 3, 0.4], [60, 38, 2])
  assert label(scores_S).label == "undecided"
  assert label(scores_S, step=0.01).label == "bimodal"


def test_the_sentence_names_the_levels_at_which_a_mode_would_be_seen():
  flat_S = quantiles(stats.norm(0, 1), 250)
  found = label_family([flat_S] * 96, REAL)[0]
  assert (
    f"{found.smallest_weight:.3g} of them at level 0.05, "
    f"{found.smallest_weight_adjusted:.3g} of them at 0.00052, the strictest"
  ) in found.evidence
  few = label_family([flat_S[::3]] * 96, REAL)[0]
  assert "none at 0.00052" in few.evidence


def test_an_infinite_support_has_no_floor():
  scores_S = np.append(np.zeros(99), 30.0)
  assert label(scores_S, REAL).label == "undecided"


@pytest.mark.parametrize(
  ("scores", "reason"),
  [
    ([np.nan, np.nan], "no run has a finite score"),
    ([0.2, 0.9, 0.3], "at least 4 scores, got 3"),
    ([0.5] * 30, "all 30 scores are 0.5"),
  ],
)
def test_what_cannot_be_tested_still_has_a_label_and_a_reason(scores, reason):
  found = label(scores)
  assert found.label == "undecided"
  assert np.isnan(found.p)
  assert np.isnan(found.dip)
  assert reason in found.evidence


def test_diverged_runs_are_counted_named_and_left_out():
  scores_S = np.concatenate([two_modes(100), [np.nan, np.inf, -np.inf]])
  found = label(scores_S, REAL)
  assert found.num_runs == 100
  assert "3 diverged runs are left out" in found.evidence
  plain = label(two_modes(100), REAL)
  assert (found.dip, found.p) == (plain.dip, plain.p)


def test_the_correction_is_over_the_whole_family():
  weak_S = two_modes(80, 0.45, 5)
  alone = label(weak_S, REAL)
  flat_S = quantiles(stats.norm(0, 1), 80)
  family = [weak_S] + [flat_S] * 94 + [np.zeros(80)]
  found = label_family(family, REAL)
  assert len(found) == 96
  assert alone.label == "bimodal"
  assert found[0].p == alone.p
  # The constant one cannot be tested and counts.
  assert found[0].p_adjusted == pytest.approx(96 * alone.p)
  assert found[0].label == "undecided"
  assert "after Holm over 96 tests" in found[0].evidence
  assert found[0].smallest_weight_adjusted == pytest.approx(
    dip.detectable_weight(80, 0.05 / 96), nan_ok=True
  )


def test_holm_is_the_sequentially_rejective_procedure():
  rng = np.random.default_rng(0)
  for _ in range(20):
    p_T = rng.random(7) ** 3
    adjusted_T = modality.holm(p_T)
    for level in (0.01, 0.05, 0.2, 0.5):
      rejected = set()
      for k, i in enumerate(np.argsort(p_T)):
        if p_T[i] > level / (7 - k):
          break
        rejected.add(i)
      assert set(np.flatnonzero(adjusted_T <= level)) == rejected


def test_holm_keeps_missing_tests_in_the_family():
  adjusted_T = modality.holm([0.01, np.nan, 0.4, 0.02])
  np.testing.assert_allclose(adjusted_T, [0.04, np.nan, 0.8, 0.06])
  with pytest.raises(ValueError, match=r"in \[0, 1\]"):
    modality.holm([0.5, 1.5])


def test_the_first_detectable_scale_is_the_first_bimodal_one():
  family = [np.zeros(100), two_modes(100) / 30 + 0.3, two_modes(100) / 30 + 0.3]
  assert modality.first_detectable(label_family(family)) == 1
  assert modality.first_detectable(label_family(family[:1])) is None


def test_ninety_six_cells_take_seconds():
  rng = np.random.default_rng(0)
  family = [rng.binomial(31, rng.random(250)) / 31 for _ in range(48)]
  family += [rng.random(250) for _ in range(48)]
  start = time.process_time()
  label_family(family)
  assert time.process_time() - start < 10
