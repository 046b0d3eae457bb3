import collections
import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from emergence import config as config_lib
from emergence.config import TaskConfig, override
from emergence.population import compilation
from emergence.tasks import Example, Task, make_task
from emergence.tasks.errors import KINDS
from emergence.training import evaluate, model, train

apply = jax.jit(model.apply, static_argnums=1)


class Trained(NamedTuple):
  """A model that has learned some of the items of its test sets.

  Attributes:
    items: of all test lengths, one after another, padded to one length.
    of_length: the indices of each test length's items.
    evaluate: compiled, for the test lengths.
  """

  config: config_lib.Config
  task: Task
  arch: model.Architecture
  params: model.Params
  items: Example
  of_length: list[np.ndarray]
  evaluate: Callable[[model.Params], evaluate.Scores]


def padded(task, length) -> Example:
  """The test set of a length, padded to 22 tokens."""
  items = jax.device_get(task.evaluation(length))
  more = ((0, 0), (0, 22 - items.tokens_L.shape[1]))
  return items._replace(
    tokens_L=np.pad(items.tokens_L, more, constant_values=task.pad),
    is_answer_L=np.pad(items.is_answer_L, more),
  )


@pytest.fixture(scope="module")
def trained(tiny) -> Trained:
  lengths, rng = tiny.task.test_lengths, np.random.default_rng(0)
  task = make_task(tiny.task)
  arch = compilation.make_setup(tiny, config_lib.cells(tiny)[0]).arch
  sets = {n: padded(task, n) for n in lengths}
  items = jax.tree.map(lambda *x: np.concatenate(x), *sets.values())
  some = jax.tree.map(lambda x: jnp.asarray(x[::3]), items)
  optimizer = optax.adam(0.02)

  def step(carry, _):
    params, state = carry
    gradient = jax.grad(train.answer_loss)(params, arch, some)
    changes, state = optimizer.update(gradient, state)
    return (optax.apply_updates(params, changes), state), None

  @jax.jit
  def learn(params):
    carry = params, optimizer.init(params)
    return jax.lax.scan(step, carry, None, length=60)[0][0]

  params = jax.tree.map(
    lambda x: rng.normal(x.ndim == 1, 0.2, x.shape).astype(np.float32),
    jax.eval_shape(lambda: model.init(jax.random.key(0), arch)),
  )
  sizes = [len(x.length) for x in sets.values()]
  task = task._replace(evaluation=sets.__getitem__)
  return Trained(
    *(tiny, task, arch, learn(params), items),
    np.split(np.arange(sum(sizes)), sizes[:1]),
    jax.jit(evaluate.make_evaluate(task, arch, lengths)),
  )


def score(params, task, arch, lengths):
  return jax.jit(evaluate.make_evaluate(task, arch, lengths))(params)


def test_exact_match_equals_greedy_decoding(trained):
  """Token by token, each one fed back, without any right answer in sight."""
  tokens_BL, is_answer_BL, _ = trained.items
  decoded_BL = np.where(is_answer_BL, 0, tokens_BL)
  for l in range(1, decoded_BL.shape[1]):
    logits_BLV = np.asarray(apply(trained.params, trained.arch, decoded_BL))
    fed_back_B = np.where(
      is_answer_BL[:, l], logits_BLV[:, l - 1].argmax(axis=-1), decoded_BL[:, l]
    )
    decoded_BL[:, l] = fed_back_B
  symbols, right = trained.task.symbols, []
  for tokens, is_answer in zip(decoded_BL, is_answer_BL, strict=True):
    prompt_end = int(np.flatnonzero(is_answer)[0])
    solved = trained.task.solve([symbols[t] for t in tokens[:prompt_end]])
    right.append([symbols[t] for t in tokens[is_answer]] == solved)
  shares = [np.mean(np.array(right)[rows]) for rows in trained.of_length]
  found = trained.evaluate(trained.params).exact_match
  np.testing.assert_allclose(found, shares, rtol=1e-6)
  # Neither all wrong nor all right, or the comparison would be empty.
  assert max(shares) > 0
  assert min(shares) < 1


@pytest.mark.parametrize("name", ["count", "null"])
def test_only_the_end_symbol_may_be_wrong_without_it(monkeypatch, name):
  """Of `null` the end symbol is no part of the answer."""
  task = make_task(
    TaskConfig(name=name, max_train_length=4, test_lengths=(4,), vocab_size=8)
  )

  def wrong_at(params, arch, tokens_BL):
    predicted_BL = tokens_BL[:, 1:].at[:, params].set(0)
    return jnp.zeros_like(predicted_BL, jnp.float32), predicted_BL

  monkeypatch.setattr(evaluate, "score_tokens", wrong_at)
  # Entry 7 is about token 8, the end symbol of `$ a b > a . . . .`.
  end, last = (score(position, task, None, (4,)) for position in (7, 6))
  assert end.exact_match.tolist() == [name == "null"]
  assert end.exact_match_without_end.tolist() == [1]
  assert last.exact_match_without_end.tolist() == [0]
  if name == "count":  # One of the 5 items ends in 7: 0 is never due.
    assert end.runs_on.tolist() == [5]
    assert last.runs_on.tolist() == [0]
    assert sum(float(last._asdict()[kind][0]) for kind in KINDS) == 5


def test_all_right_is_one_whatever_the_numbers(monkeypatch):
  """1 / 41 and 1 / 61, as single precision has them, fall short of one."""
  task = make_task(
    TaskConfig(
      max_train_length=4, test_lengths=(20, 40, 60), vocab_size=100
    )  # 61 items of 41 answer tokens, and 41 items of 61.
  )
  assert task.evaluation(40).tokens_L.shape[0] == 61

  def never_wrong(params, arch, tokens_BL):
    target_BL = tokens_BL[:, 1:]
    # Depends on data, or the compiler would divide by itself, and rightly.
    return jnp.full(target_BL.shape, params), jnp.where(
      params < 0, target_BL, 0
    )

  monkeypatch.setattr(evaluate, "score_tokens", never_wrong)
  # Of unlike lengths, so that they are scored in two groups.
  scores = score(jnp.float32(-0.5), task, None, (20, 40, 60))
  assert scores.exact_match.tolist() == [1, 1, 1]
  assert scores.token_accuracy.tolist() == [1, 1, 1]
  np.testing.assert_allclose(scores.nll_sum, [10.5, 20.5, 30.5], rtol=1e-6)


def test_scores_are_those_of_a_plain_loop(trained):
  _, task, arch, params, items, of_length, _ = trained
  scores = trained.evaluate(params)
  logits_BLV = np.asarray(apply(params, arch, items.tokens_L), np.float64)
  kind_of = jax.jit(task.error_kind)
  for p, rows_B in enumerate(of_length):
    rows, kinds = [], collections.Counter()
    for row in rows_B:
      tokens, is_answer = items.tokens_L[row], items.is_answer_L[row]
      log_probs, hits, wrong = [], [], []
      for i in np.flatnonzero(is_answer):
        z = logits_BLV[row, i - 1]
        log_probs.append(z[tokens[i]] - np.log(np.exp(z).sum()))
        hits.append(z.argmax() == tokens[i])
        wrong += [] if hits[-1] else [(i, z.argmax())]
      if wrong:
        kinds[KINDS[int(kind_of(tokens, is_answer, *wrong[0]))]] += 1
      rows.append(
        (
          all(hits),
          all(hits[:-1]),
          np.mean(hits),
          -np.mean(log_probs),
          -np.sum(log_probs),
          min(log_probs),
        )
      )
    np.testing.assert_allclose(
      [float(score[p]) for score in scores[:6]],
      np.mean(rows, axis=0),
      rtol=1e-4,
    )
    assert dict(zip(KINDS, (int(num[p]) for num in scores[6:]))) == {
      kind: kinds[kind] for kind in KINDS
    }


def test_the_training_distribution_is_a_test_set_of_its_own(trained):
  config, task, arch, params, *_ = trained
  config = override(config, ["eval.train_distribution_items=300"])
  items = train.train_distribution(config, task)
  assert len(items.length) == 300
  length = config.task.test_lengths[0]
  evaluated = jax.jit(evaluate.make_evaluate(task, arch, (length,), items))
  scores = evaluated(params)
  # A test set has the same scores whatever is evaluated beside it.
  for found, other in zip(scores, trained.evaluate(params)):
    np.testing.assert_allclose(found[0], other[0], rtol=1e-5)
  # The mean over items of what training minimizes, one item at a time.
  one_by_one = jax.vmap(
    lambda item: train.answer_loss(
      params, arch, jax.tree.map(lambda x: x[None], item)
    )
  )
  losses = jax.jit(one_by_one)(items)
  np.testing.assert_allclose(scores.nll_mean[1], losses.mean(), rtol=1e-5)
  # As training draws them, by the root seed alone.
  assert len({tuple(x) for x in np.asarray(items.tokens_L).tolist()}) > 30
  other = train.train_distribution(override(config, ["root_seed=1"]), task)
  assert not np.array_equal(other.tokens_L, items.tokens_L)


def test_a_tpu_scores_the_same_a_few_items_at_a_time(trained, monkeypatch):
  monkeypatch.setattr(evaluate, "_ITEMS_ON_A_TPU", 3)
  arch = dataclasses.replace(trained.arch, platform="tpu")
  assert len(trained.items.length) % 3
  score = jax.jit(evaluate.score_tokens, static_argnums=1)
  found = score(trained.params, arch, trained.items.tokens_L)
  expected = score(trained.params, trained.arch, trained.items.tokens_L)
  np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(found[1], expected[1])
