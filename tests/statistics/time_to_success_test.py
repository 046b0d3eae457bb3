import itertools
import math

import numpy as np
import pytest

from emergence.statistics.time_to_success import (
  Times,
  first_success,
  log_rank,
  time_to_success,
)


def times(events, censored=()):
  return Times(
    np.array([*events, *censored]),
    np.repeat([True, False], [len(events), len(censored)]),
    0,
  )


# Weeks in remission: Freireich et al. (1963), Blood 21, a textbook's example.
MERCAPTOPURINE = times(
  [6, 6, 6, 7, 10, 13, 16, 22, 23],
  [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35],
)
PLACEBO = times(
  [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
)


def test_the_curve_and_the_median_of_a_textbook_case():
  found = time_to_success(MERCAPTOPURINE)
  share = dict(zip(found.step_T.tolist(), found.share_T))
  # By hand: 18/21, then × 16/17, × 14/15, × 11/12, × 10/11, × 6/7, × 5/6.
  expected = np.cumprod([18 / 21, 16 / 17, 14 / 15, 11 / 12, 10 / 11, 6 / 7])
  for step, value in zip([6, 7, 10, 13, 16, 22], expected):
    assert share[step] == pytest.approx(value)
  assert share[23] == share[35] == pytest.approx(expected[-1] * 5 / 6)
  # Medians and intervals of log(−log) as SAS and R give them.
  assert found.median[:2] == (23, 13)
  assert math.isnan(found.median.high)
  assert time_to_success(PLACEBO).median == (8, 4, 11)


def test_the_band_is_greenwoods_on_the_scale_of_log_minus_log():
  found = time_to_success(MERCAPTOPURINE)
  at_risk, events = np.array([21, 17, 15]), np.array([3, 1, 1])
  share = np.prod(1 - events / at_risk)
  sum_ = (events / at_risk / (at_risk - events)).sum()
  width = 1.959964 * math.sqrt(sum_) / abs(math.log(share))
  t = found.step_T.tolist().index(10)
  assert found.low_T[t] == pytest.approx(share ** math.exp(width), abs=1e-6)
  assert found.high_T[t] == pytest.approx(share ** math.exp(-width), abs=1e-6)


def test_the_log_rank_test_of_a_textbook_case():
  statistic, p = log_rank(MERCAPTOPURINE, PLACEBO)
  assert statistic**2 == pytest.approx(16.79, abs=0.005)
  assert p == pytest.approx(4.17e-5, abs=1e-7)
  back, _ = log_rank(PLACEBO, MERCAPTOPURINE)
  assert statistic == pytest.approx(-back)
  assert statistic > 0  # Placebo has its events sooner.


def test_few_successes_of_unequal_populations_are_permuted():
  """The normal p of 0 in 100 and 1 in 10 is 0.0016; it happens in 10 of 110."""
  none, one = times([], [9] * 100), times([5], [9] * 9)
  assert log_rank(none, one)[1] == pytest.approx(10 / 110, abs=0.015)
  # All 330 ways to deal 11 runs out.
  first, second = times([3, 5, 6], [9] * 4), times([1, 2, 3, 4])
  time_S = np.concatenate([first.time_S, second.time_S])
  succeeded_S = np.concatenate([first.succeeded_S, second.succeeded_S])

  def excess(mask_S):
    """Observed less expected successes, at each success of any run."""
    total = 0.0
    for t in np.unique(time_S[succeeded_S]):
      at_risk_S, event_S = time_S >= t, (time_S == t) & succeeded_S
      share = (at_risk_S & mask_S).sum() / at_risk_S.sum()
      total += (event_S & mask_S).sum() - event_S.sum() * share
    return abs(total)

  deals = itertools.combinations(range(11), 4)
  null = [excess(np.isin(np.arange(11), deal)) for deal in deals]
  observed = excess(np.arange(11) >= 7)
  expected = np.mean([x >= observed - 1e-9 for x in null])
  assert log_rank(first, second)[1] == pytest.approx(expected, abs=0.01)


def test_nothing_to_compare_is_no_test():
  none = times([], [9] * 12)
  at_once = times([3] * 12)
  for pair in [(none, none), (at_once, at_once), (none, times([]))]:
    assert np.isnan(log_rank(*pair)).all()


def test_runs_that_all_succeed_together_have_an_exact_interval():
  found = time_to_success(times([300] * 12))
  assert found.median == (300, 300, 300)
  assert found.high_T[0] == pytest.approx(1 - 0.025 ** (1 / 12))
  # The last run at risk alone does not raise the band.
  assert (np.diff(time_to_success(PLACEBO).high_T) <= 0).all()


def test_few_runs_have_a_median_without_interval():
  found = time_to_success(times([100, 200, 300], [900] * 2))
  assert found.median.value == 300
  assert np.isnan(found.median[1:]).all()
  assert np.isnan(found.low_T).all()
  with pytest.raises(ValueError, match="at least one run"):
    time_to_success(times([]))


def test_the_first_evaluation_at_the_threshold_counts():
  steps_E = [0, 10, 20, 30]
  nan = math.nan
  rows = {
    # Scores, evaluations at which it has diverged: time, whether, fell back.
    "at once": ([0.5, 0.6, 0.7, 0.8], [], 0, True, False),
    "float32": ([0.1, np.float32(0.5) - 1e-7, 0.5, 0.5], [], 10, True, False),
    "fell back": ([0.1, 0.6, 0.1, 0.4], [], 10, True, True),
    "came back": ([0.1, 0.6, 0.1, 0.9], [], 10, True, False),
    "never": ([0.1, 0.2, 0.3, 0.4], [], 30, False, False),
    "diverged first": ([0.1, nan, 0.9, 0.9], [1], 30, False, False),
    "diverged later": ([0.1, 0.6, 0.9, nan], [2], 10, True, True),
    "not seen to the end": ([0.1, 0.2, nan, nan], [], 10, False, False),
    "one evaluation missing": ([0.1, nan, 0.5, 0.5], [], 20, True, False),
    "never seen": ([nan] * 4, [], None, None, None),
  }
  scores_SE = [row[0] for row in rows.values()]
  diverged_SE = [[e in row[1] for e in range(4)] for row in rows.values()]
  found = first_success(steps_E, scores_SE, diverged_SE, 0.5)
  known = [row for row in rows.values() if row[2] is not None]
  assert found.time_S.tolist() == [row[2] for row in known]
  assert found.succeeded_S.tolist() == [row[3] for row in known]
  assert found.num_fell_back == sum(row[4] for row in known) == 2
