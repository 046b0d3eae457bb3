"""Reverse addition over depth, small enough for a laptop.

  python -m experiments.sweep --config=addition_depth_small --workdir=DIR

The small form of `addition_depth`, for claims 1 to 6 of the paper: 80 seeds at
each of six depths, 1.4 million seed-steps. The setting is width 24 of
`addition_width_small`, with other draws of initialization and data. In both,
the headline length is the longest in training. This grid has more seeds,
because its critical cell is a small model. `experiments/PREREGISTRATION.md`
fixed it, and the rules by which it is read, before it was trained.

Hardware and time: 2 to 8 hours on two CPU cores.

Expected, from 16 other seeds of depth 3: a quarter of them add three digits. At
other depths no seed was looked at to the end of training.
"""

import dataclasses

from emergence.config import GridConfig, SeedsConfig
from experiments.configs.addition_width_small import (
  config as addition_width_small,
)

config = dataclasses.replace(
  addition_width_small,
  seeds=SeedsConfig(count=80, block=8),
  root_seed=1803,
  grid=GridConfig(widths=(24,), depths=(1, 2, 3, 4, 5, 6)),
)
