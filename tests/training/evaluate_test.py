import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emergence import config as config_lib
from emergence.config import TaskConfig, override
from emergence.population import compilation
from emergence.tasks import make_task
from emergence.tasks.errors import KINDS
from emergence.training import evaluate, model, train
from tests.sweeps import make_drawing_train

TASKS = {
  "count": ["train.steps=150", "train.batch_size=8"],
  "reverse_addition": [
    "task.name=reverse_addition",
    "task.max_train_length=2",
    "task.test_lengths=[1,2]",
    "task.vocab_size=5",
    "task.context_length=28",
    "train.steps=600",
    "train.batch_size=16",
  ],
}


@pytest.fixture(scope="module", params=sorted(TASKS))
def trained(request, tiny):
  """A model in the middle of training, so that it gets some items right."""
  config = override(tiny, [*TASKS[request.param], "train.learning_rate=0.01"])
  task = make_task(config.task, items=24)
  arch = compilation.make_setup(config, config_lib.cells(config)[0]).arch
  init_state, train_step = make_drawing_train(config, arch)
  steps = config.train.steps
  state, _ = jax.jit(
    lambda s: jax.lax.scan(lambda s, _: train_step(s), s, None, length=steps)
  )(init_state(*train.seed_keys(0, 0, 0)))
  return config, task, arch, state.params


def plain_kind(name, task, tokens, is_answer, place, predicted):
  """The kind of an error, on symbols."""
  symbols = [task.symbols[t] for t in tokens]
  right, found = symbols[place], task.symbols[predicted]
  answer = [s for s, inside in zip(symbols, is_answer) if inside]
  start = int(np.flatnonzero(is_answer)[0])
  step = 2 if name == "reverse_addition" else 1
  if name == "reverse_addition" and right.isdigit() and found.isdigit():
    off = abs(int(right) - int(found))
    return "wrong_carry" if off in (1, 9) else "other_error"
  if found in (".", "E"):
    return "stops_early"
  if right in (".", "E"):
    return "runs_on"
  if place - step >= start and found == symbols[place - step]:
    return "repeats"
  return (
    "skips" if found in answer[place - start + step :][:1] else "other_error"
  )


apply = jax.jit(model.apply, static_argnums=1)
score_tokens = jax.jit(evaluate.score_tokens, static_argnums=1)


def score(params, task, arch, lengths):
  return jax.jit(evaluate.make_evaluate(task, arch, lengths))(params)


def greedy_answers(params, arch, prompts_BL, num_tokens):
  """Decodes token by token, each one fed back, without any answer in sight."""
  first = prompts_BL.shape[1]
  tokens_BL = np.pad(prompts_BL, ((0, 0), (0, num_tokens)))
  for position in range(first, first + num_tokens):
    logits_BLV = np.asarray(apply(params, arch, tokens_BL))
    tokens_BL[:, position] = logits_BLV[:, position - 1].argmax(axis=-1)
  return tokens_BL[:, first:].tolist()


def test_exact_match_equals_greedy_decoding(trained):
  config, task, arch, params = trained
  scores = score(params, task, arch, config.task.test_lengths)
  shares = []
  for p, length in enumerate(config.task.test_lengths):
    items = task.evaluation(length)
    tokens_BL = np.asarray(items.tokens_L)
    # All items of one length have a prompt and an answer of the same size.
    num_answer = int(items.is_answer_L[0].sum())
    prompts_BL = tokens_BL[:, : tokens_BL.shape[1] - num_answer]
    assert not np.asarray(items.is_answer_L)[:, : prompts_BL.shape[1]].any()
    _, predicted_BL = score_tokens(params, arch, items.tokens_L)
    correct_BL = predicted_BL == items.tokens_L[:, 1:]
    forced_BL = np.asarray(correct_BL)[:, -num_answer:]
    answers = greedy_answers(params, arch, prompts_BL, num_answer)
    right = 0
    for prompt, answer, forced_L in zip(
      prompts_BL, answers, forced_BL, strict=True
    ):
      solved = task.solve([task.symbols[t] for t in prompt])
      hits = [task.symbols[t] == s for t, s in zip(answer, solved, strict=True)]
      right += all(hits)
      # Up to the first wrong token the two see the same input.
      same = hits.index(False) + 1 if False in hits else len(hits)
      assert hits[:same] == forced_L[:same].tolist()
    shares.append(right / len(tokens_BL))
    assert float(scores.exact_match[p]) == pytest.approx(shares[-1])
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
      max_train_length=4, test_lengths=(40, 60), vocab_size=100
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
  scores = score(jnp.float32(-0.5), task, None, (40, 60))
  assert scores.exact_match.tolist() == [1, 1]
  assert scores.token_accuracy.tolist() == [1, 1]
  np.testing.assert_allclose(scores.nll_sum, [0.5 * 41, 0.5 * 61], rtol=1e-6)


def test_scores_are_those_of_a_plain_loop(trained):
  config, task, arch, params = trained
  lengths = config.task.test_lengths
  scores = score(params, task, arch, lengths)
  for p, length in enumerate(lengths):
    items = task.evaluation(length)
    logits_BLV = np.asarray(apply(params, arch, items.tokens_L), np.float64)
    rows, kinds = [], collections.Counter()
    for tokens, is_answer, logits in zip(
      np.asarray(items.tokens_L), np.asarray(items.is_answer_L), logits_BLV
    ):
      log_probs, hits, wrong = [], [], []
      for i in np.flatnonzero(is_answer):
        z = logits[i - 1]
        log_probs.append(z[tokens[i]] - np.log(np.exp(z).sum()))
        hits.append(z.argmax() == tokens[i])
        wrong += [] if hits[-1] else [(i, z.argmax())]
      if wrong:
        kinds[
          plain_kind(config.task.name, task, tokens, is_answer, *wrong[0])
        ] += 1
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


def test_a_length_scores_the_same_beside_other_lengths(trained):
  _, task, arch, params = trained
  together = score(params, task, arch, (1, 2))
  alone = score(params, task, arch, (1,))
  for a, b in zip(together, alone):
    np.testing.assert_allclose(a[0], b[0], rtol=1e-5)


def test_the_training_distribution_is_a_test_set_of_its_own(trained):
  config, task, arch, params = trained
  config = override(config, ["eval.train_distribution_items=300"])
  items = train.train_distribution(config, task)
  assert len(items.length) == 300
  evaluated = jax.jit(evaluate.make_evaluate(task, arch, (1,), items))(params)
  alone = score(params, task, arch, (1,))
  for both, one in zip(evaluated, alone):
    np.testing.assert_allclose(both[:1], one, rtol=1e-5)
  # The mean over items of what training minimizes, one item at a time.
  one_by_one = jax.vmap(
    lambda item: train.answer_loss(
      params, arch, jax.tree.map(lambda x: x[None], item)
    )
  )
  losses = jax.jit(one_by_one)(items)
  np.testing.assert_allclose(evaluated.nll_mean[1], losses.mean(), rtol=1e-5)
  # As training draws them, by the root seed alone.
  assert len({tuple(x) for x in np.asarray(items.tokens_L).tolist()}) > 30
  other = train.train_distribution(override(config, ["root_seed=1"]), task)
  assert not np.array_equal(other.tokens_L, items.tokens_L)


def test_parameters_that_are_not_finite_get_nothing_right():
  task = make_task(
    TaskConfig(max_train_length=4, test_lengths=(4,), vocab_size=8)
  )
  arch = model.Architecture(
    config_lib.ModelConfig(head_dim=4), 8, 1, len(task.symbols)
  )
  params = jax.tree.map(
    lambda x: jnp.full_like(x, jnp.nan), model.init(jax.random.key(0), arch)
  )
  scores = score(params, task, arch, (4,))
  assert scores.exact_match.tolist() == [0.0]
  assert scores.token_accuracy.tolist() == [0.0]
  assert np.isnan(scores.nll_mean).all()
  assert np.isnan(scores.min_token_log_prob).all()
