import numpy as np
import pandas as pd
import pytest

from emergence.statistics import summary


def make_frame():
  """Two cells by hand; only step 10 and length 20 are to be looked at."""
  rows = []
  for depth, scores in [(2, [0.0, 0.0, 0.5, 0.9]), (1, [0.0, 0.0, 0.0, 0.1])]:
    for seed, score in enumerate(scores):
      for step, length, value in [(10, 20, score), (0, 20, 1), (10, 10, 1)]:
        rows.append(
          {
            "task": "count",
            "width": 8,
            "depth": depth,
            "num_params": 100 * depth,
            "seed": seed,
            "step": step,
            "test_length": length,
            "exact_match": value,
            "diverged": depth == 1 and seed == 0,
          }
        )
  return pd.DataFrame(rows)


def test_each_cell_is_described_at_its_last_step_and_the_length_asked_for():
  shallow, deep = summary.summarize(make_frame(), 20, "exact_match")
  assert (shallow["depth"], deep["depth"]) == (1, 2)
  assert (shallow["n_seeds"], shallow["n_diverged"]) == (4, 1)
  # The diverged seed, a failure, is left out of the mean.
  assert shallow["mean"] == pytest.approx(0.1 / 3)
  assert sum(shallow["seeds_by_tenth"]) == 3
  assert shallow["success_probability"] == 0
  assert deep["mean"] == pytest.approx(0.35)
  assert deep["mode"] == pytest.approx(0, abs=0.02)
  assert deep["success_probability"] == 0.5
  assert deep["success_text"] == "2 of 4"
  assert deep["success_low"] < 0.5 < deep["success_high"]
  assert deep["num_params"] == 200
  assert deep["seeds_by_tenth"] == [2, 0, 0, 0, 0, 1, 0, 0, 0, 1]
  assert deep["success_threshold"] == 0.2
  assert deep["step"] == 10


def test_a_length_that_was_not_tested_is_an_error():
  with pytest.raises(ValueError, match=r"only at \[10, 20\]"):
    summary.summarize(make_frame(), 30, "exact_match")


def test_a_cell_of_diverged_seeds_has_no_mean():
  frame = make_frame().assign(diverged=True)
  _, row = summary.summarize(frame, 20, "exact_match")
  assert (row["mean"], row["mode"]) == (None, None)
  assert row["success_probability"] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_tenth_holds_its_lower_end_and_the_last_one_both(dtype):
  ends_S = np.array([i / 10 for i in range(11)], dtype)
  assert summary.count_by_tenth(ends_S) == [1] * 9 + [2]
  below_S = np.array([0.0999, 0.2999, 0.6999, 0.9999], dtype)
  assert summary.count_by_tenth(below_S) == [1, 0, 1, 0, 0, 0, 1, 0, 0, 1]
  assert summary.count_by_tenth(ends_S[:0]) == [0] * 10
