"""How many modes a distribution of scores has, and how sure that is."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from emergence.statistics import dip as dip_lib
from emergence.statistics import modes
from emergence.statistics.options import Options
from emergence.statistics.sample import SAME_SCORE, Sample, grid

# "Unimodal" is said where a minor mode of this weight would have been found.
MINOR_WEIGHT = 0.3
# A floor or ceiling: so many of the runs within so much of the support's width
# from its end, and fewer than `MINOR_WEIGHT` elsewhere with this confidence.
END_SHARE, END_WIDTH, END_CONFIDENCE = 0.95, 0.05, 0.95
# Fewer runs are never called bimodal: half of them are too few to describe a
# mode.
MIN_RUNS = 20


class Modality(NamedTuple):
  """What a population's scores say about its modes.

  Attributes:
    label: floor, ceiling, unimodal, bimodal or undecided.
    num_runs: runs with a finite score; all else is about these.
    dip: Hartigan's dip, averaged over jitters; NaN where not tested.
    p: its p-value; NaN where not tested.
    p_adjusted: p after Holm's correction over the family; NaN where not tested.
    family_size: tests that were corrected for.
    antimode: the score that separates two peaks of the density, NaN where none
      does. It stands beside every label and is no evidence by itself.
    smallest_weight: the least weight of a minor mode, 5 standard deviations
      from the other, that the test at level alpha finds with power 0.8 among so
      many runs; NaN where even two equal modes are found less often.
    smallest_weight_adjusted: the same at level alpha / family_size, the
      strictest that Holm's correction asks for.
    shape: mode, antimode and their sensitivity; None without a finite score.
    evidence: the label's reason in a sentence.
  """

  label: str
  num_runs: int
  dip: float
  p: float
  p_adjusted: float
  family_size: int
  antimode: float
  smallest_weight: float
  smallest_weight_adjusted: float
  shape: modes.Shape | None
  evidence: str


def label(sample: Sample, options: Options = Options()) -> Modality:
  """Labels one population that is looked at alone; see `label_family`."""
  return label_family([sample], options)[0]


def label_family(
  samples: Sequence[Sample], options: Options = Options()
) -> list[Modality]:
  """Labels populations with one correction for all of them.

  The label of each is the first of these that holds:

  - bimodal: the dip test rejects one mode at level alpha after Holm's
    correction, and the density has an antimode. So an atom at an end counts as
    a mode only if an antimode separates it from the rest. Bimodal means two
    modes or more. It is not said of fewer than 20 runs; of scores of one item;
    nor, where the grid is not known, if two scores hold so many of the runs
    that they may be neighbours on it, or if most runs share their scores with
    others and no antimode is left at a bandwidth of the coarser step, so that
    it may be a gap between the points of two grids at once;
  - floor, ceiling: at least 95 % of the runs lie within 5 % of the support's
    width from its lower or upper end, and with 95 % confidence (Clopper &
    Pearson 1934) fewer than 30 % of all seeds lie elsewhere;
  - unimodal: the uncorrected test does not reject at level alpha, and among so
    many runs it would have found two normal modes of 70 % and 30 % that are 5
    standard deviations apart with power 0.8. Scores that are all equal count as
    one mode without a test;
  - undecided.

  Args:
    samples: the runs of each population. Diverged ones are left out. Infinite
      supports have no floor or ceiling.
    options: level of the test and seed of the jitter.

  Returns:
    One label each, in the same order. Populations that cannot be tested count
    as tests of the family all the same.
  """
  tests: list[dip_lib.DipTest | str] = []
  for sample in samples:
    try:
      tests.append(dip_lib.dip_test(sample, options))
    except ValueError as error:
      tests.append(f"not tested: {error}")
  adjusted = holm([math.nan if isinstance(t, str) else t.p for t in tests])
  return [
    _label(sample, test, float(p_adjusted), len(tests), options.alpha)
    for sample, test, p_adjusted in zip(samples, tests, adjusted, strict=True)
  ]


def holm(p_T: npt.ArrayLike) -> np.ndarray:
  """p-values after Holm's step-down correction, which keeps the family's error.

  Holm (1979), "A simple sequentially rejective multiple test procedure",
  Scandinavian Journal of Statistics 6: the k-th smallest of T is multiplied by
  T − k + 1, made monotone and cut at 1.

  Args:
    p_T: one p-value a test of the declared family, [T]. NaN stands for a test
      that could not be made: it stays NaN and counts in T.

  Returns:
    The corrected p-values in the same order, [T].

  Raises:
    ValueError: a p-value outside of [0, 1].
  """
  p_T = np.asarray(p_T, float)
  if ((p_T < 0) | (p_T > 1)).any():
    raise ValueError("p-values are in [0, 1]")
  order = np.argsort(p_T)  # NaN last.
  factor_T = np.arange(p_T.size, 0, -1)
  adjusted_T = np.empty_like(p_T)
  stepped_T = np.maximum.accumulate(p_T[order] * factor_T)
  adjusted_T[order] = np.minimum(stepped_T, 1.0)
  return adjusted_T


def first_detectable(modalities: Sequence[Modality]) -> int | None:
  """Index of the first scale at which two modes are detectable.

  It says nothing about the scales before: there a minor mode may be too light
  or too close for so many runs, see `smallest_weight_adjusted`.

  Args:
    modalities: labels in the order of scales.

  Returns:
    The index of the first one that is bimodal, None if none is.
  """
  for i, found in enumerate(modalities):
    if found.label == "bimodal":
      return i
  return None


def _label(
  sample: Sample,
  test: dip_lib.DipTest | str,
  p_adjusted: float,
  family_size: int,
  alpha: float,
) -> Modality:
  """The label, given the test or the reason why there is none."""
  num_runs = sample.finite_S.size
  shape = modes.shape(sample) if num_runs else None
  reason = test if isinstance(test, str) else ""
  dip, p = (math.nan, math.nan) if isinstance(test, str) else test
  found = Modality(
    label="undecided",
    num_runs=num_runs,
    dip=dip,
    p=p,
    p_adjusted=p_adjusted,
    family_size=family_size,
    antimode=shape.antimode if shape else math.nan,
    smallest_weight=dip_lib.detectable_weight(num_runs, alpha),
    smallest_weight_adjusted=dip_lib.detectable_weight(
      num_runs, alpha / family_size
    ),
    shape=shape,
    evidence="",
  )
  name, evidence = _decide(found, sample, reason, alpha)
  if sample.num_diverged:
    evidence += f"; {sample.num_diverged} diverged runs are left out"
  return found._replace(label=name, evidence=evidence)


def _decide(
  found: Modality, sample: Sample, reason: str, alpha: float
) -> tuple[str, str]:
  """Label and evidence."""
  if found.num_runs < dip_lib.MIN_RUNS:
    return "undecided", reason
  tested = f"dip {found.dip:.3f}, p = {found.p:.2g}"
  if found.family_size > 1:
    tested += (
      f", {found.p_adjusted:.2g} after Holm over {found.family_size} tests"
    )
  rejected = found.p_adjusted <= alpha  # False for NaN.
  apart = rejected and not math.isnan(found.antimode)
  if apart:
    if doubt := _doubt(found, sample):
      return "undecided", f"{tested} speaks against one mode, but {doubt}"
    assert found.shape
    above = found.shape.weight_above
    return "bimodal", (
      f"two modes, with {100 * above:.3g}% of {found.num_runs} runs at or "
      f"above the antimode at {found.antimode:.3g}: {tested}"
    )
  end, evidence = _at_an_end(sample)
  if end:
    return end, f"{evidence}; {reason or tested}"
  if rejected:
    return "undecided", (
      f"{tested} speaks against one mode, but no antimode separates two"
    )
  if found.p <= alpha:
    return "undecided", f"{tested}: not enough for two modes, too low for one"
  seen = _what_could_be_seen(found, alpha)
  powerful = found.smallest_weight <= MINOR_WEIGHT  # False for NaN.
  if reason:
    same = powerful and not np.ptp(sample.finite_S)
    return "unimodal" if same else "undecided", f"{reason}; {seen}"
  if powerful:
    return "unimodal", f"no sign of a second mode: {tested}; {seen}"
  return (
    "undecided",
    f"no sign of a second mode, but few runs: {tested}; {seen}",
  )


def _doubt(found: Modality, sample: Sample) -> str:
  """Why what looks like two modes may be none, or an empty string."""
  if found.num_runs < MIN_RUNS:
    return (
      f"two modes take at least {MIN_RUNS} runs, these are {found.num_runs}"
    )
  if sample.step is not None:
    return ""
  found_grid = grid(sample)
  if found_grid.is_open:
    return (
      "most runs are at two scores, which may be neighbours on a grid: the "
      "number of test items would tell"
    )
  # At a bandwidth of the coarser step.
  coarse = found_grid.coarse_step
  if coarse and math.isnan(
    modes.shape(sample._replace(step=2 * coarse)).antimode
  ):
    return (
      f"no antimode is left at a bandwidth of {coarse:.2g}, so that "
      "it may be a gap in the grid: the number of test items would tell"
    )
  return ""


def _what_could_be_seen(found: Modality, alpha: float) -> str:
  distance, power = f"{dip_lib.MODE_DISTANCE:g} sd", f"{dip_lib.POWER:g}"
  if math.isnan(found.smallest_weight):
    return (
      f"{found.num_runs} runs would show even two equal modes {distance} apart "
      f"with power below {power}"
    )
  levels = [(f"at level {alpha:g}", found.smallest_weight)]
  if found.family_size > 1:
    levels.append(
      (
        f"at {alpha / found.family_size:.2g}, the strictest after Holm",
        found.smallest_weight_adjusted,
      )
    )
  weights = ", ".join(
    f"{'none' if math.isnan(weight) else f'{weight:.3g} of them'} {level}"
    for level, weight in levels
  )
  return (
    f"the lightest minor mode, {distance} away, that {found.num_runs} runs "
    f"would show with power {power} holds {weights}"
  )


def _at_an_end(sample: Sample) -> tuple[str, str]:
  """`floor` or `ceiling` and its evidence, or two empty strings."""
  scores_S, support = sample.finite_S, sample.support
  zone = END_WIDTH * (support[1] - support[0])
  if not math.isfinite(zone):
    return "", ""
  zone += SAME_SCORE
  for name, end in zip(("floor", "ceiling"), support, strict=True):
    num_inside = int((np.abs(scores_S - end) <= zone).sum())
    num_outside = scores_S.size - num_inside
    # Upper end of Clopper and Pearson's one-sided interval.
    bound = stats.beta.ppf(END_CONFIDENCE, num_outside + 1, num_inside)
    if num_inside >= END_SHARE * scores_S.size and bound < MINOR_WEIGHT:
      return name, (
        f"{num_inside} of {scores_S.size} runs are within {zone:.2g} of "
        f"{end:g}, {100 * num_outside / scores_S.size:.2g}% elsewhere; at most "
        f"{bound:.0%} of seeds are elsewhere ({END_CONFIDENCE:.0%} bound)"
      )
  return "", ""
