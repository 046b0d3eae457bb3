"""How often statements about the curve over scale are wrong.

  python -m experiments.calibration.scale_curves

draws numbers of successes at several scales from known success probabilities
and prints two tables; three minutes on one core. The first is about the
crossing of one half: how often there is an interval, how often it holds the
truth, how often both of its ends lie within the scales, and how often a bracket
is wrong. Four of its curves are not logistic. The second has curves that do not
fall, most of them flat: how often a fall is shown, and how often a trend.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from absl import flags
from scipy import optimize, special

from emergence.statistics import scale_curve
from experiments import command

SIZES = (8, 32, 128)


class Curve(NamedTuple):
  """A success probability as a function of rank, over `num_scales` scales."""

  num_scales: int
  at: Callable[[np.ndarray], np.ndarray]


def logistic(slope: float, crossing: float) -> Callable:
  return lambda rank: special.expit(slope * (rank - crossing))


# Those after the first seven are not logistic.
CROSSING = {
  "gentle": Curve(8, logistic(0.7, 3.4)),
  "steep": Curve(8, logistic(3, 3.4)),
  "one step": Curve(8, logistic(30, 3.4)),
  "falling": Curve(8, logistic(-1, 3.4)),
  "crossing at the start": Curve(8, logistic(0.7, 0.3)),
  "crossing beyond the end": Curve(5, logistic(0.7, 4.6)),
  "many scales": Curve(24, logistic(0.4, 10.3)),
  "plateau of 0.7": Curve(8, lambda x: 0.7 * special.expit(1.5 * (x - 2))),
  "lapses of 0.05": Curve(
    8, lambda x: 0.05 + 0.9 * special.expit(1.5 * (x - 3.4))
  ),
  "skewed": Curve(8, lambda x: 1 - np.exp(-np.exp(0.8 * (x - 3.8)))),
  "probability on a line": Curve(8, lambda x: 0.02 + 0.12 * x),
}
NO_FALL = {
  f"{p:g} at {num} scales": Curve(num, lambda x, p=p: np.full(len(x), p))
  for num in (2, 8, 24)
  for p in (0.1, 0.5)
} | {"rising at 8 scales": CROSSING["gentle"]}


class CrossingRow(NamedTuple):
  """A row of the table of crossings: one curve with one number of runs.

  Attributes:
    given: share of samples with an interval.
    coverage: share of these intervals that contain the true crossing.
    bounded: share of these intervals with both ends within the scales.
    wrong_bracket: share of samples with a bracket that contains no crossing.
  """

  given: float
  coverage: float
  bounded: float
  wrong_bracket: float


def crossing_row(curve: Curve, num_runs: int, samples: int) -> CrossingRow:
  """Simulates a curve with `num_runs` runs at each scale."""
  rank_N = np.arange(curve.num_scales, dtype=float)
  p_N, n_N = curve.at(rank_N), np.full(curve.num_scales, num_runs)
  ends = curve.at(np.array([-50.0, 50.0])) - 0.5
  truth = np.inf
  if ends[0] * ends[1] < 0:
    truth = optimize.root_scalar(
      lambda x: float(curve.at(np.array([x]))[0]) - 0.5, bracket=(-50, 50)
    ).root
  rng = np.random.default_rng(num_runs)
  given = held = bounded = wrong = 0
  for _ in range(samples):
    k_N = rng.binomial(n_N, p_N)
    fit = scale_curve.fit_logistic(k_N, n_N, rank_N)
    found = scale_curve.crossing(k_N, n_N, rank_N, fit)
    brackets = scale_curve.half_brackets(k_N, n_N)
    wrong += any((p_N[i] - 0.5) * (p_N[j] - 0.5) > 0 for i, j in brackets)
    if not np.isnan(found.position):
      given += 1
      bounded += bool(np.isfinite([found.low, found.high]).all())
      held += _holds(found, truth, rank_N)
  return CrossingRow(
    given / samples,
    held / max(given, 1),
    bounded / max(given, 1),
    wrong / samples,
  )


def _holds(
  found: scale_curve.Crossing, truth: float, rank_N: np.ndarray
) -> bool:
  # An infinite end stands for all positions beyond the scales.
  if not rank_N[0] <= truth <= rank_N[-1]:
    truth = np.copysign(np.inf, truth)
  # With separated outcomes, an end may be just beside the scale of the step.
  return bool(found.low - 1e-4 <= truth <= found.high + 1e-4)


def fall_row(curve: Curve, num_runs: int, samples: int) -> tuple[float, float]:
  """Shares of samples in which a fall and in which a trend is shown."""
  rank_N = np.arange(curve.num_scales, dtype=float)
  n_N = np.full(curve.num_scales, num_runs)
  rng = np.random.default_rng(num_runs)
  num_falls = num_trends = 0
  for i in range(samples):
    k_N = rng.binomial(n_N, curve.at(rank_N))
    num_falls += scale_curve.falls(k_N, n_N).num_found > 0
    found = scale_curve.trend(k_N, n_N, rank_N, seed=i)
    num_trends += found.p < scale_curve.LEVEL
  return num_falls / samples, num_trends / samples


def study(samples: int) -> Iterator[str]:
  """Yields the lines of both tables, as they are computed."""
  yield (
    f"{'curve':24} {'runs':>4} {'given':>6} {'coverage':>8} {'bounded':>8}"
    f" {'wrong bracket':>14}"
  )
  for name, curve in CROSSING.items():
    for num_runs in SIZES:
      row = crossing_row(curve, num_runs, samples)
      yield (
        f"{name:24} {num_runs:4} {row.given:6.3f} {row.coverage:8.3f}"
        f" {row.bounded:8.3f} {row.wrong_bracket:14.3f}"
      )
  yield f"\n{'no fall':24} {'runs':>4} {'a fall':>6} {'a trend':>8}"
  for name, curve in NO_FALL.items():
    for num_runs in (3, *SIZES):
      fall, trend = fall_row(curve, num_runs, samples)
      yield f"{name:24} {num_runs:4} {fall:6.3f} {trend:8.3f}"


def main(samples: int) -> None:
  for line in study(samples):
    print(line, flush=True)


if __name__ == "__main__":
  SAMPLES = flags.DEFINE_integer(
    "samples", 500, "Simulated samples a row.", lower_bound=1
  )
  command.run(lambda: main(SAMPLES.value))
