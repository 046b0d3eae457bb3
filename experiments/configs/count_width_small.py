"""Count over width, small enough for a laptop.

  python -m experiments.sweep --config=count_width_small --workdir=DIR

The small form of `count_width`, for claims 1 to 6 of the paper: 128 seeds at
each of six widths, 1.2 million seed-steps. Each width has one more head of 16
dimensions than the width before. The task is that of `count_depth_small`, with
a third of its steps and tests of up to 55 numbers: wider models generalize so
much further that at length 25 nearly all of them succeed.
`experiments/PREREGISTRATION.md` fixed it, and the rules by which it is read,
before it was trained.

Hardware and time: 2 to 6 hours on two CPU cores.

Expected, from other seeds, at length 55: no seed of width 16 succeeds. At width
32 six in ten succeed and a third stays at the floor. From width 48 on nearly
all succeed.
"""

import dataclasses

from emergence.config import GridConfig
from experiments.configs.count_depth_small import config as count_depth_small

config = dataclasses.replace(
  count_depth_small,
  task=dataclasses.replace(
    count_depth_small.task, test_lengths=(10, 15, 20, 25, 30, 40, 55)
  ),
  train=dataclasses.replace(count_depth_small.train, steps=1500),
  root_seed=1804,
  grid=GridConfig(widths=(16, 32, 48, 64, 80, 96), depths=(2,)),
)
