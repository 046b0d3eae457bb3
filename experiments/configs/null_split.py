"""Null control: one setting against itself, under six root seeds.

  python -m experiments.sweep --config=null_split --workdir=DIR

The "scale" is the root seed, from which a run draws its initialization and its
data. So all six populations have one distribution, that of `count_depth_small`
at depth 2, whose seeds split. Any difference between scales that an analysis
finds here is a false alarm: a distance above its null, a trend; so is a
correlation of seed indices. That seeds separate within a scale is no false
alarm.

Hardware and time: half an hour to 3 hours on two CPU cores, 1.7 million
seed-steps for 64 seeds of each root seed.

Expected, from other seeds: 0.45 of the seeds succeed at length 25 under each
root seed, and two modes are found under each. No difference between them is
shown, apart from the false alarms that the level of a test allows.
"""

import dataclasses

from emergence.config import GridConfig, SeedsConfig
from experiments.configs.count_depth_small import config as count_depth_small

config = dataclasses.replace(
  count_depth_small,
  seeds=SeedsConfig(count=64, block=8),
  grid=GridConfig(
    widths=(16,),
    depths=(2,),
    axes=(("root_seed", (1810, 1811, 1812, 1813, 1814, 1815)),),
  ),
)
