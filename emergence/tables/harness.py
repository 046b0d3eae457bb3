"""Scores from a folder of lm-evaluation-harness result files.

The harness writes `results_DATE.json` for each evaluated model: under `results`
a dict a task, in it `METRIC,FILTER` and `METRIC_stderr,FILTER`, and beside it
`model_name`, `config`, `n-shot`, `n-samples`, `higher_is_better` and
`group_subtasks`. Files of versions before 0.4, with bare metric names, are read
too. The harness has no notion of a training run, so which model, size and seed
a file belongs to is told by names; `read` says by which rules.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from etils import epath

from emergence.tables import cells, files, names, units
from emergence.tables.audit import audit
from emergence.tables.score_table import (
  CONFLICTING_LABELS,
  Finding,
  ScoreTable,
  quote,
  require_choice,
  require_column,
  visible,
)

if TYPE_CHECKING:
  import pandas as pd


def read(
  folder: epath.PathLike,
  *,
  metrics: Sequence[str] = (),
  where: Sequence[str] = (),
  score_unit: Sequence[str] = (),
  lower_is_better: Sequence[str] = (),
  name_pattern: str | None = None,
  conflicting_scores: str = "refuse",
  conflicting_labels: str = "refuse",
) -> ScoreTable:
  """Reads every result file below a folder.

  Groups are `model` and `task`, with `checkpoint` where a model and size has
  several and `num_fewshot` where a task has. A metric is named as in the file,
  without `,none`. What a file is about:

  - The *label* is `model_name`, or the model in `config.model_args` (`peft`,
    `delta`, `pretrained`, …), and its `revision`; the last size or seed in it
    counts. The *path* is that below the folder.
  - Scale: a size such as `160m` or `1.3B` in the label, or else in the path. If
    any file has neither, `config.model_num_parameters` of all of them.
  - Seed: `seed3`, `seed-3`, `seed_3` or `seed=3` in the label, or else in the
    path. If no file has one, `config.random_seed` where it varies: a seed of
    the evaluation. If it does not, every run is seed 0.
  - Model: the last part of the label's name without size and seed.
  - Checkpoint: the step in the label's revision, or else in the path.

  Args:
    folder: the folder, local or gs://.
    metrics: metrics to take; all if empty.
    where: conditions on the columns `model`, `scale` (its text), `seed`,
      `checkpoint`, `num_fewshot`, `task` and `metric`.
    score_unit: as in `tables.read`; found for each task and metric.
    lower_is_better: metrics in which less is better, beside those that the
      files say and perplexities, losses and error rates of known names.
    name_pattern: a regular expression with named groups out of `model`, `scale`
      and `seed`, which go before these rules. It is searched in the path, and
      in the label where it is not found there.
    conflicting_scores: as in `tables.read`; files are in the order of paths, in
      which the harness's dates are in theirs.
    conflicting_labels: what to do where size, seed, step or folder name of the
      path are not those of the label: `refuse`, or believe `label` or `path`.

  Raises:
    ValueError: there are no result files, one is damaged, or no rule tells what
      it is about.
  """
  require_choice("conflicting_labels", conflicting_labels, CONFLICTING_LABELS)
  folder = epath.Path(folder)
  pattern = names.compile_pattern(name_pattern)
  contents, findings = _read_files(folder)
  runs = [
    names.identify(source, content, pattern, conflicting_labels)
    for source, content in contents
  ]
  findings += names.report_conflicts(runs, conflicting_labels)
  runs, scale_name, more = names.settle_scales(runs)
  findings += more
  runs, seed_meaning, more = names.settle_seeds(runs)
  frame, more_lower = _to_frame(runs)
  for name in metrics:
    require_column(name, set(frame["metric"]), "score_column", folder)
  if metrics:
    frame = cast(Any, frame[frame["metric"].isin(metrics)])
  frame, excluded = cells.select(frame, where, folder)
  findings += more + excluded + _describe_items(frame, runs)
  frame = _parse_scores(frame)
  frame, known, more = units.settle_units(
    frame,
    score_unit,
    lower_is_better,
    by=("task", "metric"),
    known_lower=more_lower,
  )
  groups, unused = _choose_groups(frame)
  table = ScoreTable(
    frame,
    groups,
    scale_name,
    known,
    condition="lm-evaluation-harness results",
    seed_meaning=seed_meaning,
    seeds_shared=None,
    items_enumerated=None,
    findings=findings + more,
  )
  return audit(table, conflicting_scores, unused)


def is_result(content: Any) -> bool:
  """Whether a JSON value looks like a result file of the harness."""
  if not isinstance(content, dict):
    return False
  results = content.get("results")
  return (
    isinstance(results, dict)
    and bool(results)
    and all(isinstance(task, dict) for task in results.values())
  )


def _read_files(
  folder: epath.Path,
) -> tuple[list[tuple[str, dict]], list[Finding]]:
  contents, ignored = [], []
  for path in _json_files(folder):
    source = visible(path.relative_to(folder).as_posix())
    content = files.parse_json(files.decode(path, path.read_bytes()), path)
    if is_result(content):
      contents.append((source, content))
    else:
      ignored.append({"source": source})
  if not contents:
    raise ValueError(
      f"{folder} is no work directory (no records), and no .json file in it is"
      " a result of lm-evaluation-harness"
    )
  sentence = f"{len(ignored)} .json files are no results and were not read."
  return contents, (
    [Finding("ignored_files", sentence, ignored)] if ignored else []
  )


def _json_files(folder: epath.Path) -> list[epath.Path]:
  """All .json files below a folder, by path. (epath knows no `**`.)"""
  found = []
  for path in sorted(folder.iterdir()):
    if path.is_dir():
      found += _json_files(path)
    elif path.suffix.lower() == ".json":
      found.append(path)
  return found


def _to_frame(runs: Sequence[names.Run]) -> tuple["pd.DataFrame", set[str]]:
  """A row a score, cells as in the files; and metrics where less is better."""
  import pandas as pd

  rows, lower = [], set()
  for run in runs:
    common = {
      "model": run.model,
      "scale": run.scale,
      "seed": run.seed,
      "checkpoint": run.checkpoint,
    }
    for task, results in run.content["results"].items():
      shots = names.at(run.content, "n-shot", task)
      if shots is None:
        shots = names.at(run.content, "config", "num_fewshot")
      items = names.at(run.content, "n-samples", task, "effective")
      for key, metric, stderr in _metric_keys(results):
        name = key.removesuffix(",none")
        higher = names.at(run.content, "higher_is_better", task, metric)
        if higher is False or units.is_lower_better(metric):
          lower.add(name)
        rows.append(
          {
            **common,
            "num_fewshot": cells.cell_text(shots),
            "task": task,
            "metric": name,
            "score": results[key],
            "item_stderr": _number(results.get(stderr)),
            "num_items": _number(items),
            "source": run.source,
          }
        )
  if not rows:
    raise ValueError(f"{runs[0].source} and the others hold no metric")
  return pd.DataFrame(rows), lower


def _metric_keys(
  results: Mapping[str, Any],
) -> Iterator[tuple[str, str, str]]:
  """Key, metric and key of the standard error of each score of a task."""
  has_filters = any("," in key for key in results)
  for key, value in results.items():
    metric, comma, filter_name = key.partition(",")
    if metric.endswith("_stderr"):
      continue
    if has_filters and comma:
      yield key, metric, f"{metric}_stderr,{filter_name}"
    elif not has_filters and isinstance(value, (int, float)):
      yield key, metric, f"{metric}_stderr"


def _parse_scores(frame: "pd.DataFrame") -> "pd.DataFrame":
  parsed = []
  for source, task, metric, cell in frame[
    ["source", "task", "metric", "score"]
  ].itertuples(index=False):
    try:
      parsed.append(cells.parse_score(cell))
    except ValueError as error:
      raise ValueError(
        f"{source}, task {quote(task)}, metric {quote(metric)}: {error}"
      ) from None
  scores, percent_sign = zip(*parsed, strict=True)
  return frame.assign(
    scale=frame["scale"].map(cells.parse_scale),
    scale_label=frame["scale"],
    seed=cells.parse_seeds(frame["seed"], frame["source"]),
    score=scores,
    percent_sign=percent_sign,
    diverged=False,
  )


def _describe_items(
  frame: "pd.DataFrame", runs: Sequence[names.Run]
) -> list[Finding]:
  findings = []
  known = frame["item_stderr"].dropna()
  if len(known):
    findings.append(
      Finding(
        "item_noise",
        f"Standard errors of the files ({known.min():.2g} to {known.max():.2g},"
        " in their units) are over test items, not over runs. They are kept as"
        " item noise and never used as the spread over seeds.",
        [],
      )
    )
  groups: dict[str, list[str]] = {}
  tasks = list(dict.fromkeys(frame["task"]))
  for run in runs:
    for name in tasks:
      parts = names.at(run.content, "group_subtasks", name)
      if parts and isinstance(parts, list):
        groups[name] = list(map(str, parts))
  if groups:
    findings.append(
      Finding(
        "aggregate",
        f"{len(groups)} tasks are averages over others that are here too. Both"
        " are analyzed and count in the correction for many tests; leave some"
        " out with --where=task!=NAME.",
        [{"task": name, "of": parts} for name, parts in groups.items()],
      )
    )
  return findings


def _choose_groups(
  frame: "pd.DataFrame",
) -> tuple[tuple[str, ...], "pd.DataFrame"]:
  """Group columns, and by source the columns that are none."""
  groups, unused = ["model", "task"], []
  for column, within in (
    ("checkpoint", ["model", "task", "scale"]),
    ("num_fewshot", ["task"]),
  ):
    several = frame.groupby(within)[column].nunique().to_numpy().max() > 1
    (groups if several else unused).append(column)
  by_source = frame.drop_duplicates("source").set_index("source")
  return tuple(groups), cast(Any, by_source[unused])


def _number(value: Any) -> float:
  """A number, NaN for anything else: the harness writes `N/A` and blanks."""
  is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
  return float(value) if is_number else np.nan
