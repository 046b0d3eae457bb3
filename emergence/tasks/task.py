"""The type of a task: a sampler, an evaluation set, a solver, a renderer."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from emergence.tasks.errors import ErrorKind

Array = jax.Array


class Example(NamedTuple):
  """One example, or a batch of them, padded at the end.

  Attributes:
    tokens_L: token ids, int32 [L] (with a batch [B, L]).
    is_answer_L: true for the tokens to predict, which are the answer and its
      end symbol, bool of the same shape.
    length: tokens before the padding, int32 [] (with a batch [B]).
  """

  tokens_L: Array
  is_answer_L: Array
  length: Array


class Task(NamedTuple):
  """A task with its sizes filled in. All functions are pure.

  Attributes:
    symbols: the text of each token id; its length is the model's vocabulary.
    pad: the id of the padding token.
    end: the id of the end symbol.
    shortest_example: number of tokens of the shortest training example.
    longest_example: number of tokens of the longest training example.
    sample: key -> one training `Example`, padded to `longest_example`.
    evaluation: test length -> fixed `Example` batch, the same for every seed.
    solve: the symbols of a prompt -> the symbols of its answer, in plain
      Python; it returns None if the targets are random.
    error_kind: classifies a wrong answer; see `emergence.tasks.errors`.
  """

  symbols: tuple[str, ...]
  pad: int
  end: int
  shortest_example: int
  longest_example: int
  sample: Callable[[Array], Example]
  evaluation: Callable[[int], Example]
  solve: Callable[[Sequence[str]], list[str] | None]
  error_kind: ErrorKind

  def render(self, tokens_L: Sequence[int]) -> str:
    """The symbols of token ids, for people; padding at the end is left out."""
    tokens = [int(token) for token in tokens_L]
    while tokens and tokens[-1] == self.pad:
      tokens.pop()
    return " ".join(self.symbols[token] for token in tokens)


def evaluation_key(seed: int, length: int) -> Array:
  """Builds the key of an evaluation set; the same under any default PRNG."""
  return jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), length)


def below(bits: Array, bound: Array | int) -> Array:
  """Maps 32 random bits to a number in 0..bound − 1.

  The distribution differs from uniform by at most bound / 2^32. That of
  `jax.random.randint` differs by less, but it calls the generator three times
  as often, which noticeably slows small models.

  Args:
    bits: uint32, any shape.
    bound: at least 1, of a shape that broadcasts.

  Returns:
    int32, of the broadcast shape.
  """
  return (bits % jnp.uint32(bound)).astype(jnp.int32)


def sample_contexts(
  task: Task, key: Array, batch_size: int, context_length: int, packed: bool
) -> Example:
  """Draws a batch of training contexts.

  Args:
    task: the task to draw examples of.
    key: typed PRNG key.
    batch_size: B, contexts.
    context_length: L, tokens of a context.
    packed: if true, put examples one after another until the context is full;
      an example that is cut off at the end has no answer tokens. If false, put
      one example into each context and pad it.

  Returns:
    An `Example` batch with tokens_BL.
  """
  num_examples = 1
  if packed:
    num_examples = -(-context_length // task.shortest_example)
  keys = jax.random.split(key, (batch_size, num_examples))
  examples = jax.vmap(jax.vmap(task.sample))(keys)
  pack = lambda example: _pack(example, context_length, task.pad)
  return jax.vmap(pack)(examples)


def _pack(examples: Example, context_length: int, pad: int) -> Example:
  """Lays N examples end to end into one context."""
  ends_N = jnp.cumsum(examples.length)
  starts_N = ends_N - examples.length
  position_L = jnp.arange(context_length)
  # Compares all pairs: a context holds few examples, and a search would cost
  # a loop on every backend.
  owner_L = jnp.sum(position_L[:, None] >= ends_N[None, :], axis=1)
  inside_L = owner_L < ends_N.shape[0]
  owner_L = jnp.minimum(owner_L, ends_N.shape[0] - 1)
  offset_L = jnp.where(inside_L, position_L - starts_N[owner_L], 0)
  whole_L = inside_L & (ends_N[owner_L] <= context_length)
  return Example(
    jnp.where(inside_L, examples.tokens_L[owner_L, offset_L], pad),
    examples.is_answer_L[owner_L, offset_L] & whole_L,
    jnp.minimum(ends_N[-1], context_length),
  )
