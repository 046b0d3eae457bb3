"""What is doubtful in a table of scores, each with its rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from emergence.storage.records import consecutive_runs
from emergence.tables.score_table import (
  COLUMNS,
  Issue,
  ScoreTable,
  plain_row,
  plain_rows,
  quote,
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
  frame, groups = table.frame, list(table.group_columns)
  if frame.empty:
    raise ValueError("no scores are left to analyze")
  frame = frame.assign(given=frame["score"].astype(float))
  finite = np.isfinite(frame["given"].to_numpy(float))
  frame["score"] = frame["given"].where(finite)
  frame["diverged"] = frame["diverged"].to_numpy(bool) | ~finite
  for name, scores in frame.groupby("metric", sort=False)["score"]:
    if scores.isna().to_numpy().all():
      raise ValueError(
        f"{quote(name)} has no finite score in {len(scores)} rows; give another"
        " --score_column"
      )
  key = [*groups, "scale", "seed", "metric"]
  same = [*key, "score", "diverged"]
  issues = _duplicates(frame, key, same, unused)
  frame = frame.drop_duplicates(same)
  issues += _conflicts(frame, key, conflicting_scores, unused)
  if conflicting_scores != "refuse":
    frame = frame.drop_duplicates(key, keep=cast(Any, conflicting_scores))
  issues += _diverged(frame, groups)
  order = {name: i for i, name in enumerate(table.metrics)}
  frame = frame.sort_values(
    key,
    key=lambda column: column.map(order) if column.name == "metric" else column,
    ignore_index=True,
  )
  issues += _missing(frame, groups, expected or {})
  issues += _thin_cells(frame, groups)
  return table._replace(
    frame=frame[[*groups, *COLUMNS]], issues=table.issues + issues
  )


def _duplicates(frame, key, same, unused) -> list[Issue]:
  again = frame.duplicated(same).sum()
  if not again:
    return []
  shown = frame[frame.duplicated(same, keep=False)]
  sentence = (
    f"{_count(again, 'row repeats', 'rows repeat')} the seed, cell, metric and"
    " score of another; each is counted once." + _differences(shown, unused)
  )
  rows = plain_rows(shown, [*key, "score", "source"])
  return [Issue("duplicate", sentence, rows)]


def _conflicts(frame, key, rule, unused) -> list[Issue]:
  shown = frame[frame.duplicated(key, keep=False)]
  if shown.empty:
    return []
  cells = cast(Any, shown.groupby(key, sort=False))
  (_, first), number = next(iter(cells)), cells.ngroups
  found = (
    f"{_count(number, 'score is', 'scores are')} contradicted by another of the"
    f" same seed, cell and metric: {' and '.join(first['source'])} give"
    f" {_describe(first.iloc[0], key)} the scores"
    f" {' and '.join(str(float(score)) for score in first['given'])}"
  )
  if rule == "refuse":
    raise ValueError(
      f"{found}.{_differences(shown, unused)} Tell such rows apart with"
      " --group_columns or --where, or keep one with --conflicting_scores=first"
      " or last"
    )
  sentence = (
    f"{found}. The {rule} of them counts (--conflicting_scores={rule})."
  )
  shown = shown.assign(score=shown["given"])
  rows = plain_rows(shown, [*key, "score", "source"])
  return [Issue("conflicting_score", sentence, rows)]


def _diverged(frame, groups) -> list[Issue]:
  run, issues = [*groups, "scale", "seed"], []
  marked = frame[frame["diverged"] & frame["score"].notna()]
  marked = marked.drop_duplicates(run)
  if len(marked):
    sentence = (
      f"{_count(len(marked), 'run', 'runs')} diverged according to the records"
      " and still have a score. Diverged runs are failures in every success"
      " probability (shown without them beside) and left out of all else,"
      " whatever score they have."
    )
    rows = plain_rows(marked, [*run, "source"])
    issues.append(Issue("diverged", sentence, rows))
  shown = frame[frame["score"].isna()]
  if len(shown):
    sentence = (
      f"{_count(len(shown), 'score is', 'scores are')} not a finite number."
      " Such runs count as diverged: failures in every success probability"
      " (also reported without them), and left out of statistics that need a"
      " number; each of these says so."
    )
    shown = shown.assign(score=shown["given"])
    rows = plain_rows(shown, [*run, "metric", "score", "source"])
    issues.append(Issue("non_finite", sentence, rows))
  return issues


def _missing(frame, groups, expected) -> list[Issue]:
  """Tells of holes of the scale × seed grid, and of scales a group lacks."""
  seeds_at: dict[tuple, dict[Any, dict[str, set]]] = {}
  for (*group, scale, metric), seeds in frame.groupby(
    [*groups, "scale", "metric"]
  )["seed"]:
    at_scale = seeds_at.setdefault(tuple(group), {}).setdefault(scale, {})
    at_scale[metric] = set(seeds)
  rows, unpaired = [], []
  for group, scales in seeds_at.items():
    names = dict(zip(groups, group, strict=True))
    found = [set().union(*metrics.values()) for metrics in scales.values()]
    in_group = set().union(*found)
    if len(scales) > 1 and sum(map(len, found)) == len(in_group):
      unpaired.append(names)
      in_group = set()  # Each scale has seeds of its own; none is a hole.
    metrics_of_group = sorted(set().union(*scales.values()))
    asked_for = {cell[-1] for cell in expected if cell[:-1] == group}
    for scale in sorted(asked_for.union(frame["scale"])):
      if scale not in scales:
        lacking = {"all": "all"}
      else:
        wanted = in_group.union(expected.get((*group, scale), ()))
        lacking = {
          metric: _name_seeds(wanted - scales[scale].get(metric, set()))
          for metric in metrics_of_group
        }
        if len(set(lacking.values())) == 1:
          lacking = {"all": next(iter(lacking.values()))}
      rows += [
        {**names, "scale": scale, "metric": metric, "missing_seeds": seeds}
        for metric, seeds in lacking.items()
        if seeds
      ]
  for cell in expected:
    if cell[:-1] not in seeds_at:
      names = dict(zip([*groups, "scale"], cell, strict=True))
      rows.append({**names, "metric": "all", "missing_seeds": "all"})
  issues = []
  if rows:
    whole = sum(row["missing_seeds"] == "all" for row in rows)
    sentence = (
      f"The grid of scales and seeds has holes: {whole} cells are empty,"
      f" {len(rows) - whole} lack seeds. Each cell is described by the seeds it"
      " has; a trajectory needs its seed at every scale of its group, and a"
      " comparison within seeds needs it at both."
    )
    issues.append(Issue("missing", sentence, [plain_row(row) for row in rows]))
  if unpaired:
    sentence = (
      "No seed stands at two scales: there are no trajectories, and nothing can"
      " be compared within seeds. Distributions can."
    )
    shown = [plain_row(row) for row in unpaired]
    issues.append(Issue("unpaired", sentence, shown))
  return issues


def _thin_cells(frame, groups) -> list[Issue]:
  cells = frame.groupby([*groups, "scale"])["seed"].nunique().reset_index()
  issues = []
  if groups:
    alone = cells[~cells.duplicated(groups, keep=False)]
  else:
    alone = cells if len(cells) == 1 else cells[:0]
  if len(alone):
    sentence = (
      f"{_count(len(alone), 'group has', 'groups have')} one scale only. Its"
      " distribution over seeds can be described (centre, spread, success"
      " probability, modes); nothing can be said about scaling: no"
      " trajectories, trends, distances, paths or abruptness."
    )
    rows = plain_rows(alone, [*groups, "scale"])
    issues.append(Issue("one_scale", sentence, rows))
  thin = cells[cells["seed"] == 1]
  if len(thin):
    sentence = (
      f"{len(thin)} of {len(cells)} cells hold one seed only. Its score can be"
      " shown, and its curve over scales; a single run tells neither spread,"
      " success probability, mode or modality, nor whether a step between"
      " scales is more than luck."
    )
    rows = plain_rows(thin, [*groups, "scale"])
    issues.append(Issue("one_seed", sentence, rows))
  return issues


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
  return ", ".join(
    f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}"
    for run in consecutive_runs(ordered)
  )


def _count(number: int, one: str, many: str) -> str:
  return f"{number} {one if number == 1 else many}"
