"""Find the most frequent token of a list: `$ 4 1 4 > 4 .`

The task "mode" of Zhou et al. 2023 (arXiv 2310.16028), who make sure that
there is one answer. We did not find how they draw lists and chose this: tokens
are uniform over the alphabet. If several tokens are tied as the most frequent,
one occurrence of one of them is replaced by another of them, both chosen at
random. With an alphabet far larger than the list, nearly every list is changed.
"""

import statistics

import jax
import jax.numpy as jnp

from emergence.config import TaskConfig
from emergence.tasks import sequence
from emergence.tasks.task import Array, Task, below


def make(config: TaskConfig, items: int) -> Task:
  """Builds the task with `items` evaluation items per test length."""

  def draw(key: Array, length: Array, max_length: int) -> Array:
    token_key, rank_key = jax.random.split(key)
    list_N = below(jax.random.bits(token_key, (max_length,)), config.vocab_size)
    count_N = _count(list_N, length)
    # Orders positions by count, those of equal count at random.
    rank_N = count_N + jax.random.uniform(rank_key, (max_length,))
    first = jnp.argmax(rank_N)
    other = jnp.argmax(jnp.where(list_N == list_N[first], -1.0, rank_N))
    is_tie = count_N[other] == count_N[first]
    return list_N.at[other].set(jnp.where(is_tie, list_N[first], list_N[other]))

  def answer(list_N: Array, length: Array) -> Array:
    most = list_N[jnp.argmax(_count(list_N, length))]
    return jnp.broadcast_to(most, list_N.shape)

  return sequence.make(
    config,
    items,
    draw=draw,
    answer=answer,
    answer_length=lambda length: 1,
    solve=lambda prompt: [statistics.mode(prompt[1:-1]), "."],
    evaluation_seed=20_250_221,
  )


def _count(list_N: Array, length: Array) -> Array:
  """Counts how often each position's token is in the list; −1 beyond it."""
  is_inside_N = jnp.arange(list_N.shape[0]) < length
  is_same_NN = list_N[:, None] == list_N[None, :]
  count_N = jnp.sum(is_same_NN & is_inside_N[None, :], axis=1)
  return jnp.where(is_inside_N, count_N, -1)
