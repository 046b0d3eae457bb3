"""Checks a table of scores and reports what is doubtful as issues."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from emergence.storage.records import consecutive_ranges
from emergence.tables import parsing
from emergence.tables.score_table import (
  COLUMNS,
  Issue,
  ScoreTable,
  flag_list,
  plain_rows,
  quote,
)

if TYPE_CHECKING:
  import pandas as pd


_STEP_WORDS = re.compile("step|epoch|iter|token", re.IGNORECASE)


def audit(
  table: ScoreTable,
  conflicting_scores: str = "refuse",
  unused: "pd.DataFrame | None" = None,
  expected: Mapping[tuple, Iterable] | None = None,
  at_step: str | None = None,
  advice: str = "",
) -> ScoreTable:
  """Checks a table that was just read, removes repeated rows and sorts it.

  Args:
    table: its rows may repeat, and scores may be NaN or infinite. Its frame may
      have two more columns: `missing`, true for rows that have no score at all,
      and `training_step`.
    conflicting_scores: what to do if a seed has two scores in one cell:
      `refuse`, or keep the `first` or the `last` in the order of the rows.
    unused: the columns of the source that are not used, indexed by `source`. If
      they tell conflicting rows apart, the error message advises flags that use
      these columns.
    expected: seeds that should be there, by (*group, scale). The seeds of a
      group's other scales are expected too, unless no two scales share a seed.
    at_step: the training step whose scores are kept, if the table has steps;
      the last step of each run if None or `last`.
    advice: flags that the message about conflicting scores advises instead of
      those derived from `unused`.

  Raises:
    ValueError: a seed has two scores in a cell and `conflicting_scores` is
      `refuse`, a metric has no finite score, there are no rows, or `at_step`
      is no step of theirs.
  """
  frame: Any = table.frame
  groups = list(table.group_columns)
  if frame.empty:
    raise ValueError(
      "no scores are left to analyze; check --score_column and --drop_rows"
    )
  names = list(dict.fromkeys(frame["metric"]))
  seeds = frame[[*groups, "scale", "seed"]].drop_duplicates()
  if "missing" in frame:
    frame = frame[~frame["missing"].to_numpy(bool)]
  frame = frame.assign(given=frame["score"].astype(float))
  finite = np.isfinite(frame["given"].to_numpy(float))
  frame["score"] = frame["given"].where(finite)
  frame["diverged"] = frame["diverged"].to_numpy(bool) | ~finite
  for name in names:
    scores = frame.loc[frame["metric"] == name, "score"]
    if scores.isna().to_numpy().all():
      raise ValueError(
        f"{quote(name)} has no finite score; leave this metric out, with"
        " another --score_column or with --where"
      )
  key = [*groups, "scale", "seed", "metric"]
  at = [*key, "training_step"] if "training_step" in frame else key
  same = [*at, "score", "diverged"]
  issues = _duplicates(frame, at, same)
  frame = frame.drop_duplicates(same)
  issues += _conflicts(
    frame, at, conflicting_scores, unused, table.group_columns, advice
  )
  if conflicting_scores != "refuse":
    frame = frame.drop_duplicates(at, keep=cast(Any, conflicting_scores))
  curves = table.curves
  if "training_step" in frame:
    frame, curves, step_issues = _at_step(frame, key, at_step or "last")
    issues += step_issues
  issues += _diverged(frame, groups)
  order = {name: i for i, name in enumerate(table.metrics)}
  frame = frame.sort_values(
    key,
    key=lambda column: (
      column.map(order) if column.name == "metric" else in_order(column)
    ),
    ignore_index=True,
  )
  holes, num_missing = _missing(frame, groups, seeds, expected or {})
  issues += holes
  issues += _thin_cells(frame, groups)
  return table._replace(
    frame=frame[[*groups, *COLUMNS]],
    issues=table.issues + issues,
    curves=curves,
    num_missing=num_missing,
  )


def in_order(texts: "pd.Series") -> "pd.Series":
  """Returns sort keys: values if all texts are scales, else the texts."""
  if texts.dtype != object and not isinstance(texts.iloc[0], str):
    return texts
  try:
    numbers = {text: parsing.parse_scale(text) for text in texts.unique()}
  except ValueError:
    return texts
  return texts.map(numbers)


def _at_step(frame, key: list[str], at_step: str):
  """Returns each run's score at one step, its curve until then, and issues."""
  frame = frame.sort_values("training_step", kind="stable")
  issues = []
  if at_step != "last":
    num = len(frame[key].drop_duplicates())
    try:
      step = parsing.parse_scale(at_step)
    except ValueError:
      raise ValueError(
        f"--at_step: {quote(at_step)} is no training step; give a number, such"
        " as 143000 or 143k, or last"
      ) from None
    frame = frame[frame["training_step"] <= step]
    final = frame[frame["training_step"] == step]
    if final.empty:
      raise ValueError(f"--at_step: there is no score at step {at_step}")
    if others := num - len(final):
      sentence = (
        f"At --at_step={at_step}, {_count(others, 'score is', 'scores are')}"
        " missing, counted per run and metric. A run without a score at that"
        " step is left out."
      )
      issues.append(Issue("excluded", sentence, []))
  else:
    final = frame.drop_duplicates(key, keep="last")
  diverged = frame.groupby(key, sort=False)["diverged"].cummax()
  curves = frame.assign(diverged=diverged, step=frame["training_step"])
  columns = [*key, "step", "score", "diverged"]
  latest = final.groupby([n for n in key if n != "seed"])["training_step"]
  early = final[final["training_step"] < latest.transform("max")]
  if len(early):
    sentence = (
      f"{_count(len(early), 'score is', 'scores are')} from an earlier step"
      " than the last step of other seeds in the same cell. --at_step=N"
      " analyzes the scores of all seeds at step N."
    )
    rows = plain_rows(early, [*key, "training_step", "source"])
    issues.append(Issue("early_step", sentence, rows))
  return final, curves[columns].reset_index(drop=True), issues


def _duplicates(frame, key, same) -> list[Issue]:
  again = frame.duplicated(same).sum()
  if not again:
    return []
  shown = frame[frame.duplicated(same, keep=False)]
  sentence = (
    f"{_count(again, 'row repeats', 'rows repeat')} the seed, cell, metric and"
    " score of another row; repeated rows are counted once."
  )
  rows = plain_rows(shown, [*key, "score", "source"])
  return [Issue("duplicate", sentence, rows)]


def _conflicts(frame, key, rule, unused, groups, advice) -> list[Issue]:
  shown = frame[frame.duplicated(key, keep=False)]
  if shown.empty:
    return []
  cells = cast(Any, shown.groupby(key, sort=False))
  (_, first), number = next(iter(cells)), cells.ngroups
  found = (
    f"in {_count(number, 'case', 'cases')} a seed has different scores in the"
    f" same cell and metric: {' and '.join(first['source'][:4])} give"
    f" {_describe(first.iloc[0], key)} the scores"
    f" {' and '.join(str(float(score)) for score in first['given'][:4])}"
  )
  if rule == "refuse":
    apart = advice or _tell_apart(shown, key, unused, groups)
    apart = apart or (
      "--conflicting_scores=first or --conflicting_scores=last, which keep the"
      " first or the last score"
    )
    raise ValueError(f"{found}. Add {apart}")
  sentence = (
    f"{found[0].upper()}{found[1:]}. The {rule} score is kept in each case"
    f" (--conflicting_scores={rule})."
  )
  shown = shown.assign(score=shown["given"])
  rows = plain_rows(shown, [*key, "score", "source"])
  return [Issue("conflicting_score", sentence, rows)]


def _tell_apart(shown, key, unused, groups) -> str:
  """Returns flags that tell conflicting rows apart by unused columns."""
  if unused is None or unused.empty:
    return ""
  rows = unused[~unused.index.duplicated()].reindex(shown["source"])
  # Skip columns that differ in most rows, such as an index or a time.
  names = [
    name
    for name in rows
    if 1 < rows[name].nunique(dropna=False) <= max(2, len(rows) / 2)
    or _STEP_WORDS.search(name)
  ]
  cells = [shown[name].to_numpy() for name in key]
  for columns in [*([name] for name in names), names]:
    values = [rows[name].to_numpy() for name in columns]
    split = shown.groupby([*cells, *values], dropna=False, sort=False)
    if columns and split.ngroups == len(shown):
      break
  else:
    return ""
  as_groups = parsing.flag("group_columns", flag_list([*groups, *columns]))
  steps = [n for n in columns if rows[n].str.fullmatch(r"\d+").all()]
  if not steps or "training_step" in key:
    return as_groups
  others = [*groups, *(name for name in columns if name != steps[0])]
  flags = parsing.flag("step_column", steps[0])
  if others:
    flags += f" {parsing.flag('group_columns', flag_list(others))}"
  return f"{flags} if {quote(steps[0])} is the training step, else {as_groups}"


def _diverged(frame, groups) -> list[Issue]:
  run, issues = [*groups, "scale", "seed"], []
  marked = frame[frame["diverged"] & frame["score"].notna()]
  marked = marked.drop_duplicates(run)
  if len(marked):
    sentence = (
      f"{_count(len(marked), 'run', 'runs')} diverged according to the records"
      " and still have a score. Whatever their score, diverged runs count as"
      " failures in every success probability (also reported without them) and"
      " are left out of all other statistics."
    )
    rows = plain_rows(marked, [*run, "source"])
    issues.append(Issue("diverged", sentence, rows))
  shown = frame[frame["score"].isna()]
  if len(shown):
    sentence = (
      f"{_count(len(shown), 'score is', 'scores are')} not finite. Such runs"
      " count as diverged: they are failures in every success probability (also"
      " reported without them), and statistics that need a number leave them"
      " out and say so."
    )
    shown = shown.assign(score=shown["given"])
    rows = plain_rows(shown, [*run, "metric", "score", "source"])
    issues.append(Issue("non_finite", sentence, rows))
  return issues


def _missing(frame, groups, seeds, expected):
  """Returns issues about missing runs, and their number in each cell."""
  # `seeds` has the group, scale and seed of runs without a score too.
  there: dict[tuple, dict[Any, set]] = {}
  for (*group, scale), found in seeds.groupby([*groups, "scale"])["seed"]:
    there.setdefault(tuple(group), {})[scale] = set(found)
  scored = {
    tuple(cell): set(found)
    for cell, found in frame.groupby([*groups, "scale", "metric"])["seed"]
  }
  metrics_of: dict[tuple, list] = {}
  for *group, _, metric in scored:
    metrics = metrics_of.setdefault(tuple(group), [])
    if metric not in metrics:
      metrics.append(metric)
  rows, unpaired, num_missing = [], [], {}
  for group, scales in there.items():
    names = dict(zip(groups, group, strict=True))
    in_group = set().union(*scales.values())
    if len(scales) > 1 and sum(map(len, scales.values())) == len(in_group):
      unpaired.append(names)
      in_group = set()  # Scales share no seed, so no seed is missing.
    asked_for = {cell[-1] for cell in expected if cell[:-1] == group}
    # Other groups may have other scales.
    for scale in sorted(asked_for.union(scales)):
      wanted = in_group.union(
        scales.get(scale, ()), expected.get((*group, scale), ())
      )
      lacking = {}
      # A group without any score lacks every metric.
      for metric in sorted(metrics_of.get(group) or {m for *_, m in scored}):
        found = scored.get((*group, scale, metric), set())
        lacking[metric] = _name_seeds(wanted - found) if found else "all"
        num_missing[(*group, scale, metric)] = len(wanted - found)
      if len(set(lacking.values())) == 1:
        lacking = {"all": next(iter(lacking.values()))}
      rows += [
        {**names, "scale": scale, "metric": metric, "missing_seeds": told}
        for metric, told in lacking.items()
        if told
      ]
  for cell in expected:
    if cell[:-1] not in there:
      names = dict(zip([*groups, "scale"], cell, strict=True))
      rows.append({**names, "metric": "all", "missing_seeds": "all"})
  issues = []
  if rows:
    whole = sum(row["missing_seeds"] == "all" for row in rows)
    sentence = (
      "Runs are missing from the grid of scales and seeds:"
      f" {_count(whole, 'cell is', 'cells are')} empty and"
      f" {_count(len(rows) - whole, 'cell lacks', 'cells lack')} some of the"
      " expected seeds. Missing runs are left out of every statistic; if they"
      " are missing because they failed, the success probabilities are too"
      " high. Trajectories use only seeds that every scale of the group has."
    )
    issues.append(Issue("missing", sentence, rows))
  if unpaired:
    sentence = (
      f"In {_count(len(unpaired), 'group', 'groups')}, no seed occurs at two"
      " scales, so there are no trajectories and no comparisons seed by seed."
      " Distributions can still be compared."
    )
    issues.append(Issue("unpaired", sentence, unpaired))
  return issues, num_missing


def _thin_cells(frame, groups) -> list[Issue]:
  cells = frame.groupby([*groups, "scale"])["seed"].nunique().reset_index()
  issues = []
  if groups:
    alone = cells[~cells.duplicated(groups, keep=False)]
  else:
    alone = cells if len(cells) == 1 else cells[:0]
  if len(alone):
    sentence = (
      f"{_count(len(alone), 'group has', 'groups have')} one scale only. The"
      " distribution over seeds at that scale can be described (centre, spread,"
      " success probability, modes), but nothing can be said about scaling:"
      " there are no trajectories, trends, distances, paths or abruptness."
    )
    rows = plain_rows(alone, [*groups, "scale"])
    issues.append(Issue("one_scale", sentence, rows))
  thin = cells[cells["seed"] == 1]
  if len(thin):
    sentence = (
      f"Cells with one seed only: {len(thin)} of {len(cells)}. The score of a"
      " single run and its curve over scales can be shown. A single run does"
      " not determine spread, success probability, mode or modality, or whether"
      " a change between scales is more than chance."
    )
    rows = plain_rows(thin, [*groups, "scale"])
    issues.append(Issue("one_seed", sentence, rows))
  return issues


def _describe(row, key: Sequence[str]) -> str:
  seed = f"seed {quote(row['seed'])} at scale {quote(row['scale_label'])}"
  others = [name for name in key if name not in ("scale", "seed")]
  return seed + "".join(f", {name} {quote(row[name])}" for name in others)


def _name_seeds(seeds: Iterable) -> str:
  """Formats seeds as ranges, such as `0, 3, 8-15`."""
  ordered = sorted(seeds)
  if not all(isinstance(seed, (int, np.integer)) for seed in ordered):
    return ", ".join(map(str, ordered))
  return ", ".join(
    f"{own[0]}-{own[-1]}" if len(own) > 1 else f"{own[0]}"
    for own in consecutive_ranges(ordered)
  )


def _count(number: int, one: str, many: str) -> str:
  return f"{number} {one if number == 1 else many}"
