"""Rates of training loops, measured in turns."""

import time
from collections.abc import Callable, Sequence

import numpy as np

# A shorter loop is too short to tell the time of a step.
_SHORTEST_SECONDS = 0.1


def rate_of(
  loop: Callable[[int], float], seeds: int
) -> Callable[[float], float]:
  """Makes a function that measures the rate of one side.

  The times of a short and a long loop are subtracted, so that costs that do not
  depend on the number of steps, such as start and dispatch, cancel.

  Args:
    loop: function that trains for a number of steps, already compiled, and
      returns the wall time in seconds.
    seeds: seeds that advance in each step.

  Returns:
    A function that takes the seconds to measure for and returns seed-steps per
    second.
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
    difference = 0.0
    while difference <= 0:  # A disturbance may make the shorter loop slower.
      difference = -loop(short) + loop(long)
    return seeds * (long - short) / difference

  return measure


def in_turns(
  sides: Sequence[Callable[[float], float]], num_rounds: int, seconds: float
) -> np.ndarray:
  """Measures every side once per round, so that all see the same disturbances.

  Args:
    sides: what `rate_of` returns for each.
    num_rounds: number of rounds.
    seconds: length of each measurement.

  Returns:
    Rates, [sides, rounds].
  """
  rates = np.empty((len(sides), num_rounds))
  for i in range(num_rounds):
    # Each round begins with another side: none is always the first or last.
    for j in np.roll(range(len(sides)), -i):
      rates[j, i] = sides[j](seconds)
  return rates


def seconds_since(start: float) -> float:
  """Wall time since `time.perf_counter()` was `start`."""
  return time.perf_counter() - start
