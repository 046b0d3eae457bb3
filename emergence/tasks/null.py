"""Null control: the prompt of `count`, then numbers drawn at random.

`$ 5 9 > 17 3 28 3 0 .` The prompt says nothing about the targets, so a score
above chance shows a defect of the harness. The answer consists of the numbers
without the `.`, because its place can be learned. Chance is 1 / vocab_size for
each token and vocab_size^−n for exact match at length n.
"""

import jax
import jax.numpy as jnp

from emergence.config import TaskConfig
from emergence.tasks import count
from emergence.tasks.task import Array, Example, Task, evaluation_key

# Draws the evaluation set, which must not depend on the seed or the config.
_EVALUATION_SEED = 20_250_217


def make(config: TaskConfig, items: int) -> Task:
  """Builds the task with `items` evaluation items per test length.

  Raises:
    ValueError: vocab_size is below the longest train or test length.
  """
  num_numbers = config.vocab_size

  def scramble(example: Example, key: Array) -> Example:
    random_L = jax.random.randint(
      key, example.tokens_L.shape, 0, num_numbers, jnp.int32
    )
    is_target_L = example.is_answer_L & (example.tokens_L < num_numbers)
    tokens_L = jnp.where(is_target_L, random_L, example.tokens_L)
    return Example(tokens_L, is_target_L, example.length)

  def sample(key: Array) -> Example:
    range_key, target_key = jax.random.split(key)
    start, length = count.sample_range(config, range_key)
    example = count.write(start, length, config.max_train_length, num_numbers)
    return scramble(example, target_key)

  def evaluation(length: int) -> Example:
    key = evaluation_key(_EVALUATION_SEED, length)

    def item(key: Array) -> Example:
      start_key, target_key = jax.random.split(key)
      start = jax.random.randint(start_key, (), 0, num_numbers - length + 1)
      example = count.write(start, length, length, num_numbers)
      return scramble(example, target_key)

    return jax.vmap(item)(jax.random.split(key, items))

  return count.make(config, items)._replace(
    sample=sample, evaluation=evaluation, solve=lambda prompt: None
  )
