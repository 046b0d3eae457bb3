"""Initialization against data order: every pair of 16 and 16.

  python -m experiments.sweep --config=seeds_crossed --workdir=DIR

The quickstart's depth 2, where about half of the seeds succeed: there is most
to decide. Each of 16 initializations is trained on each of 16 data orders, and
`experiments.analyze` splits the variance of the score between them. The root
seed is its own, so no run is one of the quickstart's.

Hardware and time: two CPU cores; 1.2 million seed-steps, at 500 to 750 a second
26 to 38 minutes.

Expected: between 0.3 and 0.7 of the 256 runs succeed at length 25; on looking
seeds it was 0.45. What decides is not known beforehand.
"""

import dataclasses

from emergence.config import GridConfig, SeedsConfig
from experiments.configs.quickstart import config as quickstart

config = dataclasses.replace(
  quickstart,
  eval=dataclasses.replace(
    quickstart.eval,
    train_distribution_items=1024,
    headline_metric="exact_match_without_end",
  ),
  seeds=SeedsConfig(
    design="crossed", num_init=16, num_data=16, count=256, block=16
  ),
  grid=GridConfig(widths=(16,), depths=(2,)),
  root_seed=1800,
)
