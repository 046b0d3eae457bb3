"""Tests whether the scores of one scale split into two groups."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emergence.statistics import breakout as breakout_lib
from emergence.statistics import dip as dip_lib
from emergence.statistics import modes
from emergence.statistics.breakout import Breakout
from emergence.statistics.options import Options
from emergence.statistics.sample import Sample, grid

# Fewer runs are never said to have two modes: half of them are too few to
# describe a mode.
MIN_RUNS = 20


class Modality(NamedTuple):
  """Result of the tests of whether a population's runs separate.

  Attributes:
    label: two_modes, breakout, falloff or not_shown.
    num_runs: runs with a finite score; all else is about these.
    dip: Hartigan's dip, averaged over jitters; NaN where not tested.
    dip_p: p-value of the dip; NaN where not tested.
    dip_p_adjusted: dip_p after Holm's correction over the family.
    breakout: the test of the floor; None where there is no floor.
    falloff: the test of the ceiling; None where there is no ceiling.
    p: the p-value of all tests of the cell together; NaN where none was made.
    p_adjusted: p after Holm's correction over the family.
    p_of_label: p-value of the test that decides the label, corrected for the
      tests of the cell and over the family; NaN for not_shown.
    family_size: number of tested cells in the family.
    antimode: the score that separates two peaks of the density, NaN where none
      does. It is given whatever the label, and is no evidence by itself.
    smallest_weight: the smallest share of runs in a second mode, 5 standard
      deviations away, that the dip test detects in 80 % of samples of this
      size, without Holm's correction; NaN where even two equal modes are
      detected less often, where there is no dip test, and where most runs are
      at two scores that may be neighbours on the grid.
    smallest_weight_adjusted: the same at the strictest level that Holm's
      correction asks for.
    peaks: mode and antimode; None if no run has a finite score.
  """

  label: str
  num_runs: int
  dip: float
  dip_p: float
  dip_p_adjusted: float
  breakout: Breakout | None
  falloff: Breakout | None
  p: float
  p_adjusted: float
  p_of_label: float
  family_size: int
  antimode: float
  smallest_weight: float
  smallest_weight_adjusted: float
  peaks: modes.ModeAndAntimode | None


class _Tests(NamedTuple):
  """Results of the tests of one cell; a p is NaN if its test was not made."""

  dip: dip_lib.DipTest
  floor: Breakout | None
  ceiling: Breakout | None
  p_T: np.ndarray  # Dip, breakout, falloff, multiplied by the number of tests.
  p: float


def label(
  sample: Sample,
  options: Options = Options(),
  threshold: float | None = None,
) -> Modality:
  """Labels one population as a family of its own; see `label_family`."""
  return label_family([sample], options, [threshold])[0]


def label_family(
  samples: Sequence[Sample],
  options: Options = Options(),
  thresholds: Sequence[float | None] | None = None,
) -> list[Modality]:
  """Labels populations, with Holm's correction over all of them.

  Each is tested for two modes (the dip, from 20 runs on), for a breakout from
  its floor and for a fall from its ceiling. The p of a cell is three times the
  least of these p-values, at most 1. Where the support is infinite, the p of
  the cell is that of the dip alone. Where the cell's corrected p is at most
  alpha, the label is the first of these that holds:

  - two_modes: the dip's corrected p alone is at most alpha, and the density has
    an antimode. So an atom at an end counts as a mode only if an antimode
    separates it from the rest. The label means two modes or more.
  - breakout, falloff: the corrected p of the test of the floor, or of the
    ceiling, is at most alpha; if both are, the one with the smaller p.
  - not_shown: all else.

  The label is not two_modes in these cases:

  - the scores are of one item, for which there is no dip test;
  - the grid is not known, most runs share their scores with others, and no
    antimode is left if the bandwidth is at least `ScoreGrid.coarse_step`. Then
    the antimode may be a gap between points where scores lie on two grids.

  The label is not_shown if the grid is not known and two scores hold so many
  runs that they may be neighbours on it (`ScoreGrid.is_open`).

  Args:
    samples: the runs of each population. Diverged ones are left out. Infinite
      supports have no floor or ceiling.
    options: level of the tests and seed of the jitter.
    thresholds: least score of a success in each population, oriented so that
      higher is better: see `composition.floor_edge`.

  Returns:
    One `Modality` per population, in the same order. Populations that cannot be
    tested do not count in the correction.
  """
  tests = [
    _test(sample, threshold, options)
    for sample, threshold in zip(
      samples, thresholds or [None] * len(samples), strict=True
    )
  ]
  p_C = np.array([test.p for test in tests])
  adjusted_C = holm(p_C)
  dip_adjusted_C = holm([test.dip.p for test in tests])
  size = int(np.isfinite(p_C).sum())
  return [
    _label(
      sample,
      test,
      (p_adjusted, dip_p_adjusted),
      # The factor by which Holm's correction multiplies this p.
      factor=int((p_C >= test.p).sum()),
      family_size=size,
      alpha=options.alpha,
    )
    for sample, test, p_adjusted, dip_p_adjusted in zip(
      samples, tests, adjusted_C, dip_adjusted_C, strict=True
    )
  ]


def holm(p_T: npt.ArrayLike) -> np.ndarray:
  """p-values after Holm's correction: it controls the family-wise error rate.

  Holm (1979), "A simple sequentially rejective multiple test procedure",
  Scandinavian Journal of Statistics 6: the k-th smallest of T is multiplied by
  T − k + 1, made monotone and cut at 1.

  Args:
    p_T: one p-value per test of the family. NaN stands for a test that
      could not be made: it stays NaN and is none of the T tests.

  Returns:
    The corrected p-values in the same order.

  Raises:
    ValueError: a p-value outside of [0, 1].
  """
  p_T = np.asarray(p_T, float)
  if ((p_T < 0) | (p_T > 1)).any():
    raise ValueError(f"expected p-values in [0, 1], got {p_T}")
  order = np.argsort(p_T)  # NaN last.
  num = int(np.isfinite(p_T).sum())
  factor_T = np.maximum(num - np.arange(p_T.size), 1)
  adjusted_T = np.empty_like(p_T)
  stepped_T = np.maximum.accumulate(p_T[order] * factor_T)
  adjusted_T[order] = np.minimum(stepped_T, 1.0)
  return adjusted_T


def first_separated(modalities: Sequence[Modality]) -> int | None:
  """Index of the first scale at which the runs are shown to separate.

  It says nothing about earlier scales: there a minor mode may be too light or
  too close to be detected in so few runs, see `smallest_weight_adjusted`.

  Args:
    modalities: one per scale, in the order of scales.

  Returns:
    The index of the first scale with a label other than not_shown, or None.
  """
  for i, found in enumerate(modalities):
    if found.label != "not_shown":
      return i
  return None


def _test(sample: Sample, threshold: float | None, options: Options) -> _Tests:
  try:
    dip = dip_lib.dip_test(sample, options)
  except ValueError:
    dip = dip_lib.DipTest(math.nan, math.nan)
  better = sample.oriented()
  floor = breakout_lib.breakout(better, threshold, options)
  ceiling = breakout_lib.falloff(better, options)
  enough = sample.finite_S.size >= MIN_RUNS
  p_T = np.array(
    [
      dip.p if enough else math.nan,
      floor.p if floor else math.nan,
      ceiling.p if ceiling else math.nan,
    ]
  )
  p_T *= _num_tests(sample)
  least = math.nan if np.isnan(p_T).all() else min(1.0, float(np.nanmin(p_T)))
  return _Tests(dip, floor, ceiling, p_T, least)


def _num_tests(sample: Sample) -> int:
  """How many tests the p of a cell is corrected for."""
  return 3 if math.isfinite(sample.support[1] - sample.support[0]) else 1


def _label(
  sample: Sample,
  tests: _Tests,
  adjusted: tuple[float, float],
  factor: int,
  family_size: int,
  alpha: float,
) -> Modality:
  """The result for one cell, from its tests and their corrected p-values."""
  num_runs = sample.finite_S.size
  peaks = modes.mode_and_antimode(sample) if num_runs else None
  level = alpha / _num_tests(sample)
  # 0 makes the smallest weights NaN: no second mode could be detected.
  num_told = 0 if math.isnan(tests.dip.p) or _is_open(sample) else num_runs
  found = Modality(
    label="not_shown",
    num_runs=num_runs,
    dip=tests.dip.dip,
    dip_p=tests.dip.p,
    dip_p_adjusted=float(adjusted[1]),
    breakout=tests.floor,
    falloff=tests.ceiling,
    p=tests.p,
    p_adjusted=float(adjusted[0]),
    p_of_label=math.nan,
    family_size=family_size,
    antimode=peaks.antimode if peaks else math.nan,
    smallest_weight=dip_lib.detectable_weight(num_told, level),
    smallest_weight_adjusted=dip_lib.detectable_weight(
      num_told, level / max(family_size, 1)
    ),
    peaks=peaks,
  )
  label, p = _decide(found, sample, factor * tests.p_T, alpha)
  return found._replace(label=label, p_of_label=p)


def _decide(
  found: Modality, sample: Sample, p_T: np.ndarray, alpha: float
) -> tuple[str, float]:
  """The label and its p-value, from the tests' p-values after Holm, [3]."""
  # p_adjusted is also above alpha if a smaller p of the family failed.
  if not found.p_adjusted <= alpha or _is_open(sample):
    return "not_shown", math.nan
  passed_T = p_T <= alpha  # False for NaN.
  if passed_T[0] and not _is_in_doubt(found, sample):
    return "two_modes", float(p_T[0])
  if passed_T[1:].any():
    name = "breakout" if np.nanargmin(p_T[1:]) == 0 else "falloff"
    return name, float(np.nanmin(p_T[1:]))
  return "not_shown", math.nan


def _is_open(sample: Sample) -> bool:
  """Whether most runs have two scores, maybe neighbours on an unknown grid."""
  return sample.step is None and grid(sample).is_open


def _is_in_doubt(found: Modality, sample: Sample) -> bool:
  """Whether there is no antimode, or only one that may be a gap in a grid."""
  if math.isnan(found.antimode) or sample.step is not None:
    return math.isnan(found.antimode)
  # The bandwidth is at least half of `step`, so here at least `coarse`.
  coarse = grid(sample).coarse_step
  return bool(coarse) and math.isnan(
    modes.mode_and_antimode(sample._replace(step=2 * coarse)).antimode
  )
