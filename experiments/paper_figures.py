"""Draws the paper's figures, and some that it does not have, from records.

Each `Picture` is a figure of one grid with its caption: what is plotted, then
what it shows, computed from the records.
"""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from emergence.analysis import (
  best_of,
  distance,
  questions,
  summaries,
  threshold,
  time_to_success,
  trajectories,
  variance_components,
  words,
)
from emergence.analysis import modality as modality_figures
from emergence.analysis.series import Population, Series
from emergence.config import cells as cells_of
from emergence.plotting import drawing, ridges
from emergence.plotting.drawing import Line
from emergence.plotting.ridges import Ridge
from emergence.plotting.style import (
  COLUMN_WIDTH,
  FILL,
  LINE,
  OTHERS,
  literal,
  ramp,
  styled,
)
from emergence.population.compilation import make_setup
from emergence.report import figures
from emergence.statistics import success, summary
from emergence.statistics.modality import Modality
from emergence.statistics.options import DEFAULT_THRESHOLD, MIN_RUNS
from emergence.statistics.sample import REAL
from emergence.statistics.small_studies import SmallStudy
from emergence.statistics.transport import Parts
from emergence.storage import records
from experiments import claims, failures, precursors
from experiments.claims import Grid

_EMERGENT, _LINEAR = LINE, "#e69f00"


class Picture(NamedTuple):
  """A figure and its caption.

  Attributes:
    name: of its file, without the suffix.
    description: what is plotted, in plain sentences.
    figure: drawn in the style of `emergence.plotting.style`.
    finding: what it shows, for the end of the caption; may be empty.
  """

  name: str
  description: str
  figure: Figure
  finding: str = ""

  @property
  def caption(self) -> str:
    return f"{self.description} {self.finding}".strip()


def pictures(grid: Grid, folder: pathlib.Path) -> Iterator[Picture]:
  """All figures that the records of a grid allow, in the order of the page.

  Args:
    grid: the records.
    folder: the work directory they are from.
  """
  score, has_scales = grid.score, len(grid.score.populations) > 1
  name, threshold_name = score.metric_name, score.threshold_name
  if crossed := score.answers["variance_components"]:
    yield Picture(
      "variance_components",
      f"{_upper(name)} of each initialization with each data order (left), and"
      " the share of its variance that each of the two explains (right), with"
      " 95 % intervals over initializations and data orders."
      f" {said(score, 'variance_components')}",
      variance_components.draw([(score, one) for one in crossed]),
    )
    return  # The other figures need independent seeds, which these are not.
  if claims.extremes_and_jump(grid) is not None:
    yield Picture(
      "emergent_and_linear",
      f"Top: {name} of each seed over {score.axis}; the seed of the highest"
      " breakthroughness (the most emergent) and the seed of the highest"
      " linearity (the most linear) are in colour, the dashed line is the mean"
      " of all seeds. Bottom: histograms of all seeds before and after the"
      f" largest step of the most emergent seed. {_claimed(grid, 1)}",
      emergent_and_linear(grid),
    )
  yield Picture(
    "distribution",
    f"The scores of the seeds of each {score.axis}: smoothed density, a point"
    f" per seed, and the share of seeds at {threshold_name}."
    f" {said(score, 'modality')}",
    modality_figures.draw([score]),
  )
  yield Picture(
    "summaries",
    "Mode, mean, success probability and mean of the successes with 95 %"
    " intervals over seeds (the mode has none); with the success probability, a"
    " dotted line shows the closest curve that only rises or only falls."
    f" {said(score, 'curve')}"
    f" {said(score, 'abruptness')}",
    summaries.draw([score]),
  )
  yield from _likelihoods(grid)
  if has_scales and score.answers["distance"] is not None:
    paths = (
      " Bottom right: the W2 of each scale in between to the nearest mixture"
      " of the first and the last scale, and to the nearest point of a"
      " displacement, in which every seed moves a part of the way from the"
      " first to the last."
    )
    yield Picture(
      "distances",
      "Top: Wasserstein-2 distance (W2) to the scale before and to the largest"
      " scale; gray bars reach to the 95 % quantile under permutation. Bottom"
      " left: the squared W2 to the scale before, split into the parts of"
      " location, spread and shape."
      f"{paths if len(score.populations) > 2 else ''}"
      f" {said(score, 'distance')} {said(score, 'path')}",
      distances(score),
    )
  yield Picture(
    "thresholds",
    "The share of seeds whose score reaches each threshold, a line per"
    f" {score.axis}; the gray band contains with 95 % confidence the whole"
    f" curve of the {score.axis} whose success probability is nearest to one"
    " half."
    f" {_at_thresholds(score)}",
    threshold.draw([score]),
  )
  yield Picture(
    "lengths",
    f"{_upper(name)} by test length after training, a line per seed; the dotted"
    " line is the longest length in training.",
    figures.length_curves(
      grid.frame,
      grid.config.headline_length,
      max_train_length=grid.config.task.max_train_length,
      score=claims.SCORE,
    ),
  )
  yield Picture(
    "curves",
    f"{_upper(name)} at length {grid.config.headline_length} over training, a"
    " line per seed; blue seeds succeed at the last step, orange ones fail."
    " Exploratory.",
    figures.training_curves(
      grid.frame,
      grid.config.headline_length,
      metric=claims.SCORE,
      score=claims.SCORE,
    ),
    failures.lost_sentence(grid),
  )
  if score.answers["time_to_success"]:
    yield Picture(
      "time_to_success",
      f"The share of seeds that have not reached {threshold_name} yet"
      " (Kaplan–Meier, censored at the last step)."
      f" {said(score, 'time_to_success')}",
      time_to_success.draw([score]),
    )
  yield Picture(
    "best_of",
    f"The expected best {name} of k seeds, with 95 % intervals over seeds."
    f" {said(score, 'best_of')}",
    best_of.draw([score]),
  )
  if has_scales and shown_steps(score):
    yield Picture(
      "few_seeds",
      "The share of studies with k seeds per scale whose mean changes in the"
      " opposite direction to the mean of all seeds, or does not change; for"
      " neighbouring scales whose distributions are shown to differ. Each title"
      " gives the change in the mean of all seeds."
      f" {said(score, 'small_studies')}",
      few_seeds(score),
    )
  fixed = ""
  if len(claims.losses(grid)) > 1:
    fixed = (
      ", and the negative log-likelihood (NLL) of fixed examples, each"
      " evaluated in a context of its own"
    )
  yield Picture(
    "control",
    "Losses on the training distribution, a point per seed, on a logarithmic"
    " axis: the final training loss"
    f"{fixed}. {_claimed(grid, 6)}",
    control(grid),
  )
  yield Picture(
    "loss_and_score",
    f"{_upper(name)} against the final training loss, a panel per {score.axis}"
    " and a point per seed; gray points are seeds of the other panels."
    f" Exploratory. {failures.loss_sentence(grid, is_fixed=False)}",
    figures.exact_match_against(
      grid.frame,
      grid.config.headline_length,
      score=claims.SCORE,
      loss="train_loss",
    ),
  )
  yield from _errors(grid, folder)
  forecasts = precursors.forecasts(grid)
  if forecasts:
    yield Picture(
      "forecasts",
      "Of the seeds that do not succeed at a training step, the probability"
      " (AUC) that a seed that succeeds at the end has a better likelihood,"
      " score or training loss than a seed that fails at the end. Likelihood"
      " and score are those at the longest length. Some of these seeds"
      " may have succeeded at an earlier step. Exploratory.",
      precursors.draw(grid, forecasts),
      precursors.sentence(grid, forecasts),
    )


def _errors(grid: Grid, folder: pathlib.Path) -> Iterator[Picture]:
  found = failures.failures(grid)
  if found:
    yield Picture(
      "errors",
      "Kinds of errors in the answers of the seeds that fail at length"
      f" {found[0].length}, decided by the first wrong token; an answer that"
      " lacks only its end symbol is wrong here and right in the score. Top:"
      " the mean share of each kind over the failing seeds of each"
      f" {grid.axis}, and above it the number of these seeds. Bottom: a point"
      f" for each failing seed at the {grid.axis} where the share of failing"
      " seeds is nearest to one half.",
      failures.draw(found),
      failures.sentence(found) + _guesses(grid),
    )
  right = failures.right_up_to(grid, folder)
  if right:
    yield Picture(
      "right_up_to",
      f"The share of items of length {right.length} whose answer is right up to"
      f" each token, a line for each seed at {right.cell} whose parameters were"
      " kept; the dotted line marks the last token of the longest answer in"
      " training. Exploratory.",
      failures.draw_right_up_to(right),
      failures.right_up_to_sentence(right),
    )
  pair = failures.kept_pair(grid, folder)
  if pair:
    longest = ""
    if pair.length > grid.config.task.max_train_length:
      longest = " and of the longest example in training"
    yield Picture(
      "attention",
      "Attention of each layer and head on one item of length"
      f" {pair.length}, for a seed that fails and a seed that succeeds: rows"
      " attend to columns, and black is a weight of 1. Lines mark the end of"
      f" the prompt{longest}. Another pair of seeds may differ.",
      failures.draw_attention(pair),
      failures.attention_sentence(pair),
    )


def _guesses(grid: Grid) -> str:
  """Of an addition: what kind of error a guessed digit is."""
  if grid.config.task.name != "reverse_addition":
    return ""
  # Of the nine wrong digits, two differ from the right one by 1 (mod 10).
  return (
    " A wrong digit that is guessed at random is an “other error” with"
    f" probability {words.percent(7 / 9)}."
  )


def _likelihoods(grid: Grid) -> Iterator[Picture]:
  yield Picture(
    "likelihood",
    "The mean negative log-likelihood (NLL) of the answer's tokens for the"
    f" seeds of each {grid.axis}, on a logarithmic axis: smoothed density, and"
    f" a point per seed. {_claimed(grid, 4)}",
    likelihood(grid),
  )
  yield Picture(
    "likelihood_summaries",
    "The score and three likelihoods of the right answer, in nats: mode, mean"
    " and median over seeds, and mean over the seeds whose score is a success,"
    " with 95 % intervals over seeds (the mode has none). The likelihoods are"
    " the negative log-likelihood (NLL) per token, the NLL of the whole answer,"
    " and the log-probability of its least likely token. The last two are"
    " exploratory.",
    central(grid),
  )


def said(series: Series, kind: str) -> str:
  """The sentences that answer one kind of question about a series."""
  (question,) = (q for q in questions.QUESTIONS if q.kind == kind)
  # Each sentence starts with the name of the metric.
  texts = [f.sentence.split(": ", 1)[1] for f in question.findings(series)]
  return " ".join(map(_upper, texts))


def _at_thresholds(series: Series) -> str:
  """Says how many seeds reach 10 % and 90 % where P is nearest to one half."""
  found = [x.success.diverged_fail for x in series.answers["success"]]
  i = min(range(len(found)), key=lambda i: abs(found[i].probability - 0.5))
  population = series.populations[i]
  low, high = (
    words.percent(
      success.is_success(population.finite_S, t).sum() / found[i].num_runs
    )
    for t in (0.1, 0.9)
  )
  return (
    f"At {series.scale_name(population)}, {low} of the seeds reach a score of"
    f" 10% and {high} a score of 90%."
  )


def _claimed(grid: Grid, number: int) -> str:
  claim = claims.CLAIMS[number - 1]
  return f"{_upper(claim.rule(grid).sentence)}."


def _upper(text: str) -> str:
  return text[:1].upper() + text[1:]


@styled
def emergent_and_linear(grid: Grid) -> Figure:
  """Draws the extreme seeds over scales, and histograms at the jump."""
  series, where = grid.score, claims.extremes_and_jump(grid)
  assert where is not None
  emergent, linear, i = where
  found: trajectories.SeedTrajectories = series.answers["trajectories"]
  figure = Figure(figsize=(COLUMN_WIDTH, 3.4))
  panels = figure.subplot_mosaic("aa;bc", height_ratios=(1.3, 1))
  left, *right = (panels[name] for name in "abc")
  x_N = np.array([p.scale for p in series.populations])
  drawing.seed_lines(left, x_N, found.scores_SN, [OTHERS] * len(found.seeds))
  means = [summaries.mean(p) for p in series.populations]
  left.plot(x_N, means, "--", color="0.35", linewidth=1)
  shown = {
    "highest breakthroughness": (_EMERGENT, emergent),
    "highest linearity": (_LINEAR, linear),
  }
  for color, s in shown.values():
    left.plot(x_N, found.scores_SN[s], "o-", color=color, markersize=2.5)
  drawing.name_scales(left, summaries.scale_names([series]))
  left.set_xlabel(literal(series.axis))
  left.set_ylabel(literal(series.axis_label))
  for axes, population in zip(
    right, series.populations[i : i + 2], strict=True
  ):
    axes.hist(population.finite_S, np.linspace(0, 1, 21), color=FILL)
    axes.set_title(literal(series.scale_name(population)))
    axes.set_xlabel(literal(series.axis_label))
    axes.sharey(right[0])
  right[0].set_ylabel("seeds")
  return drawing.explain_colors(figure, {k: c for k, (c, _) in shown.items()})


def likelihood(grid: Grid) -> Figure:
  """Ridges of the log NLL, with the labels that claim 4 rests on."""
  nll, labels = grid.likelihoods[claims.NLL], claims.likelihood_labels(grid)
  rows = []
  for i, population in enumerate(nll.populations):
    name, nll_S = nll.scale_name(population), population.finite_S
    note = _notes({x: cells[i] for x, cells in labels.items()})
    rows.append(Ridge(name, np.log10(nll_S[nll_S > 0]), note))
  return ridges.draw(
    [("", rows)], "NLL (nats per answer token)", REAL, is_log=True
  )


def _notes(labels: Mapping[str, Modality]) -> str:
  """The labels of a cell that show a split, each with what was tested."""
  return "\n".join(
    f"{cell.label.replace('_', ' ')} ({name.partition(' ')[0]})"
    for name, cell in labels.items()
    if cell.label != "not_shown"
  )


def central(grid: Grid) -> Figure:
  """Draws mode, mean, median and mean of successes by scale, per metric."""

  def line(name: str, rows: Sequence[Mapping[str, Any]]) -> Line:
    columns = [name, f"{name}_low", f"{name}_high"]
    value_3N = np.array([[row.get(c, np.nan) for c in columns] for row in rows])
    return Line(name, scales, *np.array(value_3N, float).T)

  scales = [p.scale for p in grid.score.populations]
  panels = {}
  for series in (grid.score, *grid.likelihoods.values()):
    rows = list(summaries.values(series))
    given_3N = [
      _mean_of_successes(population, own)
      for population, own in zip(
        series.populations, grid.score.populations, strict=True
      )
    ]
    panels[series.metric_name] = [
      *(line(name, rows) for name in ("mode", "mean", "median")),
      Line("mean of successes", scales, *np.transpose(given_3N)),
    ]
  return drawing.by_scale(
    panels, grid.axis, summaries.scale_names([grid.score]), y_limits=None
  )


def _mean_of_successes(
  population: Population, score: Population
) -> tuple[float, float, float]:
  """Mean over the seeds that succeed in `score`, with its 95 % interval."""
  score_of = dict(zip(score.seeds, score.sample.scores_S, strict=True))
  scores_S = np.array([score_of[seed] for seed in population.seeds])
  is_success_S = success.is_success(scores_S, DEFAULT_THRESHOLD)
  value_S = population.sample.scores_S[is_success_S]
  value_S = value_S[np.isfinite(value_S)]
  if value_S.size < MIN_RUNS:
    return np.nan, np.nan, np.nan
  found = stats.bootstrap(
    (value_S,), np.mean, n_resamples=1000, method="percentile", rng=0
  ).confidence_interval
  return float(value_S.mean()), found.low, found.high


@styled
def distances(series: Series) -> Figure:
  """Draws Wasserstein-2 distances, their nulls and parts, and the path test."""
  found: distance.Distances = series.answers["distance"]
  names = [p.name for p in series.populations]
  last, where = len(names) - 1, np.arange(len(names))
  figure = Figure(figsize=(COLUMN_WIDTH, 3.6))
  (previous, largest), (parts, path) = figure.subplots(2, 2)
  pairs = {
    previous: ("W2 to the scale before", [(i - 1, i) for i in where[1:]], 1),
    largest: ("W2 to the largest scale", [(i, last) for i in where[:-1]], 0),
  }
  for axes, (title, indices, start) in pairs.items():
    x_N = np.arange(start, start + last)
    null_N = [found.test.null_KK[p] for p in indices]
    axes.bar(x_N, null_N, color=OTHERS, label="95 % of permutations")
    w2_N = [found.w2_NN[p] for p in indices]
    axes.plot(x_N, w2_N, "o", color=LINE, label="seeds")
    axes.set_title(title)
  squares_NP = np.array([found.parts[i - 1, i] for i in where[1:]])
  bottom_N = np.zeros(last)
  names_of_parts = Parts._fields
  for name, square_N, color in zip(
    names_of_parts, squares_NP.T, ramp(len(names_of_parts)), strict=True
  ):
    parts.bar(where[1:], square_N, bottom=bottom_N, color=color, label=name)
    bottom_N = bottom_N + square_N
  parts.set_title("W2² to the scale before")
  for kind, marker, color in (
    ("mixture", "s", LINE),
    ("displacement", "o", _LINEAR),
  ):
    far = [getattr(x, kind).distance for x in series.answers["path"]]
    path.plot(where[1:-1], far, marker, color=color, label=kind)
  path.set_title("W2 to the two paths")
  if last == 1:
    path.remove()  # Nothing lies between two scales.
  for axes in figure.axes:
    if axes is not largest:
      axes.set_ylim(top=1.7 * axes.get_ylim()[1])
      axes.legend(loc="upper right", handlelength=1, borderpad=0)
  for axes in figure.axes:
    axes.set_ylim(bottom=0)
    drawing.label_ticks(axes, where.tolist(), names)
    axes.set_xlim(-0.6, last + 0.6)
    axes.set_xlabel(literal(series.axis))
  return figure


def shown_steps(series: Series) -> list[int]:
  """Indices of the scales after which the distribution is shown to differ."""
  adjusted_N = series.answers["distance"].adjusted_N
  return np.flatnonzero(adjusted_N <= series.options.alpha).tolist()


@styled
def few_seeds(series: Series) -> Figure:
  """How often studies with few seeds miss the direction of a change."""

  def panel(axes: Axes, i: int) -> None:
    studies: list[SmallStudy] = series.answers["small_studies"][i]
    rows = [study for study in studies if study.statistic == "mean"]
    x_K = np.arange(len(rows))
    reversed_K = np.array([row.reversed for row in rows])
    axes.bar(x_K, reversed_K, color=LINE)
    axes.bar(x_K, [r.unseen for r in rows], bottom=reversed_K, color=OTHERS)
    axes.set_xticks(x_K, [str(row.num_seeds) for row in rows])

  def name(i: int) -> str:
    a, b = series.populations[i : i + 2]
    change = summaries.mean(b) - summaries.mean(a)
    sign = "+" if change > 0 else ""
    return f"{a.name} → {b.name}: {sign}{words.signed(change)}"

  figure = drawing.small_multiples(
    [shown_steps(series)],
    panel,
    name,
    f"seeds per {series.axis}, k",
    "share of studies",
  )
  return drawing.explain_colors(
    figure, {"opposite direction": LINE, "no change": OTHERS}
  )


def control(grid: Grid) -> Figure:
  """Losses on the training distribution, with the labels of claim 6."""
  labels = claims.loss_labels(grid)
  columns = []
  for name, cells in claims.losses(grid).items():
    rows = [
      Ridge(
        grid.score.scale_name(population),
        np.log10(cells[i][cells[i] > 0]),
        _notes({x: labels[x][i] for x in (name, f"log {name}")}),
      )
      for i, population in enumerate(grid.score.populations)
    ]
    columns.append((name, rows))
  return ridges.draw(
    columns, "nats per answer token", REAL, is_log=True, most_columns=1
  )


def tasks(folders: Sequence[pathlib.Path]) -> Picture:
  """Draws the seeds of one cell of each task as a ridge.

  Args:
    folders: the work directories, one per task. If one has several cells, the
      cell with the most variance between seeds is taken.
  """
  rows = []
  for folder in folders:
    config = records.read_config(folder)
    length = config.headline_length
    several = summary.final_cells(records.read(folder), length)
    scores = [
      cell[claims.SCORE].where(~cell["diverged"]) for _, cell in several
    ]
    score_S = max(scores, key=lambda x: x.var()).to_numpy(float)
    setup = make_setup(config, cells_of(config)[0])
    num_tokens = int(setup.task.evaluation(length).is_answer_L[0].sum()) - 1
    share = success.is_success(score_S, DEFAULT_THRESHOLD).mean()
    # A single token may be guessed right.
    note = f"{share:.0%} at ≥ {DEFAULT_THRESHOLD:.0%}" if num_tokens > 1 else ""
    name = f"{config.task.name} {length}"
    rows.append(Ridge(name, score_S[np.isfinite(score_S)], note))
  return Picture(
    "tasks",
    "The scores of the seeds of one cell of each task, at the test length"
    " beside the task's name: smoothed density, a point per seed, and, if an"
    " answer has several tokens, the share of seeds at ≥"
    f" {DEFAULT_THRESHOLD:.0%}. Of a grid, the cell whose scores differ most"
    " between seeds is shown. Half of the answers of parity are right by"
    " chance.",
    ridges.draw([("", rows)], "exact match without end"),
  )
