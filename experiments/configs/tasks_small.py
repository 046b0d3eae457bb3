"""Tasks side by side on a laptop: copy, sort, mode or parity, one cell each.

  python -m experiments.sweep --config=tasks_small --workdir=DIR

trains copy at width 32. The cells of the other tasks are

  --override=task.name=sort --override=grid.widths=[16]
      --override=task.test_lengths=[10,12]
  --override=task.name=mode
  --override=task.name=parity --override=task.vocab_size=2
      --override=grid.widths=[16]

These are the tasks of Zhou et al. 2023 (arXiv 2310.16028) beside counting, here
with lists of up to 10 tokens in training and up to 15 in tests. An answer of
mode or parity is a single token, so guesses count: half of those of parity are
right, which `experiments.analyze` is told with `--chance=0.5`.

Hardware and time: 4 to 20 minutes a task on two CPU cores, 0.2 million
seed-steps.

Expected, from 16 other seeds of each: a third of copy's seeds score at least
0.8 at length 15 and the others 0. A third of sort's score 0.3 to 0.5 at length
12 and the others 0. All of mode's score 0.5 to 0.7 at length 15. Parity's are
at chance.
"""

import dataclasses

from emergence.config import GridConfig, SeedsConfig, TaskConfig
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
  seeds=SeedsConfig(count=64, block=8),
  grid=GridConfig(widths=(32,), depths=(2,)),
  root_seed=1830,
)
