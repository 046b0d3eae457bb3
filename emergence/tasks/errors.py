"""Kinds of errors, each decided by the first wrong token of an answer.

| kind | what is predicted at the first wrong place |
|---|---|
| stops_early | the end symbol |
| runs_on | another token where the end symbol is due |
| repeats | the preceding token of the answer |
| skips | the following token of the answer |
| wrong_carry | in an addition, a digit that is off by one (mod 10) |
| other_error | anything else |

The kinds are tried in this order and the first that fits counts, so each wrong
answer has one kind. In an addition, a wrong digit in the place of a digit can
only be `wrong_carry` or `other_error`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Array = jax.Array

KINDS = (
  "stops_early",
  "runs_on",
  "repeats",
  "skips",
  "wrong_carry",
  "other_error",
)
_STOPS_EARLY, _RUNS_ON, _REPEATS, _SKIPS, _WRONG_CARRY, _OTHER = range(6)

# tokens_L, is_answer_L, the place of the first wrong token, and what is
# predicted there -> an index into KINDS.
ErrorKind = Callable[[Array, Array, Array, Array], Array]


def of_list(end: int, stride: int = 1) -> ErrorKind:
  """Builds the `ErrorKind` for answers that are lists of tokens.

  Args:
    end: id of the end symbol.
    stride: positions from one token of the list to the next.
  """

  def kind(
    tokens_L: Array, is_answer_L: Array, place: Array, predicted: Array
  ) -> Array:
    def is_token_at(place: Array) -> Array:
      is_there = is_answer_L[place] & (place < tokens_L.shape[0])
      return is_there & (tokens_L[place] == predicted)

    return jnp.select(
      [
        predicted == end,
        tokens_L[place] == end,
        is_token_at(place - stride),
        is_token_at(place + stride),
      ],
      [_STOPS_EARLY, _RUNS_ON, _REPEATS, _SKIPS],
      _OTHER,
    )

  return kind


def of_addition(end: int) -> ErrorKind:
  """Builds the `ErrorKind` for answers `hint digit hint digit … end`, where ids
  below 10 are digits."""
  of_hints = of_list(end, stride=2)

  def kind(
    tokens_L: Array, is_answer_L: Array, place: Array, predicted: Array
  ) -> Array:
    target = tokens_L[place]
    are_digits = (target < 10) & (predicted >= 0) & (predicted < 10)
    distance = (predicted - target) % 10
    is_carry = (distance == 1) | (distance == 9)
    return jnp.where(
      are_digits,
      jnp.where(is_carry, _WRONG_CARRY, _OTHER),
      of_hints(tokens_L, is_answer_L, place, predicted),
    )

  return kind
