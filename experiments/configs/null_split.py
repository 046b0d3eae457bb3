"""Null control: one setting against itself, under six root seeds.

  python -m experiments.sweep --config=null_split --workdir=DIR

The "scale" is the root seed, from which a run draws its initialization and its
data. So all six populations have one distribution, that of the quickstart's
depth 2, whose seeds split. What an analysis finds here between scales is a
false alarm: a distance above its null, a trend, a path, a correlation of seed
indices. That seeds separate within a scale is none.

Hardware and time: two CPU cores; 3.5 million seed-steps, at 500 to 750 a second
77 to 115 minutes.

Expected: about 0.45 of the seeds succeed at length 25 under each root seed, two
modes are found under most, and no difference between them is shown, but for the
share of false alarms that the level of a test allows.
"""

import dataclasses

from emergence.config import GridConfig, SeedsConfig
from experiments.configs.seeds_crossed import config as seeds_crossed

config = dataclasses.replace(
  seeds_crossed,
  seeds=SeedsConfig(count=128, block=16),
  grid=GridConfig(
    widths=(16,),
    depths=(2,),
    axes={"root_seed": (1810, 1811, 1812, 1813, 1814, 1815)},
  ),
)
