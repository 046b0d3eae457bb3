"""Determines the unit of scores, and which direction is better."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from emergence.tables.parsing import cell_text, flag
from emergence.tables.score_table import (
  Issue,
  Metric,
  quote,
  require_column,
)

if TYPE_CHECKING:
  import pandas as pd

# Scores stored in single precision miss 1 by less than this.
_TOLERANCE = 1e-6
_TOPS = {"percent": 100.0, "fraction": 1.0, "raw": np.inf}
# If a metric's name has only these and neutral words, it is a share of correct
# answers. Any other word, such as `gap`, may reverse the direction.
_SHARES = frozenset(
  "acc accuracy correct em f1 match pass score success".split()
)
_NEUTRAL = frozenset(
  "dev eval exact extract flexible mean norm rate strict test top train val"
  " valid validation".split()
)


def find_unit(
  name: str,
  scores_N: np.ndarray,
  percent_sign_N: np.ndarray,
  sources: Sequence[str] | np.ndarray,
  unit: str = "auto",
  lower_is_better: bool | None = None,
  advice: str = "",
) -> tuple[str, Metric, str]:
  """Determines the unit of a metric's scores; an error if it is not certain.

  With `auto`, scores with percent signs are percent. If lower is better, the
  others are raw, because an NLL has no upper end. Otherwise they are fractions
  if all finite ones lie in [0, 1], and raw if some are negative or above 100.
  They are percent if all lie in [0, 100], the name says that they are shares,
  and none lies in (0, 1) or the name has a percent sign.

  Args:
    name: the name of the metric.
    scores_N: its scores, [N].
    percent_sign_N: whether each was written with a percent sign, bool [N].
    sources: the place of each score in the source, for error messages, [N].
    unit: `auto`, `percent`, `fraction` or `raw`.
    lower_is_better: the direction; None if unknown. Then higher is better if
      the name says that the scores are shares and none is negative.
    advice: text to append to the error about an uncertain unit.

  Returns:
    The unit (`percent`, `fraction` or `raw`), the metric after percent are
    divided by 100, and the reason for the unit in words.

  Raises:
    ValueError: a score is outside of the range of its unit, percent signs do
      not fit, or the unit or direction is not certain.
  """
  if unit not in ("auto", *_TOPS):
    raise ValueError(
      f"--score_unit must be one of auto, {', '.join(_TOPS)}, got {unit!r}"
    )
  is_share = _is_share(name)
  finite_N = np.isfinite(scores_N)
  finite = scores_N[finite_N]
  low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
  if lower_is_better is None and (not is_share or low < 0):
    raise ValueError(
      f"is higher or lower {quote(name)} better? This does not follow from its"
      f" name and its scores, {low:g} to {high:g}; give"
      f" {flag('higher_is_better', name)} or"
      f" {flag('lower_is_better', name)}"
    )
  signed = bool(percent_sign_N.any())
  plain_R = np.flatnonzero(finite_N & ~percent_sign_N)
  if signed and plain_R.size:
    raise ValueError(
      f"{sources[plain_R[0]]}: {quote(name)} has no percent sign here but has"
      " one in other rows; write all of them alike"
    )
  if signed and unit in ("fraction", "raw"):
    raise ValueError(
      f"{quote(name)} is written with percent signs, so --score_unit={unit}"
      " does not fit; use percent"
    )
  why = f"--score_unit={unit}"
  if unit == "auto":
    small_R = np.flatnonzero(finite_N & (scores_N > 0) & (scores_N < 1))
    if signed:
      unit, why = "percent", "it has percent signs"
    elif lower_is_better:
      unit, why = "raw", "lower is better, so there may be no upper limit"
    elif low >= 0 and high <= 1 + _TOLERANCE:
      unit, why = "fraction", "every score lies in [0, 1]"
    elif low < 0 or high > 100 * (1 + _TOLERANCE):
      unit, why = "raw", "scores lie outside of [0, 100]"
    elif is_share and (not small_R.size or "%" in name):
      unit, why = "percent", "it is a share, and some scores exceed 1"
    else:
      where = (
        f", and {small_R.size} of {finite.size} scores lie in (0, 1), such as"
        f" the one in {sources[small_R[0]]}"
        if small_R.size
        else ""
      )
      raise ValueError(
        f"the unit of {quote(name)} is not certain: its scores go from {low:g}"
        f" to {high:g}{where}; give {flag('score_unit', f'{name}=percent')} or"
        f" {flag('score_unit', f'{name}=raw')}{advice}"
      )
  top = _TOPS[unit]
  slack = _TOLERANCE * top
  outside_N = (scores_N < -slack) | (scores_N > top + slack)
  outside_R = np.flatnonzero(finite_N & outside_N)
  if outside_R.size:
    row = outside_R[0]
    raise ValueError(
      f"{sources[row]}: {quote(name)} is {scores_N[row]:g}, outside of"
      f" [0, {top:g}], the range of --score_unit={unit}; use raw for scores"
      " that have another range"
    )
  ends = (-np.inf, np.inf, "as given")
  if unit != "raw":
    ends = (0.0, 1.0, "fraction")
  return unit, Metric(name, *ends, not lower_is_better), why


def settle_units(
  frame: "pd.DataFrame",
  lower_is_better: Sequence[str] = (),
  higher_is_better: Sequence[str] = (),
  by: Sequence[str] = ("metric",),
  known: Mapping[str, bool] | None = None,
  scale_column: str = "scale",
) -> tuple["pd.DataFrame", dict[str, Metric], list[Issue]]:
  """Brings the scores of each metric to one unit.

  Args:
    frame: columns `metric`, `score`, `percent_sign`, `source`, `scale_label`,
      `unit` (from `units_of_rows`) and those of `by`.
    lower_is_better: as in `ReadOptions`.
    higher_is_better: as in `ReadOptions`.
    by: columns; the unit is determined for each combination of their values.
    known: whether lower is better, by metric, according to the source; the two
      lists above take precedence. It may name metrics that are not in `frame`.
    scale_column: name of the scale's column in error messages.

  Returns:
    The frame in new units, without `percent_sign` and `unit`; the metrics, in
    the order of the rows; and an issue for each decision.

  Raises:
    ValueError: a metric in the two lists does not exist, or as `find_unit`.
  """
  names = list(dict.fromkeys(frame["metric"]))
  direction = dict(known or {})
  for name, is_lower in [
    *((name, False) for name in higher_is_better),
    *((name, True) for name in lower_is_better),
  ]:
    which = "lower_is_better" if is_lower else "higher_is_better"
    require_column(name, names, which, "the metrics")
    direction[name] = is_lower
  score_N = frame["score"].to_numpy(float, copy=True)
  metrics: dict[str, Metric] = {}
  found: dict[tuple[str, str, str], list[np.ndarray]] = {}
  groups = cast(Any, frame.groupby([*by, "unit"], sort=False))
  for (*_, asked), rows_R in groups.indices.items():
    rows = frame.iloc[rows_R]
    name = rows["metric"].iloc[0]
    unit, metric, why = find_unit(
      name,
      score_N[rows_R],
      rows["percent_sign"].to_numpy(bool),
      rows["source"].to_numpy(),
      asked,
      direction.get(name),
      _of_some_scales(rows, scale_column),
    )
    found.setdefault((name, unit, why), []).append(rows_R)
    # A metric is bounded only if it is so in each of its groups.
    if name not in metrics or metric.low < metrics[name].low:
      metrics[name] = metric
  issues = []
  for (name, unit, why), parts in found.items():
    rows_R = np.concatenate(parts)
    scores_R = score_N[rows_R]
    finite = scores_R[np.isfinite(scores_R)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    done = "divided by 100" if unit == "percent" else "left as it is"
    better = "higher" if metrics[name].higher_is_better else "lower"
    issues.append(
      Issue(
        "score_unit",
        f"{quote(name)}, from {low:g} to {high:g}, is taken as {unit} ({why})"
        f" and {done}; {better} is better. --score_unit, --lower_is_better and"
        " --higher_is_better override this.",
        [],
      )
    )
    if unit == "percent":
      score_N[rows_R] *= 0.01
    if unit != "raw":
      # Rounding may have left scores just outside of [0, 1].
      is_finite_R = np.isfinite(scores_R)
      score_N[rows_R[is_finite_R]] = score_N[rows_R[is_finite_R]].clip(0, 1)
  frame = frame.assign(score=score_N)
  metrics = {name: metrics[name] for name in names}
  return frame.drop(columns=["percent_sign", "unit"]), metrics, issues


def units_of_rows(
  rows: "pd.DataFrame",
  metric_N: Sequence[str],
  names: Sequence[str],
  score_unit: Sequence[str],
) -> np.ndarray:
  """Returns the unit requested for each row, [N]; `auto` if there is none.

  Args:
    rows: a table of N rows.
    metric_N: the metric of each row.
    names: all metrics.
    score_unit: as in `ReadOptions`.

  Raises:
    ValueError: `score_unit` names a metric or column that does not exist.
  """
  unit_N = np.full(len(rows), "auto", object)
  asked = [text.rpartition("=")[::2] for text in score_unit]
  # Later ones override: a unit for all rows, for a metric, for some rows.
  for left, unit in sorted(
    asked, key=lambda x: (x[0] != "", x[0] not in names)
  ):
    column, equals, value = left.rpartition("=")
    if not left:
      unit_N[:] = unit
    elif left in names or not equals:
      require_column(left, names, "score_unit", "the metrics")
      unit_N[np.array(metric_N) == left] = unit
    else:
      require_column(column, rows.columns, "score_unit", "the table")
      texts: Any = rows[column].map(cell_text)
      unit_N[(texts == value).to_numpy()] = unit
  return unit_N


def _of_some_scales(rows: "pd.DataFrame", scale_column: str) -> str:
  """Advises flags if some scales, but not all, have only scores up to 1."""
  highest = cast(Any, rows).groupby("scale_label", sort=False)["score"].max()
  labels = list(highest.index[highest <= 1])
  if not 0 < len(labels) < min(len(highest), 6):
    return ""
  flags = (flag("score_unit", f"{scale_column}={x}=fraction") for x in labels)
  return f"; or, if {quote(labels[0])} is in fractions, {' '.join(flags)}"


def _is_share(name: str) -> bool:
  """Whether a name has only words for a share of correct answers."""
  words = {
    word if word in _SHARES else word.rstrip("0123456789")
    for word in re.split(r"[^a-z0-9]+", name.lower())
  } - {""}
  return bool(words & _SHARES) and words <= _SHARES | _NEUTRAL
