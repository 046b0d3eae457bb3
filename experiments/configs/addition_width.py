"""Reverse addition at the size of "Random Scaling of Emergent Capabilities".

  python -m experiments.sweep --config=paper_addition --workdir=DIR

As `paper_count`, with these differences. Read in a primary source: the format
with index hints. Second-hand: 200 seeds. Recollected: train lengths up to 35,
test length 40. Not found, so ours: the number of hint tokens and how operands
are drawn (see `emergence.tasks.reverse_addition`).

Meant for accelerators; `--dry_run` there says what it costs. A block of 8 seeds
of width 320 takes 39 GiB where they train at once, as XLA plans it for a CPU;
chips with less memory want a smaller `seeds.block`. A CPU trains one seed of a
block after another, in 5.3 GiB. It has not been run to the end by us.
"""

import dataclasses

from emergence.config import SeedsConfig, TaskConfig
from experiments.configs.paper_count import config as count

config = dataclasses.replace(
  count,
  task=TaskConfig(
    name="reverse_addition",
    max_train_length=35,
    test_lengths=(30, 35, 40),
    vocab_size=60,
    context_length=512,
  ),
  seeds=SeedsConfig(count=200, block=8),
)
