"""How often populations of known shape are called bimodal.

  python -m experiments.calibration.labels

prints, for each family, the share of populations with each label, tested alone,
and the share that would be bimodal as one of 96 tests, at the strictest factor
of Holm's correction.

Why there is no second test beside the dip: Silverman's (1981, "Using kernel
density estimates to investigate multimodality") sees far lighter modes, but
takes edges, atoms and long tails for modes. Of 1000 populations of 100 runs it
rejected one mode at 5 % in 0.269 of uniform, 0.477 of lognormal (sigma 1) and
0.596 of U(0, .6) with 0.7 at 0, and the likelihood ratio of two normal
components against one in 0.98 of uniform samples. The dip's level is 5 % for
uniform scores, the least favourable ones, so their share scatters about 0.05
from seed to seed; its price is its power.

A limit: where half of the runs have 10 test items and half 1000, and nothing
says so, the coarse half stands out as peaks, and up to all of such populations
are called bimodal. With a fifth of 1000 items none of 240 was.
"""

import collections
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from absl import flags

from emergence.statistics import modality
from emergence.statistics.options import Options
from emergence.statistics.sample import REAL, UNIT, Sample
from experiments import command
from experiments.calibration.dip_power import minor_mode

FAMILY_SIZE = 96
_POSITIVE = (0.0, np.inf)
LABELS = "bimodal", "bimodal of 96", "unimodal", "undecided", "floor", "ceiling"


class Family(NamedTuple):
  """Populations of one law.

  Attributes:
    sample: (rng, number of populations R, runs S) -> scores [R, S].
    target: `one` (called bimodal in at most 5 %), `two` (in at least 95 %), or
      empty: no target.
    support: the least and the largest score that are possible.
    step: step of the grid of scores; inferred where None.
  """

  sample: Callable[[np.random.Generator, int, int], np.ndarray]
  target: str
  support: tuple[float, float] = UNIT
  step: float | None = None


def families() -> dict[str, Family]:
  """All families, by name."""
  found = {
    "normal": Family(lambda rng, *s: rng.normal(0, 1, s), "one", REAL),
    "N(.5, .1)": Family(lambda rng, *s: _cut(rng.normal(0.5, 0.1, s)), "one"),
    "clipped N(.05, .15)": Family(
      lambda rng, *s: _cut(rng.normal(0.05, 0.15, s)), "one"
    ),
    "clipped N(.95, .15)": Family(
      lambda rng, *s: _cut(rng.normal(0.95, 0.15, s)), "one"
    ),
    "0.7 at 0 + U(0, .6)": Family(
      lambda rng, *s: _atom_at_0(rng, rng.uniform(0, 0.6, s), 0.7), "one"
    ),
    "0.7 at 0 + U(0, .6), on 1/20": Family(
      lambda rng, *s: _atom_at_0(
        rng, np.rint(20 * rng.uniform(0, 0.6, s)) / 20, 0.7
      ),
      "one",
    ),
  }
  for sigma in (0.25, 0.5, 1.0):
    found[f"lognormal, sigma {sigma:g}"] = Family(
      lambda rng, *s, sigma=sigma: rng.lognormal(0, sigma, s), "one", _POSITIVE
    )
  for a, b in ((1, 1), (1, 5), (2, 2), (8, 1.5), (30, 1)):
    found[f"beta({a}, {b})"] = Family(
      lambda rng, *s, a=a, b=b: rng.beta(a, b, s), "one"
    )
  for num in (11, 20):
    for p in (0.03, 0.1, 0.5, 0.9, 0.97):
      found[f"binomial({num}, {p:g})/{num}"] = Family(
        lambda rng, *s, num=num, p=p: rng.binomial(num, p, s) / num, "one"
      )
  for num, p in ((1, 0.5), (2, 0.05), (3, 0.05), (3, 0.5), (5, 0.05), (5, 0.2)):
    found[f"binomial({num}, {p:g})/{num}"] = Family(
      lambda rng, *s, num=num, p=p: rng.binomial(num, p, s) / num, "one"
    )
  for num, p, off in (
    *((11, 0.05, 1), (11, 0.05, 5), (11, 0.5, 1), (5, 0.05, 3), (20, 0.9, 5)),
  ):
    found[f"binomial({num}, {p:g})/{num}, {off}% off"] = Family(
      lambda rng, *s, num=num, p=p, off=off: _mixed(
        rng.binomial(num, p, s) / num, rng.random(s), off / 100
      ),
      "one",
    )
  for num, other, share in (
    *((11, 22, 0.1), (10, 12, 0.1), (11, 22, 0.5), (10, 12, 0.5)),
  ):
    for p in (0.05, 0.3, 0.9):
      found[f"{share:.0%} of {other} items, else {num}, {p:g}"] = Family(
        lambda rng, *s, num=num, other=other, share=share, p=p: _mixed(
          rng.binomial(num, p, s) / num,
          rng.binomial(other, p, s) / other,
          share,
        ),
        "one",
      )
  upper = lambda rng, shape: _atom_at_0(
    rng, _cut(rng.normal(0.6, 0.1, shape)), 0.5
  )
  found["0.5 at 0 + N(.6, .1)"] = Family(lambda rng, *s: upper(rng, s), "two")
  found["0.5 at 0 + N(.6, .1), on 1/11"] = Family(
    lambda rng, *s: np.rint(11 * upper(rng, s)) / 11, "two"
  )
  found["0.5/0.5, 5 sd of .05, on 1/100"] = Family(
    lambda rng, *s: (
      np.rint(100 * (0.4 + 0.05 * minor_mode(rng, *s, weight=0.5, distance=5)))
      / 100
    ),
    "two",
  )
  # Without the number of items these may as well be coin flips.
  found["0.5 at 0, 0.5 at 1, of 20"] = Family(
    lambda rng, *s: _atom_at_0(rng, np.ones(s), 0.5), "two", step=1 / 20
  )
  for weight, distance in (
    *((0.5, 5), (0.3, 5), (0.3, 4), (0.2, 4), (0.2, 5), (0.2, 6), (0.2, 8)),
  ):
    found[f"{1 - weight:g}/{weight:g}, {distance} sd"] = Family(
      lambda rng, num, size, w=weight, d=distance: minor_mode(
        rng, num, size, w, d
      ),
      "two" if weight == 0.5 else "",
      REAL,
    )
  return found


def shares(family: Family, num: int, size: int, seed: int) -> dict[str, float]:
  """Share of `num` populations of `size` runs with each label.

  `bimodal of 96` are those that would be called bimodal at the strictest level
  among 96 tests.
  """
  rng = np.random.default_rng(seed)
  options = Options(seed=seed)
  count = collections.Counter()
  for scores_S in family.sample(rng, num, size):
    sample = Sample.of(scores_S, family.support, family.step)
    found = modality.label(sample, options)
    count[found.label] += 1
    if found.label == "bimodal":
      count["bimodal of 96"] += found.p * FAMILY_SIZE <= options.alpha
  return {name: count[name] / num for name in LABELS}


def _atom_at_0(
  rng: np.random.Generator, scores_RS: np.ndarray, weight: float
) -> np.ndarray:
  return np.where(rng.random(scores_RS.shape) < weight, 0.0, scores_RS)


def _mixed(
  scores_RS: np.ndarray, other_RS: np.ndarray, share: float
) -> np.ndarray:
  """Scores whose first runs, so many of each population, are the others."""
  num = round(share * scores_RS.shape[1])
  return np.concatenate([other_RS[:, :num], scores_RS[:, num:]], axis=1)


def _cut(scores_RS: np.ndarray) -> np.ndarray:
  return np.clip(scores_RS, 0.0, 1.0)


def main(num: int, size: int, seed: int) -> None:
  """Prints a row for each family, of `num` populations of `size` runs."""
  print(f"{size} runs, {num} populations a family")
  print(f"{'family':36}{'target':>8}" + "".join(f"{n:>14}" for n in LABELS))
  for name, family in families().items():
    row = shares(family, num, size, seed)
    target = {"one": "≤ 0.05", "two": "≥ 0.95", "": ""}[family.target]
    # Beyond two standard errors, for the uniform law lies on the limit.
    margin = 2 * np.sqrt(0.05 * 0.95 / num)
    missed = (family.target == "one" and row["bimodal"] > 0.05 + margin) or (
      family.target == "two" and row["bimodal"] < 0.95 - margin
    )
    cells = "".join(f"{value:14.3f}" for value in row.values())
    print(f"{name:36}{target:>8}{cells}{'  missed' if missed else ''}")


if __name__ == "__main__":
  POPULATIONS = flags.DEFINE_integer(
    "populations", 1000, "Populations of each family.", lower_bound=1
  )
  RUNS = flags.DEFINE_integer(
    "runs", 100, "Runs in each population.", lower_bound=1
  )
  SEED = flags.DEFINE_integer("seed", 0, "Seed.", lower_bound=0)
  command.run(lambda: main(POPULATIONS.value, RUNS.value, SEED.value))
