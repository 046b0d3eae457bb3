"""The count task at the size of "Random Scaling of Emergent Capabilities".

  python -m experiments.sweep --config=paper_count --workdir=DIR

Zhao et al., arXiv 2502.17356; no code was released, so how sure each value is
differs. Read in a primary source: the task and its format, head dimension 64,
the GPT-NeoX block, AdamW with weight decay 0.1 and clipping at 1, cosine,
500 warm-up steps of 50 000, learning rate 3e-4, batch 32, context 512 (the last
six from a recorded launch of the first author on a related task). Second-hand:
250 seeds. Recollected: train lengths up to 30, test length 60, widths 64·n at
4 layers. Not found, so ours: the vocabulary size.

Meant for accelerators; `--dry_run` there says what it costs. A block of 8 seeds
of width 320 takes 24 GiB where they train at once, as XLA plans it for a CPU;
chips with less memory want a smaller `seeds.block`. A CPU trains one seed of a
block after another, in 3.8 GiB. It has not been run to the end by us.
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
  ),
  eval=EvalConfig(num_points=50),
  seeds=SeedsConfig(count=250, block=8),
  grid=GridConfig(widths=(64, 128, 192, 256, 320), depths=(4,)),
)
