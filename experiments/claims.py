"""Decides the claims of the paper on records, by the preregistered rules.

The rules are those of experiments/PREREGISTRATION.md, section "The claims and
their rules"; each is a function of the records of one grid. `decide` corrects
their p-values over the grids.
"""

import itertools
import math
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import stats

from emergence import tables
from emergence.analysis import questions, words
from emergence.analysis.series import Population, Series
from emergence.config import Config
from emergence.statistics import dip, modality, modes, success
from emergence.statistics.modality import Modality
from emergence.statistics.options import DEFAULT_THRESHOLD, MIN_RUNS, Options
from emergence.statistics.sample import REAL, Sample
from emergence.statistics.success import Success
from emergence.storage import records
from emergence.tables.score_table import ScoreTable

if TYPE_CHECKING:
  import pandas as pd

SCORE, NLL = "exact_match_without_end", "nll_mean"
# The likelihoods of the right answer; all but NLL are exploratory.
LIKELIHOODS = (NLL, "nll_sum", "min_token_log_prob")
# Thresholds of a success at which claim 5 looks for a fall.
_THRESHOLDS = tuple(i / 20 for i in range(1, 20))
# Claim 6 is tested only with this many items of the training distribution.
_LEAST_ITEMS = 1000
TRAIN_DISTRIBUTION = "train_distribution"
# What the test behind each label of a split is called in sentences.
_TEST_OF = {
  "two_modes": "dip test",
  "breakout": "test of the floor",
  "falloff": "test of the ceiling",
}


class Grid(NamedTuple):
  """The records of a study, and what the analysis finds about them.

  Attributes:
    name: of the study.
    config: the experiment.
    frame: its records.
    score: the preregistered score over the scales, with all answers.
    likelihoods: by name, each likelihood over the scales, with summaries,
      success and modality. Each is a family of tests of its own.
  """

  name: str
  config: Config
  frame: "pd.DataFrame"
  score: Series
  likelihoods: dict[str, Series]

  @property
  def axis(self) -> str:
    return self.score.axis


class Verdict(NamedTuple):
  """What a rule says about one grid.

  Attributes:
    holds: whether the rule holds before Holm's correction over grids; None if
      it is not tested.
    sentence: the result in words, or why it is not tested.
    p: the p-value that is corrected over grids; NaN if the rule has none.
    evidence: the main numbers with their intervals, for a cell of a table.
    numbers: the numbers that the sentence rests on, by name.
  """

  holds: bool | None
  sentence: str
  p: float = math.nan
  evidence: str = ""
  numbers: Mapping[str, Any] = {}


class Outcome(NamedTuple):
  """The decision about one grid.

  Attributes:
    status: one of the claim's `names`, `underpowered` or `not tested`.
    p_adjusted: p after Holm's correction over the tested grids; NaN without p.
    verdict: of the rule.
  """

  status: str
  p_adjusted: float
  verdict: Verdict


class Claim(NamedTuple):
  """One claim of the paper.

  Attributes:
    number: its number in the preregistration.
    statement: the claim in a sentence.
    rule: decides one grid.
    names: the status where the rule holds, and where it fails.
    needs_power: whether a grid can be underpowered for it.
    figures: names of the figures that show the evidence.
  """

  number: int
  statement: str
  rule: Callable[[Grid], Verdict]
  names: tuple[str, str] = ("reproduced", "not reproduced")
  needs_power: bool = False
  figures: tuple[str, ...] = ()


def load(name: str, folder: pathlib.Path) -> Grid:
  """Reads and analyzes the records of a study.

  Args:
    name: of the study.
    folder: its work directory.

  Raises:
    ValueError: no records, or scales along more than one axis.
  """
  config = records.read_config(folder)
  # If one setting is compared with itself, its root seed is the scale.
  is_repeat = "root_seed" in config.grid.axis_names
  table = tables.read(
    folder,
    score_columns=[SCORE, *LIKELIHOODS],
    scale_axis="root_seed" if is_repeat else "auto",
  )
  return Grid(
    name,
    config,
    records.read(folder),
    _analyze(table, SCORE),
    {
      metric: _analyze(table, metric, ("summaries", "success", "modality"))
      for metric in LIKELIHOODS
    },
  )


def _analyze(
  table: ScoreTable, metric: str, kinds: Sequence[str] | None = None
) -> Series:
  """Analyzes one metric of a table alone, so as a family of its own."""
  own = table._replace(
    frame=_rows_of(table.frame, metric),
    curves=_rows_of(table.curves, metric),
    metrics={metric: table.metrics[metric]},
  )
  series, *others = questions.analyze(own, Options(), kinds=kinds).series
  if others:
    raise ValueError(f"expected scales along one axis, got {len(others) + 1}")
  return series


def _rows_of(frame: Any, metric: str) -> Any:
  return frame[frame["metric"] == metric].reset_index(drop=True)


def extremes_and_jump(grid: Grid) -> tuple[int, int, int] | None:
  """Finds the most emergent and the most linear seed, and the former's jump.

  Returns:
    The two seeds as rows of `trajectories.SeedTrajectories`, and the index of
    the scale before the jump; None if no seed is ranked.
  """
  found = grid.score.answers["trajectories"]
  if found is None:
    return None
  ranks = found.shape.breakthroughness_rank_S, found.shape.linearity_rank_S
  if not all((rank_S == 1).any() for rank_S in ranks):
    return None
  emergent, linear = (int(np.argmax(rank_S == 1)) for rank_S in ranks)
  return emergent, linear, int(np.argmax(np.diff(found.scores_SN[emergent])))


def emergent_and_linear(grid: Grid) -> Verdict:
  """Claim 1: the most emergent seed jumps, the most linear one does not.

  The first gains over half of its range in one step, the second in none, and
  seeds separate before or after the first one's largest step.
  """
  series, found = grid.score, grid.score.answers["trajectories"]
  where = extremes_and_jump(grid)
  if found is None or where is None:
    note = (
      found.shape.note
      if found
      else "there is only one scale, or no seed was trained at every scale"
    )
    return Verdict(None, note or "no seed has a finite breakthroughness")
  emergent, linear, i = where
  gain_S = np.diff(found.scores_SN, axis=1).max(axis=1)
  range_S = np.ptp(found.scores_SN, axis=1)
  # Constant seeds have no rank, so no range here is 0.
  share_emergent, share_linear = (
    gain_S[s] / range_S[s] for s in (emergent, linear)
  )
  num_smooth = int(((gain_S <= range_S / 2) & (range_S > 0)).sum())
  pair = series.answers["modality"].by_scale[i : i + 2]
  p_2 = [cell.p_adjusted for cell in pair]
  if np.isnan(p_2).all():
    return Verdict(None, "the scales of the jump could not be tested")
  separates = [cell.label != "not_shown" for cell in pair]
  a, b = series.populations[i : i + 2]
  labels = [
    _label(cell, f" at {series.scale_name(population)}")
    for cell, population in zip(pair, (a, b), strict=True)
  ]
  infinite = found.shape.num_infinite
  unranked = (
    f". For {infinite} of {len(found.seeds)} seeds, the score stays the same in"
    " more than half of the steps, so their breakthroughness is infinite and"
    " has no rank"
  )
  # Ties may differ in their last bits, as scores are in single precision.
  highest = found.shape.breakthroughness_S[emergent]
  num_tied = int(np.isclose(found.shape.breakthroughness_S, highest).sum())
  tie = f"one of {num_tied} that tie for " if num_tied > 1 else ""
  pairing = series.answers["pairing"]
  extremes = [
    f"the largest {name} is {words.number(value)} (95 % of shuffles give at"
    f" most {words.number(null)})"
    for name, value, null in (
      (
        "breakthroughness",
        pairing.max_breakthroughness,
        pairing.max_breakthroughness_null,
      ),
      ("linearity", pairing.max_linearity, pairing.max_linearity_null),
    )
  ]
  return Verdict(
    bool(share_emergent > 0.5 and share_linear <= 0.5 and any(separates)),
    f"seed {found.seeds[emergent]}, {tie}the most emergent"
    f" of {int((found.shape.breakthroughness_rank_S > 0).sum())} ranked seeds,"
    f" gains {words.percent(share_emergent)} of its range from"
    f" {series.scale_name(a)} to {b.name}; seed {found.seeds[linear]}, the most"
    f" linear, gains at most {words.percent(share_linear)} of its range in one"
    f" step. {num_smooth} of {len(found.seeds)} seeds gain at most half of"
    " their range in every step. Only the split at the two scales of the jump"
    f" is tested: {', '.join(labels)}. Compared with trajectories whose seeds"
    f" are shuffled at each scale, {words.listed(extremes)}"
    f"{unranked if infinite else ''}",
    float(np.nanmin(p_2)),
    f"the most emergent seed gains {words.percent(share_emergent)} of its range"
    " in one step (the rule: over 50%), the most linear at most"
    f" {words.percent(share_linear)} (the rule: at most 50%);"
    f" {', '.join(labels)}",
    {
      "emergent_seed": found.seeds[emergent],
      "emergent_gain": float(share_emergent),
      "linear_seed": found.seeds[linear],
      "linear_gain": float(share_linear),
      "scales": (a.scale, b.scale),
      "labels": [cell.label for cell in pair],
      "num_infinite": infinite,
    },
  )


def mode_jumps(grid: Grid) -> Verdict:
  """Claim 2: the mode jumps, the success probability moves gradually."""
  found, successes = grid.score.answers["abruptness"], _successes(grid)
  inner = [s for s in successes if 0.1 <= s.probability <= 0.9]
  if len(inner) < 3 or found is None:
    return Verdict(
      None,
      f"{len(inner)} of {words.count(len(successes), 'scale')}"
      f" {'has' if len(inner) == 1 else 'have'} a success probability between"
      " 0.1 and 0.9; the rule needs 3",
    )
  if math.isnan(found.difference):
    what = "mode" if math.isnan(found.mode) else "success probability"
    return Verdict(False, f"the {what} never changes", found.difference_p)
  difference = words.signed(found.difference) + words.interval(
    found.difference_low, found.difference_high
  )
  mode_N = [x.peaks.mode for x in grid.score.answers["modality"].by_scale]
  equal = words.percent(1 / (found.num_scales - 1))
  mean_N = np.array(
    [answer.given.value for answer in grid.score.answers["success"]]
  )
  mean = ""
  if np.isfinite(mean_N).all() and np.ptp(mean_N) > 0:
    share = float(np.abs(np.diff(mean_N)).max() / np.ptp(mean_N))
    mean = (
      " The largest step of the mean of the successes, which the rule does not"
      f" use, is {words.percent(share)} of its range."
    )
  return Verdict(
    found.difference > 0,
    f"the largest step of the mode is {words.percent(found.mode)} of its range"
    f" ({min(mode_N):.2f} to {max(mode_N):.2f}), the largest step of the"
    f" success probability is {words.percent(found.success_probability)} of its"
    f" range. If all steps were equal, each would be {equal}. The difference"
    f" is {difference}. The rule tests only that it is above 0, not that the"
    " success probability moves gradually. From"
    f" {modes.MOST_RESAMPLES} bootstrap samples, p is at"
    f" least {words.number(2 / (modes.MOST_RESAMPLES + 1), 2)} before the"
    f" correction over grids.{mean} If scores form two clusters, it is"
    " arithmetic that their mode jumps",
    found.difference_p,
    f"largest step: {words.percent(found.mode)} of the mode's range"
    f" ({min(mode_N):.2f} to {max(mode_N):.2f}),"
    f" {words.percent(found.success_probability)} of the success probability's"
    f" ({equal} if all steps were equal); difference {difference}",
    {
      "mode": found.mode,
      "success_probability": found.success_probability,
      "difference": found.difference,
      "low": found.difference_low,
      "high": found.difference_high,
    },
  )


def onset_before_success(grid: Grid) -> Verdict:
  """Claim 3: two modes appear while fewer than half of the seeds succeed.

  At the first scale whose seeds are shown to split, fewer than half succeed and
  the Wasserstein-2 distance to the scale before exceeds that of permutations.
  """
  series = grid.score
  found, distances = series.answers["modality"], series.answers["distance"]
  p_N = np.array([cell.p_adjusted for cell in found.by_scale])
  if len(p_N) < 2 or np.isnan(p_N).all() or distances is None:
    return Verdict(None, "no scale could be tested")
  if found.first is None:
    return Verdict(
      False,
      f"a split is shown at none of {len(p_N)} scales (smallest p"
      f" {words.number(float(np.nanmin(p_N)), 2)})",
      float(np.nanmin(p_N)),
    )
  i, onset = found.first, series.populations[found.first]
  at = _successes(grid)[i]
  sentence = (
    f"a split is first shown at {series.scale_name(onset)}:"
    f" {_label(found.by_scale[i])}. There,"
    f"{' already' if at.probability >= 0.5 else ''} {_share(at)} of the seeds"
    " succeed"
  )
  if i == 0:
    return Verdict(
      None, f"{sentence}; there is no smaller scale to compare with"
    )
  before = _successes(grid)[i - 1].probability
  sentence += f"; at the scale before, {before:.2f} of them do"
  if np.isfinite(p_N[:i]).any():
    least = words.number(float(np.nanmin(p_N[:i])), 2)
    sentence += f". At smaller scales no split is shown (smallest p {least})"
  p_w2 = float(distances.adjusted_N[i - 1])
  w2_N, null_N = (
    np.diagonal(x, 1) for x in (distances.w2_NN, distances.test.null_KK)
  )
  w2, null = w2_N[i - 1], null_N[i - 1]
  largest = int(np.argmax(w2_N))
  a, b = series.populations[largest : largest + 2]
  return Verdict(
    at.probability < 0.5 and bool(w2 > null),
    f"{sentence}. The Wasserstein-2 distance (W2) to the scale before is"
    f" {words.number(w2)} (at most {words.number(null)} in 95 % of"
    f" permutations, p = {words.number(p_w2, 2)}). After correction, W2 between"
    " neighbouring scales is shown to exceed chance at"
    f" {int((distances.adjusted_N <= series.options.alpha).sum())} of"
    f" {len(w2_N)} steps; it is largest from {series.scale_name(a)} to"
    f" {b.name}. p tests the split and the distance, not that fewer than half"
    " of the seeds succeed",
    # A distance that could not be tested is no evidence.
    float(np.nan_to_num(np.maximum(p_N[i], p_w2), nan=1.0)),
    f"first split at {series.scale_name(onset)}, where {_share(at)} of the"
    f" seeds succeed; W2 to the scale before: {words.number(w2)} (at most"
    f" {words.number(null)} in 95 % of permutations)",
    {
      "onset": onset.scale,
      "label": found.by_scale[i].label,
      "success_probability": at.probability,
      "success_low": at.low,
      "success_high": at.high,
      "w2": float(w2),
      "w2_null": float(null),
      "w2_p": p_w2,
      "modality_p": float(p_N[i]),
    },
  )


def raw_and_log(
  name: str, cells: Sequence[np.ndarray]
) -> dict[str, list[Sample]]:
  """Samples of losses at each scale: `name` has raw ones, `log name` logs."""
  # With a NaN more, a scale without losses is a sample, too.
  cells = [np.append(x_S, math.nan) for x_S in cells]
  logs = [np.log(np.where(x_S > 0, x_S, math.nan)) for x_S in cells]
  return {
    name: [Sample.of(x_S, (0.0, math.inf)) for x_S in cells],
    f"log {name}": [Sample.of(x_S, REAL) for x_S in logs],
  }


def one_family(
  grid: Grid, samples: Mapping[str, Sequence[Sample]]
) -> dict[str, list[Modality]]:
  """Labels of several losses at all scales, corrected together."""
  labels = iter(
    modality.label_family(
      [sample for cells in samples.values() for sample in cells],
      grid.score.options,
    )
  )
  return {name: [next(labels) for _ in x] for name, x in samples.items()}


def likelihood_labels(grid: Grid) -> dict[str, list[Modality]]:
  """Labels of the NLL at all scales, raw and as logarithms, for claim 4."""
  cells = [sample.finite_S for sample in grid.likelihoods[NLL].samples]
  return one_family(grid, raw_and_log("NLL", cells))


def _shown(
  grid: Grid, labels: Mapping[str, Sequence[Modality]]
) -> dict[str, list[Population]]:
  """The scales at which each loss separates, without losses that never do."""
  found = {
    name: [
      population
      for population, cell in zip(grid.score.populations, cells, strict=True)
      if cell.label != "not_shown"
    ]
    for name, cells in labels.items()
  }
  return {name: where for name, where in found.items() if where}


def likelihood_separates(grid: Grid) -> Verdict:
  """Claim 4: at some scale, both the score and its likelihood split."""
  own = grid.score.answers["modality"].by_scale
  score = _shown(grid, {"score": own}).get("score", [])
  if not score:
    return Verdict(None, f"no split is shown in the score at any {grid.axis}")
  labels = likelihood_labels(grid)
  both = {
    name: [population for population in where if population in score]
    for name, where in _shown(grid, labels).items()
  }
  both = {name: where for name, where in both.items() if where}
  p = [
    nll.p_adjusted
    for cells in labels.values()
    for cell, nll in zip(own, cells, strict=True)
    if cell.label != "not_shown"
  ]
  if np.isnan(p).all():
    return Verdict(
      None,
      f"a split is shown in the score {grid.score.at(score)}, but too"
      " few seeds there have a likelihood to test",
    )
  least = float(np.nanmin(p))
  raw = [
    nll.p
    for cells in labels.values()
    for cell, nll in zip(own, cells, strict=True)
    if cell.label != "not_shown"
  ]
  size = max(cell.family_size for cells in labels.values() for cell in cells)
  weight = _detectable(labels)
  nll_text = "the negative log-likelihood (NLL)"
  text_of = {"NLL": nll_text, "log NLL": f"the logarithm of {nll_text}"}
  only_log = ""
  if both and "NLL" not in both:
    only_log = (
      ". The NLL itself shows none there; its logarithm was added to the rule"
      " when the quickstart had been seen"
    )
  parts = [
    f"in {text_of[name]} {grid.score.at(where)}" for name, where in both.items()
  ]
  also = f"but neither in {nll_text} nor in its logarithm there"
  if parts:
    also = f"and {words.listed(parts)}"
  return Verdict(
    bool(both),
    f"a split is shown in the score {grid.score.at(score)}, {also} (smallest p"
    f" {words.number(float(np.nanmin(raw)), 2)},"
    f" or {words.number(least, 2)} after correction for {size} tests)"
    f"{only_log if both else _power(weight)}",
    least,
    "" if both else _weight_text(weight),
    {
      "scales_of_score": [population.scale for population in score],
      "scales_of_both": {
        name: [population.scale for population in where]
        for name, where in both.items()
      },
    },
  )


class Fall(NamedTuple):
  """A pair of scales, compared for claim 5.

  Attributes:
    first: index of the smaller scale.
    second: index of the larger one.
    p_adjusted: p of a fall of the success probability, one-sided, after Holm's
      correction over all pairs.
    is_better: whether the mean of the successes is not lower at the larger
      scale; False if one of the two has too few successes for a mean.
  """

  first: int
  second: int
  p_adjusted: float
  is_better: bool


def fall_pairs(grid: Grid) -> list[Fall]:
  """All pairs of scales, the clearest fall of the success probability first."""
  answers = grid.score.answers["success"]
  pairs = list(itertools.combinations(range(len(answers)), 2))
  found = [answer.success.diverged_fail for answer in answers]
  mean_N = [answer.given.value for answer in answers]
  p = [fall_p(found[i], found[j]) for i, j in pairs]
  several = [
    Fall(i, j, float(q), bool(mean_N[j] >= mean_N[i]))  # False with a NaN.
    for (i, j), q in zip(pairs, modality.holm(p), strict=True)
  ]
  return [several[k] for k in np.argsort(p, kind="stable")]


def fall_p(a: Success, b: Success) -> float:
  """One-sided p of Fisher's test: is the probability of `b` the smaller one?"""
  table = [
    [a.num_successes, a.num_runs - a.num_successes],
    [b.num_successes, b.num_runs - b.num_successes],
  ]
  _, p = stats.fisher_exact(table, alternative="greater")
  return float(p)


def success_falls(grid: Grid) -> Verdict:
  """Claim 5: fewer seeds succeed, and the successes are better."""
  series, alpha = grid.score, grid.score.options.alpha
  means = [answer.given.value for answer in series.answers["success"]]
  if np.isfinite(means).sum() < 2:
    return Verdict(
      None,
      f"fewer than two scales have {MIN_RUNS} successes, as a mean of the"
      " successes needs",
    )
  better = [fall for fall in fall_pairs(grid) if fall.is_better]
  if not better:
    return Verdict(
      False,
      "no pair of scales is known to have successes that do not get worse",
      1.0,
    )
  i, j, p, _ = better[0]
  a, b = series.populations[i], series.populations[j]
  successes = _successes(grid)
  if successes[i].probability <= successes[j].probability:
    return Verdict(
      False,
      f"the successes do not get worse in {words.count(len(better), 'pair')} of"
      " scales; the success probability falls in none of them",
      p,
    )
  clearest, other = fall_pairs(grid)[0], ""
  # False with a NaN: without a mean nothing is known of the successes.
  if means[clearest.second] < means[clearest.first]:
    c, d = (series.populations[x] for x in (clearest.first, clearest.second))
    share_c, share_d = (
      f"{successes[x].probability:.2f}"
      for x in (clearest.first, clearest.second)
    )
    other = (
      f". The clearest fall of all, from {share_c} at {series.scale_name(c)} to"
      f" {share_d} at {d.name} (p = {words.number(clearest.p_adjusted, 2)}),"
      " does not count, as its successes get worse"
    )
  fall = "the success probability falls"
  if len(successes) > 2:
    fall = (
      f"among the {words.count(len(better), 'pair')} of scales whose successes"
      " do not get worse, the clearest fall of the success probability is"
    )
  change_T = np.array(
    [
      success.is_success(b.sample.scores_S, t).mean()
      - success.is_success(a.sample.scores_S, t).mean()
      for t in _THRESHOLDS
    ]
  )
  num_falls, num_rises = int((change_T < 0).sum()), int((change_T > 0).sum())
  elsewhere = (
    f"falls for {num_falls} and rises for {num_rises} of {len(_THRESHOLDS)}"
    f" success thresholds ({words.percent(_THRESHOLDS[0])} to"
    f" {words.percent(_THRESHOLDS[-1])})"
  )
  return Verdict(
    p <= alpha,
    f"{fall} from {_share(successes[i])} at {series.scale_name(a)} to"
    f" {_share(successes[j])} at {b.name} (p = {words.number(p, 2)}). The mean"
    f" of the successes goes from {means[i]:.2f} to {means[j]:.2f}. Between"
    f" these scales, the success probability {elsewhere}{other}",
    p,
    f"success probability {_share(successes[i])} at {series.scale_name(a)},"
    f" {_share(successes[j])} at {b.name}; it {elsewhere}",
    {
      "scales": (a.scale, b.scale),
      "means": (means[i], means[j]),
      "num_thresholds": num_falls,
    },
  )


def losses(grid: Grid) -> dict[str, list[np.ndarray]]:
  """Losses on the training distribution at each scale, in nats per token.

  By name: the mean training loss between the last two evaluations and, if it
  was recorded, the mean negative log-likelihood of the fixed examples. Each
  scale has an array of the seeds that did not diverge.
  """
  final = records.final_rows(grid.frame)
  of_length = final["test_length"] == grid.config.headline_length
  found = {"training loss": _by_scale(grid, final[of_length], "train_loss")}
  inside = final[final["test_set"] == TRAIN_DISTRIBUTION]
  if len(inside):
    found["NLL of fixed examples"] = _by_scale(grid, inside, NLL)
  return found


def _by_scale(grid: Grid, rows: Any, column: str) -> list[np.ndarray]:
  rows = rows[np.isfinite(rows[column]) & ~rows["diverged"]]
  return [
    rows[rows[grid.axis] == population.scale][column].to_numpy(float)
    for population in grid.score.populations
  ]


def loss_labels(grid: Grid) -> dict[str, list[Modality]]:
  """Labels of the losses at all scales, raw and as logarithms: one family."""
  samples = {}
  for name, cells in losses(grid).items():
    samples |= raw_and_log(name, cells)
  return one_family(grid, samples)


class LossOfKinds(NamedTuple):
  """Compares the losses of successes and failures at one scale.

  Attributes:
    name: of the scale, such as `2` for depth 2.
    auc: probability that a success has a higher loss than a failure; ties count
      half.
    p_adjusted: p of Mann and Whitney's test that auc is one half, after Holm's
      correction over scales.
  """

  name: str
  auc: float
  p_adjusted: float


def losses_of_kinds(grid: Grid, is_fixed: bool) -> list[LossOfKinds]:
  """Compares losses at each scale with 10 successes and 10 failures.

  Exploratory. Seeds whose loss is not finite are left out.

  Args:
    grid: the records.
    is_fixed: take the mean negative log-likelihood of the fixed examples of the
      training distribution instead of the final training loss.
  """
  final = records.final_rows(grid.frame)
  final = final[~final["diverged"]]
  inside = final[final["test_set"] == TRAIN_DISTRIBUTION].set_index("seed")
  final = final[final["test_length"] == grid.config.headline_length]
  names, tests = [], []
  for population in grid.score.populations:
    own = final[final[grid.axis] == population.scale]
    loss_S = own["train_loss"].to_numpy(float)
    if is_fixed:
      fixed = inside[inside[grid.axis] == population.scale]["nll_mean"]
      loss_S = fixed.reindex(own["seed"]).to_numpy(float)
    succeeds_S = success.is_success(own[SCORE].to_numpy(), DEFAULT_THRESHOLD)
    both = loss_S[succeeds_S], loss_S[~succeeds_S]
    successes, failures = (x[np.isfinite(x)] for x in both)
    if min(successes.size, failures.size) >= MIN_RUNS:
      test = stats.mannwhitneyu(successes, failures)
      auc = test.statistic / (successes.size * failures.size)
      names.append(population.name)
      tests.append((auc, test.pvalue))
  adjusted = modality.holm([p for _, p in tests])
  return [
    LossOfKinds(name, float(auc), float(p))
    for name, (auc, _), p in zip(names, tests, adjusted, strict=True)
  ]


def losses_have_one_mode(grid: Grid) -> Verdict:
  """Claim 6: no loss on the training distribution has a second mode."""
  if grid.config.eval.train_distribution_items < _LEAST_ITEMS:
    return Verdict(
      None,
      f"the records have no test set of {_LEAST_ITEMS} items or more that are"
      " drawn as in training",
    )
  labels = loss_labels(grid)
  shown = _shown(grid, labels)
  every = [cell for cells in labels.values() for cell in cells]
  size = every[0].family_size
  if not size:
    return Verdict(None, "no scale could be tested")
  weight = _detectable(labels)
  least = float(np.nanmin([cell.p_adjusted for cell in every]))
  if shown:
    parts = [f"{name} {grid.score.at(where)}" for name, where in shown.items()]
    sentence = (
      f"a second mode is shown in {words.listed(parts)} (p ="
      f" {words.number(least, 2)} after correction for {size} tests)"
    )
  else:
    raw = float(np.nanmin([cell.p for cell in every]))
    sentence = (
      f"no second mode is shown in any loss (smallest p {words.number(raw, 2)},"
      f" or {words.number(least, 2)} after correction for {size} tests)"
      f"{_power(weight)}"
    )
  short = _weight_text(weight)
  if shown:
    parts = [f"{name} {grid.score.at(x)}" for name, x in shown.items()]
    short = f"second mode in {words.listed(parts)}"
  tied = []
  if grid.config.headline_length <= grid.config.task.max_train_length:
    tied.append("training includes the tested length")
  names = {
    x.name
    for is_fixed in (False, True)
    for x in losses_of_kinds(grid, is_fixed)
    if x.p_adjusted <= grid.score.options.alpha
  }
  if differ := [x for x in grid.score.populations if x.name in names]:
    at = grid.score.at(differ)
    tied.append(f"successes and failures differ in it {at}")
  if tied:
    text = f"this loss is tied to the capability: {' and '.join(tied)}"
    sentence = f"{sentence}. But {text}"
    short = f"{short}; {text}"
  return Verdict(
    not shown,
    sentence,
    math.nan,
    short,
    {
      "shown": {name: [p.scale for p in x] for name, x in shown.items()},
      "smallest_weight": weight,
      "least_p_adjusted": least,
      "is_tied": bool(tied),
    },
  )


CLAIMS = (
  Claim(
    1,
    "The same data and hyperparameters give seeds that look emergent and seeds"
    " that look smooth, and at the jump seeds form two groups.",
    emergent_and_linear,
    needs_power=True,
    figures=("emergent_and_linear",),
  ),
  Claim(
    2,
    "The mode jumps, the success probability moves gradually.",
    mode_jumps,
    figures=("summaries",),
  ),
  Claim(
    3,
    "Two modes can be detected at some scale, before most seeds succeed.",
    onset_before_success,
    needs_power=True,
    figures=("distribution", "distances"),
  ),
  Claim(
    4,
    "A continuous metric shows two modes too.",
    likelihood_separates,
    needs_power=True,
    figures=("likelihood",),
  ),
  Claim(
    5,
    "The success probability can fall with scale while successes get better.",
    success_falls,
    figures=("summaries", "thresholds"),
  ),
  Claim(
    6,
    "A loss that is not tied to the capability has one mode.",
    losses_have_one_mode,
    names=("supported", "contradicted"),
    figures=("control",),
  ),
)


def decide(
  claim: Claim,
  verdicts: Mapping[str, Verdict],
  underpowered: Collection[str] = (),
) -> dict[str, Outcome]:
  """Decides a claim for each grid, with Holm's correction over tested ones.

  A rule that holds counts only if its p-value, where it has one, is at most
  the level after the correction.

  Args:
    claim: the claim.
    verdicts: of its rule, by the name of the grid.
    underpowered: the grids that the preregistration calls underpowered.
  """
  adjusted = modality.holm([verdict.p for verdict in verdicts.values()])
  outcomes = {}
  for (name, verdict), p in zip(verdicts.items(), adjusted, strict=True):
    status, fails = claim.names
    if verdict.holds is None:
      status = "not tested"
    elif not verdict.holds or p > Options().alpha:
      is_weak = claim.needs_power and name in underpowered
      status = "underpowered" if is_weak else fails
    outcomes[name] = Outcome(status, float(p), verdict)
  return outcomes


def result(claim: Claim, outcomes: Mapping[str, Outcome]) -> str:
  """Sums up a claim, such as `reproduced in 2 of 3 grids (1 not tested)`.

  Grids in which a claim is `contradicted` are counted, too.
  """
  if not outcomes:
    return "no grid is trained yet"
  status = [o.status for o in outcomes.values() if o.status != "not tested"]
  if not status:
    return "not tested"
  if set(status) == {"underpowered"}:
    return "underpowered"
  (holds, fails), num = claim.names, words.count(len(status), "grid")
  counts = {holds: status.count(holds)}
  if not fails.startswith("not"):
    counts[fails] = status.count(fails)
  parts = [f"{name} in {count}" for name, count in counts.items() if count]
  tested = [o.verdict for o in outcomes.values() if o.status != "not tested"]
  num_tied = sum(verdict.numbers.get("is_tied", False) for verdict in tested)
  tied = f"; in {num_tied} the loss is tied to the capability"
  num_weak = sum(
    bool(x.holds) and math.isnan(x.numbers.get("smallest_weight", 0))
    for x in tested
  )
  if num_weak:
    parts[0] += f" ({num_weak} of these with little power)"
  num_untested = len(outcomes) - len(status)
  untested = f" ({num_untested} not tested)" if num_untested else ""
  if not parts:
    return f"{fails} ({num} tested)"
  return f"{', '.join(parts)} of {num}{untested}{tied if num_tied else ''}"


def _label(cell: Modality, where: str = "") -> str:
  """Text such as `two modes at depth 2 (dip test: p = 1.8e−05)`."""
  if cell.label == "not_shown":
    return f"no split shown{where}"
  text = cell.label.replace("_", " ") + where
  is_least = cell.label == "two_modes" and cell.dip_p <= dip.SMALLEST_P
  p = f"p {'≤' if is_least else '='} {words.number(cell.p_of_label, 2)}"
  return f"{text} ({_TEST_OF[cell.label]}: {p})"


def _detectable(labels: Mapping[str, Sequence[Modality]]) -> float:
  """The share of seeds that a mode needs to be shown, in the weakest test."""
  every = [cell for cells in labels.values() for cell in cells]
  return float(np.max([cell.smallest_weight_adjusted for cell in every]))


def _power(weight: float) -> str:
  """Ends a sentence with the second mode that the tests would have shown."""
  if math.isnan(weight):
    return ". With so few seeds, the tests would often miss two modes"
  return (
    f". A second mode with {words.percent(weight)} of the seeds, 5 standard"
    " deviations away, would be found in 80 % of samples"
  )


def _weight_text(weight: float) -> str:
  if math.isnan(weight):
    return "so few seeds that the tests would often miss two modes"
  return (
    "the tests would often miss a second mode with under"
    f" {words.percent(weight)} of the seeds"
  )


def _successes(grid: Grid) -> list[Success]:
  """The success probability of each scale; diverged seeds fail."""
  return [x.success.diverged_fail for x in grid.score.answers["success"]]


def _share(found: Success) -> str:
  """The success probability as text, such as `0.43 (0.35–0.52)`."""
  return f"{found.probability:.2f}{words.interval(found.low, found.high)}"
