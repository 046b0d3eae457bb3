import numpy as np
import pytest


def test_abruptness_is_the_largest_step_over_the_range(two_groups):
  frame = two_groups.table.frame
  for series in two_groups.series:
    found, metric = series.answers["abruptness"], series.metric.name
    own = frame.query(f"group == '{series.group[0]}' and metric == '{metric}'")
    score = own["score"]
    by_scale = own.assign(
      hit=score <= 1 if metric == "nll" else score >= 0.2
    ).groupby("scale")
    for value, column in (
      (found.mean, "score"),
      (found.success_probability, "hit"),
    ):
      value_N = by_scale[column].mean().to_numpy()
      steps = np.abs(np.diff(value_N))
      assert value == pytest.approx(steps.max() / np.ptp(value_N))
    assert found.difference == pytest.approx(
      found.mode - found.success_probability
    )
    assert found.difference_low <= found.difference <= found.difference_high


def test_a_curve_that_dips_first_is_said_not_to_be_monotone(say):
  cells = [[0.3] * 20, [0.1] * 20, [0.9] * 20]
  (text,) = say(cells, "abruptness")
  assert text.endswith(
    "step is 100% of the range for the mean (2–3), 100% for the success share"
    " (1–2) and 100% for the mode (2–3); none of these is monotone."
  )


def test_the_largest_step_of_noise_is_not_told(say):
  noise = np.random.default_rng(0).normal(0.3, 0.12, (5, 30)).clip(0, 1)
  assert say(list(noise), "abruptness") == [
    "no change over size is shown, so a jump cannot be shown either."
  ]
