"""The sections of a report that show how a sweep was trained."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from etils import epath
from scipy import stats

from emergence import config as config_lib
from emergence.analysis.question import Section, Table
from emergence.analysis.words import count
from emergence.config import Config, axes_of, axis_text, to_dict
from emergence.report import figures
from emergence.statistics import success, summary
from emergence.storage import records
from emergence.sweep import console, time_budget

if TYPE_CHECKING:
  import pandas as pd

# With fewer seeds a rank correlation is mostly chance.
_LEAST_FOR_RANKS = 5
_CLOSE_RANKS = 0.8


class SweepData(NamedTuple):
  """A sweep, finished or not, as read from its work directory.

  Attributes:
    config: the experiment.
    frame: its records, as `emergence.storage.records.read` returns them.
    rows: a row per cell, from `summary.summarize`.
    provenances: the distinct provenances of the records.
    runs: the time budgets of the processes that trained them.
  """

  config: Config
  frame: "pd.DataFrame"
  rows: list[dict[str, Any]]
  provenances: list[dict]
  runs: list[time_budget.SweepRun]


def read(workdir: epath.PathLike) -> SweepData:
  """Reads a work directory; ValueError if it has nothing to report."""
  config = records.read_config(workdir)
  frame = records.read(workdir)
  return SweepData(
    config,
    frame,
    summary.summarize(
      frame, config.headline_length, config.eval.headline_metric
    ),
    records.read_provenances(workdir),
    time_budget.read_runs(workdir),
  )


def title(sweep: SweepData) -> str:
  """The heading of the page."""
  return f"{sweep.config.task.name}: outcomes over seeds and scale"


def say_status(sweep: SweepData) -> str:
  """States how much is finished and diverged, and what is not independent."""
  config = sweep.config
  num_diverged = sum(row["n_diverged"] for row in sweep.rows)
  cells = config_lib.cells(config)
  asked = {
    (*cell.columns.values(), seed)
    for cell in cells
    for seed in config.seeds.requested
  }
  final = records.final_rows(sweep.frame)
  columns = [*records.cell_columns(final), "seed"]
  found = set(final[columns].itertuples(index=False, name=None))
  verb = "is" if len(found) == 1 else "are"
  text = f"{len(found)} of {count(len(asked), 'model')} {verb} recorded"
  if found - asked:
    text = (
      f"{len(found & asked)} of the {count(len(asked), 'model')} that the"
      f" config asks for are recorded, and {len(found - asked)} others"
    )
  filled = {model[:-1] for model in found}
  empty = [c for c in cells if tuple(c.columns.values()) not in filled]
  if empty:
    has = "has" if len(empty) == 1 else "have"
    text += f"; {count(len(empty), 'scale')} {has} none"
  text += f"; {num_diverged} diverged"
  if num_diverged:
    text += f" and count{'s' if num_diverged == 1 else ''} as failures"
  if config.seeds.design == "crossed":
    text += (
      ". Models that share an initialization or data are not independent."
      " Except in the section on initialization and data order, intervals and"
      " p-values assume independence, so the intervals are too narrow and the"
      " p-values too small"
    )
  return f"{text}."


def sections(sweep: SweepData) -> list[Section]:
  """Sections on other test lengths, training, training loss and likelihood."""
  return [
    _length_curves(sweep),
    _training_curves(sweep),
    _training_loss(sweep),
    _likelihood(sweep),
  ]


def provenance(sweep: SweepData) -> list[Section]:
  """Sections on the models, the time, the machine and the config."""
  return [
    _models(sweep),
    time(sweep.runs, sum(row["n_seeds"] for row in sweep.rows)),
    machine(sweep.provenances),
    setting(sweep.config),
  ]


def _models(sweep: SweepData) -> Section:
  config, rows = sweep.config, sweep.rows
  num_seeds = sum(row["n_seeds"] for row in rows)
  varies = {
    "paired": "in their random seed, which sets initialization and data",
    "fixed_init": "in the seed of their data",
    "fixed_data": "in the seed of their initialization",
    "crossed": "in the seeds of initialization and data, and every"
    " initialization is combined with every data order",
  }[config.seeds.design]
  were = "model was" if num_seeds == 1 else "models were"
  axes = axes_of(rows[0])
  body = [
    [
      *(axis_text(row[axis]) for axis in axes),
      f"{row['num_params']:,}",
      str(row["n_seeds"]),
      str(row["n_diverged"]),
      " ".join(map(str, row["seeds_by_tenth"])),
    ]
    for row in rows
  ]
  return Section(
    "models",
    "“Seeds by tenth” counts the seeds with a score in [0, .1), [.1, .2), …"
    " [.9, 1]. Diverged seeds are not counted.",
    table=Table(
      [*axes, "parameters", "seeds", "diverged", "seeds by tenth"], body
    ),
    title="Which models were trained?",
    answers=[
      f"{num_seeds} {were} trained at {count(len(rows), 'scale')}. Models of"
      f" one scale differ only {varies}. Training used lengths up to"
      f" {_longest_trained(config)}; the score is measured at length"
      f" {config.headline_length}."
    ],
  )


def _length_curves(sweep: SweepData) -> Section:
  config, frame = sweep.config, sweep.frame
  split = _most_split(sweep.rows)
  final = records.final_rows(frame)
  own = records.rows_of_cell(final, split).groupby("test_length")[
    config.eval.headline_metric
  ]
  ranges = [
    f"from {scores.min():.2f} to {scores.max():.2f} at length {length:.0f}"
    for length, scores in own
  ]
  shown = ranges if len(ranges) <= 2 else [ranges[0], ranges[-1]]
  lengths = config.task.test_lengths
  caveat = f"Seeds are tested only at length {lengths[0]}."
  if len(lengths) > 1:
    caveat = (
      f"Seeds are tested at lengths {', '.join(map(str, lengths))}. The lines"
      " in between only connect these points."
    )
  metric = config.eval.headline_metric
  return Section(
    "length-curves",
    "Each line is one seed. The dotted line is the longest length in training,"
    f" {_longest_trained(config)}.",
    caveat,
    figure=figures.length_curves(
      frame,
      config.headline_length,
      max_train_length=config.task.max_train_length,
      score=metric,
    ),
    title="How do the seeds do at other lengths?",
    answers=[
      f"At {_name(split, sweep.rows)} the {metric.replace('_', ' ')} of the"
      f" seeds ranges {' and '.join(shown)}."
    ],
  )


def _training_curves(sweep: SweepData) -> Section:
  config = sweep.config
  threshold = sweep.rows[0]["success_threshold"]
  length = config.headline_length
  frame = cast(Any, sweep.frame)
  rows = frame[frame["test_length"] == length].sort_values("step")
  rows = rows.assign(
    reached=success.is_success(
      rows[config.eval.headline_metric].to_numpy(), threshold
    )
  )
  seed = [*records.cell_columns(rows), "seed"]
  reached_S = rows.groupby(seed)["reached"]
  ends_S, ever_S = reached_S.last(), reached_S.any()
  num = int(ends_S.sum())
  sentence = f"No seed ends at {threshold:.0%} or more."
  if num:
    first_S = rows[rows["reached"]].groupby(seed)["step"].min()[ends_S]
    middle = int(np.quantile(first_S, 0.5, method="inverted_cdf"))
    sentence = (
      f"{count(num, 'seed')} end{'s' * (num == 1)} at {threshold:.0%} or more:"
      f" half of them had reached this score by step {middle:,}, all by step"
      f" {int(first_S.max()):,}."
    )
  lost = int((ever_S & ~ends_S).sum())
  return Section(
    "training-curves",
    "Each line is one seed; dark lines are seeds that succeed at the end.",
    f"Seeds are tested {count(config.eval.num_points, 'time')} after the"
    " start; what happens between two tests is not recorded. The learning rate"
    " falls to zero at the end, so a curve that is flat there says nothing"
    " about longer training.",
    figure=figures.training_curves(
      sweep.frame,
      length,
      config.eval.headline_metric,
      score=config.eval.headline_metric,
    ),
    title="What do the seeds do during training?",
    answers=[
      sentence,
      f"{count(lost, 'seed')} scored {threshold:.0%} or more at some evaluation"
      " but not at the end.",
    ],
  )


def _training_loss(sweep: SweepData) -> Section:
  rows, length = sweep.rows, sweep.config.headline_length
  final = records.final_rows(sweep.frame)
  final = final[final["test_length"] == length]
  finite = final[np.isfinite(final["train_loss"]) & ~final["diverged"]]
  medians = [
    (records.rows_of_cell(finite, row)["train_loss"].median(), row)
    for row in (rows[0], *rows[1:][-1:])
  ]
  parts = [
    f"{median:.2g} at {_name(row, rows)}"
    for median, row in medians
    if np.isfinite(median)
  ]
  answers = ["No seed has a finite training loss at the end."]
  if parts:
    answers = [f"The loss of the median seed is {' and '.join(parts)}."]
  points = []
  split = _most_split(rows)
  own = records.rows_of_cell(finite, split)
  succeeded_S = success.is_success(
    own[split["metric"]], split["success_threshold"]
  )
  if min(succeeded_S.sum(), (~succeeded_S).sum()) >= 5:
    loss_S = own["train_loss"].to_numpy()
    test = stats.mannwhitneyu(loss_S[succeeded_S], loss_S[~succeeded_S])
    sentence = (
      f"At {_name(split, rows)} the median loss is"
      f" {np.median(loss_S[succeeded_S]):.2g} for the seeds that succeed at"
      f" length {length} and {np.median(loss_S[~succeeded_S]):.2g} for those"
      " that fail."
    )
    answers.append(sentence)
    points = [(sentence, f"Mann–Whitney p = {test.pvalue:.2g}")]
  caveat = (
    "The loss is measured on the lengths in training and averaged between the"
    " last two evaluations. Seeds with similar loss may differ at longer"
    " lengths, and seeds that score alike there may differ in loss. A"
    " difference in loss between seeds that succeed and seeds that fail does"
    " not show a cause."
  )
  if len(finite) < len(final):
    num = len(final) - len(finite)
    caveat += f" {count(num, 'diverged seed')}"
    caveat += f" {'is' if num == 1 else 'are'} left out."
  return Section(
    "training-loss",
    "Training loss in nats per answer token, one line per seed.",
    caveat,
    figure=figures.training_curves(
      sweep.frame,
      length,
      "train_loss",
      score=sweep.config.eval.headline_metric,
    ),
    points=points,
    title="Does the training loss tell the seeds apart?",
    answers=answers,
  )


def _likelihood(sweep: SweepData) -> Section:
  length = sweep.config.headline_length
  ranks, points = [], []
  for columns, cell in summary.final_cells(sweep.frame, length):
    x = cell["nll_mean"].to_numpy(float)
    y = cell[sweep.config.eval.headline_metric].to_numpy(float)
    y = y[np.isfinite(x)]
    x = x[np.isfinite(x)]
    if len(x) >= _LEAST_FOR_RANKS and np.ptp(x) and np.ptp(y):
      rank = float(cast(Any, stats.spearmanr(x, y))[0])
      ranks.append(-rank)
      number = f"{rank:.2f}".replace("-", "−")
      points.append((_name(columns, sweep.rows), f"rank correlation {number}"))
  sentence = (
    f"No scale has {_LEAST_FOR_RANKS} or more seeds that differ in both exact"
    " match and likelihood."
  )
  if ranks:
    num = sum(rank >= _CLOSE_RANKS for rank in ranks)
    sentence = (
      f"At {num} of {count(len(ranks), 'scale')} score and likelihood rank the"
      " seeds in nearly the same order."
    )
  return Section(
    "exact-match-against-nll",
    "Each dot is one seed: its score, and the negative log-likelihood of the"
    " right answers. Gray: the seeds of the other scales.",
    "Exact match counts only whole answers and cannot distinguish the seeds at"
    " 0; likelihood can. A gap between clusters along only one axis may come"
    " from the metric. “Nearly the same order” means a rank correlation of"
    f" {-_CLOSE_RANKS:g} or less.".replace("-", "−"),
    figure=figures.exact_match_against(
      sweep.frame, length, score=sweep.config.eval.headline_metric
    ),
    points=points,
    title="Do the score and the likelihood rank seeds alike?",
    answers=[sentence],
  )


def _most_split(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
  """The cell whose success probability is nearest to one half."""
  return min(rows, key=lambda row: abs(row["success_probability"] - 0.5))


def _name(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
  """Names a cell by what varies: `depth 2`, or `width 16, depth 2`."""
  axes = axes_of(rows[0])
  varying = [axis for axis in axes if len({r[axis] for r in rows}) > 1]
  return ", ".join(
    f"{axis} {axis_text(row[axis])}" for axis in varying or ["depth"]
  )


def _longest_trained(config: Config) -> str:
  """The longest length in training: 10, or `5 or 10` where cells differ."""
  lengths = {
    config_lib.cell_config(config, cell).task.max_train_length
    for cell in config_lib.cells(config)
  }
  return " or ".join(map(str, sorted(lengths)))


_PHASES = {
  "compile": "compiling",
  "train": "training, data included",
  "evaluate": "evaluation",
  "write": "writing records and parameters",
  "other": "everything else",
}


def time(runs: Sequence[time_budget.SweepRun], num_seeds: int) -> Section:
  """Section on the wall time of the runs, by phase.

  Args:
    runs: the runs that have written a time budget.
    num_seeds: number of models that are recorded.
  """
  if not runs:
    return Section(
      "time",
      "",
      title="How long did it take?",
      answers=["No run has written its time budget to this directory."],
    )
  seconds = time_budget.total_seconds(runs)
  total = sum(seconds.values())
  trained = sum(run.seeds for run in runs)
  in_total = "" if len(runs) == 1 else " in total"
  sentence = (
    f"{count(len(runs), 'run')} took {console.format_seconds(total)}{in_total}."
  )
  steps = sum(run.seed_steps for run in runs)
  if steps and seconds["train"] > 0:
    sentence += (
      f" Training ran at {steps / seconds['train']:,.0f} seed-steps per second,"
      " counting only seeds that were finished."
    )
  if trained < num_seeds:
    sentence += (
      f" The runs' files account for {trained} of {num_seeds} models; the time"
      " of the others is not known."
    )
  if trained > num_seeds:
    sentence += (
      f" The runs trained {trained} models, of which {num_seeds} are recorded:"
      " some were trained twice, or their records are gone."
    )
  return Section(
    "time",
    "Where the time went.",
    "This is the wall time of the sweep, on a machine that may have run other"
    " work at the same time. It does not include loading the program, making"
    " this report, or what a killed run spent after its last finished block."
    " Times of runs in parallel are added up.",
    table=Table(
      ["phase", "time", "share"],
      [
        [_PHASES[p], console.format_seconds(s), f"{s / max(total, 1e-9):.1%}"]
        for p, s in seconds.items()
      ],
    ),
    title="How long did it take?",
    answers=[sentence],
  )


def machine(provenances: Sequence[Mapping[str, Any]]) -> Section:
  """Section on devices and versions in the records, and which ones differ."""
  names = {
    "device_kind": "device",
    "platform": "platform",
    "num_devices": "devices",
    "block": "seeds per block",
    "machine": "machine",
    "processor": "processor",
    "python_version": "Python",
    "jax_version": "jax",
    "jaxlib_version": "jaxlib",
    "flax_version": "flax",
    "optax_version": "optax",
    "numpy_version": "numpy",
    "emergence_version": "emergence",
    "git_commit": "commit",
    "identity_hash": "config hash",
  }
  values = {
    key: sorted({str(p.get(key, "unknown")) for p in provenances})
    for key in names
  }
  values["git_commit"] = [_short_commit(c) for c in values["git_commit"]]
  differs = [names[key] for key, found in values.items() if len(found) > 1]
  return Section(
    "machine",
    "Devices and versions.",
    "On another device, or with another block size, the data are bit-identical,"
    " but individual seeds may still reach different scores.",
    table=Table(
      ["setting", "value"],
      [[names[key], ", ".join(found)] for key, found in values.items()],
    ),
    title="On which machine?",
    answers=[
      f"The records differ in: {', '.join(differs)}."
      if differs
      else "All records come from one kind of device and one set of versions."
    ],
  )


def setting(config: Config) -> Section:
  """Section with the whole config as JSON."""
  return Section(
    "config",
    "",
    code=json.dumps(to_dict(config), indent=2),
    title="With which config?",
    answers=["This is the whole config, as in config.json."],
  )


def _short_commit(commit: str) -> str:
  head, dash, dirty = commit.partition("-")
  return f"{head[:12]}{dash}{dirty}"
