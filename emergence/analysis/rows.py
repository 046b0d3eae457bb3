"""The results of an analysis as rows of tables, of plain values."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from emergence.analysis.series import Analysis, Scale, Series
from emergence.statistics import path, transport
from emergence.tables.score_table import ScoreTable, quote

# What the columns of summary.csv mean, in their order after the group columns.
SUMMARY_COLUMNS = {
  "scale": "the scale",
  "scale_label": "its text in the source",
  "metric": "the metric; all scores of the row are in its unit",
  "n_seeds": "runs, diverged ones included",
  "n_diverged": "runs that diverged",
  "mean": "mean over runs with a score",
  "mean_low": "lower end of its 95 % bootstrap interval",
  "mean_high": "upper end",
  "median": "median over runs with a score",
  "median_low": "lower end of its 95 % bootstrap interval",
  "median_high": "upper end",
  "mode": "where the density of scores is highest",
  "mode_stable": "false if another peak is within 20 % of the highest",
  "mode_share_below": "share of resamples whose mode is below the antimode",
  "mode_share_above": "share of those whose mode is above it",
  "success_threshold": "least score of a success; greatest if less is better",
  "success_probability": "share of runs that succeed, diverged ones failing",
  "success_low": "lower end of its 95 % Wilson interval",
  "success_high": "upper end",
  "success_probability_finite": "the same among runs that did not diverge",
  "mean_given_success": "mean of the successes, if there are at least 10",
  "mean_given_success_low": "lower end of its 95 % bootstrap interval",
  "mean_given_success_high": "upper end",
  "mean_given_success_reason": "why it is blank",
  "dip": "Hartigan's dip",
  "dip_p": "its p-value",
  "dip_p_adjusted": "the same after Holm over all cells × metrics",
  "modality": "floor, ceiling, unimodal, bimodal or undecided",
  "antimode": "score between the two highest peaks, if a valley separates them",
  "smallest_weight": "lightest minor mode that a test of this cell alone finds",
  "evidence": "the reason for the label",
  "success_beyond_antimode": "share of runs beyond the antimode, if bimodal",
  "success_beyond_antimode_low": "lower end of its 95 % bootstrap interval",
  "success_beyond_antimode_high": "upper end",
  "item_noise_share": "share of the variance over seeds that drawn items make",
  "w2_to_previous": "Wasserstein-2 distance to the scale before",
  "w2_to_previous_null": "its 95 % quantile if both scales had one law",
  "w2_to_previous_p": "its permutation p-value",
  "w2_to_largest": "Wasserstein-2 distance to the largest scale",
}


def summary(analysis: Analysis) -> list[dict[str, Any]]:
  """A row a cell and metric, group columns first, then `SUMMARY_COLUMNS`."""
  rows = []
  for series in analysis.series:
    for i, scale in enumerate(series.scales):
      row = _group(analysis, series) | _cell(series, scale)
      row |= _neighbours(series, i)
      rows.append({name: _plain(value) for name, value in row.items()})
  return rows


# Columns of the other tables, after the group columns.
TRAJECTORY_COLUMNS = (
  "metric",
  "seed",
  "improvement",
  "linearity",
  "linearity_rank",
  "breakthroughness",
  "breakthroughness_rank",
)
DISTANCE_COLUMNS = (
  "metric",
  "scale_from",
  "scale_to",
  "w1",
  "w2",
  "w2_null",
  "w2_p",
  "permuted",
  *transport.Parts._fields,
)
PATH_COLUMNS = (
  "metric",
  "scale",
  "verdict",
  *(f"mixture_{name}" for name in path.Fit._fields),
  *(f"displacement_{name}" for name in path.Fit._fields),
  "difference",
  "difference_low",
  "difference_high",
  "difference_mixture_p",
  "difference_displacement_p",
  "reason",
)


def require_distinct_columns(table: ScoreTable) -> None:
  """Raises ValueError where a group column has the name of a result's."""
  taken = {*SUMMARY_COLUMNS, *TRAJECTORY_COLUMNS, *DISTANCE_COLUMNS}
  for name in table.group_columns:
    if name in taken | {*PATH_COLUMNS}:
      raise ValueError(
        f"--group_columns: {quote(name)} is a column of the results; rename"
        " the column"
      )


def trajectories(analysis: Analysis) -> list[dict[str, Any]]:
  """A row a seed that stands at every scale of a series.

  Columns: groups, metric, seed, improvement, linearity, linearity_rank,
  breakthroughness and breakthroughness_rank; a rank of 0 is none. Positive is
  better in all metrics.
  """
  rows = []
  for series in analysis.series:
    found = series.trajectories
    if found is None:
      continue
    for s, seed in enumerate(series.seeds):
      row = _group(analysis, series) | {
        "metric": series.metric.name,
        "seed": seed,
        "improvement": found.improvement_S[s],
        "linearity": found.linearity_S[s],
        "linearity_rank": found.linearity_rank_S[s],
        "breakthroughness": found.breakthroughness_S[s],
        "breakthroughness_rank": found.breakthroughness_rank_S[s],
      }
      rows.append({name: _plain(value) for name, value in row.items()})
  return rows


def distances(analysis: Analysis) -> list[dict[str, Any]]:
  """A row a pair of scales of a series: Wasserstein distances and their test.

  `w2_null` is the 95 % quantile under permutation; `location`, `spread` and
  `shape` add up to the square of `w2`.
  """
  rows = []
  for series in analysis.series:
    found = series.distances
    if found is None:
      continue
    for (i, j), parts in found.parts.items():
      row = _group(analysis, series) | {
        "metric": series.metric.name,
        "scale_from": series.scales[i].population.scale,
        "scale_to": series.scales[j].population.scale,
        "w1": found.w1_NN[i, j],
        "w2": found.w2_NN[i, j],
        "w2_null": found.test.null_KK[i, j],
        "w2_p": found.test.p_KK[i, j],
        "permuted": "within seeds" if found.within_seed else "all runs",
        **parts._asdict(),
      }
      rows.append({name: _plain(value) for name, value in row.items()})
  return rows


def paths(analysis: Analysis) -> list[dict[str, Any]]:
  """A row a scale between the first and the last: which path it lies on."""
  rows = []
  for series in analysis.series:
    for scale, found in zip(series.scales[1:], series.paths, strict=False):
      row = _group(analysis, series) | {
        "metric": series.metric.name,
        "scale": scale.population.scale,
        "verdict": found.verdict,
        **_fit("mixture", found.mixture),
        **_fit("displacement", found.displacement),
        "difference": found.difference,
        "difference_low": found.low,
        "difference_high": found.high,
        "difference_mixture_p": found.mixture_p,
        "difference_displacement_p": found.displacement_p,
        "reason": found.reason,
      }
      rows.append({name: _plain(value) for name, value in row.items()})
  return rows


def small_studies(analysis: Analysis) -> list[dict[str, Any]]:
  """A row a step between neighbours, statistic and number of seeds."""
  rows = []
  for series in analysis.series:
    for i, studies in enumerate(series.studies):
      for study in studies:
        row = _group(analysis, series) | {
          "metric": series.metric.name,
          "scale_from": series.scales[i].population.scale,
          "scale_to": series.scales[i + 1].population.scale,
          **study._asdict(),
          "threshold": series.threshold,
          "difference": study.difference
          * (series.sign if study.statistic == "mean" else 1),
        }
        rows.append({name: _plain(value) for name, value in row.items()})
  return rows


def series_results(analysis: Analysis) -> list[dict[str, Any]]:
  """What is said of a series as a whole, and of each scale's thresholds."""
  found = []
  for series in analysis.series:
    entry: dict[str, Any] = _group(analysis, series) | {
      "metric": series.metric.name,
      "unit": series.metric.unit,
      "higher_is_better": series.metric.higher_is_better,
      "first_detectable_bimodal_scale": None
      if series.first_detectable is None
      else series.scales[series.first_detectable].population.scale,
      "pairing": series.pairing and series.pairing._asdict(),
      "abruptness": series.abruptness
      and series.abruptness._asdict() | {"threshold": series.threshold},
      "trajectories": series.trajectories
      and {
        "num_infinite": series.trajectories.num_infinite,
        "num_constant": series.trajectories.num_constant,
        "num_incomplete": series.trajectories.num_incomplete,
        "note": series.trajectories.note,
      },
      "survival": [
        {
          "scale": scale.population.scale,
          "threshold": series.sign * scale.survival.threshold_T,
          "probability": scale.survival.probability_T,
          "low": scale.survival.low_T,
          "high": scale.survival.high_T,
        }
        for scale in series.scales
        if scale.survival is not None
      ],
    }
    found.append(plain(entry))
  return found


def plain(value: Any) -> Any:
  """Arrays, tuples and numpy scalars as what JSON can hold."""
  if isinstance(value, Mapping):
    return {str(key): plain(item) for key, item in value.items()}
  if hasattr(value, "_asdict"):
    return plain(value._asdict())
  if isinstance(value, (list, tuple, np.ndarray)):
    return [plain(item) for item in value]
  value = _plain(value)
  if isinstance(value, float) and math.isinf(value):
    return "Infinity" if value > 0 else "-Infinity"
  return value


def _group(analysis: Analysis, series: Series) -> dict[str, Any]:
  return dict(zip(analysis.table.group_columns, series.group, strict=True))


def _cell(series: Series, scale: Scale) -> dict[str, Any]:
  population, label, shape = scale.population, scale.modality, None
  if label.shape is not None:
    shape = label.shape
  sign = series.sign
  boot, beyond, given = scale.bootstrap, scale.beyond, scale.given
  found = scale.success and scale.success.diverged_fail
  without = scale.success and scale.success.diverged_left_out
  interval = boot.mean_given_success if given else None
  return {
    "scale": population.scale,
    "scale_label": population.label,
    "metric": series.metric.name,
    "n_seeds": population.scores_S.size,
    "n_diverged": int(population.diverged_S.sum()),
    **_interval("mean", boot.mean, sign),
    **_interval("median", boot.median, sign),
    "mode": shape and shape.mode,
    "mode_stable": shape and shape.mode_stable,
    "mode_share_below": scale.mode_shares and scale.mode_shares.below,
    "mode_share_above": scale.mode_shares and scale.mode_shares.above,
    "success_threshold": series.threshold,
    "success_probability": found and found.probability,
    "success_low": found and found.low,
    "success_high": found and found.high,
    "success_probability_finite": without and without.probability,
    **_interval("mean_given_success", interval, sign),
    "mean_given_success_reason": given.reason
    if given
    else "no threshold for this metric",
    "dip": label.dip,
    "dip_p": label.p,
    "dip_p_adjusted": label.p_adjusted,
    "modality": label.label,
    "antimode": label.antimode,
    "smallest_weight": label.smallest_weight,
    "evidence": label.evidence,
    "success_beyond_antimode": beyond and beyond.value,
    "success_beyond_antimode_low": beyond and beyond.low,
    "success_beyond_antimode_high": beyond and beyond.high,
    "item_noise_share": scale.item_noise and scale.item_noise.share,
  }


def _neighbours(series: Series, i: int) -> dict[str, Any]:
  """Distances of a scale to the one before and to the last."""
  names = ("w2_to_previous", "w2_to_previous_null", "w2_to_previous_p")
  found = series.distances
  if found is None:
    return dict.fromkeys((*names, "w2_to_largest"))
  before = (found.w2_NN, found.test.null_KK, found.test.p_KK)
  values = [x_NN[i - 1, i] if i else None for x_NN in before]
  return dict(zip(names, values, strict=True)) | {
    "w2_to_largest": found.w2_NN[i, -1]
  }


def _fit(name: str, fit: path.Fit) -> dict[str, Any]:
  return {f"{name}_{key}": value for key, value in fit._asdict().items()}


def _interval(name: str, interval: Any, sign: float) -> dict[str, Any]:
  """An interval in the metric's own unit."""
  if interval is None:
    return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
  low, high = sorted((sign * interval.low, sign * interval.high))
  return {
    name: sign * interval.value,
    f"{name}_low": low,
    f"{name}_high": high,
  }


def _plain(value: Any) -> Any:
  """A number as Python has it; None for NaN."""
  if isinstance(value, np.generic):
    value = value.item()
  if isinstance(value, float) and math.isnan(value):
    return None
  return value
