"""Addition over width at the scale of the paper, arXiv 2502.17356.

  python -m experiments.sweep --config=addition_width --workdir=DIR

Like `count_width`, for reverse addition with index hints. Read in a primary
source: the format, and how operands are drawn (the drawing in the first
author's earlier code for plain addition). Second-hand: 200 seeds. Recollected,
so uncertain: train lengths up to 35, test length 40. Not found, so ours: the
number of hint tokens.

Hardware and time: accelerators, see experiments/accelerators.md. A block of 8
seeds of width 320 takes 39 GiB if all train at once, as on accelerators (the
figure is XLA's plan for a CPU). Chips with less memory need a smaller
`seeds.block`. A CPU trains the seeds of a block one after another, in 5.3 GiB.

Expected, from the paper: as for `count_width`, at length 40. It has not been
run to the end by us.
"""

import dataclasses

from emergence.config import SeedsConfig, TaskConfig
from experiments.configs.count_width import config as count_width

config = dataclasses.replace(
  count_width,
  task=TaskConfig(
    name="reverse_addition",
    max_train_length=35,
    test_lengths=(30, 35, 40),
    vocab_size=60,
    context_length=512,
    independent_operands=True,
  ),
  seeds=SeedsConfig(count=200, block=8),
)
