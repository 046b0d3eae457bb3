"""Count from a to b: `$ 5 9 > 5 6 7 8 9 .`

Each number is one token. The length n of an example is how many numbers its
answer has. In training n is uniform over the training lengths, the start a is
uniform over 0..vocab_size − n, and b = a + n − 1. The answer is everything
after `>`, `.` included. The format is that of the paper's task "count" (arXiv
2502.17356, after Zhou et al. 2023, arXiv 2310.16028).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from emergence.config import TaskConfig
from emergence.tasks import errors
from emergence.tasks.task import Array, Example, Task, below

SYMBOLS = ("$", ">", ".", "*")


def make(config: TaskConfig, items: int) -> Task:
  """Builds the task; `items` is unused, as evaluation uses every start.

  Raises:
    ValueError: vocab_size is below the longest training or test length.
  """
  del items
  require_room(config)
  num_numbers = config.vocab_size
  pad, end = (num_numbers + SYMBOLS.index(symbol) for symbol in "*.")

  def sample(key: Array) -> Example:
    start, length = sample_range(config, key)
    return write(start, length, config.max_train_length, num_numbers)

  def evaluation(length: int) -> Example:
    starts_B = jnp.arange(num_numbers - length + 1)
    return jax.vmap(lambda a: write(a, length, length, num_numbers))(starts_B)

  return Task(
    symbols=tuple(str(i) for i in range(num_numbers)) + SYMBOLS,
    pad=pad,
    end=end,
    shortest_example=config.min_train_length + 5,
    longest_example=config.max_train_length + 5,
    sample=sample,
    evaluation=evaluation,
    solve=solve,
    error_kind=errors.of_list(end),
  )


def solve(prompt: Sequence[str]) -> list[str]:
  """`$ 5 9 >` -> `5 6 7 8 9 .`, as lists of symbols."""
  _, first, last, _ = prompt
  return [str(i) for i in range(int(first), int(last) + 1)] + ["."]


def require_room(config: TaskConfig):
  """Raises ValueError if the longest length exceeds the vocabulary size."""
  longest = max(config.max_train_length, *config.test_lengths)
  if config.vocab_size < longest:
    raise ValueError(
      f"task.vocab_size must be at least {longest}, the longest train or test"
      f" length, got {config.vocab_size}"
    )


def sample_range(config: TaskConfig, key: Array) -> tuple[Array, Array]:
  """Draws the start and the length of one training example."""
  length_bits, start_bits = jax.random.bits(key, (2,))
  spread = config.max_train_length - config.min_train_length + 1
  length = config.min_train_length + below(length_bits, spread)
  start = below(start_bits, config.vocab_size - length + 1)
  return start, length


def write(
  start: Array | int, length: Array | int, max_length: int, num_numbers: int
) -> Example:
  """Builds the example that counts `length` numbers from `start`.

  Args:
    start: first number, int32 [].
    length: how many numbers, int32 [], at most `max_length`.
    max_length: the result is padded to max_length + 5 tokens.
    num_numbers: token ids below this one are numbers; the symbols follow.
  """
  begin, prompt_end, end, pad = num_numbers + jnp.arange(len(SYMBOLS))
  position_L = jnp.arange(max_length + 5)
  answer_end = length + 4
  tokens_L = jnp.select(
    [
      position_L == 0,
      position_L == 1,
      position_L == 2,
      position_L == 3,
      position_L < answer_end,
      position_L == answer_end,
    ],
    [
      begin,
      jnp.asarray(start),
      jnp.asarray(start + length - 1),
      prompt_end,
      start + position_L - 4,
      end,
    ],
    pad,
  ).astype(jnp.int32)
  is_answer_L = (position_L >= 4) & (position_L <= answer_end)
  return Example(tokens_L, is_answer_L, jnp.asarray(length + 5, jnp.int32))
