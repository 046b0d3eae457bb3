"""The layout that tasks on a list of tokens share: `$ 4 1 7 > ANSWER .`"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from emergence.config import TaskConfig
from emergence.tasks import errors
from emergence.tasks.task import Array, Example, Task, below, evaluation_key

SYMBOLS = ("$", ">", ".", "*")


def make(
  config: TaskConfig,
  items: int,
  *,
  draw: Callable[[Array, Array, int], Array],
  answer: Callable[[Array, Array], Array],
  answer_length: Callable[[Array | int], Array | int],
  solve: Callable[[Sequence[str]], list[str]],
  evaluation_seed: int,
) -> Task:
  """Builds a task whose prompt is a list of tokens.

  The length n of an example is the length of its list. In training it is
  uniform over the training lengths. The answer is everything after `>`, the `.`
  included.

  Args:
    config: sizes of the task; tokens are 0 to vocab_size − 1.
    items: evaluation items per test length.
    draw: key, n, N -> the list, int32 [N]; entries from n on are ignored.
    answer: the list, n -> the answer without its `.`, int32 [N]; entries from
      `answer_length(n)` on are ignored.
    answer_length: n -> tokens of the answer without its `.`.
    solve: as in `Task`.
    evaluation_seed: fixed number that draws the evaluation set, so that no seed
      and no config changes it.
  """
  num_tokens = config.vocab_size

  def example(key: Array, length: Array | int, max_length: int) -> Example:
    length = jnp.asarray(length)
    list_N = draw(key, length, max_length)
    return write(
      list_N, length, answer(list_N, length), answer_length, num_tokens
    )

  def sample(key: Array) -> Example:
    length_key, key = jax.random.split(key)
    spread = config.max_train_length - config.min_train_length + 1
    more = below(jax.random.bits(length_key), spread)
    length = config.min_train_length + more
    return example(key, length, config.max_train_length)

  def evaluation(length: int) -> Example:
    keys = jax.random.split(evaluation_key(evaluation_seed, length), items)
    return jax.vmap(lambda key: example(key, length, length))(keys)

  end = num_tokens + SYMBOLS.index(".")
  size = lambda length: int(length + answer_length(length)) + 3
  return Task(
    symbols=tuple(str(i) for i in range(num_tokens)) + SYMBOLS,
    pad=num_tokens + SYMBOLS.index("*"),
    end=end,
    shortest_example=size(config.min_train_length),
    longest_example=size(config.max_train_length),
    sample=sample,
    evaluation=evaluation,
    solve=solve,
    error_kind=errors.of_list(end),
  )


def write(
  list_N: Array,
  length: Array,
  answer_N: Array,
  answer_length: Callable[[Array | int], Array | int],
  num_tokens: int,
) -> Example:
  """Lays out one example, padded to the length that a list of N tokens needs.

  Args:
    list_N: the list, int32 [N]; entries from `length` on are ignored.
    length: tokens of the list, int32 [].
    answer_N: the answer without its `.`, int32 [N]; entries from
      `answer_length(length)` on are ignored.
    answer_length: as in `make`.
    num_tokens: token ids below this one are tokens; the symbols follow.
  """
  begin, prompt_end, end, pad = range(num_tokens, num_tokens + len(SYMBOLS))
  max_length = list_N.shape[0]
  position_L = jnp.arange(max_length + int(answer_length(max_length)) + 3)
  start = length + 2  # Where the answer begins.
  stop = start + answer_length(length)
  tokens_L = jnp.select(
    [
      position_L == 0,
      position_L <= length,
      position_L == length + 1,
      position_L < stop,
      position_L == stop,
    ],
    [
      begin,
      list_N[position_L - 1],
      prompt_end,
      answer_N[position_L - start],
      end,
    ],
    pad,
  ).astype(jnp.int32)
  is_answer_L = (position_L >= start) & (position_L <= stop)
  return Example(tokens_L, is_answer_L, (stop + 1).astype(jnp.int32))


def draw_distinct(config: TaskConfig) -> Callable[[Array, Array, int], Array]:
  """Builds a `draw` of lists without repeated tokens, all equally likely.

  Raises:
    ValueError: vocab_size is below the longest train or test length.
  """
  longest = max(config.max_train_length, *config.test_lengths)
  if config.vocab_size < longest:
    raise ValueError(
      f"task.vocab_size must be at least {longest}, the longest train or test"
      f" length, got {config.vocab_size}"
    )

  def draw(key: Array, length: Array, max_length: int) -> Array:
    del length
    return jnp.argsort(jax.random.bits(key, (config.vocab_size,)))[:max_length]

  return draw
