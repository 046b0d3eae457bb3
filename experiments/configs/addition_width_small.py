"""Reverse addition over width, small enough for a laptop.

  python -m experiments.sweep --config=addition_width_small --workdir=DIR

The small form of `addition_width`, for claims 1 to 6 of the paper: 64 seeds at
each of six widths, 1.2 million seed-steps. Heads have 8 dimensions, so each
width has one more head than the width before. The headline length, 3 digits, is
the longest in training: in no small setting that was looked at do models add
numbers longer than those in training. So this grid is about seeds that learn to
add or do not, and not about generalization to other lengths.
`experiments/PREREGISTRATION.md` fixed it, and the rules by which it is read,
before it was trained.

Hardware and time: 3 to 8 hours on two CPU cores.

Expected, from a few other seeds: a quarter of the seeds of width 24 add three
digits, most of width 40, and six in ten of width 56. Hardly any seed scores
between 0.1 and 0.8.
"""

import dataclasses

from emergence.config import GridConfig, ModelConfig, SeedsConfig, TaskConfig
from experiments.configs.count_depth_small import config as count_depth_small

config = dataclasses.replace(
  count_depth_small,
  task=TaskConfig(
    name="reverse_addition",
    min_train_length=1,
    max_train_length=3,
    test_lengths=(2, 3),
    vocab_size=8,
    context_length=64,
    independent_operands=True,
  ),
  model=ModelConfig(
    head_dim=8, rotary_fraction=0.5, parallel_residual=False, init_std=0.05
  ),
  train=dataclasses.replace(
    count_depth_small.train, steps=3000, batch_size=16, learning_rate=4e-3
  ),
  seeds=SeedsConfig(count=64, block=8),
  root_seed=1802,
  grid=GridConfig(widths=(16, 24, 32, 40, 48, 56), depths=(3,)),
)
