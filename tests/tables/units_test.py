import numpy as np
import pandas as pd
import pytest

from emergence.tables import units

INF = np.inf


def find_unit(scores, unit="auto", lower=False, sign=False, name="acc"):
  signs = np.broadcast_to(sign, len(scores))
  sources = [f"t line {n}" for n in range(2, len(scores) + 2)]
  return units.find_unit(name, np.array(scores), signs, sources, unit, lower)


@pytest.mark.parametrize(
  ("scores", "unit", "lower", "sign", "found"),
  [
    ([0, np.nan, 1], "auto", None, False, "fraction"),
    ([0, 50, 100], "auto", None, False, "percent"),
    ([0, 3, 5], "auto", False, False, "percent"),
    ([0.1, 0.2, 0.3], "auto", False, True, "percent"),
    ([-3, -0.1, 0], "auto", False, False, "raw"),
    ([0, 50, 101], "auto", False, False, "raw"),
    ([0.1, 0.5, 0.9], "auto", True, False, "raw"),
    ([0.1, 0.5, 0.9], "fraction", True, False, "fraction"),
    ([0.1, 0.3, 60], "percent", False, False, "percent"),
  ],
)
def test_the_unit_of_scores(scores, unit, lower, sign, found):
  unit, metric, _ = find_unit(scores, unit, lower, sign)
  assert unit == found
  ends = (-INF, INF) if found == "raw" else (0, 1)
  assert (metric.low, metric.high) == ends
  assert metric.higher_is_better == (not lower)


@pytest.mark.parametrize(
  ("scores", "unit", "sign", "message"),
  [
    ([0.1, 0.2], "auto", [True, False], "t line 3: 'acc' has no percent sign"),
    ([0, 1, 1.1], "fraction", False, r"t line 4: 'acc' is 1.1, outside of"),
    ([20, 60, 0.9], "auto", False, r"1 of 3 scores lie in \(0, 1\), .*line 4"),
    ([0, 0], "permille", False, "one of auto, percent, fraction, raw, got"),
  ],
)
def test_scores_that_do_not_fit_a_unit_are_refused(scores, unit, sign, message):
  with pytest.raises(ValueError, match=message):
    find_unit(scores, unit, sign=sign)


def test_the_direction_of_an_accuracy_is_known():
  for name in ("eval/acc", "acc (%)", "val EM"):
    assert find_unit([0.1, 0.9], lower=None, name=name)[1].higher_is_better


def test_the_direction_of_other_names_is_asked_for():
  with pytest.raises(ValueError, match="--lower_is_better=acc_gap"):
    find_unit([0.1, 0.9], lower=None, name="acc_gap")
  # Nor is an unknown quantity up to 100 a percentage.
  with pytest.raises(ValueError, match="--score_unit=acc_gap=raw"):
    find_unit([1, 90], lower=False, name="acc_gap")


def make_frame():
  return pd.DataFrame(
    {
      "task": ["a", "a", "b", "b", "a", "a"],
      "metric": ["f1"] * 4 + ["nll"] * 2,
      "score": [0.2, np.float32(1) + 1e-7, 20.0, 80.0, 0.5, 2.5],
      "percent_sign": False,
      "scale_label": "1",
      "unit": "auto",
      "source": [f"t line {n}" for n in range(6)],
    }
  )


def test_each_task_has_a_unit_of_its_own():
  frame, metrics, issues = units.settle_units(
    make_frame(), ["nll"], by=("task", "metric")
  )
  np.testing.assert_allclose(frame["score"], [0.2, 1, 0.2, 0.8, 0.5, 2.5])
  assert frame["score"][:4].max() == 1  # Exactly, after single precision.
  assert list(metrics) == ["f1", "nll"]
  assert (metrics["f1"].low, metrics["f1"].high) == (0, 1)
  assert not metrics["nll"].higher_is_better
  told = " ".join(issue.sentence for issue in issues)
  assert "'f1', from 20 to 80, is taken as percent" in told
  assert "'nll', from 0.5 to 2.5, is taken as raw" in told


def test_a_unit_of_some_rows_goes_before_that_of_a_metric_and_of_all():
  rows = pd.DataFrame({"size": ["S", "S", "L", "L"]})
  metric = ["a", "b", "a", "b"]
  asked = ["size=L=fraction", "raw", "a=percent"]
  found = units.units_of_rows(rows, metric, ["a", "b"], asked)
  assert found.tolist() == ["percent", "raw", "fraction", "fraction"]
  with pytest.raises(ValueError, match="no column 'width' in the table"):
    units.units_of_rows(rows, metric, ["a", "b"], ["width=8=raw"])
