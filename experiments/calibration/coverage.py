"""Measures how often intervals contain the true value.

  python -m experiments.calibration.coverage

draws many samples from known distributions, counts how often their intervals
contain the true value, and prints a table; two minutes on one core. Aims: 0.90
to 0.98 for 95 % bootstrap intervals of 20 to 250 seeds, and for Wilson's
interval on average over success probabilities from 0.05 to 0.95; at least 0.95
for the band of all thresholds.

Coverage above an aim errs on the safe side: a median that is an atom or on a
grid is hit exactly, and equal scores get the widened interval. Rows without an
aim are known to fall short: a cluster that few samples contain; intervals over
runs alone where the items are a sample too; the best of a quarter of the runs;
and the jump of a success probability on a line, which noise makes look abrupt,
so that the difference to the mode's jump is understated.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from absl import flags
from scipy import stats

from emergence.statistics import abruptness, best_of, resampling, success
from emergence.statistics.options import Options
from emergence.statistics.sample import Sample
from experiments import command

BOOTSTRAP_AIM = (0.90, 0.98)
BAND_AIM = (0.95, 1.0)
NO_AIM = (0.0, 1.0)
SIZES = (20, 50, 100, 250)
_TRUTH_DRAWS = 2_000_000
_CELLS = 50  # Samples that share their resampling.
_STATISTICS = "mean median mean_given_success".split()

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


class ScoreDistribution(NamedTuple):
  """A distribution of scores in [0, 1], and the aim for its intervals.

  A success, score ≥ threshold, has a probability between 0.05 and 0.95.
  """

  draw: Draw
  threshold: float
  aim: tuple[float, float] = BOOTSTRAP_AIM


class Row(NamedTuple):
  """One line of the table.

  Attributes:
    population: name of the distribution.
    num_seeds: runs in each sample.
    statistic: what the interval is of.
    samples: number of samples that had an interval; infinite where the coverage
      is computed exactly.
    coverage: share of these intervals that contain the true value.
    width: mean width of the intervals.
    aim: least and greatest coverage aimed at.
  """

  population: str
  num_seeds: int
  statistic: str
  samples: float
  coverage: float
  width: float
  aim: tuple[float, float]

  @property
  def error(self) -> float:
    """Standard error of the coverage."""
    return math.sqrt(self.coverage * (1 - self.coverage) / self.samples)

  @property
  def verdict(self) -> str:
    if self.aim == NO_AIM:
      return "no aim"
    if self.coverage < self.aim[0]:
      return "BELOW"
    return "above" if self.coverage > self.aim[1] else "yes"


def mixture(
  share: float, first: Callable[..., np.ndarray], second: Callable
) -> Draw:
  """Mixture of `first` and, with weight `share`, `second`; clips to [0, 1]."""

  def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    is_second = rng.random(shape) < share
    scores = np.where(is_second, second(rng, shape), first(rng, shape))
    return np.clip(scores, 0, 1)

  return draw


def normal(mean: float, deviation: float) -> Draw:
  return lambda rng, shape: rng.normal(mean, deviation, shape)


def atom(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
  return np.zeros(shape)


def two_clusters(share: float, second: float = 0.7) -> Draw:
  return mixture(share, normal(0.2, 0.05), normal(second, 0.05))


POPULATIONS = {
  "normal": ScoreDistribution(mixture(0, normal(0.5, 0.1), atom), 0.5),
  "lognormal": ScoreDistribution(
    lambda rng, shape: np.minimum(0.1 * rng.lognormal(0, 0.5, shape), 1), 0.1
  ),
  "beta(1, 4)": ScoreDistribution(
    lambda rng, shape: rng.beta(1, 4, shape), 0.2
  ),
  "clusters 0.6/0.4": ScoreDistribution(two_clusters(0.4), 0.45),
  "clusters 0.8/0.2": ScoreDistribution(two_clusters(0.2), 0.45),
  "0.4 at 0, normal": ScoreDistribution(
    mixture(0.6, atom, normal(0.6, 0.1)), 0.2
  ),
  "0.7 at 0, uniform": ScoreDistribution(
    mixture(0.3, atom, lambda rng, shape: rng.uniform(0, 0.6, shape)), 0.2
  ),
  "0.9 at 0, normal": ScoreDistribution(
    mixture(0.1, atom, normal(0.6, 0.1)), 0.2
  ),
  "grid of 1/11": ScoreDistribution(
    lambda rng, shape: rng.binomial(11, 0.3, shape) / 11, 3 / 11
  ),
  "grid of 1/20": ScoreDistribution(
    lambda rng, shape: rng.binomial(20, 0.6, shape) / 20, 0.6
  ),
  "rare cluster": ScoreDistribution(
    mixture(0.05, normal(0.05, 0.01), normal(0.8, 0.05)), 0.2, NO_AIM
  ),
}


def bootstrap_coverage(
  name: str, num_seeds: int, samples: int, resamples: int
) -> list[Row]:
  """Coverage of `resampling.bootstrap` for one population."""
  population = POPULATIONS[name]
  truth = _truth(population)
  rng = np.random.default_rng(num_seeds)
  found: list[list[tuple[float, float]]] = [[] for _ in _STATISTICS]
  for start in range(0, samples, _CELLS):
    cells = population.draw(rng, (min(_CELLS, samples - start), num_seeds))
    for row in resampling.bootstrap(
      [Sample.of(scores_S) for scores_S in cells],
      population.threshold,
      Options(num_resamples=resamples, seed=start),
    ):
      for ends, statistic in zip(found, _STATISTICS, strict=True):
        interval = getattr(row, statistic)
        if not math.isnan(interval.low):
          ends.append((interval.low, interval.high))
  return [
    _row(name, num_seeds, statistic, ends, value, population.aim)
    for statistic, ends, value in zip(_STATISTICS, found, truth, strict=True)
    # If most samples have no interval, the others are a biased selection.
    if len(ends) > samples / 2
  ]


def wilson_coverage(num_seeds: int) -> Row:
  """Exact coverage of Wilson's interval, averaged over P in [0.05, 0.95]."""
  hits = np.arange(num_seeds + 1)
  found = [
    success.success_probability(Sample.of(np.arange(num_seeds) < k), 0.5)
    for k in hits
  ]
  low, high = np.array([(f.low, f.high) for f in found]).T
  at_P = np.linspace(0.05, 0.95, 1801)[:, None]
  weight_PK = stats.binom.pmf(hits, num_seeds, at_P)
  coverage = (weight_PK * ((low <= at_P) & (at_P <= high))).sum(axis=1).mean()
  width = (weight_PK @ (high - low)).mean()
  return Row(
    "any, P in [.05, .95]",
    num_seeds,
    "Wilson",
    math.inf,
    float(coverage),
    float(width),
    BOOTSTRAP_AIM,
  )


def band_coverage(name: str, num_seeds: int, samples: int) -> Row:
  """How often the band of `success.threshold_curve` holds the whole curve."""
  population = POPULATIONS[name]
  many = population.draw(np.random.default_rng(0), (_TRUTH_DRAWS,))
  law_T = success.threshold_curve(Sample.of(many)).probability_T
  rng = np.random.default_rng(num_seeds)
  ends = []
  for scores_S in population.draw(rng, (samples, num_seeds)):
    found = success.threshold_curve(Sample.of(scores_S))
    held = ((found.low_T <= law_T) & (law_T <= found.high_T)).all()
    # An interval of the band's width, which contains 0 if the band holds.
    low = 0.0 if held else 0.1
    ends.append((low, low + (found.high_T - found.low_T).max()))
  return _row(name, num_seeds, "band of all thresholds", ends, 0, BAND_AIM)


def best_of_coverage(
  name: str, num_seeds: int, samples: int, resamples: int
) -> Row:
  """Coverage of the expected best of k, for the largest k with an interval."""
  population = POPULATIONS[name]
  most = num_seeds // best_of.RUNS_FOR_INTERVAL
  k = max(k for k in best_of.NUM_SEEDS if k <= most)
  many = population.draw(
    np.random.default_rng(0), (_TRUTH_DRAWS // best_of.NUM_SEEDS[-1], k)
  )
  truth = float(many.max(axis=1).mean())
  rng = np.random.default_rng(num_seeds)
  ends = []
  for i, scores_S in enumerate(population.draw(rng, (samples, num_seeds))):
    found = best_of.best_of(
      Sample.of(scores_S), Options(num_resamples=resamples, seed=i)
    )
    (best,) = [row.best for row in found if row.num_seeds == k]
    ends.append((best.low, best.high))
  return _row(name, num_seeds, f"best of {k}", ends, truth, NO_AIM)


def shared_items_coverage(
  num_seeds: int, num_items: int, samples: int, resamples: int
) -> Row:
  """Coverage of the mean where the items are a sample too, so without an aim.

  A seed answers an item with a chance of 0.3 (probability 0.4) or 0.7
  (probability 0.6), and each item moves this chance by +0.2 or −0.2.
  """
  rng = np.random.default_rng(num_seeds)
  chance = np.array([0.3, 0.7])
  ends = []
  for i in range(samples):
    run_S1 = chance[(rng.random((num_seeds, 1)) < 0.6).astype(int)]
    item_N = rng.choice([-0.2, 0.2], num_items)
    results_SN = rng.random((num_seeds, num_items)) < run_S1 + item_N
    (found,) = resampling.bootstrap(
      [Sample.of(results_SN.mean(axis=1))],
      options=Options(num_resamples=resamples, seed=i),
    )
    ends.append((found.mean.low, found.mean.high))
  return _row(f"{num_items} items", num_seeds, "mean", ends, 0.54, NO_AIM)


def jump_coverage(
  name: str,
  share_N: np.ndarray,
  num_seeds: int,
  samples: int,
  resamples: int,
) -> Row:
  """Coverage of the mode's jump minus that of the success probability; no aim.

  At scale n, share_N[n] is the probability of the second of two clusters.
  """
  rng = np.random.default_rng(num_seeds)
  # The mode of such clusters goes from one to the other in one step.
  truth = 1 - float(abruptness.jump(share_N))
  ends = []
  for i in range(samples):
    found = abruptness.abruptness(
      [Sample.of(two_clusters(p)(rng, (num_seeds,))) for p in share_N],
      0.45,
      options=Options(num_resamples=resamples, seed=i),
    )
    ends.append((found.difference_low, found.difference_high))
  statistic = "J(mode) − J(P)"
  return _row(name, num_seeds, statistic, ends, truth, NO_AIM)


def study(
  samples: int, resamples: int, sizes: Sequence[int] = SIZES
) -> Iterator[Row]:
  """Yields the rows of the table, as they are computed.

  Args:
    samples: samples per row; slower rows take a fifth or two fifths.
    resamples: bootstrap samples of each.
    sizes: seeds per sample.
  """
  yield from with_aims(samples, resamples, sizes)
  yield from without_aims(samples, resamples, sizes)


def with_aims(
  samples: int, resamples: int, sizes: Sequence[int]
) -> Iterator[Row]:
  """Yields the first rows of `study`: all with an aim, and the rare cluster."""
  for name in POPULATIONS:
    for num_seeds in sizes:
      yield from bootstrap_coverage(name, num_seeds, samples, resamples)
  for num_seeds in sizes:
    yield wilson_coverage(num_seeds)
  for name in POPULATIONS:
    yield band_coverage(name, sizes[-1], samples)


def without_aims(
  samples: int, resamples: int, sizes: Sequence[int]
) -> Iterator[Row]:
  """Yields the other rows of `study`."""
  fewer = max(samples // 5, 1)
  for name in POPULATIONS:
    for num_seeds in sizes:
      yield best_of_coverage(name, num_seeds, 2 * fewer, resamples)
  for num_items in (20, 100):
    yield shared_items_coverage(sizes[-2], num_items, 2 * fewer, resamples)
  line_N = np.linspace(0.05, 0.95, 8)
  for name, share_N in (
    ("P on a line", line_N),
    ("P on a curve", 1 / (1 + np.exp(-np.linspace(-5, 5, 8)))),
    ("P in one step", np.where(line_N < 0.5, 0.1, 0.9)),
  ):
    yield jump_coverage(name, share_N, sizes[-2], fewer, resamples)


def print_table(rows: Iterable[Row]) -> None:
  """Prints rows as they come, then how many met their aim."""
  print(
    f"{'population':20} {'seeds':>5}  {'statistic':36} {'coverage':>8} "
    f"{'± se':>6} {'width':>6}  {'aim':11} met"
  )
  verdicts: dict[str, int] = {}
  for row in rows:
    aim = "" if row.aim == NO_AIM else f"{row.aim[0]:.2f}–{row.aim[1]:.2f}"
    print(
      f"{row.population:20} {row.num_seeds:5}  {row.statistic:36} "
      f"{row.coverage:8.3f} {row.error:6.3f} {row.width:6.3f}  {aim:11} "
      f"{row.verdict}",
      flush=True,
    )
    verdicts[row.verdict] = verdicts.get(row.verdict, 0) + 1
  print(", ".join(f"{verdict}: {num}" for verdict, num in verdicts.items()))


def _truth(population: ScoreDistribution) -> tuple[float, ...]:
  """Mean, median and mean given success of the law."""
  many = population.draw(np.random.default_rng(0), (_TRUTH_DRAWS,))
  successes = many[success.is_success(many, population.threshold)]
  return (
    float(many.mean()),
    float(np.median(many)),
    float(successes.mean()),
  )


def _row(
  population: str,
  num_seeds: int,
  statistic: str,
  ends: list[tuple[float, float]],
  truth: float,
  aim: tuple[float, float],
) -> Row:
  low, high = np.array(ends).T
  coverage = float(((low <= truth) & (truth <= high)).mean())
  return Row(
    population,
    num_seeds,
    statistic,
    len(ends),
    coverage,
    float((high - low).mean()),
    aim,
  )


if __name__ == "__main__":
  SAMPLES = flags.DEFINE_integer(
    "samples", 1000, "Simulated samples a row.", lower_bound=1
  )
  RESAMPLES = flags.DEFINE_integer(
    "resamples", 1000, "Bootstrap samples of each.", lower_bound=1
  )
  command.run(lambda: print_table(study(SAMPLES.value, RESAMPLES.value)))
