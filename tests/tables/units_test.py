import numpy as np
import pandas as pd
import pytest

from emergence.tables import units

INF = np.inf


def find_unit(scores, unit="auto", lower=False, sign=False):
  signs = np.broadcast_to(sign, len(scores))
  sources = [f"t line {n}" for n in range(2, len(scores) + 2)]
  return units.find_unit("m", np.array(scores), signs, sources, unit, lower)


@pytest.mark.parametrize(
  ("scores", "unit", "lower", "sign", "found"),
  [
    ([0, 0.5, 1], "auto", False, False, "fraction"),
    ([0, 0.5, np.nan], "auto", False, False, "fraction"),
    ([0, 50, 100], "auto", False, False, "percent"),
    ([0, 3, 50], "auto", False, False, "percent"),
    ([0.1, 0.2, 0.3], "auto", False, True, "percent"),
    # As numbers of stars may be.
    ([0, 3, 5], "auto", False, False, "raw"),
    ([-3, -0.1, 0], "auto", False, False, "raw"),
    ([0, 50, 101], "auto", False, False, "raw"),
    ([0.1, 0.5, 2], "auto", True, False, "raw"),
    ([0.1, 0.5, 0.9], "auto", True, False, "raw"),
    ([0.1, 0.5, 0.9], "fraction", True, False, "fraction"),
    ([0, 0.5, 1], "percent", False, False, "percent"),
    ([0.1, 0.3, 60], "percent", False, False, "percent"),
    ([1, 2, 30], "raw", False, False, "raw"),
  ],
)
def test_the_unit_of_scores(scores, unit, lower, sign, found):
  unit, metric, sentence = find_unit(scores, unit, lower, sign)
  assert unit == found
  ends = (-INF, INF) if found == "raw" else (0, 1)
  assert (metric.low, metric.high) == ends
  assert metric.higher_is_better == (not lower)
  assert f"taken as {found}" in sentence


@pytest.mark.parametrize(
  ("scores", "unit", "sign", "message"),
  [
    ([0.1, 0.2], "auto", [True, False], "t line 3: 'm' has no percent sign"),
    ([0.1, 0.2], "fraction", True, "--score_unit=fraction does not fit"),
    (
      [0, 1, 1.1],
      "fraction",
      False,
      r"t line 4: 'm' is 1.1, outside of \[0, 1\]",
    ),
    ([0, -0.1, 1], "fraction", False, "t line 3: 'm' is -0.1, outside"),
    ([0, 101, 1], "percent", False, "t line 3: 'm' is 101, outside"),
    (
      [0.1, 0.3, 0.9, 20, 60, 80],
      "auto",
      False,
      r"3 of 6 scores lie in \(0, 1",
    ),
    ([0, 0], "permille", False, "one of auto, percent, fraction, raw, got"),
  ],
)
def test_scores_that_do_not_fit_a_unit_are_refused(scores, unit, sign, message):
  with pytest.raises(ValueError, match=message):
    find_unit(scores, unit, sign=sign)


def test_a_few_scores_below_one_percent_are_pointed_out():
  _, _, sentence = find_unit([0.4] + [45.0] * 9)
  assert "1 scores lie in (0, 1]" in sentence


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
  frame, metrics, issues = units.settle_units(
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
  assert [row for issue in issues for row in issue.rows] == [
    {"task": "a", "metric": "f1", "unit": "fraction"},
    {"task": "b", "metric": "f1", "unit": "percent"},
    {"task": "a", "metric": "nll", "unit": "raw"},
  ]


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
  frame = make_frame().assign(metric=name, score=0.5 * np.arange(6))
  _, metrics, _ = units.settle_units(frame)
  assert metrics[name].higher_is_better != expected
