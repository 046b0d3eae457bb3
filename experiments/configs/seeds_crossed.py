"""Initialization against data order: every pair of 16 and 16.

  python -m experiments.sweep --config=seeds_crossed --workdir=DIR

The quickstart's depth 2, where about half of the seeds succeed: there is most
to decide. Each of 16 initializations is trained on each of 16 data orders, and
`experiments.analyze` splits the variance of the score between them. The root
seed is its own, so no run is one of the quickstart's.

Hardware and time: half an hour to two hours on two CPU cores, 1.2 million
seed-steps.

Expected, from other seeds: 0.45 of the runs succeed at length 25. What decides
is not known beforehand.
"""

import dataclasses

from emergence.config import GridConfig, SeedsConfig
from experiments.configs.count_depth_small import config as count_depth_small

config = dataclasses.replace(
  count_depth_small,
  seeds=SeedsConfig(
    design="crossed", num_init=16, num_data=16, count=256, block=8
  ),
  grid=GridConfig(widths=(16,), depths=(2,)),
  root_seed=1800,
)
