import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emergence import config as config_lib
from emergence.config import TaskConfig, override
from emergence.population import compilation
from emergence.tasks import make_task
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
    _, correct_BL = score_tokens(params, arch, items.tokens_L)
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
    correct_BL = jnp.ones_like(tokens_BL[:, 1:], bool).at[:, params].set(False)
    return jnp.zeros_like(tokens_BL[:, 1:], jnp.float32), correct_BL

  monkeypatch.setattr(evaluate, "score_tokens", wrong_at)
  # Entry 7 is about token 8, the end symbol of `$ a b > a . . . .`.
  end, last = (score(position, task, None, (4,)) for position in (7, 6))
  assert end.exact_match.tolist() == [name == "null"]
  assert end.exact_match_without_end.tolist() == [1]
  assert last.exact_match_without_end.tolist() == [0]


def test_all_right_is_one_whatever_the_numbers(monkeypatch):
  """1 / 41 and 1 / 61, as single precision has them, fall short of one."""
  task = make_task(
    TaskConfig(
      max_train_length=4, test_lengths=(40, 60), vocab_size=100
    )  # 61 items of 41 answer tokens, and 41 items of 61.
  )
  assert task.evaluation(40).tokens_L.shape[0] == 61

  def never_wrong(params, arch, tokens_BL):
    shape = tokens_BL[:, 1:].shape
    # Depends on data, or the compiler would divide by itself, and rightly.
    return jnp.full(shape, params), jnp.full(shape, params < 0)

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
    rows = []
    for tokens, is_answer, logits in zip(
      np.asarray(items.tokens_L), np.asarray(items.is_answer_L), logits_BLV
    ):
      log_probs, hits = [], []
      for i in np.flatnonzero(is_answer):
        z = logits[i - 1]
        log_probs.append(z[tokens[i]] - np.log(np.exp(z).sum()))
        hits.append(z.argmax() == tokens[i])
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
      [float(score[p]) for score in scores], np.mean(rows, axis=0), rtol=1e-4
    )


def test_a_length_scores_the_same_beside_other_lengths(trained):
  _, task, arch, params = trained
  together = score(params, task, arch, (1, 2))
  alone = score(params, task, arch, (1,))
  for a, b in zip(together, alone):
    np.testing.assert_allclose(a[0], b[0], rtol=1e-5)


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
