"""Whether a list of bits has an odd number of ones: `$ 0 1 1 > 0 .`

The task "parity" of Zhou et al. 2023 (arXiv 2310.16028). In their experiments
copy, mode and sort generalize to longer lists, and parity does not.
"""

import jax
import jax.numpy as jnp

from emergence.config import TaskConfig
from emergence.tasks import sequence
from emergence.tasks.task import Array, Example, Task


def make(config: TaskConfig, items: int) -> Task:
  """Builds the task.

  If a test length has at most `items` different lists, all of them are tested;
  otherwise `items` random ones.

  Raises:
    ValueError: vocab_size is not 2.
  """
  if config.vocab_size != 2:
    raise ValueError(
      f"task.vocab_size must be 2 for parity, got {config.vocab_size}"
    )

  def draw(key: Array, length: Array, max_length: int) -> Array:
    del length
    return (jax.random.bits(key, (max_length,)) & 1).astype(jnp.int32)

  def answer(list_N: Array, length: Array) -> Array:
    is_inside_N = jnp.arange(list_N.shape[0]) < length
    odd = jnp.sum(jnp.where(is_inside_N, list_N, 0)) % 2
    return jnp.broadcast_to(odd, list_N.shape)

  answer_length = lambda length: 1
  task = sequence.make(
    config,
    items,
    draw=draw,
    answer=answer,
    answer_length=answer_length,
    solve=lambda prompt: [str(prompt[1:-1].count("1") % 2), "."],
    evaluation_seed=20_250_222,
  )

  def evaluation(length: int) -> Example:
    if 2**length > items:
      return task.evaluation(length)
    number_B1 = jnp.arange(2**length)[:, None]
    list_BN = (number_B1 >> jnp.arange(length)[None, :]) & 1
    size = jnp.asarray(length)
    return jax.vmap(
      lambda list_N: sequence.write(
        list_N, size, answer(list_N, size), answer_length, 2
      )
    )(list_BN)

  return task._replace(evaluation=evaluation)
