"""The summary table: one row for each cell and metric."""

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from emergence.statistics import modes, success
from emergence.statistics.options import DEFAULT_THRESHOLD, MIN_RUNS
from emergence.statistics.sample import Sample
from emergence.storage import records

if TYPE_CHECKING:
  import pandas as pd


def summarize(
  frame: "pd.DataFrame", test_length: int, metric: str
) -> list[dict[str, Any]]:
  """Describes a score over the seeds of each cell at its last step.

  Args:
    frame: records, as `emergence.storage.records.read` returns them.
    test_length: the test length to describe.
    metric: the column of the score, a share such as `exact_match`.

  Returns:
    One row per cell, smallest width first, then smallest depth. Its keys: task,
    width, depth and the other axes, num_params, step, test_length, metric;
    n_seeds, of which n_diverged diverged: they are failures in the success
    probability and left out of the other statistics; mean and mode of the
    score, None if all diverged; seeds_by_tenth of the score's range;
    success_threshold, num_successes, success_probability; success_text, which
    is such as `3 of 7` where runs are few, else the probability; success_low
    and success_high, its 95 % interval; mean_given_success, None where fewer
    than `options.MIN_RUNS` runs succeed.

  Raises:
    ValueError: no record of that test length.
  """
  rows = []
  for columns, cell in final_cells(frame, test_length):
    diverged_S = cell["diverged"].to_numpy(bool)
    scores_S = np.where(diverged_S, np.nan, cell[metric].to_numpy(float))
    sample = Sample.of(scores_S)
    kept_S = sample.finite_S
    result = success.success_probability(sample)
    given = success.mean_given_success(sample)
    rows.append(
      {
        **columns,
        "num_params": int(cell["num_params"].to_numpy().max()),
        "step": int(cell["step"].to_numpy().max()),
        "test_length": test_length,
        "metric": metric,
        "n_seeds": len(cell),
        "n_diverged": int(diverged_S.sum()),
        "mean": float(kept_S.mean()) if kept_S.size else None,
        "mode": modes.mode_and_antimode(sample).mode if kept_S.size else None,
        "seeds_by_tenth": count_by_tenth(kept_S),
        "success_threshold": DEFAULT_THRESHOLD,
        "num_successes": result.num_successes,
        "success_probability": result.probability,
        "success_text": f"{result.num_successes} of {result.num_runs}"
        if result.num_runs < MIN_RUNS
        else f"{result.probability:.2f}",
        "success_low": result.low,
        "success_high": result.high,
        "mean_given_success": None if given.reason else given.value,
      }
    )
  return rows


def final_cells(
  frame: "pd.DataFrame", test_length: int
) -> list[tuple[dict[str, Any], "pd.DataFrame"]]:
  """Groups the rows of one test length at each cell's last step by cell.

  Args:
    frame: records, as `emergence.storage.records.read` returns them.
    test_length: the test length wanted.

  Returns:
    A pair for each cell: its values of `records.cell_columns`, and its rows,
    one per seed. Cells are in the order of those values.

  Raises:
    ValueError: no record of that test length.
  """
  lengths = sorted(set(frame["test_length"].dropna()))
  if test_length not in lengths:
    raise ValueError(
      f"no record at test length {test_length}, only at {lengths}"
    )
  rows = records.final_rows(
    cast(Any, frame[frame["test_length"] == test_length])
  )
  names = records.cell_columns(frame)
  groups = cast(Any, rows.groupby(names))
  # JSON can hold Python's own numbers, but not NumPy's.
  plain = lambda value: value.item() if hasattr(value, "item") else value
  return [
    (dict(zip(names, map(plain, values), strict=True)), cell)
    for values, cell in groups
  ]


def count_by_tenth(scores_S: np.ndarray) -> list[int]:
  """Number of runs with a score in [0, .1), [.1, .2), …, [.9, 1].

  Args:
    scores_S: one score in [0, 1] per run, [S].

  Returns:
    Ten counts, which add up to S.
  """
  # Scores are stored in single precision, where 0.7 is rounded to less.
  tenth_S = np.minimum(np.floor(10 * scores_S + 1e-5), 9).astype(int)
  return np.bincount(tenth_S, minlength=10).tolist()
