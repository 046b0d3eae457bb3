"""Rows of a table that are no runs but summaries of other rows."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emergence.tables.parsing import flag
from emergence.tables.score_table import flag_list, quote

if TYPE_CHECKING:
  import pandas as pd

_WORDS = frozenset(
  "agg aggregate all average avg best ci count deviation iqr lower max maximum"
  " mean median min minimum overall percentile quantile quartile range sd se"
  " sem std stddev stdev stderr sum summary total upper var variance"
  " worst".split()
)
# A seed is suspected if it agrees with a statistic of the others in this many
# decimal digits, summed over all cells; in more digits if its own name has a
# digit, as the names of runs have.
_DIGITS, _DIGITS_OF_NUMBERS = 4.0, 8.0


def drop(
  scores: "pd.DataFrame", cell_columns: Sequence[str], drop_rows: Sequence[str]
) -> "pd.DataFrame":
  """Returns the rows that are runs, without the seeds in `drop_rows`.

  A seed is suspected to be a summary if its name has the word for a statistic,
  such as `mean`, that most names lack. It is also suspected if, in every cell,
  its score is the mean, a standard deviation, the standard error, the sum, the
  minimum or the maximum of the others.

  Args:
    scores: columns `seed` (texts), `score`, `source` and `cell_columns`.
    cell_columns: the columns that name a cell and metric.
    drop_rows: as in `ReadOptions`.

  Raises:
    ValueError: a seed of `drop_rows` does not exist, or there are other
      suspects and `drop_rows` has no `none`.
  """
  frame: Any = scores
  seeds = set(frame["seed"])
  for name in drop_rows:
    if name not in seeds and name != "none":
      raise ValueError(f"--drop_rows: there is no seed {quote(name)}")
  frame = frame[~frame["seed"].isin(list(drop_rows))]
  if "none" in drop_rows:
    return frame
  labels = list(dict.fromkeys(frame["seed"]))
  named = _with_words(labels)
  rest = frame[~frame["seed"].isin(named)]
  suspects = set(named)
  if len(rest):
    suspects |= _with_values(rest, cell_columns)
  if suspects:
    ordered = [name for name in labels if name in suspects]
    number = int(frame["seed"].isin(ordered).sum())
    first = frame.loc[frame["seed"] == ordered[0], "source"].iloc[0]
    raise ValueError(
      f"{number} of {len(frame)} scores seem to be summaries of runs, not"
      f" runs, such as {quote(ordered[0])} ({first});"
      f" {flag('drop_rows', flag_list(ordered))} leaves them out,"
      " --drop_rows=none keeps them"
    )
  return frame


def _with_words(labels: Sequence[str]) -> list[str]:
  """Returns labels with a word for a statistic that most labels lack."""
  found = []
  for label in labels:
    # Split joined words, as in stdDev and min_of_seeds.
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label).lower()
    parts = {*re.findall(r"[^\W\d_]+", words), re.sub(r"[\W\d_]", "", words)}
    if parts & _WORDS:
      found.append((label, parts & _WORDS))
  usual = {
    word
    for word in _WORDS
    if sum(word in words for _, words in found) > len(labels) / 2
  }
  return [label for label, words in found if words - usual]


def _with_values(frame: Any, cell_columns: Sequence[str]) -> set[str]:
  """Returns labels whose scores are a statistic of others in every cell."""
  frame = frame[np.isfinite(frame["score"])].reset_index(drop=True)
  score = frame["score"]
  is_number = frame["seed"].str.contains(r"\d")
  is_run = is_number if is_number.any() else is_number | True
  group = frame.groupby(list(cell_columns), sort=False).ngroup()
  of_runs = score.where(is_run)

  def total(values):
    return values.groupby(group).transform("sum")

  own = of_runs.fillna(0)
  n = total(is_run.astype(float)) - is_run
  mean = (total(of_runs) - own) / n
  # Deviations are from the cell's mean: squares of large scores lose digits.
  centre = total(of_runs) / total(is_run.astype(float))
  around = (of_runs - centre) ** 2
  square = (total(around) - around.fillna(0)) / n - (mean - centre) ** 2
  deviation = np.sqrt(square.clip(lower=0))
  sample = deviation * np.sqrt(n / (n - 1).clip(lower=1))
  low = of_runs.groupby(group).transform("min")
  high = of_runs.groupby(group).transform("max")
  statistics = {
    "mean": mean,
    "deviation": deviation,
    "sample deviation": sample,
    "standard error": sample / np.sqrt(n),
    "sum": mean * n,
    # With ties, as at a floor, the extreme identifies no summary.
    "least": low.where(~is_run & (total((of_runs == low).astype(float)) == 1)),
    "most": high.where(~is_run & (total((of_runs == high).astype(float)) == 1)),
  }
  decimals = score.map(lambda x: len(f"{x:.9f}".rstrip("0").partition(".")[2]))
  error = 0.501 * 10.0**-decimals
  spread = high - low
  is_told = (n >= 2) & (spread > error)
  digits = np.log10((spread / error).where(is_told, 1.0) / 2).clip(lower=0)
  needed = np.where(is_number, _DIGITS_OF_NUMBERS, _DIGITS)
  found: set[str] = set()
  for value in statistics.values():
    is_equal = ((score - value).abs() <= error) | ~is_told
    by_label: Any = (
      frame.assign(equal=is_equal, digits=digits, needed=needed)
      .groupby("seed")[["equal", "digits", "needed"]]
      .agg({"equal": "all", "digits": "sum", "needed": "max"})
    )
    is_found = by_label["equal"] & (by_label["digits"] >= by_label["needed"])
    found.update(by_label.index[is_found])
  return found
