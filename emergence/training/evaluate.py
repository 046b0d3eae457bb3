"""Evaluation of one seed on every test set, in one call."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from emergence.tasks import Example, Task, errors
from emergence.training import model
from emergence.training.model import Architecture, Params

Array = jax.Array

# Items scored at once. All together need more memory than a training step.
_ITEMS_ON_A_TPU = 128
# Sets are scored together if all have this share of the longest one's length.
_LEAST_FILLED = 0.6


class Scores(NamedTuple):
  """Scores and errors of one seed on P test sets, float32 [P] each.

  Attributes:
    exact_match: share of items in which every answer token, end symbol
      included, is the argmax given the right tokens before it. Greedy decoding
      gives the same share: it differs only after a first wrong token.
    exact_match_without_end: the same, but the end symbol may be wrong, as in
      the code of the paper's first author.
    token_accuracy: share of answer tokens that are the argmax.
    nll_mean: negative log-likelihood per answer token, in nats, averaged over
      the tokens of an item, then over items.
    nll_sum: negative log-likelihood of the whole answer, in nats, averaged
      over items.
    min_token_log_prob: log-probability, in nats, of the least likely answer
      token of an item, averaged over items.
    stops_early, runs_on, repeats, skips, wrong_carry, other_error: number of
      items with this kind of error, see `emergence.tasks.errors`. Their sum is
      the number of items without an exact match.
  """

  exact_match: Array
  exact_match_without_end: Array
  token_accuracy: Array
  nll_mean: Array
  nll_sum: Array
  min_token_log_prob: Array
  stops_early: Array
  runs_on: Array
  repeats: Array
  skips: Array
  wrong_carry: Array
  other_error: Array


def make_evaluate(
  task: Task,
  arch: Architecture,
  test_lengths: tuple[int, ...],
  train_distribution: Example | None = None,
) -> Callable[[Params], Scores]:
  """Builds the pure function that scores one seed's parameters.

  A token of non-finite probability counts as wrong, so that a diverged seed
  scores 0 in accuracy and NaN in likelihood.

  Args:
    task: the task; its evaluation sets become constants of the function.
    arch: the architecture of the cell.
    test_lengths: the lengths to test, one test set per length.
    train_distribution: items drawn as in training; if given, they are the last
      test set.

  Returns:
    evaluate(params) -> Scores.
  """
  # Stacked in numpy, which compiles nothing.
  sets = [jax.device_get(task.evaluation(length)) for length in test_lengths]
  if train_distribution is not None:
    sets.append(jax.device_get(train_distribution))
  groups = [
    (
      group,
      np.cumsum([len(sets[p].tokens_L) for p in group])[:-1].tolist(),
      _stack([sets[p].tokens_L for p in group], task.pad),
      _stack([sets[p].is_answer_L for p in group], False),
    )
    for group in _of_like_length([items.tokens_L.shape[1] for items in sets])
  ]

  def evaluate(params: Params) -> Scores:
    scores: dict[int, dict[str, Array]] = {}
    for group, bounds, tokens_BL, is_answer_BL in groups:
      x_B = _score_items(params, task, arch, tokens_BL, is_answer_BL)
      parts = {name: jnp.split(x, bounds) for name, x in x_B.items()}
      for i, p in enumerate(group):
        scores[p] = {
          name: (jnp.sum if name in errors.KINDS else _mean)(parts[name][i])
          for name in x_B
        }
    return Scores(
      **{
        name: jnp.stack([scores[p][name] for p in range(len(sets))])
        for name in Scores._fields
      }
    )

  return evaluate


def _of_like_length(lengths: Sequence[int]) -> list[list[int]]:
  """Groups test sets of similar length, to be padded and scored together."""
  # Scoring each set alone would be the least work, but the longest to compile.
  groups: list[list[int]] = []
  for p in sorted(range(len(lengths)), key=lambda p: -lengths[p]):
    if not groups or lengths[p] < _LEAST_FILLED * lengths[groups[-1][0]]:
      groups.append([])
    groups[-1].append(p)
  return groups


def _score_items(
  params: Params,
  task: Task,
  arch: Architecture,
  tokens_BL: Array,
  is_answer_BL: Array,
) -> dict[str, Array]:
  """Returns each item's scores and, as 0 or 1, its kind of error, [B] each."""
  log_prob_BL, predicted_BL = score_tokens(params, arch, tokens_BL)
  correct_BL = predicted_BL == tokens_BL[:, 1:]
  counts_BL = is_answer_BL[:, 1:]
  num_B = counts_BL.sum(axis=1)
  nll_B = -jnp.where(counts_BL, log_prob_BL, 0.0).sum(axis=1)
  passes_BL = correct_BL | ~counts_BL
  all_right_B = jnp.all(passes_BL, axis=1)
  is_end_BL = tokens_BL[:, 1:] == task.end
  accuracy_B = (correct_BL & counts_BL).sum(axis=1) / num_B
  first_B = jnp.argmin(passes_BL, axis=1)
  predicted_B = jnp.take_along_axis(predicted_BL, first_B[:, None], axis=1)
  kind_B = jax.vmap(task.error_kind)(
    tokens_BL, is_answer_BL, first_B + 1, predicted_B[:, 0]
  )
  kind_B = jnp.where(all_right_B, -1, kind_B)
  return {
    "exact_match": all_right_B,
    "exact_match_without_end": jnp.all(passes_BL | is_end_BL, axis=1),
    # XLA divides by 41 as × 1 / 41, so 41 right tokens of 41 give 0.99999994.
    "token_accuracy": jnp.where(all_right_B, 1.0, accuracy_B),
    "nll_mean": nll_B / num_B,
    "nll_sum": nll_B,
    "min_token_log_prob": jnp.where(counts_BL, log_prob_BL, jnp.inf).min(
      axis=1
    ),
    **{
      kind: (kind_B == i).astype(jnp.float32)
      for i, kind in enumerate(errors.KINDS)
    },
  }


def score_tokens(
  params: Params, arch: Architecture, tokens_BL: Array
) -> tuple[Array, Array]:
  """Computes the log-probability of each next token, and the predicted token.

  Returns:
    Log-probabilities, float32 [B, L−1] in nats, and argmax, int32 [B, L−1].
    Entry l is about token l + 1. The argmax is −1 where the log-probability is
    not finite.
  """
  B, L = tokens_BL.shape
  if arch.platform == "tpu" and B > _ITEMS_ON_A_TPU:
    # Padded, because a smaller last part would be compiled on its own.
    padded = jnp.pad(tokens_BL, ((0, -B % _ITEMS_ON_A_TPU), (0, 0)))
    log_prob, predicted = jax.lax.map(
      lambda part_BL: score_tokens(params, arch, part_BL),
      padded.reshape(-1, _ITEMS_ON_A_TPU, L),
    )
    return log_prob.reshape(-1, L - 1)[:B], predicted.reshape(-1, L - 1)[:B]
  logits_BLV = model.apply(params, arch, tokens_BL[:, :-1])
  target_BL = tokens_BL[:, 1:]
  log_probs_BLV = jax.nn.log_softmax(logits_BLV)
  log_prob_BL = jnp.take_along_axis(
    log_probs_BLV, target_BL[..., None], axis=-1
  )[..., 0]
  predicted_BL = jnp.argmax(logits_BLV, axis=-1)
  return log_prob_BL, jnp.where(jnp.isfinite(log_prob_BL), predicted_BL, -1)


def _stack(arrays: Sequence[np.ndarray], fill: int | bool) -> Array:
  longest = max(x_BL.shape[1] for x_BL in arrays)
  padded = [
    np.pad(x_BL, ((0, 0), (0, longest - x_BL.shape[1])), constant_values=fill)
    for x_BL in arrays
  ]
  return jnp.asarray(np.concatenate(padded))


def _mean(x_B: Array) -> Array:
  # As for `token_accuracy`, the mean of ones could be below 1.
  return jnp.where((x_B == 1).all(), 1.0, x_B.astype(jnp.float32).mean())
