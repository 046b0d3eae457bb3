"""Every pair of 16 initializations and 16 data orders.

  python -m experiments.sweep --config=seeds_crossed --workdir=DIR

The setting is the quickstart's depth 2. About half of its seeds succeed, so
there is most variance to explain. Each of 16 initializations is trained on each
of 16 data orders, and `experiments.analyze` splits the variance of the score
between them. With a root seed of its own, no run repeats one of the quickstart.

Hardware and time: 20 minutes to an hour on two CPU cores, 1.2 million
seed-steps.

Expected, from other seeds: 0.45 of the runs succeed at length 25. Which of the
two decides is not known beforehand.
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
