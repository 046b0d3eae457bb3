"""Count at depths 1 and 2, trained longer: does a larger model succeed less?

  python -m experiments.sweep --config=inverse_small --workdir=DIR

For claim 5 of the paper: the success probability can fall with scale while
successes get better. The setting is that of `count_depth_small`, trained for
twice as many steps and tested up to length 20, where other seeds showed such a
fall. `experiments/PREREGISTRATION.md` fixed it, and how it is decided, before
it was trained.

Hardware and time: 35 minutes to 2 hours on two CPU cores, 2.3 million
seed-steps.

Expected, from 48 other seeds: at length 20 nine of ten succeed at depth 1, with
a mean of 0.5, and half succeed at depth 2, with a mean of 0.8.
"""

import dataclasses

from emergence.config import GridConfig
from experiments.configs.count_depth_small import config as count_depth_small

config = dataclasses.replace(
  count_depth_small,
  task=dataclasses.replace(count_depth_small.task, test_lengths=(10, 15, 20)),
  train=dataclasses.replace(count_depth_small.train, steps=9000),
  root_seed=1840,
  grid=GridConfig(widths=(16,), depths=(1, 2)),
)
