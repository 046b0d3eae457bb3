"""Measures how often the path test is right, and how often it is wrong.

  python -m experiments.calibration.paths

repeatedly draws three scales whose true relation is known. For each case it
prints the share of each verdict, of right ones, and of wrong ones, which the
truth rules out. `undecided` is never wrong. Where both paths hold, only
`undecided` is right.

With --repeats=100 --resamples=400 --seed=7000 (eleven minutes), of the 60 cases
with modes 3 standard deviations apart or more and 200 runs 0.974 are right on
average. Two cases fall short of 0.95: displacements by 0.1 and by 0.9 of 3
standard deviations, with 0.78 and 0.79. Apart from 0.01, the rest of their
verdicts are `undecided`. Such a shift is 3 standard errors of a difference of
means, and a mixture of a smaller share comes within noise of it. In all other
cases 0.016 are wrong on average. The worst of these, with 500 repeats and 1000
resamples:

    5 sd, at end 1, 30 runs     0.048        1 sd, displacement 0.5     0.028
    5 sd, at end 0, 50 runs     0.042        0.5 sd, at end 1, 50 runs  0.024
"""

import collections
from collections.abc import Callable, Iterator
from typing import NamedTuple, get_args

import numpy as np
from absl import flags
from scipy import special

from emergence.statistics import path
from emergence.statistics.options import Options
from emergence.statistics.sample import REAL, Sample
from experiments import command

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
VERDICTS = get_args(path.Verdict)
Law = Callable[[np.ndarray], np.ndarray]  # Quantiles at levels in (0, 1).
Draw = Callable[[np.random.Generator, int], list[np.ndarray]]


class Case(NamedTuple):
  """Three scales whose true relation is known.

  Attributes:
    name: for the table.
    runs: at each scale.
    truth: the right verdicts; empty where both paths hold, so that only
      `undecided` is right.
    draw: scores of the first, an intermediate and the last scale, [S] each.
    is_aim: whether 95 % of the verdicts should be right. In other cases at most
      5 % may be wrong.
  """

  name: str
  runs: int
  truth: tuple[str, ...]
  draw: Draw
  is_aim: bool = False


class Rates(NamedTuple):
  """The verdicts on all draws of a case.

  Attributes:
    verdicts: share of each verdict.
    right: share of draws with a right verdict.
    wrong: share of draws whose verdict is neither right nor `undecided`.
  """

  verdicts: dict[str, float]
  right: float
  wrong: float


def cases() -> list[Case]:
  """All cases: first where the modes are far apart, then everything else."""
  return [*_far_modes(), *_near_or_few(), *_atoms_and_grids(), *_off_paths()]


def rates(
  case: Case, repeats: int, resamples: int = 1000, seed: int = 0
) -> Rates:
  """Rates of the verdicts over repeated draws of a case."""
  rng = np.random.default_rng(seed)
  count = collections.Counter()
  for repeat in range(repeats):
    options = Options(num_resamples=resamples, seed=seed + repeat)
    samples = [Sample.of(s, REAL) for s in case.draw(rng, case.runs)]
    (found,) = path.compare_paths(samples, options)
    count[found.verdict] += 1
  verdicts = {v: count[v] / repeats for v in VERDICTS}
  right = sum(verdicts[v] for v in case.truth or ("undecided",))
  never_wrong = (*case.truth, "undecided")
  wrong = sum(verdicts[v] for v in VERDICTS if v not in never_wrong)
  return Rates(verdicts, right, wrong)


def _far_modes() -> Iterator[Case]:
  pairs = {
    f"{distance} sd": (_normal(0), _normal(distance), _as_is)
    for distance in (3, 4, 6)
  }
  pairs["0 to N(.6, .1)"] = np.zeros_like, _normal(0.6, 0.1), _as_is
  for items in (11, 20):
    pairs[f"N(.2, .06) to N(.7, .1) on 1/{items}"] = (
      _normal(0.2, 0.06),
      _normal(0.7, 0.1),
      lambda scores, items=items: np.rint(items * scores) / items,
    )
  for name, (first, last, measure) in pairs.items():
    for kind in ("mixture", "displacement"):
      for share in SHARES:
        draw = _between(kind, first, last, share, measure)
        yield Case(f"{name}, {kind} {share:g}", 200, (kind,), draw, True)


def _near_or_few() -> Iterator[Case]:
  for runs in (30, 50, 200):
    draw = _between("mixture", _normal(0), _normal(0), 0.5)
    yield Case("one law", runs, (), draw)
    for distance in (0.5, 1, 2, 5):
      ends = _normal(0), _normal(distance)
      for end in (0, 1):
        draw = _between("mixture", *ends, end)
        yield Case(f"{distance} sd, at end {end}", runs, (), draw)
      for kind in ("mixture", "displacement"):
        for share in (0.1, 0.5):
          draw = _between(kind, *ends, share)
          name = f"{distance} sd, {kind} {share:g}"
          yield Case(name, runs, (kind,), draw)


def _atoms_and_grids() -> Iterator[Case]:
  draw = _between("mixture", np.zeros_like, np.zeros_like, 0.5)
  yield Case("all at 0", 200, (), draw)
  low, high = _normal(0.05, 0.15), _normal(0.5, 0.15)
  cut = lambda scores: np.clip(scores, 0, 1)
  for end in (0, 1):
    draw = _between("mixture", low, high, end, cut)
    yield Case(f"N(.05, .15), N(.5, .15) cut, at end {end}", 200, (), draw)
  draw = _between("mixture", low, high, 0.5, cut)
  yield Case("N(.05, .15), N(.5, .15) cut, mixture", 200, ("mixture",), draw)
  for runs in (30, 200):
    for items in (11, 20):
      for chances in ((0.1, 0.1, 0.1), (0.05, 0.075, 0.1), (0.2, 0.4, 0.6)):
        # Nearly a displacement; the variance is not quite that of one.
        smooth = ("displacement", "neither") if chances[0] < chances[1] else ()
        yield Case(
          f"binomial({items}; {', '.join(map(str, chances))})",
          runs,
          smooth,
          lambda rng, size, items=items, chances=chances: [
            rng.binomial(items, chance, size) / items for chance in chances
          ],
        )


def _off_paths() -> Iterator[Case]:
  first, last = _normal(0), _normal(5)
  between = {
    "half of the runs half way": [_normal(0), _normal(2.5)],
    "all half way, close together": [_normal(2.5, 0.1)],
    "a third of the runs in a third mode": [first, last, _normal(10)],
    "beyond the last": [_normal(8)],
    "before the first": [_normal(-3)],
  }
  for name, parts in between.items():

    def draw(rng, size, parts=parts):
      which_S = rng.integers(len(parts), size=size)
      drawn = [part(rng.random(size)) for part in parts]
      ends = [law(rng.random(size)) for law in (first, last)]
      return [ends[0], np.choose(which_S, drawn), ends[1]]

    yield Case(f"5 sd, {name}", 200, ("neither",), draw)


def _as_is(scores: np.ndarray) -> np.ndarray:
  return scores


def _normal(mean: float, sd: float = 1.0) -> Law:
  return lambda level: mean + sd * special.ndtri(level)


def _between(
  kind: str,
  first: Law,
  last: Law,
  share: float,
  measure: Callable[[np.ndarray], np.ndarray] = _as_is,
) -> Draw:
  """Makes a function that draws both ends of a path and a point between."""

  def draw(rng, size):
    at_first, at_last = first(rng.random(size)), last(rng.random(size))
    level = rng.random(size)
    if kind == "mixture":
      changed = rng.random(size) < share
      between = np.where(changed, last(level), first(level))
    else:
      between = (1 - share) * first(level) + share * last(level)
    return [measure(scores) for scores in (at_first, between, at_last)]

  return draw


def main(repeats: int, resamples: int, seed: int, match: str) -> None:
  """Prints a row for each case whose name contains `match`."""
  heads = "".join(f"{name:>13}" for name in (*VERDICTS, "right", "wrong"))
  print(f"{'case':45}{'runs':>5}{heads}")
  right, wrong = [], []
  margin = 2 * np.sqrt(0.05 * 0.95 / repeats)  # Two standard errors.
  for case in cases():
    if match not in case.name:
      continue
    found = rates(case, repeats, resamples, seed)
    if case.is_aim:
      right.append(found.right)
    else:
      wrong.append(found.wrong)
    row = (*found.verdicts.values(), found.right, found.wrong)
    aim = "  low" if case.is_aim and found.right < 0.95 - margin else ""
    aim = "  high" if found.wrong > 0.05 + margin else aim
    cells = "".join(f"{value:13.3f}" for value in row)
    print(f"{case.name:45}{case.runs:5}{cells}{aim}", flush=True)
  if right:
    print(f"far modes: {np.mean(right):.3f} right, {min(right):.3f} or more")
  if wrong:
    print(f"elsewhere: {np.mean(wrong):.3f} wrong, {max(wrong):.3f} or less")


if __name__ == "__main__":
  REPEATS = flags.DEFINE_integer(
    "repeats", 200, "Draws of each case.", lower_bound=1
  )
  RESAMPLES = flags.DEFINE_integer(
    "resamples", 1000, "Bootstrap samples.", lower_bound=1
  )
  SEED = flags.DEFINE_integer("seed", 0, "Seed.", lower_bound=0)
  MATCH = flags.DEFINE_string("match", "", "Only cases with this text.")
  command.run(
    lambda: main(REPEATS.value, RESAMPLES.value, SEED.value, MATCH.value)
  )
