import numpy as np
import pytest

from emergence.statistics import success


@pytest.mark.parametrize(
  ("hits", "num"), [(0, 10), (3, 10), (16, 32), (32, 32), (1, 1), (200, 250)]
)
def test_the_interval_is_wilsons_closed_form(hits, num):
  scores_S = [0.9] * hits + [0.0] * (num - hits)
  found = success.success_probability(scores_S)
  z = 1.959963984540054
  p = hits / num
  centre = (p + z**2 / (2 * num)) / (1 + z**2 / num)
  half = z / (1 + z**2 / num) * np.sqrt(p * (1 - p) / num + z**2 / (4 * num**2))
  assert found.num_successes == hits
  assert found.probability == p
  assert found.low == pytest.approx(max(centre - half, 0), abs=1e-12)
  assert found.high == pytest.approx(min(centre + half, 1), abs=1e-12)


def test_a_score_at_the_threshold_succeeds_in_any_precision():
  for dtype in (np.float32, np.float64):
    scores_S = np.array([0.7, 0.69, 0.71], dtype)
    assert success.success_probability(scores_S, 0.7).num_successes == 2


def test_a_run_without_a_score_has_failed():
  found = success.success_probability([np.nan, 1.0])
  assert (found.num_successes, found.num_runs) == (1, 2)


@pytest.mark.parametrize("scores", [[], [[0.1, 0.2]]])
def test_scores_of_another_shape_are_refused(scores):
  with pytest.raises(ValueError, match=r"shape \[S\]"):
    success.success_probability(scores)
