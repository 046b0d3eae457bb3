"""Measures how often populations of known shape are said to separate.

  python -m experiments.calibration.labels

writes labels.csv beside this file: for each distribution and number of runs,
the share of populations with each label of `modality.label`, each tested alone
at level 0.05. Distributions of kind `level` have one mode, or a floor above
which runs only thin out, or the mirror image of that. For them, `separated` is
the share of false alarms. Those of kind `weak` have one mode too, a narrow peak
within a uniform distribution that holds more of the runs than such peaks of
kind `level`. They are listed apart because their false alarms were seen to
exceed the level: up to 0.13 where scores have no ends, as losses have none.
Those of kind `power` separate. Three minutes on one core.

Why the dip is the only test of two modes: Silverman's test (1981, "Using kernel
density estimates to investigate multimodality") detects far lighter modes, but
takes edges, atoms and long tails for modes. By code that is not kept, at 5 %,
in 1000 populations of 100 runs each, it rejected one mode in 0.269 of uniform
ones, 0.477 of lognormal ones (sigma 1) and 0.596 of those with 0.7 at 0 and the
rest U(0, .6). The likelihood ratio of two normal components against one did so
in 0.98 of uniform ones.
"""

import collections
import csv
import importlib.metadata
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from absl import flags

from emergence.statistics import modality
from emergence.statistics.options import Options
from emergence.statistics.sample import REAL, UNIT, Sample
from experiments import command
from experiments.calibration.dip_power import minor_mode

TABLE = pathlib.Path(__file__).with_name("labels.csv")
LABELS = "two_modes", "breakout", "falloff", "not_shown"
LEVEL_SIZES, POWER_SIZES = (32, 128), (16, 32, 64, 128, 250)
_POSITIVE = (0.0, np.inf)
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


class Distribution(NamedTuple):
  """A distribution of scores, from which populations are drawn.

  Attributes:
    draw: (rng, shape) -> scores [R, S].
    support: the least and the largest score that are possible.
    step: spacing of the grid of scores; inferred where None.
  """

  draw: Draw
  support: tuple[float, float] = UNIT
  step: float | None = None


def level_distributions() -> dict[str, Distribution]:
  """Distributions that do not separate, by name."""
  found = {
    "normal": Distribution(lambda rng, s: rng.normal(0, 1, s), REAL),
    "lognormal, sigma 1": Distribution(
      lambda rng, s: rng.lognormal(0, 1, s), _POSITIVE
    ),
    "exponential, mean .08": Distribution(
      lambda rng, s: _cut(rng.exponential(0.08, s))
    ),
    "exponential, mean .08, from 1 down": Distribution(
      lambda rng, s: 1 - _cut(rng.exponential(0.08, s))
    ),
    "half at 0, half U(0, 1)": Distribution(_atom_and_uniform),
    ".3 at 0, .7 U(0, 1)": Distribution(
      lambda rng, s: np.where(rng.random(s) < 0.3, 0.0, rng.random(s))
    ),
    "half at 1, half U(0, 1)": Distribution(
      lambda rng, s: 1 - _atom_and_uniform(rng, s)
    ),
    "N(.05, .15), cut": Distribution(
      lambda rng, s: _cut(rng.normal(0.05, 0.15, s))
    ),
    "N(.2, .4), cut at both ends": Distribution(
      lambda rng, s: _cut(rng.normal(0.2, 0.4, s))
    ),
    "N(.5, .3), cut at both ends": Distribution(
      lambda rng, s: _cut(rng.normal(0.5, 0.3, s))
    ),
  }
  found[".2 narrow at 0, .8 U(0, 1), no upper end"] = Distribution(
    lambda rng, s: _peak(rng, s, 0.2, 0.0), _POSITIVE
  )
  found |= _peaks((0.08, 0.1))
  for a, b in ((1, 1), (1, 5), (2, 2), (8, 1.5)):
    found[f"beta({a}, {b})"] = Distribution(
      lambda rng, s, a=a, b=b: rng.beta(a, b, s)
    )
  for items in (10, 20, 100, 1000):
    found[f"half at 0, half U(0, 1), {items} items"] = Distribution(
      lambda rng, s, items=items: _cut(
        np.rint(_atom_and_uniform(rng, s) * items) / items
      ),
      step=1 / items,
    )
  for items, p in ((10, 0.05), (20, 0.9), (100, 0.5), (1000, 0.03)):
    found[f"binomial({items}, {p:g})"] = Distribution(
      lambda rng, s, items=items, p=p: rng.binomial(items, p, s) / items,
      step=1 / items,
    )
  for items, p in ((11, 0.1), (20, 0.97)):
    found[f"binomial({items}, {p:g}), items unknown"] = Distribution(
      lambda rng, s, items=items, p=p: rng.binomial(items, p, s) / items
    )
  for few, many, p in (
    (20, 500, 0.97),
    (20, 500, 0.03),
    (11, 22, 0.3),
    (10, 1000, 0.3),
  ):
    found[f"half of {few}, half of {many} items, {p:g}"] = Distribution(
      lambda rng, s, few=few, many=many, p=p: np.where(
        np.arange(s[1]) % 2,
        rng.binomial(few, p, s) / few,
        rng.binomial(many, p, s) / many,
      )
    )
  return found


def weak_distributions() -> dict[str, Distribution]:
  """Distributions of one mode that are called split too often, by name."""
  return _peaks((0.15, 0.2))


def power_distributions() -> dict[str, Distribution]:
  """Distributions of two groups, on which power is measured, by name."""

  def atom(weight: float, other: Draw) -> Draw:
    return lambda rng, s: np.where(
      rng.random(s) < weight, 0.0, _cut(other(rng, s))
    )

  def mirrored(draw: Draw) -> Draw:
    return lambda rng, s: 1 - draw(rng, s)

  high = atom(0.9, lambda rng, s: np.full(s, 0.9))
  weak = atom(0.9, lambda rng, s: rng.normal(0.5, 0.15, s))
  broad = atom(0.5, lambda rng, s: rng.normal(0.6, 0.2, s))
  found = {
    ".9 at 0, .1 at .9": Distribution(high),
    ".9 at 1, .1 at .1": Distribution(mirrored(high)),
    ".9 at 0, .1 at N(.5, .15)": Distribution(weak),
    ".9 at 1, .1 at N(.5, .15)": Distribution(mirrored(weak)),
    ".5 at 0, .5 at N(.6, .2)": Distribution(broad),
    ".5 at 1, .5 at N(.4, .2)": Distribution(mirrored(broad)),
    ".9 at 0, .1 at .9, 20 items": Distribution(
      lambda rng, s: np.rint(20 * high(rng, s)) / 20, step=1 / 20
    ),
    ".5 at 0, .5 at N(.6, .1), 11 items": Distribution(
      lambda rng, s: (
        np.rint(11 * atom(0.5, lambda r, t: r.normal(0.6, 0.1, t))(rng, s)) / 11
      ),
      step=1 / 11,
    ),
  }
  for weight in (0.5, 0.3, 0.2):
    found[f"{1 - weight:g}/{weight:g}, 5 sd"] = Distribution(
      lambda rng, s, weight=weight: _cut(
        0.3 + 0.07 * minor_mode(rng, *s, weight=weight, distance=5)
      )
    )
  return found


def shares(
  distribution: Distribution, num: int, size: int, seed: int
) -> dict[str, float]:
  """Share of `num` populations of `size` runs with each label."""
  rng = np.random.default_rng(seed)
  options = Options(seed=seed)
  count = collections.Counter(
    modality.label(
      Sample.of(scores_S, distribution.support, distribution.step), options
    ).label
    for scores_S in distribution.draw(rng, (num, size))
  )
  return {name: count[name] / num for name in LABELS}


def rows(
  distributions: dict[str, Distribution],
  kind: str,
  sizes: Sequence[int],
  num: int,
  seed: int,
) -> list[dict[str, str]]:
  """One row per distribution and number of runs."""
  found = []
  for name, distribution in distributions.items():
    for size in sizes:
      share = shares(distribution, num, size, seed)
      row = {
        "family": name,
        "kind": kind,
        "runs": str(size),
        "populations": str(num),
        "separated": f"{1 - share['not_shown']:.3f}",
      } | {label: f"{share[label]:.3f}" for label in LABELS[:-1]}
      print(",".join(row.values()), flush=True)
      found.append(row)
  return found


def _atom_and_uniform(
  rng: np.random.Generator, shape: tuple[int, int]
) -> np.ndarray:
  return np.where(rng.random(shape) < 0.5, 0.0, rng.random(shape))


def _peaks(places: Sequence[float]) -> dict[str, Distribution]:
  return {
    f"0.15 narrow at {place:g}, the rest U(0, 1){suffix}": Distribution(
      lambda rng, s, place=place: _peak(rng, s, 0.15, place), support
    )
    for place in places
    for suffix, support in (("", UNIT), (", no ends", REAL))
  }


def _peak(
  rng: np.random.Generator, shape: tuple[int, int], weight: float, place: float
) -> np.ndarray:
  return np.where(
    rng.random(shape) < weight,
    np.abs(rng.normal(place, 0.005, shape)),
    rng.random(shape),
  )


def _cut(scores_RS: np.ndarray) -> np.ndarray:
  return np.clip(scores_RS, 0.0, 1.0)


def main(file: pathlib.Path, num: int, seed: int) -> None:
  """Writes the table: `num` populations per row, half as many in power rows."""
  found = rows(level_distributions(), "level", LEVEL_SIZES, num, seed)
  found += rows(weak_distributions(), "weak", LEVEL_SIZES, num, seed)
  half = max(num // 2, 1)
  found += rows(power_distributions(), "power", POWER_SIZES, half, seed)
  versions = ", ".join(
    f"{name} {importlib.metadata.version(name)}"
    for name in ("numpy", "diptest")
  )
  with file.open("w", encoding="utf-8", newline="") as stream:
    stream.write(f"# python -m experiments.calibration.labels, {versions}\n")
    writer = csv.DictWriter(stream, found[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)


if __name__ == "__main__":
  OUT = flags.DEFINE_string("out", str(TABLE), "File to write.")
  POPULATIONS = flags.DEFINE_integer(
    "populations",
    1000,
    "Populations of a row of another kind than power.",
    lower_bound=1,
  )
  SEED = flags.DEFINE_integer("seed", 0, "Seed.", lower_bound=0)
  command.run(
    lambda: main(pathlib.Path(OUT.value), POPULATIONS.value, SEED.value)
  )
