import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emergence.analysis import time_to_success
from tests.computed import ACCURACY, FEW, NLL, answers_of, ask, panels

STEPS = np.arange(0, 1001, 100)


def curves(times, ends=None):
  """Exact match that is .9 from a time on, [S, E]; NaN never is."""
  score_SE = np.where(np.asarray(times, float)[:, None] <= STEPS, 0.9, 0.1)
  if ends is not None:
    score_SE[:, -1] = ends
  return score_SE


@pytest.fixture
def answer(make_table):
  def answer(cells, metric=ACCURACY, diverged=(), options=FEW):
    """Sentences, rows and the analysis of the curves of one series.

    Args:
      cells: for each scale, [S, E].
      metric: of the scores.
      diverged: (scale, seed, step) at which a run has diverged.
      options: of the analysis.
    """
    frames = [
      pd.DataFrame(
        {
          "group": "g",
          "scale": float(n + 1),
          "metric": metric.name,
          "seed": np.repeat(np.arange(len(score_SE)), len(STEPS)),
          "step": np.tile(STEPS, len(score_SE)),
          "score": np.ravel(score_SE),
        }
      )
      for n, score_SE in enumerate(cells)
    ]
    frame = pd.concat(frames)
    frame["diverged"] = [
      any((scale, seed) == x[:2] and step >= x[2] for x in diverged)
      for scale, seed, step in frame[["scale", "seed", "step"]].to_numpy()
    ]
    # In any order, and with a run that is not in the table.
    other = frame[frame["seed"] == 0].assign(seed=99, score=1.0)
    frame = pd.concat([frame, other]).sample(frac=1, random_state=0)
    table = make_table(
      {("g", metric): [np.asarray(x)[:, -1] for x in cells]},
      curves=frame,
    )
    analysis = ask(table, "time_to_success", options=options)
    return *answers_of(analysis, "time_to_success"), analysis

  return answer


LATE = [500] * 8 + [1000] * 4 + [np.nan] * 4
SOON = [100] * 6 + [200] * 6 + [700] * 4


def test_rows_have_the_curve_of_each_scale_and_the_test_between(answer):
  texts, frame, _ = answer([curves(LATE), curves(SOON), curves(SOON)])
  assert frame["n_seeds"].tolist() == [16] * 3
  assert frame["n_succeeded"].tolist() == [12, 16, 16]
  assert frame["n_censored"].tolist() == [4, 0, 0]
  assert frame["median_step"].tolist() == [500, 200, 200]
  late = stats.CensoredData([500] * 8 + [1000] * 4, right=[1000] * 4)
  assert stats.logrank(late, SOON).pvalue < 2e-4
  p = 1 / 5000  # The least of 4999 permutations.
  assert np.isnan(frame["p_to_previous"][0])
  assert frame["p_to_previous"][1:].tolist() == pytest.approx([p, 1])
  assert frame["p_to_previous_adjusted"][1] == pytest.approx(2 * p)
  assert texts == [
    "exact match: seeds reach ≥ 20% sooner at size 2 than at 1: half by step"
    " 200 at 2, half by step 500 at 1."
  ]


def test_without_a_difference_the_last_scale_with_a_median_is_told(answer):
  never = curves([np.nan] * 16)
  (text,), frame, _ = answer([curves(SOON), curves(SOON)])
  low, high = frame.iloc[1]["median_step_low":"median_step_high"]
  assert text == (
    "exact match: at size 2, half of the seeds reach ≥ 20% by step 200"
    f" ({low:g}–{high:g})."
  )
  # By the end 7 of 16, with an interval that one half is in: no median.
  (text,), *_ = answer([curves([300] * 7 + [np.nan] * 9)])
  assert text == (
    "exact match: at size 1, 7 of the 16 seeds reach ≥ 20% by the last step."
  )
  texts, _, analysis = answer([never, never])
  assert texts == list(time_to_success.sections(analysis)) == []


def test_seeds_that_fall_back_are_told_if_they_are_many(answer):
  ends = [0.1] * 5 + [0.9] * 11
  texts, frame, _ = answer([curves(SOON), curves(SOON, ends)])
  assert frame["share_fell_back"].tolist() == [0, 5 / 16]
  assert texts[1] == (
    "exact match: at size 2, 5 of the 16 seeds that reached ≥ 20% fail at their"
    " last evaluation."
  )


def test_a_diverged_seed_stays_at_risk_and_never_succeeds(answer):
  diverged = [(1, 0, 0), (1, 1, 300)]
  _, frame, _ = answer([curves(SOON)], diverged=diverged)
  row = frame.iloc[0]
  assert (row["n_succeeded"], row["n_censored"]) == (15, 1)
  assert row["share_fell_back"] == 1 / 15


def test_lower_may_be_better(answer):
  options = FEW._replace(thresholds=(("nll", 1.0),))
  cells = [3 - 2.5 * (curves(x) > 0.5) for x in (LATE, SOON)]
  texts, frame, _ = answer(cells, NLL, options=options)
  assert frame["median_step"].tolist() == [500, 200]
  assert texts[0].startswith("nll: seeds reach ≤ 1 sooner at size 2 than at 1:")


def test_the_figure_draws_the_share_that_has_not_succeeded(answer):
  (section,) = time_to_success.sections(answer([curves(LATE)])[2])
  (axes,) = panels(section.figure)
  (line,) = axes.lines
  assert line.get_xdata().tolist() == [0, 500, 1000, 1000]
  assert line.get_ydata().tolist() == [1, 0.5, 0.25, 0.25]
  assert len(axes.collections) == 1


def test_a_success_at_the_first_score_of_a_seed_has_no_time(answer):
  """The records begin after these two seeds got there."""
  scores_SE = curves(SOON)
  scores_SE[:2, :-1] = np.nan
  texts, frame, _ = answer([scores_SE])
  assert texts == [
    "exact match: 2 of the 16 seeds that reach ≥ 20% do so at their first score"
    " in the table, so it is not known when seeds succeed."
  ]
  assert frame.empty
