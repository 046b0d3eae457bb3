"""Scores from a folder of lm-evaluation-harness result files.

The harness writes `results_DATE.json` for each evaluated model. Under `results`
it has one dict per task with `METRIC,FILTER` and `METRIC_stderr,FILTER`; beside
`results` are `model_name`, `config`, `n-shot`, `n-samples`, `higher_is_better`
and `group_subtasks`. Files of versions before 0.4, with bare metric names, are
read too. The harness has no notion of a training run, so which model, size and
seed a file belongs to is read from names; `read` states the rules.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from etils import epath

from emergence.storage.files import glob_below
from emergence.tables import harness_names as names
from emergence.tables import parsing, units
from emergence.tables.audit import audit
from emergence.tables.score_table import (
  Issue,
  ReadOptions,
  ScoreTable,
  quote,
  require_column,
  visible,
)

if TYPE_CHECKING:
  import pandas as pd


def read(folder: epath.Path, options: ReadOptions) -> ScoreTable:
  """Reads every result file below a folder.

  Scores are grouped by `model` and `task`, by `checkpoint` if a model of one
  size has several, and by `num_fewshot` if a task has several. A metric is
  named as in the file, without `,none`. The model,
  scale, seed and checkpoint of a file are found as follows:

  - The *label* is the base model, if `config.model_args` has `pretrained`, then
    the model's name (`model_name`, or else the model in `config.model_args`),
    then the `revision`. If it has
    several sizes or seeds, the last one counts. The *path* is relative to the
    folder.
  - Scale: a size such as `160m` or `1.3B` in the label, or else in the path. If
    any file has neither, the scale of every file is its
    `config.model_num_parameters`.
  - Seed: `seed3`, `seed-3`, `seed_3` or `seed=3` in the label, or else in the
    path.
  - Model: what follows the last `/` of the model's name, without size, seed and
    step.
  - Checkpoint: the step in the label, or else in the path, or else the
    revision.

  The options that apply:

  - `where`: conditions on the columns `model`, `scale` (its text), `seed`,
    `checkpoint`, `num_fewshot`, `task` and `metric`.
  - `score_unit`: `auto` determines the unit for each task and metric.
  - `lower_is_better`, `higher_is_better`: override what the files say.
  - `scale_order`: ranks scales that are not numbers.
  - `default_seed`: the seed of files whose names have none.
  - `name_pattern`: a regular expression with named groups out of `model`,
    `scale` and `seed`, which override these rules. It is searched in the path,
    then in the model's name.
  - `conflicting_scores`: `first` and `last` mean the order of the paths, which
    contain the date of the evaluation.

  Raises:
    ValueError: there are no result files, a file is not valid JSON, no rule
      gives its size or seed, its path and its label give different ones,
      `name_pattern` matches neither the path nor the model's name, or the files
      give a metric both directions.
  """
  pattern = names.compile_pattern(options.name_pattern)
  contents, issues = _read_files(folder)
  files = [
    names.identify(source, content, pattern)
    for source, content in contents.items()
  ]
  files, scale_name = names.settle_scales(files)
  if pattern and "scale" in pattern.groupindex:
    scale_name = "scale"  # The pattern may match steps or tokens.
  files = names.settle_seeds(files, options.default_seed)
  frame = _to_frame(files)
  for name in options.score_columns:
    require_column(name, set(frame["metric"]), "score_column", folder)
  if options.score_columns:
    is_chosen = frame["metric"].isin(options.score_columns)
    frame = cast(Any, frame[is_chosen])
  frame, excluded = parsing.select(frame, options.where, folder)
  issues += excluded + _average_issues(frame, files)
  frame, metrics, unit_issues = units.settle_units(
    _parse(frame, options),
    options.lower_is_better,
    options.higher_is_better,
    by=("task", "metric"),
    known=_directions(
      frame, {*options.lower_is_better, *options.higher_is_better}
    ),
  )
  groups, unused = ["model", "task"], []
  for column, within in (
    ("checkpoint", ["model", "task", "scale"]),
    ("num_fewshot", ["task"]),
  ):
    is_group = frame.groupby(within)[column].nunique().to_numpy().max() > 1
    (groups if is_group else unused).append(column)
  by_source: Any = frame.drop_duplicates("source").set_index("source")
  table = ScoreTable(
    frame,
    tuple(groups),
    scale_name,
    metrics,
    condition="lm-evaluation-harness results",
    seed_meaning="The files do not say what runs with the same seed share at"
    " two sizes.",
    issues=issues + unit_issues,
  )
  return audit(
    table,
    options.conflicting_scores,
    by_source[unused],
    advice=names.advise_folders(files),
  )


def _read_files(folder: epath.Path) -> tuple[dict[str, dict], list[Issue]]:
  """Reads result files, by relative path, and an issue about other files."""
  contents, ignored = {}, []
  for path in glob_below(folder, "*.json"):
    source = visible(path.relative_to(folder).as_posix())
    try:
      content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
      raise ValueError(f"{path} is not readable JSON: {error}") from error
    tasks = names.at(content, "results")
    if (
      tasks
      and isinstance(tasks, dict)
      and all(isinstance(task, dict) for task in tasks.values())
    ):
      contents[source] = content
    else:
      ignored.append({"source": source})
  if not contents:
    raise ValueError(
      f"{folder} is no work directory (no records), and no .json file in it is"
      " a result of lm-evaluation-harness; give the file itself if the scores"
      " are in a table"
    )
  number = len(ignored)
  sentence = (
    f"{number} .json {'file is' if number == 1 else 'files are'} not in the"
    " format of lm-evaluation-harness results and not used."
  )
  return contents, [
    Issue("ignored_files", sentence, ignored)
  ] if ignored else []


def _to_frame(files: Sequence[names.ResultFile]) -> "pd.DataFrame":
  """Returns one row per score."""
  import pandas as pd

  rows = []
  for file in files:
    for task, results in file.content["results"].items():
      shots = names.at(file.content, "n-shot", task)
      if shots is None:
        shots = names.at(file.content, "config", "num_fewshot")
      items = names.at(file.content, "n-samples", task, "effective")
      for key, metric in _metric_keys(results):
        higher = names.at(file.content, "higher_is_better", task, metric)
        rows.append(
          {
            "model": file.model,
            "scale": file.scale,
            "seed": file.seed,
            "checkpoint": file.checkpoint,
            "num_fewshot": parsing.cell_text(shots),
            "task": task,
            "metric": key.removesuffix(",none"),
            "higher_is_better": None if higher is None else bool(higher),
            "score": results[key],
            "num_items": _number(items),
            "source": file.source,
          }
        )
  if not rows:
    raise ValueError(
      f"found no score in any of {len(files)} result files, such as"
      f" {files[0].source}"
    )
  return pd.DataFrame(rows)


def _directions(frame: "pd.DataFrame", told: set[str]) -> dict[str, bool]:
  """Returns whether lower is better, by metric; no error if told."""
  task_of: dict[str, dict[bool, str]] = {}
  rows = frame[["metric", "higher_is_better", "task"]].dropna()
  for name, higher, task in rows.itertuples(index=False):
    tasks = task_of.setdefault(name, {})
    tasks[bool(higher)] = task
    if len(tasks) > 1 and name not in told:
      raise ValueError(
        f"{quote(name)}: higher is better in task {quote(tasks[True])}, lower"
        f" in task {quote(tasks[False])}; give"
        f" {parsing.flag('where', f'task!={task}')},"
        f" {parsing.flag('higher_is_better', name)} or"
        f" {parsing.flag('lower_is_better', name)}"
      )
  return {name: False in tasks for name, tasks in task_of.items()}


def _metric_keys(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
  """Yields the key and metric of each score of a task, no standard errors."""
  has_filters = any("," in key for key in results)
  for key, value in results.items():
    metric, comma, _ = key.partition(",")
    if metric.endswith("_stderr"):
      continue
    if comma if has_filters else isinstance(value, (int, float)):
      yield key, metric


def _parse(frame: "pd.DataFrame", options: ReadOptions) -> "pd.DataFrame":
  rows: Any = frame.set_index("source")
  metric = list(rows["metric"])
  score, missing, percent_sign = parsing.parse_scores(
    rows["score"],
    "score",
    (
      f"{source}, task {quote(task)}, metric {quote(name)}"
      for source, task, name in zip(
        rows.index, rows["task"], metric, strict=True
      )
    ),
  )
  return frame.assign(
    unit=units.units_of_rows(
      rows, metric, list(dict.fromkeys(metric)), options.score_unit
    ),
    scale=parsing.parse_scales(rows["scale"], options.scale_order),
    scale_label=frame["scale"],
    seed=parsing.parse_seeds(rows["seed"]),
    score=score,
    missing=missing,
    percent_sign=percent_sign,
    diverged=False,
  )


def _average_issues(
  frame: "pd.DataFrame", files: Sequence[names.ResultFile]
) -> list[Issue]:
  parts_of: dict[str, list[str]] = {}
  for file in files:
    for name in frame["task"].unique():
      parts = names.at(file.content, "group_subtasks", name)
      if parts and isinstance(parts, list):
        parts_of[name] = list(map(str, parts))
  if not parts_of:
    return []
  number = len(parts_of)
  sentence = (
    f"{number} {'task is an average' if number == 1 else 'tasks are averages'}"
    " over other tasks of these files. Averages and their parts are all"
    " analyzed, and all count in the correction for multiple tests;"
    " --where=task!=NAME leaves a task out."
  )
  rows = [{"task": name, "of": parts} for name, parts in parts_of.items()]
  return [Issue("aggregate", sentence, rows)]


def _number(value: Any) -> float:
  """Returns a number as float; NaN for anything else, such as `N/A`."""
  is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
  return float(value) if is_number else np.nan
