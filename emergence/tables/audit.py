"""What is doubtful in a table of scores, each with its rows."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from emergence.tables.score_table import (
  COLUMNS,
  CONFLICTING_SCORES,
  Finding,
  ScoreTable,
  plain_row,
  plain_rows,
  quote,
  require_choice,
)

if TYPE_CHECKING:
  import pandas as pd


def audit(
  table: ScoreTable,
  conflicting_scores: str = "refuse",
  unused: "pd.DataFrame | None" = None,
  expected: Mapping[tuple, Iterable] | None = None,
) -> ScoreTable:
  """Checks a table that was just read, and puts it in order.

  Args:
    table: its rows may repeat and may lack a finite score.
    conflicting_scores: what to do where a seed has two scores in one cell:
      `refuse`, or keep the `first` or the `last` in the order of the rows.
    unused: other columns of the source, a row a `source`: where two rows of a
      seed differ in one of them, the message names it.
    expected: seeds that should be there, by (*group, scale); those that stand
      anywhere in a group are expected at each of its scales in any case.

  Raises:
    ValueError: a seed has two scores and the rule is `refuse`, a metric has no
      finite score, or there is no row.
  """
  require_choice("conflicting_scores", conflicting_scores, CONFLICTING_SCORES)
  frame, groups = table.frame, list(table.group_columns)
  if frame.empty:
    raise ValueError("no scores are left to analyze")
  findings = list(table.findings)
  frame = frame.assign(given=frame["score"].astype(float))
  finite = np.isfinite(frame["given"].to_numpy(float))
  frame["score"] = frame["given"].where(finite)
  frame["diverged"] = frame["diverged"].to_numpy(bool) | ~finite
  for name, scores in frame.groupby("metric", sort=False)["score"]:
    if not np.isfinite(scores.to_numpy()).any():
      raise ValueError(
        f"{quote(name)} has no finite score in {len(scores)} rows; give another"
        " --score_column"
      )
  frame = _drop_duplicates(frame, groups, findings, unused)
  frame = _settle_conflicts(frame, groups, findings, conflicting_scores, unused)
  _report_diverged(frame, groups, findings)
  order = {name: i for i, name in enumerate(table.metrics)}
  frame = frame.sort_values(
    [*groups, "scale", "seed", "metric"],
    key=lambda column: column.map(order) if column.name == "metric" else column,
    ignore_index=True,
  )
  _report_missing(frame, groups, findings, expected or {})
  _report_thin_cells(frame, groups, findings)
  return table._replace(frame=frame[[*groups, *COLUMNS]], findings=findings)


def _drop_duplicates(frame, groups, findings, unused) -> "pd.DataFrame":
  key = [*groups, "scale", "seed", "metric"]
  again = frame.duplicated([*key, "score", "diverged"])
  if again.any():
    shown = frame[frame.duplicated([*key, "score", "diverged"], keep=False)]
    findings.append(
      Finding(
        "duplicate",
        f"{_count(again.sum(), 'row repeats', 'rows repeat')} the seed, cell,"
        " metric and score of another; each is counted once."
        + _differences(shown, unused),
        plain_rows(shown, [*key, "score", "source"]),
      )
    )
  return frame[~again]


def _settle_conflicts(frame, groups, findings, rule, unused) -> "pd.DataFrame":
  key = [*groups, "scale", "seed", "metric"]
  several = frame.duplicated(key, keep=False)
  if not several.any():
    return frame
  shown = frame[several]
  cells = cast(Any, shown.groupby(key, sort=False))
  (_, first), number = next(iter(cells)), cells.ngroups
  found = (
    f"{_count(number, 'score is', 'scores are')} contradicted by another of the"
    f" same seed, cell and metric: {' and '.join(first['source'])} give"
    f" {_describe(first.iloc[0], key)} the scores"
    f" {' and '.join(str(float(score)) for score in first['given'])}"
  )
  if rule == "refuse":
    hint = _differences(shown, unused)
    raise ValueError(
      f"{found}.{hint} Tell such rows apart with --group_columns or --where, or"
      " keep one with --conflicting_scores=first or last"
    )
  findings.append(
    Finding(
      "conflicting_score",
      f"{found}. The {rule} of them counts (--conflicting_scores={rule}).",
      plain_rows(shown.assign(score=shown["given"]), [*key, "score", "source"]),
    )
  )
  return frame[~frame.duplicated(key, keep=rule)]


def _report_diverged(frame, groups, findings) -> None:
  marked = frame[frame["diverged"] & frame["score"].notna()]
  marked = marked.drop_duplicates([*groups, "scale", "seed"])
  if len(marked):
    findings.append(
      Finding(
        "diverged",
        f"{_count(len(marked), 'run', 'runs')} diverged according to the"
        " records and still have a score. Diverged runs are failures in every"
        " success probability (shown without them beside) and left out of all"
        " else, whatever score they have.",
        plain_rows(marked, [*groups, "scale", "seed", "source"]),
      )
    )
  shown = frame[frame["score"].isna()]
  if len(shown):
    findings.append(
      Finding(
        "non_finite",
        f"{_count(len(shown), 'score is', 'scores are')} not a finite number."
        " Such runs count as diverged: failures in every success probability"
        " (shown without them beside), and left out of statistics that need a"
        " number, which say so.",
        plain_rows(
          shown.assign(score=shown["given"]),
          [*groups, "scale", "seed", "metric", "score", "source"],
        ),
      )
    )


def _report_missing(frame, groups, findings, expected) -> None:
  """Reports holes of the scale × seed grid, and scales that a group lacks."""
  present: dict[tuple, dict[Any, dict[str, set]]] = {}
  key = [*groups, "scale", "metric"]
  for (*group, scale, metric), seeds in frame.groupby(key)["seed"]:
    at_scale = present.setdefault(tuple(group), {}).setdefault(scale, {})
    at_scale[metric] = set(seeds)
  all_scales = set(frame["scale"])
  rows, unpaired = [], []
  for group, scales in present.items():
    names = dict(zip(groups, group, strict=True))
    seeds_at = [set().union(*metrics.values()) for metrics in scales.values()]
    in_group = set().union(*seeds_at)
    metrics_of_group = {m for metrics in scales.values() for m in metrics}
    if len(scales) > 1 and sum(map(len, seeds_at)) == len(in_group):
      unpaired.append(names)
      in_group = set()  # Each scale has seeds of its own; none is a hole.
    wanted_scales = {
      *all_scales,
      *(cell[-1] for cell in expected if cell[:-1] == group),
    }
    for scale in sorted(wanted_scales):
      wanted = in_group | set(expected.get((*group, scale), ()))
      found = scales.get(scale, {})
      lacking = {
        metric: wanted - found.get(metric, set()) for metric in metrics_of_group
      }
      if scale not in scales:
        row = {"metric": "all", "missing_seeds": "all"}
        rows.append({**names, "scale": scale, **row})
      elif len(set(map(frozenset, lacking.values()))) == 1:
        lacking = {"all": next(iter(lacking.values()))}
      for metric, seeds in lacking.items() if scale in scales else ():
        if seeds:
          row = {"metric": metric, "missing_seeds": _name_seeds(seeds)}
          rows.append({**names, "scale": scale, **row})
  for cell in expected:
    if cell[:-1] not in present:
      names = dict(zip([*groups, "scale"], cell, strict=True))
      rows.append({**names, "metric": "all", "missing_seeds": "all"})
  if rows:
    whole = sum(row["missing_seeds"] == "all" for row in rows)
    findings.append(
      Finding(
        "missing",
        f"The grid of scales and seeds has holes: {whole} cells are empty,"
        f" {len(rows) - whole} lack seeds. Each cell is described by the seeds"
        " it has; a trajectory needs its seed at every scale of its group, and"
        " a comparison within seeds needs it at both.",
        [plain_row(row) for row in rows],
      )
    )
  if unpaired:
    findings.append(
      Finding(
        "unpaired",
        "No seed stands at two scales: there are no trajectories, and nothing"
        " can be compared within seeds. Distributions can.",
        [plain_row(row) for row in unpaired],
      )
    )


def _report_thin_cells(frame, groups, findings) -> None:
  by = groups if groups else (lambda _: 0)
  one_scale = [
    dict(zip(groups, rows.iloc[0][groups], strict=True))
    | {"scale": rows["scale"].iloc[0]}
    for _, rows in frame.groupby(by)
    if rows["scale"].nunique() == 1
  ]
  if one_scale:
    findings.append(
      Finding(
        "one_scale",
        f"{_count(len(one_scale), 'group has', 'groups have')} one scale only."
        " Its distribution over seeds can be described (centre, spread, success"
        " probability, modes); nothing can be said about scaling: no"
        " trajectories, trends, distances, paths or abruptness.",
        [plain_row(row) for row in one_scale],
      )
    )
  cells = frame.groupby([*groups, "scale"])["seed"].nunique()
  thin = cells[cells == 1].reset_index().drop(columns="seed")
  if len(thin):
    findings.append(
      Finding(
        "one_seed",
        f"{len(thin)} of {len(cells)} cells hold one seed only. Its score can"
        " be shown, and its curve over scales; a single run tells neither"
        " spread, success probability, mode or modality, nor whether a step"
        " between scales is more than luck.",
        plain_rows(thin, list(thin.columns)),
      )
    )


def _differences(shown, unused) -> str:
  """Names columns of the source in which rows of one seed differ."""
  if unused is None or unused.empty:
    return ""
  rows = unused.loc[unused.index.intersection(shown["source"])]
  names = [quote(name) for name in rows if rows[name].nunique(dropna=False) > 1]
  return f" They differ in {', '.join(names[:8])}." if names else ""


def _describe(row, key: Sequence[str]) -> str:
  seed = f"seed {quote(row['seed'])} at scale {quote(row['scale_label'])}"
  others = [name for name in key if name not in ("scale", "seed")]
  return seed + "".join(f", {name} {quote(row[name])}" for name in others)


def _name_seeds(seeds: Iterable) -> str:
  """0, 3, 8-15."""
  ordered = sorted(seeds)
  if not all(isinstance(seed, (int, np.integer)) for seed in ordered):
    return ", ".join(map(str, ordered))
  runs = itertools.groupby(enumerate(ordered), lambda pair: pair[1] - pair[0])
  parts = []
  for _, run in runs:
    members = [seed for _, seed in run]
    more = f"-{members[-1]}" if len(members) > 1 else ""
    parts.append(f"{members[0]}{more}")
  return ", ".join(parts)


def _count(number: int, one: str, many: str) -> str:
  return f"{number} {one if number == 1 else many}"
