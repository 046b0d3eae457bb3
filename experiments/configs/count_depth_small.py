"""Count over depth, small enough for a laptop.

  python -m experiments.sweep --config=count_depth_small --workdir=DIR

The small form of `count_depth`, for claims 1 to 6 of the paper: 128 seeds at
each of six depths, 3.5 million seed-steps. The setting is the quickstart's,
with other draws of initialization and data (`root_seed`) and the score that
leaves out the end symbol. `experiments/PREREGISTRATION.md` fixed it, and the
rules by which it is read, before it was trained.

Hardware and time: 1 to 5 hours on two CPU cores.

Expected, from other seeds: at length 25 about half of the seeds of depth 2 stay
at the floor and a third is above 0.9; of depth 4 most succeed.
"""

import dataclasses

from emergence.config import EvalConfig, GridConfig, SeedsConfig
from experiments.configs.quickstart import config as quickstart

config = dataclasses.replace(
  quickstart,
  eval=EvalConfig(
    num_points=20,
    train_distribution_items=1024,
    headline_metric="exact_match_without_end",
  ),
  seeds=SeedsConfig(count=128, block=8),
  root_seed=1801,
  grid=GridConfig(widths=(16,), depths=(1, 2, 3, 4, 5, 6)),
)
