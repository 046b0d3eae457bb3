import numpy as np
import pytest

from tests.computed import raw


def test_abruptness_is_the_largest_step_over_the_range(two_groups):
  for series in two_groups.series:
    found = series.answers["abruptness"]
    scores = raw(series, two_groups)
    diverged = raw(series, two_groups, "diverged")
    means, shares = [], []
    for scale, cell in scores.items():
      kept = cell[~diverged[scale].astype(bool)]
      means.append(kept.mean())
      hits = kept <= 1 if series.metric.name == "nll" else kept >= 0.2
      shares.append(hits.sum() / len(cell))
    for value, values in (
      (found.mean, means),
      (found.success_probability, shares),
    ):
      steps = np.abs(np.diff(values))
      assert value == pytest.approx(steps.max() / np.ptp(values))
    assert found.difference == pytest.approx(
      found.mode - found.success_probability
    )
    assert found.difference_low <= found.difference <= found.difference_high


def test_a_curve_that_dips_first_is_said_to_turn_back(say):
  cells = [[0.3] * 20, [0.1] * 20, [0.9] * 20]
  (text,) = say(cells, "abruptness")
  assert text.endswith(
    "step is 100% of the mean's range (2–3), 100% of the success share's"
    " (1–2) and 100% of the mode's (2–3); all turn back."
  )


def test_the_largest_step_of_noise_is_not_told(say):
  noise = np.random.default_rng(0).normal(0.3, 0.12, (5, 30)).clip(0, 1)
  assert say(list(noise), "abruptness") == [
    "no change over size is shown, so none that could be a jump."
  ]
