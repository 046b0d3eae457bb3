import functools
import hashlib

import jax
import numpy as np
import pytest

from emergence import tasks
from emergence.config import Config, EvalConfig, TaskConfig
from emergence.tasks import Example, make_task, sample_contexts
from emergence.training import train

CONFIGS = {
  **{
    name: TaskConfig(
      name=name, max_train_length=6, test_lengths=(6, 9), vocab_size=12
    )
    for name in ("count", "null", "copy", "sort", "mode")
  },
  "parity": TaskConfig(
    name="parity", max_train_length=6, test_lengths=(6, 9), vocab_size=2
  ),
  "reverse_addition": TaskConfig(
    name="reverse_addition",
    max_train_length=4,
    test_lengths=(4, 6),
    vocab_size=9,
    context_length=96,
  ),
}


def test_every_registered_task_is_tested_here():
  assert set(CONFIGS) == set(tasks.TASKS)


@functools.cache
def sampler(config, packed, num):
  """Samples contexts of one config in one compiled program."""
  task = make_task(config)
  return jax.jit(
    lambda key: sample_contexts(task, key, num, config.context_length, packed)
  )


def contexts(config, packed, num=200, seed=0) -> Example:
  sample = sampler(config, packed, num)
  return jax.tree.map(np.asarray, sample(jax.random.key(seed)))


def split_examples(task, tokens_L) -> list[list[int]]:
  """Cuts a context at each begin symbol, in plain Python."""
  begin = int(tokens_L[0])
  pieces: list[list[int]] = []
  for token in tokens_L.tolist():
    if token == begin:
      pieces.append([])
    if token != task.pad:
      pieces[-1].append(token)
  return pieces


@pytest.mark.parametrize("name", ["count", "null", "reverse_addition"])
def test_packed_contexts_are_full_and_only_a_cut_example_goes_unscored(name):
  config = CONFIGS[name]
  task = make_task(config)
  batch = contexts(config, packed=True)
  num_cut = 0
  for tokens_L, is_answer_L in zip(*batch[:2]):
    assert task.pad not in tokens_L
    position = 0
    for piece in split_examples(task, tokens_L):
      scored = is_answer_L[position : position + len(piece)]
      position += len(piece)
      is_last = position == config.context_length
      end = task.symbols.index("E" if "E" in task.symbols else ".")
      if is_last and piece[-1] != end:
        assert not scored.any()
        num_cut += 1
      else:
        symbols = task.render(piece).split()
        prompt_end = "=" if "=" in symbols else ">"
        prompt = symbols[: symbols.index(prompt_end) + 1]
        answer = task.solve(prompt)
        if answer is None:  # Nothing to know; the end symbol has no score.
          scored, num_answer = scored[:-1], len(symbols) - len(prompt) - 1
        else:
          assert symbols == prompt + answer
          num_answer = len(answer)
        assert scored.tolist() == [False] * len(prompt) + [True] * num_answer
    assert position == config.context_length
  assert 0 < num_cut <= len(batch.tokens_L)


def test_a_context_without_packing_holds_one_padded_example():
  config = CONFIGS["reverse_addition"]
  task = make_task(config)
  batch = contexts(config, packed=False)
  for tokens_L, is_answer_L, length in zip(*batch):
    (piece,) = split_examples(task, tokens_L)
    assert len(piece) == length
    assert (tokens_L[length:] == task.pad).all()
    assert not is_answer_L[length:].any()
    assert is_answer_L.any()


def test_a_context_that_the_last_example_fills_exactly_scores_it():
  config = TaskConfig(
    min_train_length=3,
    max_train_length=3,
    test_lengths=(3,),
    vocab_size=9,
    context_length=16,
  )
  batch = contexts(config, packed=True, num=4)
  assert (batch.is_answer_L.sum(axis=1) == 8).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_data_is_keyed_and_evaluation_sets_are_fixed(name):
  config = CONFIGS[name]
  one, other = (contexts(config, True, seed=seed) for seed in (1, 2))
  assert not np.array_equal(one.tokens_L, other.tokens_L)
  length = config.test_lengths[0]
  left, right = (make_task(config, 16).evaluation(length) for _ in range(2))
  assert np.array_equal(left.tokens_L, right.tokens_L)
  assert np.array_equal(left.is_answer_L, right.is_answer_L)


# Records of different versions are comparable as long as these stay the same.
DIGESTS = {
  "count": ("b16bf99f5bb5", "327000f7ff48"),
  "null": ("213f6e316a6d", "4c3a9fbb2efb"),
  "copy": ("e6ce0db0af92", "fc1d9eb58aa7"),
  "sort": ("19a974a4246c", "3a7ee0c36991"),
  "mode": ("44a21e895e6b", "564fefbadf2c"),
  "parity": ("33cac1ee1727", "b8ebf748abd8"),
  "reverse_addition": ("e880a42b3cec", "b86271776c8a"),
}


def digest(items) -> str:
  tokens = np.asarray(items.tokens_L).astype("<i4")
  return hashlib.sha256(tokens.tobytes()).hexdigest()[:12]


@pytest.mark.parametrize("name", CONFIGS)
def test_test_items_are_those_of_earlier_versions(name):
  config = Config(CONFIGS[name], eval=EvalConfig(train_distribution_items=16))
  task = make_task(config.task, items=16)
  tested = task.evaluation(config.task.test_lengths[0])
  trained = train.train_distribution(config, task)
  found = digest(tested), digest(trained)
  assert found == DIGESTS.get(name), f"new tasks need DIGESTS[{name!r}]"


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"name": "cuont"}, "did you mean count"),
    ({"vocab_size": 5}, "vocab_size must be at least 20"),
    ({"context_length": 14}, "context_length must be at least 15"),
    ({"name": "parity"}, "vocab_size must be 2"),
  ],
)
def test_sizes_that_do_not_fit_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    make_task(TaskConfig(**changes))
