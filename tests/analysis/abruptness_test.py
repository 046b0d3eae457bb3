import numpy as np
import pytest

from emergence.analysis import words
from emergence.statistics.abruptness import jump
from tests.computed import (
  ACCURACY,
  analyze_one,
  low_high,
  raw,
  rounded,
  scales,
)


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


def test_the_mode_jumps_between_the_modes_that_are_told(make_table):
  items = (1000, 10, 10)
  cells = rounded((0.25, 0.52, 0.75), items)
  found = analyze_one(make_table, ACCURACY, cells, num_items=items)
  modes = [scale.modality.peaks.mode for scale in scales(found)]
  assert found.answers["abruptness"].mode == pytest.approx(jump(modes))


def test_abruptness_is_that_of_the_raw_scores(two_groups, pick):
  (finding,) = pick("abruptness", "smooth")
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
  mean, share = (words.percent(jump) for jump in jumps)
  for text in (
    f"{mean} of the mean's range",
    f"{share} of the success share's",
  ):
    assert text in finding.sentence
  numbers = finding.numbers
  assert numbers["mode_minus_share"] == pytest.approx(
    numbers["largest_step_of_mode"] - jumps[1]
  )


def test_little_can_be_said_of_few_runs_or_scales(say):
  assert not say([[0.1], [0.15], [0.9]], "abruptness")
  assert say([[0.1] * 10, [0.15] * 10, [0.9] * 10], "abruptness")
  assert not say([[0.1] * 10, [0.9] * 10], "abruptness")


def test_a_curve_that_dips_first_is_said_to_turn_back(say):
  cells = [[0.3] * 20, [0.1] * 20, [0.9] * 20]
  (text,) = say(cells, "abruptness")
  assert text.endswith(
    "step is 100% of the mean's range (2–3), 100% of the success share's"
    " (1–2) and 100% of the mode's (2–3); all turn back."
  )
  (text,) = say([cells[1], cells[0], cells[2]], "abruptness")
  assert "back" not in text


def test_equal_scores_and_two_scales_have_no_abruptness(say):
  assert not say([[0.5] * 10] * 3, "abruptness")


def test_the_largest_step_of_noise_is_not_told(say):
  noise = np.random.default_rng(0).normal(0.3, 0.12, (5, 30)).clip(0, 1)
  assert say(list(noise), "abruptness") == [
    "no change over size is shown, so none that could be a jump."
  ]
  # Nearly all succeed: a difference without a trend of their share.
  high = 0.3 + 0.1 * np.arange(3)[:, None] + noise[:3] / 2
  high[1, 0] = 0
  (text,) = say(list(high), "abruptness")
  assert text.startswith("the largest step is")


def test_each_largest_step_is_told_with_its_scales(say):
  cells = [low_high(30, 0), low_high(28, 2), low_high(8, 22), low_high(6, 24)]
  assert say(cells, "abruptness") == [
    "the largest step is 83% of the mean's range (2–3), 83% of the success"
    " share's (2–3) and 100% of the mode's (2–3)."
  ]
