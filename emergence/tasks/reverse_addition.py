"""Reverse addition with index hints, of two numbers of up to n digits.

88 + 842 reads, with i0 as the first of its hints:

  S i0 0 i1 0 i2 8 i3 8 + i0 0 i1 8 i2 4 i3 2 = i3 0 i2 3 i1 9 i0 0 E

The operands are written most significant digit first, padded with zeros to
n + 1 digits. Each digit follows a hint, and both operands have the same hints.
The answer is written least significant digit first, each digit after its hint,
then `E`. The format is that of Zhou et al. 2023 (arXiv 2310.16028; the addition
example of their public code).

The hints of an example are a random consecutive slice of `vocab_size` ordered
hint tokens, so that training on short numbers reaches every hint that long
ones need. The length n is the number of digits of the longer operand: one
operand, chosen by a fair coin, has exactly n digits, and the other has n random
digits, perhaps with leading zeros. How the authors drew their operands is not
published; this is our choice. With `task.independent_operands`, operands are
drawn as in the first author's earlier code for plain addition: digits are
uniform on 0 to 9, leading zeros allowed. In training each operand has a length
of its own and n is the larger one; in tests both have n digits.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from emergence.config import TaskConfig
from emergence.tasks import errors
from emergence.tasks.task import Array, Example, Task, evaluation_key

SYMBOLS = ("S", "+", "=", "E", "*")
_BEGIN, _PLUS, _EQUALS, _END, _PAD = range(10, 15)
_FIRST_HINT = 15

# Draws the evaluation set, which must not depend on the seed or the config.
_EVALUATION_SEED = 20_250_218


def make(config: TaskConfig, items: int) -> Task:
  """Builds the task with `items` evaluation items per test length.

  Raises:
    ValueError: the longest numbers need more hints than vocab_size.
  """
  longest = max(config.max_train_length, *config.test_lengths)
  if config.vocab_size < longest + 1:
    raise ValueError(
      f"task.vocab_size must be at least {longest + 1}: numbers of {longest}"
      f" digits need that many index hints, got {config.vocab_size}"
    )

  def sample(key: Array) -> Example:
    length_key, key = jax.random.split(key)
    if config.independent_operands:
      lengths_2 = jax.random.randint(
        length_key, (2,), config.min_train_length, config.max_train_length + 1
      )
      return _draw_alike(
        key, lengths_2, config.max_train_length, config.vocab_size
      )
    length = jax.random.randint(
      length_key, (), config.min_train_length, config.max_train_length + 1
    )
    return _draw(key, length, config.max_train_length, config.vocab_size)

  def evaluation(length: int) -> Example:
    key = evaluation_key(_EVALUATION_SEED, length)
    keys = jax.random.split(key, items)
    if config.independent_operands:
      lengths_2 = jnp.array([length, length])
      draw = lambda key: _draw_alike(key, lengths_2, length, config.vocab_size)
    else:
      draw = lambda key: _draw(key, length, length, config.vocab_size)
    return jax.vmap(draw)(keys)

  return Task(
    symbols=tuple(str(i) for i in range(10))
    + SYMBOLS
    + tuple(f"i{i}" for i in range(config.vocab_size)),
    pad=_PAD,
    end=_END,
    shortest_example=6 * config.min_train_length + 10,
    longest_example=6 * config.max_train_length + 10,
    sample=sample,
    evaluation=evaluation,
    solve=solve,
    error_kind=errors.of_addition(_END),
  )


def solve(prompt: Sequence[str]) -> list[str]:
  """`S i0 0 i1 7 + i0 0 i1 5 =` -> `i1 2 i0 1 E`, as lists of symbols."""
  plus = list(prompt).index("+")
  hints = prompt[1:plus:2]
  left = int("".join(prompt[2:plus:2]))
  right = int("".join(prompt[plus + 2 : -1 : 2]))
  digits = str(left + right).zfill(len(hints))
  answer = []
  for hint, digit in zip(reversed(hints), reversed(digits), strict=True):
    answer += [hint, digit]
  return answer + ["E"]


def _draw(
  key: Array, length: Array | int, max_length: int, num_hints: int
) -> Example:
  """Draws an example of `length` digits, padded as one of `max_length`."""
  digits_key, lead_key, coin_key, hint_key = jax.random.split(key, 4)
  # Column i holds the digits of weight 10^i; those from `length` on are zero.
  weight_1N = jnp.arange(max_length + 1)[None, :]
  digits_2N = jax.random.randint(digits_key, (2, max_length + 1), 0, 10)
  lead = jax.random.randint(lead_key, (), 1, 10)
  longer = jax.random.bernoulli(coin_key).astype(jnp.int32)
  is_lead_2N = (weight_1N == length - 1) & (jnp.arange(2)[:, None] == longer)
  digits_2N = jnp.where(is_lead_2N, lead, digits_2N)
  digits_2N = jnp.where(weight_1N < length, digits_2N, 0)
  return _write_sum(digits_2N, length, hint_key, num_hints)


def _draw_alike(
  key: Array, lengths_2: Array, max_length: int, num_hints: int
) -> Example:
  """Draws an example with `lengths_2` digits, leading zeros allowed."""
  digits_key, hint_key = jax.random.split(key)
  weight_1N = jnp.arange(max_length + 1)[None, :]
  digits_2N = jax.random.randint(digits_key, (2, max_length + 1), 0, 10)
  digits_2N = jnp.where(weight_1N < lengths_2[:, None], digits_2N, 0)
  return _write_sum(digits_2N, lengths_2.max(), hint_key, num_hints)


def _write_sum(
  digits_2N: Array, length: Array | int, hint_key: Array, num_hints: int
) -> Example:
  """Adds two numbers and writes the example, with a random slice of hints."""
  total_N = digits_2N.sum(axis=0)
  # A column whose digits add up to 9 passes on the carry that it gets. Any
  # other decides its carry alone. So each carry is that of the last column so
  # far that decides.
  weight_N = jnp.arange(total_N.shape[0])
  decided_N = jnp.where(total_N == 9, 0, 2 * weight_N + (total_N > 9))
  carry_N = jax.lax.cummax(decided_N) % 2
  sum_N = (total_N + jnp.roll(carry_N.at[-1].set(0), 1)) % 10
  first_hint = jax.random.randint(hint_key, (), 0, num_hints - length)
  length = jnp.asarray(length)
  return _write(digits_2N[0], digits_2N[1], sum_N, length, first_hint)


def _write(
  left_N: Array, right_N: Array, sum_N: Array, length: Array, first_hint: Array
) -> Example:
  """Lays out the example; digits are given least significant first."""
  width = length + 1  # digits of each number as written
  part = 2 * width  # tokens of each number, hints included
  position_L = jnp.arange(6 * (left_N.shape[0]) + 4)
  # Three parts of equal size, each after one symbol, then E. They are told
  # apart without a division, which takes a TPU's compiler most of a minute.
  is_right_L = position_L > part + 1
  is_answer_L = position_L > 2 * (part + 1)
  part_L = is_right_L.astype(jnp.int32) + is_answer_L
  inside_L = position_L - 1 - part_L * (part + 1)
  column_L = inside_L // 2  # from the left as written
  weight_L = jnp.where(is_answer_L, column_L, width - 1 - column_L)
  weight_L = jnp.clip(weight_L, 0, left_N.shape[0] - 1)
  # Compares with every column, because a TPU gathers slowly.
  part_L1 = part_L[:, None]
  digit_LN = jnp.where(part_L1 == 1, right_N[None, :], sum_N[None, :])
  digit_LN = jnp.where(part_L1 == 0, left_N[None, :], digit_LN)
  is_column_LN = weight_L[:, None] == jnp.arange(left_N.shape[0])[None, :]
  digit_L = jnp.sum(jnp.where(is_column_LN, digit_LN, 0), axis=1)
  hint_L = _FIRST_HINT + first_hint + width - 1 - weight_L
  symbol_L = jnp.where(part_L == 1, _EQUALS, _END)
  symbol_L = jnp.where(part_L == 0, _PLUS, symbol_L)
  total = 3 * part + 4
  tokens_L = jnp.where(inside_L % 2 == 0, hint_L, digit_L)
  tokens_L = jnp.where(inside_L == part, symbol_L, tokens_L)
  tokens_L = jnp.where(position_L >= total, _PAD, tokens_L)
  tokens_L = jnp.where(position_L == 0, _BEGIN, tokens_L).astype(jnp.int32)
  is_answer_L = is_answer_L & (position_L < total)
  return Example(tokens_L, is_answer_L, jnp.asarray(total, jnp.int32))
