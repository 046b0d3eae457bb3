"""What the report of a work directory says of its training.

Every number in a sentence is computed from the records it stands next to.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from etils import epath
from scipy import stats

from emergence import budget, console, figures, records
from emergence import config as config_lib
from emergence.config import Config
from emergence.report import Section, Table
from emergence.statistics import success, summary

if TYPE_CHECKING:
  import pandas as pd

_PHASES = {
  "compile": "compiling",
  "train": "training, data included",
  "evaluate": "evaluation",
  "write": "writing records and parameters",
  "other": "everything else",
}


class Sweep(NamedTuple):
  """A sweep, finished or not: what a report tells of its training.

  Attributes:
    config: the experiment.
    frame: its records, as `emergence.records.read` returns them.
    rows: a row a cell, as `summarize` returns them.
    provenances: where the records come from, each once.
    runs: the runs that made them.
  """

  config: Config
  frame: "pd.DataFrame"
  rows: list[dict[str, Any]]
  provenances: list[dict]
  runs: list[budget.Run]


def read(workdir: epath.PathLike) -> Sweep:
  """Reads a work directory; ValueError where it holds nothing to report."""
  config = records.read_config(workdir)
  frame = records.read(workdir)
  return Sweep(
    config,
    frame,
    summary.summarize(frame, config.headline_length),
    records.read_provenances(workdir),
    budget.read_runs(workdir),
  )


def title(sweep: Sweep) -> str:
  """The heading of the page."""
  return f"{sweep.config.task.name}: outcomes over seeds and scale"


def introduction(sweep: Sweep) -> str:
  """The question, and how much of the experiment is there."""
  config, rows = sweep.config, sweep.rows
  length = config.headline_length
  num_seeds = sum(row["n_seeds"] for row in rows)
  num_diverged = sum(row["n_diverged"] for row in rows)
  text = (
    "When a larger model does what a smaller one does not, has every model"
    " become a little better, or do more of them break through? One run a"
    f" scale cannot tell. Here {num_seeds} models were trained at"
    f" {_count(len(rows), 'scale')}; at one scale they differ in their random"
    f" seed alone. Training had lengths up to {config.task.max_train_length};"
    f" the question is asked at length {length}."
  )
  done = set(zip(sweep.frame["width"], sweep.frame["depth"], strict=True))
  asked = len(config_lib.cells(config)) * config.seeds.count
  status = f"{num_seeds} seeds are recorded"
  if num_seeds != asked:
    status += f" of {asked} that the config asks for"
  missing = [
    cell
    for cell in config_lib.cells(config)
    if (cell.width, cell.depth) not in done
  ]
  if missing:
    status += f"; {_count(len(missing), 'scale')} without any"
  status += f"; {_count(num_diverged, 'seed')} diverged"
  if num_diverged:
    status += " and count as failures"
  return f"{text}\n\n{status}."


def opening(sweep: Sweep) -> list[Section]:
  """What comes before the analysis of the final scores."""
  return [_cells(sweep)]


def closing(sweep: Sweep) -> list[Section]:
  """What comes after it: lengths, training, and how it was done."""
  writers: list[Callable[[Sweep], Section]] = [
    _length_curves,
    _training_curves,
    _training_loss,
    _likelihood,
    _time,
    _machine,
    _setting,
  ]
  return [writer(sweep) for writer in writers]


def _cells(sweep: Sweep) -> Section:
  config, rows = sweep.config, sweep.rows
  threshold = rows[0]["success_threshold"]
  header = ["width", "depth", "parameters", "seeds", "diverged", "mean", "mode"]
  header += [f"P(≥\u00a0{threshold:.0%})", "95\u00a0% interval"]
  header += [f"mean of ≥\u00a0{threshold:.0%}", "seeds by tenth"]
  body = [
    [
      str(row["width"]),
      str(row["depth"]),
      f"{row['num_params']:,}",
      str(row["n_seeds"]),
      str(row["n_diverged"]),
      f"{row['mean']:.2f}",
      f"{row['mode']:.2f}",
      f"{row['success_probability']:.2f}",
      f"{row['success_low']:.2f}–{row['success_high']:.2f}",
      "–"
      if row["mean_given_success"] is None
      else f"{row['mean_given_success']:.2f}",
      " ".join(map(str, row["seeds_by_tenth"])),
    ]
    for row in rows
  ]
  return Section(
    "cells",
    "Scales",
    "One row a scale: exact match over its seeds at length"
    f" {config.headline_length} after {config.train.steps:,} updates. A seed"
    f" succeeds from {threshold:.0%} on.",
    f"{threshold:.0%} is a convention, another threshold gives other"
    " probabilities. The interval is Wilson's, over seeds of this very setting."
    " The mode is the peak of a smoothed density and moves with the smoothing."
    f" A mean of fewer than {success.MIN_SUCCESSES} successes is not given."
    " Seeds by tenth: [0, .1), [.1, .2), … [.9, 1].",
    table=Table(header, body),
  )


def _length_curves(sweep: Sweep) -> Section:
  config, frame = sweep.config, sweep.frame
  split = _most_split(sweep.rows)
  final = frame.query("step == step.max()")
  own = final.query(
    f"width == {split['width']} and depth == {split['depth']}"
  ).groupby("test_length")["exact_match"]
  ranges = [
    f"{scores.min():.2f} to {scores.max():.2f} at length {length}"
    for length, scores in own
  ]
  shown = ranges if len(ranges) <= 2 else [ranges[0], ranges[-1]]
  lengths = ", ".join(map(str, config.task.test_lengths))
  return Section(
    "length-curves",
    "Exact match by test length",
    f"The seeds of {_name(split, sweep.rows)} range from"
    f" {' and from '.join(shown)}. The dotted line is the longest length in"
    f" training, {config.task.max_train_length}.",
    f"Tested at lengths {lengths}; the lines between them are drawn, not"
    " measured.",
    figure=figures.length_curves(
      frame,
      config.headline_length,
      max_train_length=config.task.max_train_length,
    ),
  )


def _training_curves(sweep: Sweep) -> Section:
  config = sweep.config
  threshold = sweep.rows[0]["success_threshold"]
  length = config.headline_length
  rows = sweep.frame.query(f"test_length == {length}")
  table = rows.pivot(
    index=["width", "depth", "seed"], columns="step", values="exact_match"
  )
  reached_SN = success.is_success(table.to_numpy(), threshold)
  ends_S, ever_S = reached_SN[:, -1], reached_SN.any(axis=1)
  steps_N = table.columns.to_numpy()
  if ends_S.any():
    first_S = steps_N[reached_SN[ends_S].argmax(axis=1)]
    sentence = (
      f"Of the {_count(int(ends_S.sum()), 'seed')} that end at"
      f" {threshold:.0%} or more, half were first seen there by update"
      f" {int(np.quantile(first_S, 0.5, method='higher')):,}, the last by"
      f" update {int(first_S.max()):,}."
    )
  else:
    sentence = f"No seed ends at {threshold:.0%} or more."
  lost = int((ever_S & ~ends_S).sum())
  sentence += (
    f" {_count(lost, 'seed')} had been there at some evaluation and"
    f" {'was' if lost == 1 else 'were'} not at the end."
  )
  return Section(
    "training-curves",
    "Exact match during training",
    sentence,
    f"Seeds are tested {config.eval.num_points} times after the start; what"
    " happens between is not seen. The learning rate falls to zero at the end,"
    " so that a curve which has become flat there says nothing about longer"
    " training.",
    figure=figures.training_curves(sweep.frame, length),
  )


def _training_loss(sweep: Sweep) -> Section:
  rows, length = sweep.rows, sweep.config.headline_length
  final = sweep.frame.query(f"test_length == {length} and step == step.max()")
  medians = final.groupby(["width", "depth"])["train_loss"].median()
  first, last = rows[0], rows[-1]
  interval = sweep.config.eval_steps[-1] - sweep.config.eval_steps[-2]
  sentence = (
    f"Training loss of the median seed in the last {interval:,} updates:"
    f" {medians[first['width'], first['depth']]:.2g} nats per answer token at"
    f" {_name(first, rows)}"
  )
  if len(rows) > 1:
    sentence += (
      f", {medians[last['width'], last['depth']]:.2g} at {_name(last, rows)}"
    )
  sentence += "."
  split = _most_split(rows)
  own = final.query(
    f"width == {split['width']} and depth == {split['depth']} and not diverged"
  )
  succeeded_S = success.is_success(
    own["exact_match"], split["success_threshold"]
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
  return Section(
    "training-loss",
    "Training loss",
    sentence,
    "The loss is over the lengths in training, averaged between evaluations."
    " Seeds alike in it may differ at longer lengths, and the other way round;"
    " a difference between the two kinds of seed is no cause of success.",
    figure=figures.training_curves(sweep.frame, length, "train_loss"),
  )


def _likelihood(sweep: Sweep) -> Section:
  length = sweep.config.headline_length
  parts = []
  for (_, width, depth), cell in summary.final_cells(sweep.frame, length):
    x = cell["nll_mean"].to_numpy(float)
    y = cell["exact_match"].to_numpy(float)[np.isfinite(x)]
    x = x[np.isfinite(x)]
    if len(x) >= 5 and np.ptp(x) and np.ptp(y):
      rank, _ = stats.spearmanr(x, y)
      row = {"width": width, "depth": depth}
      number = f"{rank:.2f}".replace("-", "−")
      parts.append(f"{number} at {_name(row, sweep.rows)}")
  shown = parts if len(parts) <= 4 else [parts[0], parts[-1]]
  sentence = (
    "Rank correlation over seeds between exact match and the negative"
    f" log-likelihood of the right answer: {', '.join(shown)}."
    if parts
    else "No scale has seeds that differ in both exact match and likelihood."
  )
  return Section(
    "exact-match-against-nll",
    "Exact match against likelihood",
    sentence,
    "Exact match asks for a whole answer and does not tell the seeds at 0"
    " apart; likelihood does. A gap between clusters along one axis alone"
    " may come from the metric. Gray: the seeds of the other"
    " scales.",
    figure=figures.exact_match_against_nll(sweep.frame, length),
  )


def _time(sweep: Sweep) -> Section:
  runs = sweep.runs
  if not runs:
    return Section(
      "time",
      "Time",
      "No run has left its time budget in this directory.",
    )
  seconds = budget.total_seconds(runs)
  total = sum(seconds.values())
  rate = sum(run.seed_steps for run in runs) / max(seconds["train"], 1e-9)
  num_seeds = sum(row["n_seeds"] for row in sweep.rows)
  trained = sum(run.seeds for run in runs)
  sentence = (
    f"{_count(len(runs), 'run')} took {console.format_seconds(total)} in all,"
    f" {rate:,.0f} seed-steps a second while training."
  )
  if trained != num_seeds:
    sentence += (
      f" The runs' files account for {trained} of the {num_seeds} seeds."
    )
  return Section(
    "time",
    "Time",
    sentence,
    "Wall time of the sweep, on a machine that may have had other work. Loading"
    " the program, and this report, are not in it.",
    table=Table(
      ["phase", "time", "share"],
      [
        [_PHASES[p], console.format_seconds(s), f"{s / max(total, 1e-9):.1%}"]
        for p, s in seconds.items()
      ],
    ),
  )


def _machine(sweep: Sweep) -> Section:
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
    key: sorted({str(p.get(key, "unknown")) for p in sweep.provenances})
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
    "With another device, block or version the data are the same bits, and"
    " single seeds may still end elsewhere.",
    table=Table(
      ["", "value"],
      [[names[key], ", ".join(found)] for key, found in values.items()],
    ),
  )


def _setting(sweep: Sweep) -> Section:
  return Section(
    "config",
    "Config",
    "The whole setting, as in config.json.",
    code=json.dumps(config_lib.to_dict(sweep.config), indent=2),
  )


def _most_split(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
  """The cell whose success probability is nearest to one half."""
  return min(rows, key=lambda row: abs(row["success_probability"] - 0.5))


def _scale(row: Mapping[str, Any]) -> str:
  return f"width {row['width']}, depth {row['depth']}"


def _name(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
  """`depth 2`, or `width 16, depth 2` where both vary."""
  widths = {r["width"] for r in rows}
  depths = {r["depth"] for r in rows}
  if len(widths) == 1:
    return f"depth {row['depth']}"
  return f"width {row['width']}" if len(depths) == 1 else _scale(row)


def _short_commit(commit: str) -> str:
  head, dash, dirty = commit.partition("-")
  return f"{head[:12]}{dash}{dirty}"


def _count(number: int, noun: str) -> str:
  return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
