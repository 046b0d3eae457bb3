"""The sections of a report that show how a sweep was trained."""

import json
from collections.abc import Callable, Mapping, Sequence
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
from emergence.statistics.options import MIN_RUNS
from emergence.storage import records
from emergence.sweep import console, time_budget

if TYPE_CHECKING:
  import pandas as pd

# With fewer seeds a rank correlation is mostly chance.
_LEAST_FOR_RANKS = 5


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


def introduction(sweep: SweepData) -> str:
  """The question, and how much of the experiment is finished."""
  config, rows = sweep.config, sweep.rows
  length = config.headline_length
  num_seeds = sum(row["n_seeds"] for row in rows)
  num_diverged = sum(row["n_diverged"] for row in rows)
  varies = {
    "paired": "in their random seed alone, which draws initialization and data",
    "fixed_init": "in the seed of their data alone",
    "fixed_data": "in the seed of their initialization alone",
    "crossed": "in the seeds of initialization and data alone, every one of the"
    " former with every one of the latter",
  }[config.seeds.design]
  were = "model was" if num_seeds == 1 else "models were"
  text = (
    "When a larger model does what a smaller one does not, has every model"
    " become a little better, or do more of them break through? One run per"
    f" scale cannot tell. Here {num_seeds} {were} trained at"
    f" {count(len(rows), 'scale')}; at one scale they differ {varies}."
    f" Training had lengths up to {_longest_trained(config)}; the question"
    f" is asked at length {length}."
  )
  if config.seeds.design == "crossed":
    text += (
      " Models that share an initialization or data are not independent:"
      " intervals and p-values below, which take them to be, are too narrow."
    )
  cells = config_lib.cells(config)
  asked = {
    (*cell.columns.values(), seed)
    for cell in cells
    for seed in config.seeds.requested
  }
  final = records.final_rows(sweep.frame)
  columns = [*records.cell_columns(final), "seed"]
  found = set(final[columns].itertuples(index=False, name=None))
  status = f"{count(len(found), 'model')} of {len(asked)} are recorded"
  if found - asked:
    status = (
      f"{len(found & asked)} of the {count(len(asked), 'model')} that the"
      f" config asks for are recorded, and {len(found - asked)} others"
    )
  filled = {model[:-1] for model in found}
  empty = [c for c in cells if tuple(c.columns.values()) not in filled]
  if empty:
    status += f"; {count(len(empty), 'scale')} without any"
  status += f"; {num_diverged} diverged"
  if num_diverged:
    status += f" and count{'s' if num_diverged == 1 else ''} as failed"
  return f"{text}\n\n{status}."


def opening(sweep: SweepData) -> list[Section]:
  """The sections before the analysis of the final scores."""
  return [_cells(sweep)]


def closing(sweep: SweepData) -> list[Section]:
  """The sections after it: lengths, training, time, machine, config."""
  writers: list[Callable[[SweepData], Section]] = [
    _length_curves,
    _training_curves,
    _training_loss,
    _likelihood,
  ]
  return [
    *(writer(sweep) for writer in writers),
    time(sweep.runs, sum(row["n_seeds"] for row in sweep.rows)),
    machine(sweep.provenances),
    setting(sweep.config),
  ]


def _cells(sweep: SweepData) -> Section:
  config, rows = sweep.config, sweep.rows
  threshold = rows[0]["success_threshold"]
  axes = axes_of(rows[0])
  header = [*axes, "parameters", "seeds", "diverged", "mean", "mode"]
  header += [f"P(≥\u00a0{threshold:.0%})", "95\u00a0% interval"]
  header += [f"mean of ≥\u00a0{threshold:.0%}", "seeds by tenth"]
  body = [
    [
      *(axis_text(row[axis]) for axis in axes),
      f"{row['num_params']:,}",
      str(row["n_seeds"]),
      str(row["n_diverged"]),
      console.format_score(row["mean"]),
      console.format_score(row["mode"]),
      row["success_text"],
      f"{row['success_low']:.2f}–{row['success_high']:.2f}",
      console.format_score(row["mean_given_success"]),
      " ".join(map(str, row["seeds_by_tenth"])),
    ]
    for row in rows
  ]
  return Section(
    "cells",
    "Scales",
    "One row per scale: exact match over its seeds at length"
    f" {config.headline_length} after its last training step. A seed succeeds"
    f" from {threshold:.0%} on.",
    f"{threshold:.0%} is a convention, another threshold gives other"
    " probabilities. The interval is of 95 %, over seeds of this very setting."
    " The mode is the peak of a smoothed density and moves with the smoothing."
    " Diverged seeds count as failed and are left out of the rest."
    f" A mean of fewer than {MIN_RUNS} successes is not given."
    " Seeds by tenth: [0, .1), [.1, .2), … [.9, 1].",
    table=Table(header, body),
  )


def _length_curves(sweep: SweepData) -> Section:
  config, frame = sweep.config, sweep.frame
  split = _most_split(sweep.rows)
  final = records.final_rows(frame)
  own = records.rows_of_cell(final, split).groupby("test_length")[
    config.eval.headline_metric
  ]
  ranges = [
    f"{scores.min():.2f} to {scores.max():.2f} at length {length:.0f}"
    for length, scores in own
  ]
  shown = ranges if len(ranges) <= 2 else [ranges[0], ranges[-1]]
  lengths = config.task.test_lengths
  caveat = f"Tested at length {lengths[0]} alone."
  if len(lengths) > 1:
    caveat = (
      f"Tested at lengths {', '.join(map(str, lengths))}; the lines between"
      " them are drawn, not measured."
    )
  return Section(
    "length-curves",
    "Exact match by test length",
    f"Over the seeds of {_name(split, sweep.rows)}, exact match ranges from"
    f" {' and from '.join(shown)}. The dotted line is the longest length in"
    f" training, {_longest_trained(config)}.",
    caveat,
    figure=figures.length_curves(
      frame,
      config.headline_length,
      max_train_length=config.task.max_train_length,
      score=config.eval.headline_metric,
    ),
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
      f" half of them were first seen there by step {middle:,}, all by step"
      f" {int(first_S.max()):,}."
    )
  lost = int((ever_S & ~ends_S).sum())
  sentence += (
    f" {count(lost, 'seed')} had been there at some evaluation and"
    f" {'was' if lost == 1 else 'were'} not at the end."
  )
  return Section(
    "training-curves",
    "Exact match during training",
    sentence,
    f"Seeds are tested {count(config.eval.num_points, 'time')} after the"
    " start; what happens between is not seen. The learning rate falls to zero"
    " at the end, so that a curve which has become flat there says nothing"
    " about longer training.",
    figure=figures.training_curves(
      sweep.frame, length, config.eval.headline_metric
    ),
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
  sentence = "No seed has a finite training loss at the end."
  if parts:
    sentence = (
      "Training loss of the median seed between the last two evaluations,"
      f" in nats per answer token: {', '.join(parts)}."
    )
  split = _most_split(rows)
  own = records.rows_of_cell(finite, split)
  succeeded_S = success.is_success(
    own[split["metric"]], split["success_threshold"]
  )
  if min(succeeded_S.sum(), (~succeeded_S).sum()) >= 5:
    loss_S = own["train_loss"].to_numpy()
    test = stats.mannwhitneyu(loss_S[succeeded_S], loss_S[~succeeded_S])
    sentence += (
      f" At {_name(split, rows)} it is {np.median(loss_S[succeeded_S]):.2g} for"
      f" the seeds that succeed at length {length} and"
      f" {np.median(loss_S[~succeeded_S]):.2g} for the others"
      f" (Mann–Whitney p = {test.pvalue:.2g})."
    )
  if len(finite) < len(final):
    sentence += f" {count(len(final) - len(finite), 'diverged seed')} left out."
  return Section(
    "training-loss",
    "Training loss",
    sentence,
    "The loss is over the lengths in training, averaged between evaluations."
    " Seeds with similar loss may differ at longer lengths, and vice versa; a"
    " difference in loss between the two kinds of seeds does not show a cause.",
    figure=figures.training_curves(
      sweep.frame,
      length,
      "train_loss",
      score=sweep.config.eval.headline_metric,
    ),
  )


def _likelihood(sweep: SweepData) -> Section:
  length = sweep.config.headline_length
  parts = []
  for columns, cell in summary.final_cells(sweep.frame, length):
    x = cell["nll_mean"].to_numpy(float)
    y = cell[sweep.config.eval.headline_metric].to_numpy(float)
    y = y[np.isfinite(x)]
    x = x[np.isfinite(x)]
    if len(x) >= _LEAST_FOR_RANKS and np.ptp(x) and np.ptp(y):
      rank, _ = stats.spearmanr(x, y)
      number = f"{rank:.2f}".replace("-", "−")
      parts.append(f"{number} at {_name(columns, sweep.rows)}")
  sentence = (
    f"No scale has {_LEAST_FOR_RANKS} seeds that differ in both exact match and"
    " likelihood."
  )
  if parts:
    sentence = (
      "Rank correlation over seeds between exact match and the negative"
      f" log-likelihood of the right answer: {', '.join(parts)}."
    )
  return Section(
    "exact-match-against-nll",
    "Exact match against likelihood",
    sentence,
    "Exact match asks for a whole answer and does not tell the seeds at 0"
    " apart; likelihood does. A gap between clusters along one axis alone"
    " may come from the metric. Gray: the seeds of the other scales.",
    figure=figures.exact_match_against_nll(
      sweep.frame, length, score=sweep.config.eval.headline_metric
    ),
  )


def _most_split(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
  """The cell whose success probability is nearest to one half."""
  return min(rows, key=lambda row: abs(row["success_probability"] - 0.5))


def _name(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
  """`depth 2`, or `width 16, depth 2` where both vary."""
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
  """Where the time of the runs went.

  Args:
    runs: those that have left their time budget.
    num_seeds: models that are recorded.
  """
  if not runs:
    return Section(
      "time",
      "Time",
      "No run has left its time budget in this directory.",
    )
  seconds = time_budget.total_seconds(runs)
  total = sum(seconds.values())
  trained = sum(run.seeds for run in runs)
  times = "took" if len(runs) == 1 else "add up to"
  sentence = (
    f"{count(len(runs), 'run')} {times} {console.format_seconds(total)}."
  )
  steps = sum(run.seed_steps for run in runs)
  if steps and seconds["train"] > 0:
    sentence += (
      f" {steps / seconds['train']:,.0f} seed-steps per second of training, of"
      " seeds that were finished."
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
    "Time",
    sentence,
    "Wall time of the sweep, on a machine that may have had other work. Loading"
    " the program, this report, and what a killed run spent since its last"
    " finished block are not in it; runs side by side are added up.",
    table=Table(
      ["phase", "time", "share"],
      [
        [_PHASES[p], console.format_seconds(s), f"{s / max(total, 1e-9):.1%}"]
        for p, s in seconds.items()
      ],
    ),
  )


def machine(provenances: Sequence[Mapping[str, Any]]) -> Section:
  """The devices and versions that the records tell, and which differ."""
  names = {
    "device_kind": "device",
    "platform": "platform",
    "num_devices": "devices",
    "block": "seeds a block",
    "machine": "machine",
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
    "Devices and versions",
    f"The records come from different settings of: {', '.join(differs)}."
    if differs
    else "All records come from one kind of device and one set of versions.",
    "On another device, or with another block size, the data are bit-identical,"
    " but single seeds may still reach other scores.",
    table=Table(
      ["", "value"],
      [[names[key], ", ".join(found)] for key, found in values.items()],
    ),
  )


def setting(config: Config) -> Section:
  """The whole config."""
  return Section(
    "config",
    "Config",
    "The whole setting, as in config.json.",
    code=json.dumps(to_dict(config), indent=2),
  )


def _short_commit(commit: str) -> str:
  head, dash, dirty = commit.partition("-")
  return f"{head[:12]}{dash}{dirty}"
