import numpy as np
import pytest
from scipy import stats

from emergence.statistics import composition
from emergence.statistics.sample import REAL, UNIT, Sample


def counts(scores_S, threshold=0.2, **fields):
  found = composition.composition(Sample.of(scores_S, **fields), threshold)
  return found.count_C.tolist()


def test_the_interval_is_that_of_scipy_for_every_count():
  for total in (1, 9, 32):
    count = np.arange(total + 1)
    low, high = composition.clopper_pearson(count, total)
    for k in count.tolist():
      expected = stats.binomtest(k, total).proportion_ci(0.95, "exact")
      assert (low[k], high[k]) == pytest.approx(
        (expected.low, expected.high), abs=1e-12
      )


@pytest.mark.parametrize(
  ("step", "chance", "expected"),
  [
    (0, None, 0.05),
    (1 / 11, None, 0.5 / 11),
    (1 / 20, None, 0.5 / 20),  # 0.075 is as near: the lower one.
    (1 / 2, None, 0.25),
    (0, 0.25, 0.3),
    (1 / 100, 0.25, 0.295),
  ],
)
def test_the_zone_ends_at_the_cell_edge_nearest_to_a_twentieth(
  step, chance, expected
):
  sample = Sample.of([0.1, 0.2], step=step, chance=chance)
  assert composition.floor_edge(sample) == pytest.approx(expected)
  # In percent, and with a support that begins elsewhere, likewise.
  scaled = Sample.of(
    [0.0], (-50, 50), 100 * step, None if chance is None else 100 * chance - 50
  )
  assert composition.floor_edge(scaled) == pytest.approx(100 * expected - 50)


def test_the_zone_ends_where_successes_begin():
  assert composition.floor_edge(Sample.of([0.1], step=0), 0.03) < 0.03
  edge = composition.floor_edge(Sample.of([0.1], step=0.01), 0.03)
  assert edge == pytest.approx(0.025)
  # 0.025 is no score: 0.03 is the first success, and 0.02 fails.
  edge = composition.floor_edge(Sample.of([0.1], step=0.01), 0.0251)
  assert edge == pytest.approx(0.025)
  assert counts([0, 0.02, 0.03, 0.5], 0.03, step=0.01) == [2, 0, 2, 0]


def test_every_run_with_a_score_is_in_one_class():
  scores_S = [0, 0.05, 0.1, 0.19, 0.2, 0.5, 0.94, 0.95, 1, np.nan]
  assert counts(scores_S, step=0) == [2, 2, 3, 2]
  found = counts(scores_S, None, step=0)
  np.testing.assert_array_equal(found, [2, 5, np.nan, 2])
  rng = np.random.default_rng(0)
  for threshold in (0, 0.01, 0.2, 0.97, 1):
    for step in (0, 0.05):
      scores_S = np.append(rng.binomial(20, rng.random(50)) / 20, np.nan)
      found = counts(scores_S, threshold, step=step)
      assert sum(found) == 50
      successes = (scores_S >= threshold - 1e-6).sum()
      assert found[2] + found[3] == successes


@pytest.mark.parametrize(
  ("num", "name"),
  [
    # 13 of 32 at the floor, 15 successes: no test of modes is needed.
    ((13, 4, 15, 0), "floor and successes, some between"),
    # 3 of 10 are at least 7 %, and at most 65 %.
    ((7, 0, 3, 0), "floor, some successes"),
    # A floor that hides breakthroughs is not "floor" alone.
    ((96, 0, 0, 4), "floor, few ceiling"),
    ((32, 0, 0, 0), "floor"),
    ((20, 20, 20, 20), "floor, between, successes and ceiling"),
    ((1, 1, 1, 1), "too few runs"),
  ],
)
def test_a_class_is_named_if_it_is_shown_to_hold_a_tenth(num, name):
  scores_S = np.repeat([0, 0.1, 0.5, 0.96], num)
  found = composition.composition(Sample.of(scores_S, step=0), 0.2)
  assert found.name == name
  assert found.count_C.tolist() == list(num)


def test_an_infinite_support_has_no_ends_and_no_score_no_composition():
  found = composition.composition(Sample.of([0.1, 3, 5], REAL), 2)
  np.testing.assert_array_equal(found.count_C, [np.nan, 1, 2, np.nan])
  assert composition.composition(Sample.of([np.nan], UNIT), 0.2) is None
