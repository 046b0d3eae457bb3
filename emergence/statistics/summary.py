"""One row for each cell and metric: the summary table."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from emergence.statistics import density, modes, success

if TYPE_CHECKING:
  import pandas as pd


def summarize(
  frame: "pd.DataFrame",
  test_length: int,
  metric: str = "exact_match",
  threshold: float = success.DEFAULT_THRESHOLD,
) -> list[dict[str, Any]]:
  """Describes the distribution over seeds of each cell at its last step.

  Args:
    frame: records, as `emergence.records.read` returns them.
    test_length: the test length to describe.
    metric: a column of scores in [0, 1].
    threshold: the least score of a success.

  Returns:
    A row a cell, smallest width first, then smallest depth. Its keys: task,
    width, depth, num_params, step, test_length, metric; n_seeds, of which
    n_diverged diverged: they are failures in the success probability and left
    out of the other statistics; mean and mode of the score, None if all
    diverged; seeds_by_tenth of the score's range; success_threshold,
    num_successes, success_probability and its 95 % Wilson interval
    success_low, success_high; mean_given_success, None where fewer than
    `success.MIN_SUCCESSES` runs succeed.

  Raises:
    ValueError: no record of that test length.
  """
  rows = []
  for (task, width, depth), cell in final_cells(frame, test_length):
    diverged_S = cell["diverged"].to_numpy(bool)
    scores_S = np.where(diverged_S, np.nan, cell[metric].to_numpy(float))
    kept_S = scores_S[~diverged_S]
    result = success.success_probability(scores_S, threshold)
    given = success.mean_given_success(scores_S, threshold)
    rows.append(
      {
        "task": task,
        "width": int(width),
        "depth": int(depth),
        "num_params": int(cell["num_params"].to_numpy().max()),
        "step": int(cell["step"].to_numpy().max()),
        "test_length": test_length,
        "metric": metric,
        "n_seeds": len(cell),
        "n_diverged": int(diverged_S.sum()),
        "mean": float(kept_S.mean()) if kept_S.size else None,
        "mode": modes.mode(kept_S) if kept_S.size else None,
        "seeds_by_tenth": density.count_by_tenth(kept_S)
        if kept_S.size
        else [0] * 10,
        "success_threshold": threshold,
        "num_successes": result.num_successes,
        "success_probability": result.probability,
        "success_low": result.low,
        "success_high": result.high,
        "mean_given_success": None if given.reason else given.value,
      }
    )
  return rows


def scale_axis(rows: Sequence[Mapping[str, Any]]) -> str:
  """The axis along which cells are compared: `depth`, or `width` where only
  the width varies. The other one separates groups.

  Args:
    rows: cells, as `summarize` returns them.
  """
  depths = {row["depth"] for row in rows}
  widths = {row["width"] for row in rows}
  return "width" if len(depths) == 1 and len(widths) > 1 else "depth"


def final_cells(
  frame: "pd.DataFrame", test_length: int
) -> list[tuple[tuple[str, int, int], "pd.DataFrame"]]:
  """The rows of one test length after the last update, one a seed, by cell.

  Args:
    frame: records, as `emergence.records.read` returns them.
    test_length: the test length wanted.

  Returns:
    ((task, width, depth), rows) of each cell, in that order.

  Raises:
    ValueError: no record of that test length.
  """
  lengths = sorted(set(frame["test_length"]))
  if test_length not in lengths:
    raise ValueError(
      f"no record at test length {test_length}, only at {lengths}"
    )
  final = frame.query(f"test_length == {test_length} and step == step.max()")
  groups = final.groupby(["task", "width", "depth"])
  return cast(Any, list(groups))
