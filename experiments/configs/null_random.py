"""Null control over depth: a task in which there is nothing to learn.

  python -m experiments.sweep --config=null_random --workdir=DIR

Like `count_depth_small`, but the answers are random numbers, independent of the
prompt (task `null`). There is no capability to find, at any depth. The end
symbol is no part of these answers, so both exact matches are the same, and
nearly every answer is an `other_error`. All seeds are tested on the same items.

Hardware and time: 20 minutes to an hour and a half on two CPU cores, 0.8
million seed-steps.

Expected: every exact match is 0 at each length, and `token_accuracy` is about
1/80. `nll_mean` is about the ln 80 = 4.38 nats of a guess and has one mode at
each depth. Its mean may differ between depths, as some depths come closer to a
guess in these steps than others. So distances between depths are no false
alarms here; `null_split` is the control for distances.
"""

import dataclasses

from emergence.config import SeedsConfig
from experiments.configs.count_depth_small import config as count_depth_small

config = dataclasses.replace(
  count_depth_small,
  task=dataclasses.replace(count_depth_small.task, name="null"),
  train=dataclasses.replace(count_depth_small.train, steps=2000),
  seeds=SeedsConfig(count=64, block=8),
  root_seed=1820,
)
