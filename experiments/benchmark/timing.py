"""Rates of training loops, measured in turns."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

_Name = TypeVar("_Name")

# A loop that takes less than this is too short to tell the time of a step.
_SHORTEST_SECONDS = 0.1


class Rates(NamedTuple):
  """What the rounds found for one side.

  Attributes:
    median: seed-steps per second.
    spread: highest minus lowest round, over the median.
    rounds: of each round.
  """

  median: float
  spread: float
  rounds: np.ndarray


def rate_of(
  loop: Callable[[int], float], seeds: int
) -> Callable[[float], float]:
  """Makes the measurement of one side.

  Two lengths of the loop are subtracted, so that what does not depend on the
  number of steps cancels: start, dispatch, the first evaluation.

  Args:
    loop: number of steps -> wall time of so many, seconds; compiled already.
    seeds: seeds that advance in each step.

  Returns:
    seconds -> seed-steps per second, from about so many seconds of the loop;
    NaN where the longer loop was the faster one.
  """
  loop(1)
  steps, elapsed = 2, loop(2)
  while elapsed < _SHORTEST_SECONDS:
    steps *= 2
    elapsed = loop(steps)
  seconds_per_step = elapsed / steps

  def measure(seconds: float) -> float:
    long = max(4, round(0.8 * seconds / seconds_per_step))
    short = long // 4
    difference = -loop(short) + loop(long)
    if difference <= 0:
      return math.nan
    return seeds * (long - short) / difference

  return measure


def in_turns(
  sides: Mapping[_Name, Callable[[float], float]],
  num_rounds: int,
  seconds: float,
) -> dict[_Name, Rates]:
  """Measures every side once a round, so that all see the same disturbances.

  Args:
    sides: name -> what `rate_of` returns.
    num_rounds: how often.
    seconds: of each measurement.

  Returns:
    Rates by side; NaN where no round found one.
  """
  found: dict[_Name, list[float]] = {name: [] for name in sides}
  for i in range(num_rounds):
    # Each round begins with another side: none is always the first or last.
    names = list(sides)
    for name in names[i % len(names) :] + names[: i % len(names)]:
      found[name].append(sides[name](seconds))
  return {name: _summarize(rounds) for name, rounds in found.items()}


def ratio(rates: Rates, to: Rates) -> tuple[float, float, float]:
  """Median, lowest and highest ratio of two sides within a round."""
  ratios = rates.rounds / to.rounds
  finite = ratios[np.isfinite(ratios)]
  if not finite.size:
    return math.nan, math.nan, math.nan
  return float(np.median(finite)), float(finite.min()), float(finite.max())


def seconds_since(start: float) -> float:
  """Wall time since `time.perf_counter()` was `start`."""
  return time.perf_counter() - start


def _summarize(rounds: Sequence[float]) -> Rates:
  values = np.array(rounds)
  finite = values[np.isfinite(values)]
  if not finite.size:
    return Rates(math.nan, math.nan, values)
  median = float(np.median(finite))
  return Rates(median, float(finite.max() - finite.min()) / median, values)
