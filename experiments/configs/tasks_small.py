"""Tasks side by side on a laptop: copy, sort, mode or parity, one cell each.

  python -m experiments.sweep --config=tasks_small --workdir=DIR

trains copy; `--override=task.name=sort` or `mode` another task, and parity
`--override=task.name=parity --override=task.vocab_size=2`. These are the tasks
of Zhou et al. 2023 (arXiv 2310.16028) beside counting, here with lists of up to
10 tokens in training and up to 15 in tests. An answer of mode or parity is a
single token, so guesses count: half of those of parity are right, which
`experiments.analyze` is told with `--chance=0.5`.

Hardware and time: 10 minutes to an hour a task on two CPU cores, 0.4 million
seed-steps.

Expected, from 16 other seeds of copy: 2 score at least 0.2 at length 15, the
others nearly 0. No other setting was tried to its end, and the other tasks have
not been tried.
"""

import dataclasses

from emergence.config import GridConfig, TaskConfig
from experiments.configs.count_depth_small import config as count_depth_small

config = dataclasses.replace(
  count_depth_small,
  task=TaskConfig(
    name="copy",
    max_train_length=10,
    test_lengths=(10, 12, 15),
    vocab_size=40,
    context_length=64,
  ),
  train=dataclasses.replace(count_depth_small.train, steps=3000),
  grid=GridConfig(widths=(16,), depths=(2,)),
  root_seed=1830,
)
