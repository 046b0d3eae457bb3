"""Looks for signs of later success at smaller scales and at earlier steps.

Exploratory: no claim of the preregistration. `trials` asks whether a sign at
one scale comes before a rise of the success probability to the next one, and
how often the same sign appears in null populations. `forecasts` asks whether
seeds that will succeed already differ from the others during training.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from emergence.analysis import summaries, words
from emergence.plotting import drawing
from emergence.plotting.style import styled
from emergence.statistics import modality, success, transport
from emergence.statistics.options import MIN_RUNS, Options
from emergence.statistics.sample import Sample
from emergence.storage import records
from experiments.claims import NLL, SCORE, Grid, fall_p

# Null populations per scale. All rest on the same seeds, so more add little.
_NUM_NULLS = 10
_LEVEL = 0.05
# In the order of the panels: name, column, and 1 if more is better, else -1.
_SIGNS_OF_SEEDS = {
  "likelihood": (NLL, -1),
  "score": (SCORE, 1),
  "training loss": ("train_loss", -1),
}


class Observed(NamedTuple):
  """What a sign may look at: two neighbouring scales, or only the second.

  Attributes:
    before: scores at the scale before; None at the smallest one.
    score: scores at this one.
    nll: negative log-likelihoods at this one.
    threshold: of a success.
  """

  before: Sample | None
  score: Sample
  nll: Sample
  threshold: float


def _upper_tail(scale: Observed) -> bool:
  is_success_S = success.is_success(scale.score.finite_S, scale.threshold)
  return bool(10 * is_success_S.sum() >= is_success_S.size)


def _spread(scale: Observed) -> bool | None:
  if scale.before is None:
    return None
  before_S, score_S = scale.before.finite_S, scale.score.finite_S
  if np.ptp(np.concatenate([before_S, score_S])) == 0:
    return False
  p = stats.levene(before_S, score_S, center="median").pvalue
  return bool(p <= _LEVEL and np.std(score_S) > np.std(before_S))


def _separates(sample: Sample, threshold: float | None) -> bool:
  return modality.label(sample, Options(), threshold).label != "not_shown"


def _distance(scale: Observed) -> bool | None:
  if scale.before is None:
    return None
  test = transport.permutation_test([scale.before, scale.score])
  return bool(test.p_KK[0, 1] <= _LEVEL)


SIGNS: dict[str, Callable[[Observed], bool | None]] = {
  "the best tenth succeeds": _upper_tail,
  "more spread than at the scale before": _spread,
  "two groups in the score": lambda x: _separates(x.score, x.threshold),
  "two groups in the likelihood": lambda x: _separates(x.nll, None),
  "another distribution than at the scale before": _distance,
}


class Trial(NamedTuple):
  """Signs at one scale, and what comes next.

  Attributes:
    signs: whether each of `SIGNS` is there; None where it cannot be looked
      for.
    rises: whether the success probability rises to the next scale; None for a
      null population.
  """

  signs: Mapping[str, bool | None]
  rises: bool | None


def trials(grid: Grid) -> list[Trial]:
  """Looks for signs at each scale where under half succeed, and in its nulls.

  The largest scale is left out. A rise has p ≤ 0.05 in Fisher's one-sided test.
  A null population has one mode and does not differ from the scale before. Its
  scores have the scale's mean and thin out from the floor (beta distribution).
  Its negative log-likelihoods have the scale's mean and standard deviation
  (gamma distribution).
  """
  series, nll = grid.score, grid.likelihoods[NLL]
  found = [x.success.diverged_fail for x in series.answers["success"]]
  rng = np.random.default_rng(series.options.seed)
  several = []
  for i in range(len(found) - 1):
    if found[i].probability >= 0.5 or series.threshold is None:
      continue
    scale = Observed(
      series.samples[i - 1] if i else None,
      series.samples[i],
      nll.samples[i],
      series.threshold,
    )
    rises = fall_p(found[i + 1], found[i]) <= _LEVEL
    several.append(Trial(_signs(scale), rises))
    nulls = (_null(rng, scale) for _ in range(_NUM_NULLS))
    several += [Trial(_signs(null), None) for null in nulls]
  return several


def _signs(scale: Observed) -> dict[str, bool | None]:
  return {name: sign(scale) for name, sign in SIGNS.items()}


def _null(rng: np.random.Generator, scale: Observed) -> Observed:
  mean, nll_S = float(scale.score.finite_S.mean()), scale.nll.finite_S

  def draw(size: int) -> Sample:
    score_S = rng.beta(1, 1 / max(mean, 1e-6) - 1, size)
    step = scale.score.step or 1e-6
    return scale.score._replace(scores_S=np.round(score_S / step) * step)

  shape = nll_S.mean() ** 2 / max(nll_S.var(), 1e-9)
  drawn_S = rng.gamma(shape, nll_S.mean() / shape, nll_S.size)
  return Observed(
    draw(scale.before.size) if scale.before else None,
    draw(scale.score.size),
    scale.nll._replace(scores_S=drawn_S),
    scale.threshold,
  )


def table(several: Sequence[Trial]) -> list[list[str]]:
  """Counts how often signs are seen before a rise, before none and in nulls."""
  kinds = {
    "before a rise": True,
    "before no rise": False,
    "in null populations": None,
  }
  rows = [["sign", *kinds]]
  for name in SIGNS:
    rows.append([name])
    for rises in kinds.values():
      own = [x.signs[name] for x in several if x.rises is rises]
      own = [is_seen for is_seen in own if is_seen is not None]
      rows[-1].append(_count(sum(own), len(own)))
  return rows


def _count(count: int, num: int) -> str:
  """Text such as `3 of 9`; from 10 runs on with an exact interval."""
  text = f"{count} of {num}"
  if num < MIN_RUNS:
    return text
  interval = stats.binomtest(count, num).proportion_ci(method="exact")
  return f"{text}{words.interval(interval.low, interval.high)}"


class Forecast(NamedTuple):
  """Whether a sign at one step tells which seeds succeed at the end.

  Attributes:
    scale: index of the scale.
    sign: of `_SIGNS_OF_SEEDS`.
    step: training steps done.
    num_yes: seeds below the threshold at that step that succeed at the end.
    num_no: seeds below the threshold at that step that fail at the end.
    auc: probability that the sign ranks a seed that will succeed above one that
      will fail; ties count half.
    p: p-value of Mann and Whitney's test that auc is one half.
  """

  scale: int
  sign: str
  step: int
  num_yes: int
  num_no: int
  auc: float
  p: float


def forecasts(grid: Grid) -> list[Forecast]:
  """Tests each sign at each scale and step with 10 seeds of each outcome."""
  length = grid.config.headline_length
  rows: Any = grid.frame[grid.frame["test_length"] == length]
  return [
    forecast
    for i, population in enumerate(grid.score.populations)
    for forecast in _of_scale(i, rows[rows[grid.axis] == population.scale])
  ]


def _of_scale(scale: int, rows: Any) -> Iterator[Forecast]:
  end = records.final_rows(rows).set_index("seed")
  ends_S = success.is_success(end[SCORE].where(~end["diverged"]), 0.2)
  succeeds = dict(zip(end.index, ends_S, strict=True))
  for step, own in rows.groupby("step"):
    own = own[(own[SCORE] < 0.2) & ~own["diverged"]]
    is_yes = own["seed"].map(succeeds).to_numpy(bool)
    if min(is_yes.sum(), (~is_yes).sum()) < MIN_RUNS:
      continue
    for name, (column, sign) in _SIGNS_OF_SEEDS.items():
      value = sign * own[column].to_numpy(float)
      if np.isfinite(value).all():
        test = stats.mannwhitneyu(value[is_yes], value[~is_yes])
        num = int(is_yes.sum()), int((~is_yes).sum())
        auc = float(test.statistic / (num[0] * num[1]))
        yield Forecast(scale, name, int(step), *num, auc, float(test.pvalue))


def sentence(grid: Grid, found: Sequence[Forecast]) -> str:
  """Says how many early forecasts differ from chance, and which does most."""
  early = [x for x in found if 0 < x.step <= grid.config.train.steps / 2]
  if not early:
    return (
      "Of the seeds that fail at an evaluation in the first half of training,"
      f" no scale has both {MIN_RUNS} that succeed at the end and {MIN_RUNS}"
      " that do not."
    )
  p = modality.holm([x.p for x in early])
  shown = [x for x, q in zip(early, p, strict=True) if q <= _LEVEL]
  text = (
    f"In the first half of training, {len(shown)} of {len(early)} comparisons"
    " show a difference between seeds that will succeed and seeds that will"
    " not, after Holm's correction over all of them"
  )
  if not shown:
    return f"{text}."
  best = max(shown, key=lambda x: abs(x.auc - 0.5))
  name = grid.score.scale_name(grid.score.populations[best.scale])
  better = "better" if best.auc > 0.5 else "worse"
  return (
    f"{text}. The largest difference: at {name} after {best.step} steps, a seed"
    f" that will succeed (one of {best.num_yes}) has a {better} {best.sign}"
    f" than one that will not (one of {best.num_no}) with probability"
    f" {max(best.auc, 1 - best.auc):.2f} (ties count half)."
  )


@styled
def draw(grid: Grid, found: Sequence[Forecast]) -> Figure:
  """Draws the AUC of each sign over training steps, a line per scale."""
  colors = summaries.scale_colors([grid.score])
  scales = [p.scale for p in grid.score.populations]

  def panel(axes: Axes, name: str) -> None:
    own = [x for x in found if x.sign == name]
    for scale, group in itertools.groupby(own, key=lambda x: x.scale):
      points = [(x.step, x.auc) for x in group]
      axes.plot(*zip(*points, strict=True), "o-", color=colors[scales[scale]])
    axes.axhline(0.5, color="0.35", linestyle=":", linewidth=0.8)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])

  figure = drawing.small_multiples(
    [list(_SIGNS_OF_SEEDS)], panel, str, "training step", "AUC"
  )
  legend = {
    grid.score.scale_name(grid.score.populations[i]): colors[scales[i]]
    for i in sorted({x.scale for x in found})
  }
  return drawing.explain_colors(figure, legend)
