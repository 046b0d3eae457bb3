import functools

import jax
import numpy as np
from scipy import stats

from emergence.config import TaskConfig
from emergence.tasks import make_task

CONFIG = TaskConfig(
  min_train_length=1, max_train_length=6, test_lengths=(1, 9), vocab_size=9
)


@functools.cache
def samples():
  task = make_task(CONFIG)
  keys = jax.random.split(jax.random.key(0), 4000)
  return task, jax.tree.map(np.asarray, jax.jit(jax.vmap(task.sample))(keys))


def test_the_example_of_the_paper():
  task = make_task(TaskConfig(max_train_length=5, test_lengths=(5,)))
  assert task.render(task.evaluation(5).tokens_L[5]) == "$ 5 9 > 5 6 7 8 9 ."
  assert task.solve(["$", "5", "9", ">"]) == ["5", "6", "7", "8", "9", "."]


def test_thousands_of_samples_agree_with_the_solver():
  task, batch = samples()
  seen = set()
  for tokens_L, is_answer_L, length in zip(*batch):
    symbols = task.render(tokens_L).split()
    assert len(symbols) == length
    prompt = symbols[: symbols.index(">") + 1]
    assert symbols[len(prompt) :] == task.solve(prompt)
    assert is_answer_L.sum() == length - len(prompt)
    assert is_answer_L[len(prompt) : length].all()
    seen.add((int(prompt[1]), length - 5))
  # Every start of every length, the edges n = 1 and n = maximum included.
  assert seen == {(a, n) for n in range(1, 7) for a in range(9 - n + 1)}


def test_lengths_and_starts_are_uniform():
  _, batch = samples()
  lengths = batch.length - 5
  counts = np.bincount(lengths, minlength=7)[1:]
  assert stats.chisquare(counts).pvalue > 1e-3
  starts = batch.tokens_L[lengths == 4, 1]
  assert stats.chisquare(np.bincount(starts, minlength=6)).pvalue > 1e-3


def test_evaluation_enumerates_every_start():
  task = make_task(CONFIG)
  for length in CONFIG.test_lengths:
    items = task.evaluation(length)
    starts = np.asarray(items.tokens_L[:, 1])
    assert starts.tolist() == list(range(9 - length + 1))
    for tokens_L, is_answer_L in zip(items.tokens_L, items.is_answer_L):
      symbols = task.render(tokens_L).split()
      assert symbols[4:] == task.solve(symbols[:4])
      assert np.asarray(is_answer_L).tolist() == [False] * 4 + [True] * (
        length + 1
      )
