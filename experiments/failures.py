"""How the answers of failing seeds go wrong, and what such seeds attend to."""

import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath
from matplotlib.figure import Figure

from emergence import config as config_lib
from emergence.analysis import words
from emergence.plotting import drawing, ridges
from emergence.plotting.style import (
  COLUMN_WIDTH,
  FAILED,
  OTHERS,
  SUCCEEDED,
  literal,
  styled,
)
from emergence.population.compilation import make_setup
from emergence.statistics import success
from emergence.statistics.options import DEFAULT_THRESHOLD, MIN_RUNS, Options
from emergence.storage import params, records
from emergence.tasks import errors as error_kinds
from emergence.training import evaluate, model
from experiments.claims import (
  SCORE,
  TRAIN_DISTRIBUTION,
  Grid,
  losses_of_kinds,
)

# A color per kind of error. Neighbours differ in lightness, too.
_COLORS = ("#08306b", "#6baed6", "#e69f00", "#8c510a", "#5aae61", OTHERS)
_MOST_BESIDE = 3  # With more heads, two seeds do not fit side by side.


class Failing(NamedTuple):
  """The seeds of one scale that fail at one length.

  Attributes:
    length: the test length.
    scale: the scale.
    name: of the scale, such as `depth 2`.
    num_seeds: all seeds of the scale.
    num_diverged: those that diverged; they fail, too, but have no answers.
    share_FK: for each of the F other failing seeds, the share of each kind in
      its wrong answers, in the order of `emergence.tasks.errors.KINDS`, [F, K].
  """

  length: int
  scale: float
  name: str
  num_seeds: int
  num_diverged: int
  share_FK: np.ndarray

  @property
  def num_failing(self) -> int:
    return len(self.share_FK) + self.num_diverged

  @property
  def main_K(self) -> np.ndarray:
    """For each kind, the seeds with most wrong answers of that kind, [K]."""
    return (self.share_FK > 0.5).sum(axis=0)


def failures(grid: Grid) -> list[Failing]:
  """The failing seeds of each scale at the headline length.

  The list is empty if the records have no counts of errors, or if no seed fails
  without having diverged.
  """
  length = grid.config.headline_length
  kinds = list(error_kinds.KINDS)
  final = records.final_rows(grid.frame)
  rows: Any = final[final["test_length"] == length]
  if rows[kinds].isna().any(axis=None):
    return []
  found = []
  for population in grid.score.populations:
    own = rows[rows[grid.axis] == population.scale]
    fails_S = ~success.is_success(own[SCORE], DEFAULT_THRESHOLD)
    count_FK = own[fails_S & ~own["diverged"]][kinds].to_numpy(float)
    total_F1 = count_FK.sum(axis=1, keepdims=True)
    found.append(
      Failing(
        length,
        population.scale,
        grid.score.scale_name(population),
        len(own),
        int(own["diverged"].sum()),
        count_FK / total_F1,
      )
    )
  return found if any(x.share_FK.size for x in found) else []


def most_mixed(found: list[Failing]) -> Failing:
  """The scale with wrong answers whose share of failures is nearest to half."""
  return min(
    (x for x in found if x.share_FK.size),
    key=lambda x: abs(x.num_failing / x.num_seeds - 0.5),
  )


def sentence(found: list[Failing]) -> str:
  """Says how failing seeds go wrong at the most mixed scale and over scales."""
  at = most_mixed(found)
  num = len(at.share_FK)
  whose = "the others" if at.num_diverged else "them"
  parts = [
    f"{_verb(k)} in {'each' if count == num else count} of {whose}"
    for k, count in sorted(enumerate(at.main_K), key=lambda x: -x[1])
    if count
  ]
  seeds = words.count(at.num_seeds, "seed")
  text = f"At {at.name}, {at.num_failing} of {seeds} fail"
  text += f"; {at.num_diverged} of them diverged." if at.num_diverged else "."
  if parts:
    text += f" Most wrong answers {words.listed(parts)}."
  if rest := num - int(at.main_K.sum()):
    text += (
      f" In {words.count(rest, 'seed')}, no kind of error makes up most of the"
      " wrong answers."
    )
  ends = [x for x in found if len(x.share_FK) >= MIN_RUNS]
  if len(ends) > 1:
    shares = [
      f"{words.percent(float(x.share_FK[:, k].mean()))} at {x.name}"
      for x in (ends[0], ends[-1])
      for k in [int(np.argmax(at.share_FK.mean(axis=0)))]
    ]
    text += (
      f" The mean share of wrong answers that"
      f" {_verb(int(np.argmax(at.share_FK.mean(axis=0))))} is"
      f" {' and '.join(shares)}."
    )
  return text


def _verb(kind: int) -> str:
  """What answers of a kind do, such as `stop early`."""
  return (
    "stop early",
    "run on",
    "repeat a token",
    "skip a token",
    "have a wrong carry",
    "are of the kind “other error”",
  )[kind]


# A seed whose best score hovers around the threshold has not learned much.
_WELL_BEYOND = 0.5


def lost_sentence(grid: Grid) -> str:
  """Says how many of the seeds that fail at the end were a success before.

  Empty if no scale has 10 failing seeds, or some scale has no earlier scores.
  """
  series, parts = grid.score, []
  for population in series.populations:
    if population.curves is None:
      return ""
    fails_S = ~success.is_success(population.sample.scores_S, series.threshold)
    num = int(fails_S.sum())
    if num < MIN_RUNS:
      continue
    curves = population.curves
    scores_SE = np.where(curves.diverged_SE, np.nan, curves.scores_SE)
    earlier_FE = np.nan_to_num(scores_SE[fails_S, :-1], nan=-np.inf)
    best_F = earlier_FE.max(axis=1, initial=-np.inf)
    once, well = ((best_F >= t).sum() for t in (series.threshold, _WELL_BEYOND))
    parts.append(f"{once} of {num} ({well}) {series.at([population])}")
  if not parts:
    return ""
  return (
    "Of the seeds that fail at the last step, the following numbers had"
    f" reached {series.threshold_name} in an earlier evaluation (in"
    f" parentheses: ≥ {words.percent(_WELL_BEYOND)}): {words.listed(parts)}."
  )


@styled
def draw(found: list[Failing]) -> Figure:
  """Draws kinds of errors: means by scale, and seeds of the most mixed one."""
  at = most_mixed(found)
  figure = Figure(figsize=(COLUMN_WIDTH, 3.2))
  left, right = figure.subplots(2, 1)
  means_NK = np.array(
    [
      x.share_FK.mean(axis=0) if x.share_FK.size else np.zeros(len(_COLORS))
      for x in found
    ]
  )
  bottom_NK = np.cumsum(means_NK, axis=1) - means_NK
  shown = np.flatnonzero(np.any(means_NK, axis=0)).tolist()
  x_N = np.arange(len(found))
  for k in shown:
    left.bar(x_N, means_NK[:, k], bottom=bottom_NK[:, k], color=_COLORS[k])
  for x, scale in zip(x_N, found, strict=True):
    left.text(x, 1.03, str(len(scale.share_FK)), ha="center", fontsize=7)
  left.set_xticks(x_N, [x.name.rsplit(" ", 1)[-1] for x in found])
  left.set_xlabel(at.name.rsplit(" ", 1)[0])
  left.set_ylabel("share of wrong answers")
  left.set_ylim(0, 1.12)
  left.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
  names = [kind.replace("_", " ") for kind in error_kinds.KINDS]
  for row, k in enumerate(shown):
    share_F = at.share_FK[:, k]
    y_F = row + 0.7 * (ridges.spread(share_F.size) - 0.5)
    right.plot(share_F, y_F, "o", color=_COLORS[k], alpha=0.7, markersize=3)
  right.set_xlabel(f"share of a seed's wrong answers, {at.name}")
  right.set_xlim(-0.04, 1.04)
  right.set_ylim(len(shown) - 0.4, -0.6)
  right.set_yticks(range(len(shown)), [names[k] for k in shown])
  return drawing.explain_colors(figure, {names[k]: _COLORS[k] for k in shown})


def loss_sentence(grid: Grid, is_fixed: bool = True) -> str:
  """Says how often a success has a lower, or higher, loss than a failure.

  Args:
    grid: the records.
    is_fixed: as in `claims.losses_of_kinds`; taken as False without fixed
      examples.
  """
  is_fixed &= bool((grid.frame["test_set"] == TRAIN_DISTRIBUTION).any())
  loss = (
    "loss on fixed examples of the training distribution"
    if is_fixed
    else "training loss"
  )
  parts: dict[str, list[str]] = {"lower": [], "higher": []}
  others = []
  for name, auc, p in losses_of_kinds(grid, is_fixed):
    if not p <= Options().alpha:
      others.append(name)
      continue
    kind = "higher" if auc > 0.5 else "lower"
    parts[kind].append(
      f"{max(auc, 1 - auc):.2f} at {grid.axis} {name} (p ="
      f" {words.number(p, 2)})"
    )
  sentences = [
    f"The probability that a seed that succeeds has a {kind} {loss} than a seed"
    f" that fails is {words.listed(texts)}."
    for kind, texts in parts.items()
    if texts
  ]
  if others:
    sentences.append(
      f"At {grid.axis} {words.listed(others)} no difference in this loss"
      " between successes and failures is shown."
    )
  return " ".join(sentences)


class RightUpTo(NamedTuple):
  """How far into the answer seeds of one cell are right, at one length.

  Attributes:
    length: the test length.
    cell: such as `depth 2`.
    num_trained: tokens of the longest answer in training, without the end
      symbol.
    share_SA: for each seed with kept parameters and each answer token before
      the end symbol: the share of items that are right up to there, [S, A].
    is_success_S: whether the seed is a success, [S].
  """

  length: int
  cell: str
  num_trained: int
  share_SA: np.ndarray
  is_success_S: np.ndarray


def right_up_to(grid: Grid, folder: pathlib.Path) -> RightUpTo | None:
  """Scores the kept seeds of the cell that has most; None if none fails."""
  config = grid.config
  cell, rows, is_success_S = _kept(grid, folder)
  if is_success_S.all():
    return None
  setup = make_setup(config, cell)
  items = setup.task.evaluation(length := config.headline_length)
  trained = setup.task.evaluation(config.task.max_train_length)
  is_end_L = items.tokens_L[0, 1:] == setup.task.end
  is_answer_L = np.asarray(items.is_answer_L[0, 1:] & ~is_end_L)
  score = jax.jit(lambda own, x: evaluate.score_tokens(own, setup.arch, x))
  shares = []
  for seed in rows["seed"]:
    own = params.load_params(epath.Path(folder), cell, int(seed))
    _, predicted_BL = score(own, items.tokens_L)
    is_right_BL = np.asarray(predicted_BL == items.tokens_L[:, 1:])
    is_right_BA = is_right_BL[:, is_answer_L]
    shares.append(np.cumprod(is_right_BA, axis=1).mean(axis=0))
  return RightUpTo(
    length,
    f"{grid.axis} {cell.columns[grid.axis]}",
    int(trained.is_answer_L[0].sum()) - 1,
    np.array(shares),
    is_success_S,
  )


def right_up_to_sentence(found: RightUpTo) -> str:
  """At which token of the answer failing seeds go wrong."""
  failing_FA = found.share_SA[~found.is_success_S]
  failing_FA = failing_FA[failing_FA[:, -1] < 0.5]
  if not len(failing_FA):
    return "No failing seed has an error in more than half of its answers."
  # The first token by which fewer than half of the items are still right.
  where_F = np.argmax(failing_FA < 0.5, axis=1)
  low, high = where_F.min() + 1, where_F.max() + 1
  tokens = f"token {low}" if low == high else f"token {low} to {high}"
  each = "each of " if len(failing_FA) > 1 else ""
  sentence = (
    f"In {each}{words.count(len(failing_FA), 'failing seed')}, more than half"
    f" of the answers have an error by {tokens} of {failing_FA.shape[1]}; the"
    f" longest answer in training has {found.num_trained} tokens."
  )
  right_F = failing_FA[np.arange(len(failing_FA)), where_F]
  if (right_F > 0).all():
    stay_F = failing_FA[:, -1] / right_F
    least, most = words.percent(stay_F.min()), words.percent(stay_F.max())
    share = least if least == most else f"from {least} to {most}"
    sentence += (
      f" Of the answers that are still right at this token, {share} (by seed)"
      " are right to the end."
    )
  return sentence


@styled
def draw_right_up_to(found: RightUpTo) -> Figure:
  """The share of items that are right up to each token, a line per seed."""
  figure = Figure(figsize=(COLUMN_WIDTH, 2.0))
  axes = figure.subplots()
  token_A = np.arange(1, found.share_SA.shape[1] + 1)
  colors = {True: SUCCEEDED, False: FAILED}
  for share_A, is_success in zip(
    found.share_SA, found.is_success_S.tolist(), strict=True
  ):
    axes.plot(token_A, share_A, color=colors[is_success], alpha=0.7)
  axes.axvline(found.num_trained, color="0.35", linestyle=":", linewidth=0.8)
  axes.set_xlabel("token of the answer")
  axes.set_ylabel("items right so far")
  axes.set_ylim(-0.03, 1.03)
  axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
  return drawing.explain_colors(
    figure, {"seeds that succeed": SUCCEEDED, "seeds that fail": FAILED}
  )


def _kept(
  grid: Grid, folder: pathlib.Path
) -> tuple[config_lib.Cell, Any, np.ndarray]:
  """The cell with most kept seeds, their last rows, and who succeeds, [S]."""
  seeds_of = {
    cell: sorted(params.kept_files(epath.Path(folder), cell))
    for cell in config_lib.cells(grid.config)
  }
  cell = max(seeds_of, key=lambda cell: len(seeds_of[cell]))
  final = records.final_rows(grid.frame)
  rows: Any = records.rows_of_cell(final, cell.columns)
  rows = rows[rows["test_length"] == grid.config.headline_length]
  rows = rows[rows["seed"].isin(seeds_of[cell]) & ~rows["diverged"]]
  is_success_S = success.is_success(rows[SCORE].to_numpy(), DEFAULT_THRESHOLD)
  return cell, rows, is_success_S


class Attention(NamedTuple):
  """What two seeds of one cell attend to on one item of L tokens.

  Attributes:
    length: the test length of the item.
    cell: such as `depth 2`.
    num_prompt: tokens before the answer.
    num_trained: tokens of the longest example in training.
    weights_of: by seed, the attention weights of each layer and head,
      [N, H, L, L]. The seed that fails comes first.
  """

  length: int
  cell: str
  num_prompt: int
  num_trained: int
  weights_of: dict[str, np.ndarray]


def kept_pair(grid: Grid, folder: pathlib.Path) -> Attention | None:
  """Attention of the first seed that fails and the first that succeeds.

  Both are from the cell with the most kept parameters. None if all of its kept
  seeds have the same outcome.
  """
  workdir, config = epath.Path(folder), grid.config
  cell, rows, is_success_S = _kept(grid, folder)
  if is_success_S.all() or not is_success_S.any():
    return None
  setup = make_setup(config, cell)
  items = setup.task.evaluation(length := config.headline_length)
  item = jax.tree.map(lambda x: x[len(x) // 2], items)
  tokens_L = item.tokens_L[: int(item.length)]
  attend = jax.jit(lambda own, x: model.attention_weights(own, setup.arch, x))
  weights_of = {}
  for own, verb in (
    (rows[~is_success_S], "fails"),
    (rows[is_success_S], "succeeds"),
  ):
    seed = int(own["seed"].iloc[0])
    found = attend(params.load_params(workdir, cell, seed), tokens_L[None])
    weights_of[f"seed {seed} {verb}"] = np.stack([x[0] for x in found])
  return Attention(
    length,
    f"{grid.axis} {cell.columns[grid.axis]}",
    int(np.argmax(item.is_answer_L)),
    setup.task.longest_example,
    weights_of,
  )


def attention_sentence(found: Attention) -> str:
  """Says how much of its attention each seed's answer puts on the prompt."""
  texts = []
  for name, weights_NHLL in found.weights_of.items():
    answer_NHAL = weights_NHLL[:, :, found.num_prompt :]
    prompt = answer_NHAL[..., : found.num_prompt].sum(axis=-1).mean()
    texts.append(f"{prompt:.2f} ({name})")
  return (
    f"On one item, for one pair of seeds at {found.cell}, the share of the"
    " answer tokens' attention that goes to the prompt, averaged over layers"
    f" and heads, is {words.listed(texts)}."
  )


@styled
def draw_attention(found: Attention) -> Figure:
  """Draws the weights of both seeds, a row per layer and a column per head.

  The two seeds are side by side if there is room, else one above the other.
  """
  num_layers, num_heads = next(iter(found.weights_of.values())).shape[:2]
  num_beside = 1 if num_heads > _MOST_BESIDE else 2
  side = min(1.4, (COLUMN_WIDTH - 0.4 * num_beside) / (num_beside * num_heads))
  height = 0.45 + num_layers * side
  figure = Figure(figsize=(COLUMN_WIDTH, height * 2 / num_beside))
  parts = figure.subfigures(2 // num_beside, num_beside, squeeze=False)
  for part, (name, weights_NHLL) in zip(
    parts.flat, found.weights_of.items(), strict=True
  ):
    part.suptitle(literal(name), fontsize=8)
    grid = part.subplots(num_layers, num_heads, squeeze=False)
    for (n, h), axes in np.ndenumerate(grid):
      axes.imshow(weights_NHLL[n, h], cmap="Greys", vmin=0, vmax=1)
      for end in (found.num_prompt, found.num_trained):
        axes.axvline(end - 0.5, color=_COLORS[1], linewidth=0.5)
        axes.axhline(end - 0.5, color=_COLORS[1], linewidth=0.5)
      axes.set_xticks([])
      axes.set_yticks([])
      if h == 0:
        axes.set_ylabel(f"layer {n + 1}", fontsize=7)
      if n == 0 and num_heads > 1:
        axes.set_title(f"head {h + 1}", fontsize=6, loc="center")
  return figure
