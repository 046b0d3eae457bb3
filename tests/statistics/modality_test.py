import numpy as np
import pytest
from scipy import stats

from emergence.statistics import dip, modality
from emergence.statistics.sample import REAL, UNIT, Sample


def label(scores_S, support=UNIT, step=None, **fields):
  return modality.label(Sample.of(scores_S, support, step, **fields))


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


def floor_and(*others):
  return np.concatenate([np.zeros(96 - len(others) + 4), others])


def test_two_clear_modes():
  found = label(two_modes(100, 0.4), REAL)
  assert found.label == "two_modes"
  # Of an infinite support there is only the dip.
  assert found.p == found.p_adjusted == found.dip_p < 1e-4
  assert found.breakout is found.falloff is None
  assert found.antimode == pytest.approx(4, abs=1)
  assert found.peaks.weight_above == 0.4


def test_the_p_of_a_cell_is_three_times_the_least_of_its_tests():
  scores_S = 0.3 + two_modes(100, 0.4, 6) / 20
  found = label(scores_S)
  assert found.p == pytest.approx(3 * found.dip_p)
  found = label(floor_and(0.9, 0.92, 0.95, 0.97, 0.99))
  assert found.p == pytest.approx(3 * found.breakout.p)
  assert found.p < 0.01
  assert np.isnan(found.falloff.p)
  flat = label(quantiles(stats.uniform(), 100))
  assert flat.p == 1


@pytest.mark.parametrize("mirrored", [False, True])
def test_few_runs_that_break_out_of_a_floor(mirrored):
  scores_S = floor_and(0.95, 0.95, 0.95, 0.95)
  assert (scores_S == 0).sum() == 96
  found = label(1 - scores_S if mirrored else scores_S)
  assert found.label == ("falloff" if mirrored else "breakout")
  test = found.falloff if mirrored else found.breakout
  assert (test.num_inside, test.num_outside) == (96, 4)


def test_a_breakout_needs_no_twenty_runs():
  assert label(np.repeat([0.0, 1.0], [10, 5]), step=0.05).label == "breakout"


def test_a_tail_that_thins_out_is_no_breakout():
  scores_S = quantiles(stats.expon(scale=0.08), 200).clip(0, 1)
  for scores in (scores_S, 1 - scores_S):
    assert label(scores).label == "not_shown"


def test_where_less_is_better_the_floor_is_the_upper_end():
  found = label(1 - floor_and(*[0.9] * 6), higher_is_better=False)
  assert found.label == "breakout"
  assert found.breakout.num_inside == 94


def test_not_shown_has_the_weight_that_would_have_been_seen():
  found = label(quantiles(stats.norm(0.5, 0.1), 250))
  assert found.label == "not_shown"
  weight = dip.detectable_weight(250, 0.05 / 3)
  assert found.smallest_weight == found.smallest_weight_adjusted == weight
  few = label(quantiles(stats.norm(0.5, 0.1), 25))
  assert np.isnan(few.smallest_weight_adjusted)
  valley = label(np.append(quantiles(stats.norm(0.3, 0.05), 18), [0.6] * 2))
  assert valley.label == "not_shown"
  assert np.isfinite(valley.antimode)


def test_an_atom_at_an_end_is_a_mode_only_beyond_an_antimode():
  falling_S = np.maximum(quantiles(stats.norm(0.05, 0.15), 250), 0)
  assert (falling_S == 0).sum() > 80
  assert label(falling_S).label == "not_shown"
  assert label(1 - falling_S).label == "not_shown"
  apart_S = np.append(np.zeros(125), quantiles(stats.norm(0.6, 0.1), 125))
  assert label(apart_S).label == "two_modes"
  assert label(np.rint(11 * apart_S) / 11).label == "two_modes"


def test_a_tail_does_not_hide_the_gap_between_two_clusters():
  """A third of the runs guesses, others are just better, some far better."""
  scores_S = np.concatenate(
    [
      quantiles(stats.norm(0.1, 0.006), 22),
      quantiles(stats.norm(0.23, 0.02), 27),
      np.linspace(0.3, 0.75, 11),
    ]
  )
  for x_S in (scores_S, 1 - scores_S):
    found = label(x_S)
    assert found.label == "two_modes"
    assert found.peaks.weight_above in (22 / 60, 38 / 60)


@pytest.mark.parametrize(("end", "few"), [(0.0, 500), (1.0, 20)])
def test_mixed_numbers_of_items_at_an_end_are_no_modes(end, few):
  """Half of the runs on 20 items, half on as many or 500, p = .97 or .03."""
  rng = np.random.default_rng(0)
  said = 0
  for _ in range(40):
    x = np.append(
      rng.binomial(20, 0.97, 50) / 20, rng.binomial(few, 0.97, 50) / few
    )
    said += label(np.abs(x - 1 + end)).label != "not_shown"
  assert said <= 3


@pytest.mark.parametrize(
  ("num", "step", "expected"),
  [
    (9, 0.05, "not_shown"),
    (10, 0.05, "two_modes"),
    (50, None, "not_shown"),
    (50, 1, "not_shown"),
  ],
)
def test_half_at_zero_and_half_at_one_are_two_modes_of_enough_runs_and_items(
  num, step, expected
):
  assert label(np.repeat([0.0, 1.0], num), step=step).label == expected


def test_two_frequent_scores_are_two_modes_if_others_show_the_grid():
  # At 0 and 1, the others in between exclude scores of one item.
  scores_S = np.repeat([0, 0.9, 0.95, 1], [50, 4, 6, 40])
  assert label(scores_S).label == "two_modes"
  # At 0 and 1/3 they may be one mode of three items.
  scores_S = np.repeat([0, 1 / 3, 0.4], [60, 38, 2])
  assert label(scores_S).label == "not_shown"
  assert label(scores_S, step=0.01).label == "two_modes"
  # No grid from 0 to 1 has 0 and 0.9 as neighbours.
  assert label(np.repeat([0, 0.9], 50)).label == "two_modes"
  assert label(np.repeat([0, 0.9], 50), REAL).label == "not_shown"


@pytest.mark.parametrize(
  "scores", [[np.nan, np.nan], [0.2, 0.9, 0.3], [0.5] * 30]
)
def test_what_cannot_be_tested_still_has_a_label(scores):
  found = label(scores)
  assert found.label == "not_shown"
  assert np.isnan(found.p)
  assert np.isnan(found.dip)


def test_the_correction_is_over_the_cells_that_can_be_tested():
  weak_S = two_modes(80, 0.45, 5)
  alone = label(weak_S, REAL)
  flat_S = quantiles(stats.norm(0, 1), 80)
  samples = [Sample.of(s, REAL) for s in (weak_S, *[flat_S] * 94, np.zeros(80))]
  found, *_ = modality.label_family(samples)
  # The constant one cannot be tested and does not count.
  assert found.family_size == 95
  assert found.p_adjusted == pytest.approx(95 * alone.p)
  assert (alone.label, found.label) == ("two_modes", "not_shown")


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


def test_missing_tests_do_not_count_in_the_family():
  adjusted_T = modality.holm([0.01, np.nan, 0.4, 0.02])
  np.testing.assert_allclose(adjusted_T, [0.03, np.nan, 0.4, 0.04])
  with pytest.raises(ValueError, match=r"in \[0, 1\]"):
    modality.holm([0.5, 1.5])


def test_no_weight_would_be_seen_where_two_scores_may_be_one_step_apart():
  scores_S = np.repeat([0.0, 0.1], [60, 40])
  open_, known = (
    modality.label(Sample.of(scores_S, step=s)) for s in (None, 0)
  )
  assert np.isnan(open_.smallest_weight)
  assert np.isnan(open_.smallest_weight_adjusted)
  assert known.smallest_weight > 0
  assert np.isnan(modality.label(Sample.of([0.5] * 100)).smallest_weight)


def test_the_p_of_a_label_is_that_of_its_own_test():
  """Here the test of the floor is far clearer than the dip."""
  score_S = np.round(np.r_[np.zeros(40), np.linspace(0.8, 1, 20)] * 50) / 50
  found = modality.label(Sample.of(score_S, step=0.02), threshold=0.2)
  assert found.label == "two_modes"
  assert found.p_of_label == pytest.approx(3 * found.dip_p)
  assert found.p < found.p_of_label < 0.05
