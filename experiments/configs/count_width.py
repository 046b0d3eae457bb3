"""Count over width at the scale of the paper, arXiv 2502.17356.

  python -m experiments.sweep --config=count_width --workdir=DIR

Reproduces the study of count over width in "Random Scaling of Emergent
Capabilities" (Zhao et al.). No code was released with it, so how sure each
value is differs:

- read in a primary source: the task and its format, head dimension 64, the
  GPT-NeoX block, a seed for the initialization and one for the data; and, in a
  recorded launch of the first author on a related task, AdamW with weight decay
  0.1 on every parameter, clipping at 1, cosine, 500 warm-up steps of 50 000,
  learning rate 3e-4, batch 32, context 512, and a score without the end symbol
- second-hand: 250 seeds
- recollected, so uncertain: train lengths up to 30, test length 60, widths 64·n
  at 4 layers
- not found, so ours: the vocabulary size, how many widths, the shorter test
  lengths, the evaluations in between

Hardware and time: accelerators. experiments/accelerators.md has what their
compiler plans, and `--dry_run` on the machine measures it. On a TPU v5e blocks
of 8 seeds fit at every width. A CPU trains the seeds of a block one after
another, in 3.8 GiB at width 320.

Expected, from the paper: at length 60 the share of seeds with an exact match of
at least 0.2 rises gradually with width, so does the mean of those seeds, the
mode over seeds jumps, and the widths around the jump have two modes. It has not
been run to the end by us.
"""

from emergence.config import (
  Config,
  EvalConfig,
  GridConfig,
  SeedsConfig,
  TaskConfig,
  TrainConfig,
)

config = Config(
  task=TaskConfig(
    name="count",
    max_train_length=30,
    test_lengths=(30, 40, 50, 60),
    vocab_size=120,
    context_length=512,
  ),
  train=TrainConfig(
    steps=50_000,
    batch_size=32,
    learning_rate=3e-4,
    warmup_fraction=0.01,
    decay_all=True,
  ),
  eval=EvalConfig(
    num_points=50,
    train_distribution_items=1024,
    headline_metric="exact_match_without_end",
  ),
  seeds=SeedsConfig(count=250, block=8),
  grid=GridConfig(widths=(64, 128, 192, 256, 320), depths=(4,)),
)
