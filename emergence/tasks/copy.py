"""Copy a list of different tokens: `$ 4 1 7 > 4 1 7 .`

The task "copy with unique tokens" of Zhou et al. 2023 (arXiv 2310.16028).
"""

from emergence.config import TaskConfig
from emergence.tasks import sequence
from emergence.tasks.task import Task


def make(config: TaskConfig, items: int) -> Task:
  """Builds the task with `items` evaluation items per test length.

  Raises:
    ValueError: vocab_size is below the longest train or test length.
  """
  return sequence.make(
    config,
    items,
    draw=sequence.draw_distinct(config),
    answer=lambda list_N, length: list_N,
    answer_length=lambda length: length,
    solve=lambda prompt: [*prompt[1:-1], "."],
    evaluation_seed=20_250_219,
  )
