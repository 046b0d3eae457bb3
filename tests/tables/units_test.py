import numpy as np
import pandas as pd
import pytest

from emergence.tables import units

NO_SIGN = np.zeros(3, bool)
SOURCES = ["t line 2", "t line 3", "t line 4"]


def decide(scores, unit="auto", lower=False, sign=NO_SIGN):
  return units.to_unit("m", np.array(scores), sign, SOURCES, unit, lower)


@pytest.mark.parametrize(
  ("scores", "unit", "lower", "found", "factor", "ends"),
  [
    ([0, 0.5, 1], "auto", False, "fraction", 1, (0, 1)),
    ([0, 0.5, np.nan], "auto", False, "fraction", 1, (0, 1)),
    ([0, 50, 100], "auto", False, "percent", 0.01, (0, 1)),
    ([0, 0.5, 1], "percent", False, "percent", 0.01, (0, 1)),
    ([-3, -0.1, 0], "auto", False, "raw", 1, (-np.inf, np.inf)),
    ([0, 50, 101], "auto", False, "raw", 1, (-np.inf, np.inf)),
    ([0.1, 0.5, 2], "auto", True, "raw", 1, (-np.inf, np.inf)),
    ([0.1, 0.5, 0.9], "auto", True, "raw", 1, (-np.inf, np.inf)),
    ([0.1, 0.5, 0.9], "fraction", True, "fraction", 1, (0, 1)),
    ([1, 2, 30], "raw", False, "raw", 1, (-np.inf, np.inf)),
  ],
)
def test_the_unit_of_scores(scores, unit, lower, found, factor, ends):
  decision = decide(scores, unit, lower)
  assert (decision.unit, decision.factor) == (found, factor)
  assert (decision.metric.low, decision.metric.high) == ends
  assert decision.metric.higher_is_better == (not lower)
  assert f"taken as {found}" in decision.sentence


def test_percent_signs_say_the_unit():
  assert decide([0.1, 0.2, 0.3], sign=~NO_SIGN).unit == "percent"
  with pytest.raises(ValueError, match="t line 4: 'm' has no percent sign"):
    decide([0.1, 0.2, 0.3], sign=np.array([True, True, False]))
  with pytest.raises(ValueError, match="--score_unit=fraction does not fit"):
    decide([0.1, 0.2, 0.3], "fraction", sign=~NO_SIGN)


@pytest.mark.parametrize(
  ("scores", "unit"),
  [
    ([0, 1, 1.1], "fraction"),
    ([0, -0.1, 1], "fraction"),
    ([0, 101, 1], "percent"),
  ],
)
def test_scores_outside_of_a_unit_name_their_row(scores, unit):
  with pytest.raises(ValueError, match=r"t line \d: 'm' is .* outside of \[0,"):
    decide(scores, unit)


def test_an_unknown_unit_is_refused():
  with pytest.raises(ValueError, match="one of auto, percent, fraction"):
    decide([0, 0, 0], "permille")


def test_scores_of_mixed_units_are_pointed_out():
  scores = [0.4] + [45.0] * 9
  decision = units.to_unit("m", np.array(scores), np.zeros(10, bool), SOURCES)
  assert "1 scores lie in (0, 1]" in decision.sentence


def make_frame():
  return pd.DataFrame(
    {
      "task": ["a", "a", "b", "b", "a", "a"],
      "metric": ["f1"] * 4 + ["nll"] * 2,
      "score": [0.2, np.float32(1) + 1e-7, 20.0, 80.0, 0.5, 2.5],
      "percent_sign": False,
      "item_stderr": [0.01, 0.02, 1.0, 2.0, 0.1, 0.2],
      "source": [f"t line {n}" for n in range(6)],
    }
  )


def test_each_task_has_a_unit_of_its_own_and_errors_follow_the_scores():
  frame, metrics, findings = units.settle_units(
    make_frame(), ["nll=raw"], ["nll"], by=("task", "metric")
  )
  np.testing.assert_allclose(frame["score"], [0.2, 1, 0.2, 0.8, 0.5, 2.5])
  assert frame["score"][:4].max() == 1  # Exactly, after single precision.
  np.testing.assert_allclose(
    frame["item_stderr"], [0.01, 0.02, 0.01, 0.02, 0.1, 0.2]
  )
  assert list(metrics) == ["f1", "nll"]
  assert (metrics["f1"].low, metrics["f1"].high) == (0, 1)
  assert not metrics["nll"].higher_is_better
  units_found = {
    (r["task"], r["metric"], r["unit"]) for f in findings for r in f.rows
  }
  assert units_found == {
    ("a", "f1", "fraction"),
    ("b", "f1", "percent"),
    ("a", "nll", "raw"),
  }


@pytest.mark.parametrize("arguments", [(["f=raw"], []), ([], ["nil"])])
def test_a_metric_that_is_not_there_is_refused(arguments):
  with pytest.raises(ValueError, match="in the metrics; did you mean"):
    units.settle_units(make_frame(), *arguments)


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("nll", True),
    ("eval/loss", True),
    ("word_perplexity", True),
    ("Test Loss", True),
    ("accuracy", False),
    ("lossless_rate", False),
    ("score", False),
  ],
)
def test_names_in_which_less_is_better(name, expected):
  assert units.is_lower_better(name) == expected


def test_a_likelihood_is_not_taken_for_percent():
  frame = make_frame().assign(metric="nll", score=0.5 * np.arange(6))
  _, metrics, _ = units.settle_units(frame)
  assert not metrics["nll"].higher_is_better
  assert metrics["nll"].high == np.inf


def test_ratings_are_not_taken_for_percent():
  assert decide([0.0, 3.0, 5.0]).unit == "raw"
  assert decide([0.0, 3.0, 50.0]).unit == "percent"


def test_fractions_beside_percents_are_refused_unless_the_unit_is_given():
  mixed = [0.1, 0.3, 0.9, 20.0, 60.0, 80.0]
  with pytest.raises(ValueError, match=r"3 of 6 scores lie in \(0, 1\]"):
    decide(mixed)
  assert decide(mixed, unit="percent").unit == "percent"
