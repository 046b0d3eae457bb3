"""Sort a list of different numbers: `$ 4 1 7 > 1 4 7 .`

The task "sort" of Zhou et al. 2023 (arXiv 2310.16028).
"""

import jax.numpy as jnp

from emergence.config import TaskConfig
from emergence.tasks import sequence
from emergence.tasks.task import Array, Task


def make(config: TaskConfig, items: int) -> Task:
  """Builds the task with `items` evaluation items per test length.

  Raises:
    ValueError: vocab_size is below the longest train or test length.
  """

  def answer(list_N: Array, length: Array) -> Array:
    is_inside_N = jnp.arange(list_N.shape[0]) < length
    return jnp.sort(jnp.where(is_inside_N, list_N, config.vocab_size))

  return sequence.make(
    config,
    items,
    draw=sequence.draw_distinct(config),
    answer=answer,
    answer_length=lambda length: length,
    solve=lambda prompt: [*sorted(prompt[1:-1], key=int), "."],
    evaluation_seed=20_250_220,
  )
