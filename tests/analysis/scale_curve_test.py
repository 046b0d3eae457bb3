import json

import numpy as np
import pytest

from emergence.analysis import output, scale_curve, summaries
from tests.computed import ACCURACY, FEW, NLL, ask, low_high, panels

RISE = [0, 1, 5, 20, 28, 31]


def cells(successes):
  return [low_high(32 - k, k) for k in successes]


@pytest.fixture
def answer(make_table):
  """A series of some successes at each scale, with its curve alone."""

  def answer(successes, options=FEW):
    table = make_table({("g", ACCURACY): cells(successes)})
    (series,) = ask(table, "success", "curve", options=options).series
    return series

  return answer


def entry(series):
  """What summary.json has about the curve."""
  content = output.to_json(scale_curve.entry(series))
  return json.loads(content)["curve"]


@pytest.mark.parametrize(
  ("successes", "expected"),
  [
    (RISE, "from size 1 to 6 {} rises from 0.00 to 0.97"),
    (
      [15, 16, 17, 15, 16],
      "from size 1 to 5 {} goes from 0.47 to 0.50; no trend is shown",
    ),
  ],
)
def test_a_curve_is_one_sentence(successes, expected, say):
  (first, *_) = say(cells(successes), "curve")
  assert first == expected.format("the share of seeds at ≥ 20%") + "."


@pytest.mark.parametrize(
  ("groups", "expected"),
  [
    ("a", "no trend is shown"),
    ("abc", "there are too few seeds to show a trend"),
  ],
)
def test_a_trend_that_no_correction_would_leave_is_not_looked_for(
  groups, expected, say
):
  """Four against four have p ≥ 2/70, or 6/70 in the least of three groups."""
  few = [low_high(3, 1), low_high(2, 2)]
  for text in say({(group, ACCURACY): few for group in groups}, "curve")[::2]:
    assert text.endswith(f"{expected}.")


def test_a_share_that_turns_back_is_told_with_its_fall(say):
  first, fall, last = say(cells([2, 28, 30, 20, 6, 1]), "curve")
  assert first == (
    "from size 1 to 6 the share of seeds at ≥ 20% goes from 0.06 to 0.03."
  )
  assert fall == (
    "the share of seeds at ≥ 20% falls from 0.94 at size 3 to 0.03 at 6, the"
    " clearest of 7 falls."
  )
  assert last == (
    "the share of seeds at ≥ 20% crosses one half between size 1 and 2 and"
    " between size 3 and 5."
  )


def test_where_less_is_better_successes_are_below_the_threshold(say):
  options = FEW._replace(thresholds=(("nll", 1.0),))
  scores = {("g", NLL): [np.full(12, 3.0), np.full(12, 0.5)]}
  assert say(scores, "curve", options) == [
    "from size 1 to 2 the share of seeds at ≤ 1 rises from 0.00 to 1.00.",
    "the share of seeds at ≤ 1 crosses one half between size 1 and 2.",
  ]
  assert say(scores, "curve") == []


def test_positions_are_told_as_scales(answer):
  """Sizes 1 to 6; the crossing by rank 2.78 is at size 3.78."""
  found = entry(answer(RISE))
  assert found["position"] == "rank"
  rank = -found["logistic_intercept"] / found["logistic_slope"]
  assert found["crossing"] == pytest.approx(1 + rank)
  assert found["crossing_low"] < found["crossing"] < found["crossing_high"]
  assert found["brackets"] == [[3, 5]]
  assert (found["largest_step_from"], found["largest_step_to"]) == (3, 4)
  assert found["largest_step"] == pytest.approx(15 / 32)
  log = FEW._replace(log_scale=True)
  found = entry(answer(RISE, log))
  assert found["position"] == "log2"
  at = -found["logistic_intercept"] / found["logistic_slope"]
  assert found["crossing"] == pytest.approx(2**at)
  found = entry(answer([0, 1, 2, 3, 5], log))
  assert found["crossing_low"] == "Infinity"


def test_a_scale_without_logarithm_is_refused(make_table):
  table = make_table({("g", ACCURACY): cells(RISE)})
  table.frame["scale"] -= 1
  with pytest.raises(ValueError, match="--log_scale: size 1 has no logarithm"):
    ask(table, "success", "curve", options=FEW._replace(log_scale=True))


def test_the_figure_has_points_and_both_fits_but_no_curve_that_misses(
  make_table,
):
  table = make_table(
    {
      ("a", ACCURACY): cells(RISE),
      ("separated", ACCURACY): cells([0, 0, 0, 32, 32, 32]),
      ("misses", ACCURACY): cells([2, 28, 30, 20, 6, 1]),
    }
  )
  analysis = ask(table, "summaries", "success", "curve", "modality")
  axes = panels(summaries.draw(analysis.series))[2]
  assert axes.get_title(loc="left") == "P(score ≥ 20%)"
  points = [container.lines[0] for container in axes.containers]
  np.testing.assert_allclose(points[0].get_ydata(), np.array(RISE) / 32)
  assert {line.get_linestyle() for line in points} == {"None"}
  lines = [line.get_linestyle() for line in axes.lines]
  assert (lines.count("-"), lines.count(":")) == (1, 3)
  (curve,) = [line for line in axes.lines if line.get_linestyle() == "-"]
  crossing = np.interp(0.5, curve.get_ydata(), curve.get_xdata())
  assert crossing == pytest.approx(entry(analysis.series[0])["crossing"], 0.01)
