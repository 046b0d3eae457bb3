"""Percent, fractions and other units, and which direction is better."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from emergence.tables.score_table import (
  UNITS,
  Finding,
  Metric,
  quote,
  require_choice,
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
# Words in the name of a metric in which less is better.
_LOWER_IS_BETTER = frozenset(
  "bits bpb brier cer error loss nll perplexity ppl ter wer".split()
)


class Decision(NamedTuple):
  """The unit of some scores.

  Attributes:
    unit: `percent`, `fraction` or `raw`.
    factor: what to multiply them with.
    metric: what they are then.
    sentence: what was decided, and why.
  """

  unit: str
  factor: float
  metric: Metric
  sentence: str


def to_unit(
  name: str,
  scores_N: np.ndarray,
  percent_sign_N: np.ndarray,
  sources: Sequence[str] | np.ndarray,
  unit: str = "auto",
  lower_is_better: bool = False,
) -> Decision:
  """What to multiply scores with, so that percent and fractions are one.

  `auto` takes scores with a percent sign for percent. Others are left as they
  are where lower is better (an NLL has no upper end). Where higher is better,
  they are fractions if all finite ones lie in [0, 1], percent if all lie in
  [0, 100] and some above 10, and left as they are, without known ends,
  otherwise.

  Args:
    name: the metric.
    scores_N: its scores, [N].
    percent_sign_N: which were written with a percent sign, [N].
    sources: where each stood, [N].
    unit: `auto`, `percent`, `fraction` or `raw`.
    lower_is_better: the direction.

  Raises:
    ValueError: a score outside of the range of its unit, percent signs that do
      not fit, or percent and fractions that seem to be mixed.
  """
  require_choice("score_unit", unit, UNITS)
  finite_N = np.isfinite(scores_N)
  signed = bool(percent_sign_N.any())
  if signed and not percent_sign_N[finite_N].all():
    row = int(np.flatnonzero(finite_N & ~percent_sign_N)[0])
    raise ValueError(
      f"{sources[row]}: {quote(name)} has no percent sign here but has one in"
      " other rows; write all of them alike"
    )
  if signed and unit in ("fraction", "raw"):
    raise ValueError(
      f"{quote(name)} is written with percent signs, so --score_unit={unit}"
      " does not fit; use percent"
    )
  low, high = _range(scores_N[finite_N])
  why = f"--score_unit={unit}"
  if unit == "auto":
    unit, why = _guess_unit(low, high, signed, lower_is_better)
  top = {"percent": 100.0, "fraction": 1.0}.get(unit, np.inf)
  slack = _TOLERANCE * top if unit != "raw" else 0.0
  outside_N = finite_N & ((scores_N < -slack) | (scores_N > top + slack))
  if unit != "raw" and outside_N.any():
    row = int(np.flatnonzero(outside_N)[0])
    raise ValueError(
      f"{sources[row]}: {quote(name)} is {scores_N[row]:g}, outside of"
      f" [0, {top:g}] of --score_unit={unit}; use raw for scores without these"
      " ends"
    )
  better = "lower" if lower_is_better else "higher"
  if unit == "raw":
    metric = Metric(name, -np.inf, np.inf, "as given", not lower_is_better)
    done = "left as it is, with no known ends"
  else:
    metric = Metric(name, 0.0, 1.0, "fraction", not lower_is_better)
    done = "divided by 100" if unit == "percent" else "left as it is"
  sentence = (
    f"{quote(name)}, from {low:g} to {high:g}, is taken as {unit} ({why}) and"
    f" {done}; {better} is better. --score_unit and --lower_is_better say it"
    " otherwise."
  )
  small = int(((scores_N > 0) & (scores_N <= 1)).sum())
  if (
    why != f"--score_unit={unit}"
    and unit == "percent"
    and not signed
    and small > _MOST_SMALL * finite_N.sum()
  ):
    raise ValueError(
      f"{quote(name)}: {small} of {finite_N.sum()} scores lie in (0, 1] and"
      f" others up to {high:g}: percent, or fractions and percent mixed? Say"
      " --score_unit=percent if all of them are"
    )
  if unit == "percent" and small and not signed:
    sentence += (
      f" {small} scores lie in (0, 1]: below 1 percent, unless units are mixed."
    )
  return Decision(unit, 0.01 if unit == "percent" else 1.0, metric, sentence)


def settle_units(
  frame: "pd.DataFrame",
  score_unit: Sequence[str] = (),
  lower_is_better: Sequence[str] = (),
  by: Sequence[str] = ("metric",),
  known_lower: Iterable[str] = (),
) -> tuple["pd.DataFrame", dict[str, Metric], list[Finding]]:
  """Brings the scores of each metric to one unit.

  Args:
    frame: columns `metric`, `score`, `percent_sign`, `item_stderr`, `source`
      and those of `by`.
    score_unit: `UNIT` for all metrics, `METRIC=UNIT` for one.
    lower_is_better: metrics in which less is better.
    by: columns; the unit is found for each of their combinations.
    known_lower: other metrics in which less is better, there or not; names
      that `is_lower_better` knows are among them in any case.

  Returns:
    The frame in new units, without `percent_sign`; the metrics, in the order of
    the rows; and what was decided.

  Raises:
    ValueError: a metric that is not there, or what `to_unit` raises.
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
  factor_N = np.ones(len(frame))
  score_N = frame["score"].to_numpy(float)
  sign_N = frame["percent_sign"].to_numpy(bool)
  source_N = np.array(frame["source"], object)
  metrics: dict[str, Metric] = {}
  findings: dict[tuple[str, str], Finding] = {}
  groups = cast(Any, frame.groupby(list(by), sort=False))
  for key, rows_R in groups.indices.items():
    name = frame["metric"].iloc[rows_R[0]]
    decision = to_unit(
      name,
      score_N[rows_R],
      sign_N[rows_R],
      source_N[rows_R],
      units.get(name, default),
      name in lower,
    )
    factor_N[rows_R] = decision.factor
    known = metrics.get(name, decision.metric)
    # Known ends hold for a metric only if they do in each of its groups.
    is_wider = decision.metric.low < known.low
    metrics[name] = decision.metric if is_wider else known
    key = key if isinstance(key, tuple) else (key,)
    row = dict(zip(by, key, strict=True)) | {"unit": decision.unit}
    finding = findings.setdefault(
      (name, decision.unit), Finding("score_unit", decision.sentence, [])
    )
    finding.rows.append(row)
  ends = [metrics[name] for name in frame["metric"]]
  frame = frame.assign(
    score=_onto_ends(score_N * factor_N, ends),
    item_stderr=frame["item_stderr"].to_numpy(float) * factor_N,
  )
  metrics = {name: metrics[name] for name in names}
  return frame.drop(columns="percent_sign"), metrics, list(findings.values())


def is_lower_better(name: str) -> bool:
  """Whether a metric's name says that less is better, such as `eval/loss`."""
  return not _LOWER_IS_BETTER.isdisjoint(re.split(r"[^a-z]+", name.lower()))


def _onto_ends(scores_N: np.ndarray, metrics: Sequence[Metric]) -> np.ndarray:
  """Finite scores moved to the ends that rounding left them outside of."""
  low_N, high_N = np.array([(m.low, m.high) for m in metrics]).T
  clipped_N = np.clip(scores_N, low_N, high_N)
  return np.where(np.isfinite(scores_N), clipped_N, scores_N)


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


def _range(scores_N: np.ndarray) -> tuple[float, float]:
  if not scores_N.size:
    return np.nan, np.nan
  return float(scores_N.min()), float(scores_N.max())
