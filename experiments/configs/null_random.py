"""Null control: a task that nothing can be learned of, over depth.

  python -m experiments.sweep --config=null_random --workdir=DIR

The task `null` has the prompts of `count` and answers of numbers drawn at
random. There is no capability to find, at any depth. The end symbol is no part
of these answers, so both exact matches are one, and nearly every wrong answer
is an `other_error`. The test items are drawn once, for all seeds.

Hardware and time: two CPU cores; 0.8 million seed-steps, about half an hour.

Expected: every exact match is 0 at each length, and `token_accuracy` is about
1/80. `nll_mean` is about the ln 80 = 4.38 nats of a guess and has one mode at
each depth. Its mean may differ between depths, as some come closer to a guess
in these steps than others: distances between depths are no false alarms here.
`null_split` is the control for these.
"""

import dataclasses

from emergence.config import GridConfig, SeedsConfig
from experiments.configs.seeds_crossed import config as seeds_crossed

config = dataclasses.replace(
  seeds_crossed,
  task=dataclasses.replace(seeds_crossed.task, name="null"),
  train=dataclasses.replace(seeds_crossed.train, steps=2000),
  seeds=SeedsConfig(count=64, block=16),
  grid=GridConfig(widths=(16,), depths=(1, 2, 3, 4, 5, 6)),
  root_seed=1820,
)
