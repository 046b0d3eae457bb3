"""Percent, fractions and other units, and which direction is better."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

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
# Scores up to this may be ratings as well as percent.
_LEAST_PERCENT = 10.0
# So many of them in (0, 1] beside others above 1 may be fractions.
_MOST_SMALL = 0.2
_TOPS = {"percent": 100.0, "fraction": 1.0, "raw": np.inf}
# Words in the name of a metric in which less is better.
_LOWER_IS_BETTER = frozenset(
  "bits bpb brier cer error loss nll perplexity ppl ter wer".split()
)


def find_unit(
  name: str,
  scores_N: np.ndarray,
  percent_sign_N: np.ndarray,
  sources: Sequence[str] | np.ndarray,
  unit: str = "auto",
  lower_is_better: bool = False,
) -> tuple[str, Metric, str]:
  """The unit that scores are in.

  `auto` takes scores with a percent sign for percent. Others are raw where
  lower is better (an NLL has no upper end). Where higher is better, they are
  fractions if all finite ones lie in [0, 1], percent if all lie in [0, 100] and
  some above 10, and raw, without known ends, otherwise.

  Args:
    name: the metric.
    scores_N: its scores, [N].
    percent_sign_N: which were written with a percent sign, [N].
    sources: where each stood, [N].
    unit: `auto`, `percent`, `fraction` or `raw`.
    lower_is_better: the direction.

  Returns:
    `percent`, `fraction` or `raw`; what the scores are once percent are divided
    by 100; and a sentence that says so, and why.

  Raises:
    ValueError: a score outside of the range of its unit, percent signs that do
      not fit, or percent and fractions that seem to be mixed.
  """
  if unit not in ("auto", *_TOPS):
    raise ValueError(
      f"--score_unit must be one of auto, {', '.join(_TOPS)}, got {unit!r}"
    )
  finite_N = np.isfinite(scores_N)
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
  finite = scores_N[finite_N]
  low, high = (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)
  small = int(((finite > 0) & (finite <= 1)).sum())
  why = f"--score_unit={unit}"
  if unit == "auto":
    unit, why = _guess_unit(low, high, signed, lower_is_better)
    if unit == "percent" and not signed and small > _MOST_SMALL * finite.size:
      raise ValueError(
        f"{quote(name)}: {small} of {finite.size} scores lie in (0, 1] and"
        f" others up to {high:g}: percent, or fractions and percent mixed? Say"
        " --score_unit=percent if all of them are"
      )
  top = _TOPS[unit]
  slack = _TOLERANCE * top
  outside_N = (scores_N < -slack) | (scores_N > top + slack)
  outside_R = np.flatnonzero(finite_N & outside_N)
  if outside_R.size:
    row = outside_R[0]
    raise ValueError(
      f"{sources[row]}: {quote(name)} is {scores_N[row]:g}, outside of"
      f" [0, {top:g}] of --score_unit={unit}; use raw for scores without these"
      " ends"
    )
  if unit == "raw":
    metric = Metric(name, -np.inf, np.inf, "as given", not lower_is_better)
    done = "left as it is, with no known ends"
  else:
    metric = Metric(name, 0.0, 1.0, "fraction", not lower_is_better)
    done = "divided by 100" if unit == "percent" else "left as it is"
  better = "lower" if lower_is_better else "higher"
  sentence = (
    f"{quote(name)}, from {low:g} to {high:g}, is taken as {unit} ({why}) and"
    f" {done}; {better} is better. --score_unit and --lower_is_better say it"
    " otherwise."
  )
  if unit == "percent" and small and not signed:
    sentence += (
      f" {small} scores lie in (0, 1]: below 1 percent, unless units are mixed."
    )
  return unit, metric, sentence


def settle_units(
  frame: "pd.DataFrame",
  score_unit: Sequence[str] = (),
  lower_is_better: Sequence[str] = (),
  by: Sequence[str] = ("metric",),
  known_lower: Iterable[str] = (),
) -> tuple["pd.DataFrame", dict[str, Metric], list[Issue]]:
  """Brings the scores of each metric to one unit.

  Args:
    frame: columns `metric`, `score`, `percent_sign`, `item_stderr`, `source`
      and those of `by`.
    score_unit: as in `ReadOptions`.
    lower_is_better: as in `ReadOptions`.
    by: columns; the unit is found for each of their combinations.
    known_lower: other metrics in which less is better, there or not.

  Returns:
    The frame in new units, without `percent_sign`; the metrics, in the order of
    the rows; and what was decided.

  Raises:
    ValueError: a metric that is not there, or what `find_unit` raises.
  """
  names = list(dict.fromkeys(frame["metric"]))
  default, units = "auto", {}
  for text in score_unit:
    name, equals, unit = text.rpartition("=")
    if equals:
      require_column(name, names, "score_unit", "the metrics")
      units[name] = unit
    else:
      default = unit
  for name in lower_is_better:
    require_column(name, names, "lower_is_better", "the metrics")
  lower = {*lower_is_better, *known_lower, *filter(is_lower_better, names)}
  score_N = frame["score"].to_numpy(float, copy=True)
  stderr_N = frame["item_stderr"].to_numpy(float, copy=True)
  metrics: dict[str, Metric] = {}
  issues: dict[tuple[str, str], Issue] = {}
  groups = cast(Any, frame.groupby(list(by), sort=False))
  for key, rows_R in groups.indices.items():
    rows = frame.iloc[rows_R]
    name = rows["metric"].iloc[0]
    unit, metric, sentence = find_unit(
      name,
      score_N[rows_R],
      rows["percent_sign"].to_numpy(bool),
      rows["source"].to_numpy(),
      units.get(name, default),
      name in lower,
    )
    factor = 0.01 if unit == "percent" else 1.0
    # Onto the ends that rounding left the scores outside of.
    scores_R = score_N[rows_R] * factor
    clipped_R = np.clip(scores_R, metric.low, metric.high)
    score_N[rows_R] = np.where(np.isfinite(scores_R), clipped_R, scores_R)
    stderr_N[rows_R] *= factor
    # Known ends hold for a metric only if they do in each of its groups.
    if name not in metrics or metric.low < metrics[name].low:
      metrics[name] = metric
    values = key if isinstance(key, tuple) else (key,)
    issue = issues.setdefault((name, unit), Issue("score_unit", sentence, []))
    issue.rows.append(dict(zip(by, values, strict=True)) | {"unit": unit})
  frame = frame.assign(score=score_N, item_stderr=stderr_N)
  metrics = {name: metrics[name] for name in names}
  return frame.drop(columns="percent_sign"), metrics, list(issues.values())


def is_lower_better(name: str) -> bool:
  """Whether a metric's name says that lower is better, such as `eval/loss`."""
  return not _LOWER_IS_BETTER.isdisjoint(re.split(r"[^a-z]+", name.lower()))


def _guess_unit(low, high, signed, lower_is_better) -> tuple[str, str]:
  if signed:
    return "percent", "it has percent signs"
  if lower_is_better:
    return "raw", "lower is better, which may have no upper end"
  if low >= 0 and high <= 1 + _TOLERANCE:
    return "fraction", "every score lies in [0, 1]"
  if low >= 0 and _LEAST_PERCENT < high <= 100 * (1 + _TOLERANCE):
    return "percent", "every score lies in [0, 100] and some above 10"
  if low >= 0 and high <= _LEAST_PERCENT:
    return "raw", "scores between 1 and 10 need not be percent"
  return "raw", "scores lie outside of [0, 100]"
