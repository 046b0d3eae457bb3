import jax
import numpy as np
from scipy import stats

from emergence.config import TaskConfig
from emergence.tasks import make_task
from tests.list_tasks import parse

CONFIG = TaskConfig(
  min_train_length=1, max_train_length=6, test_lengths=(1, 9), vocab_size=9
)


def test_the_example_of_the_paper():
  task = make_task(TaskConfig(max_train_length=5, test_lengths=(5,)))
  assert task.render(task.evaluation(5).tokens_L[5]) == "$ 5 9 > 5 6 7 8 9 ."
  assert task.solve(["$", "5", "9", ">"]) == ["5", "6", "7", "8", "9", "."]


def test_samples_have_every_start_of_every_length_equally_often():
  task = make_task(CONFIG)
  keys = jax.random.split(jax.random.key(0), 4000)
  samples = parse(task, jax.jit(jax.vmap(task.sample))(keys))
  start, last = np.array(samples).T
  length = last - start + 1
  # The edges n = 1 and n = maximum included.
  assert set(zip(start.tolist(), length.tolist())) == {
    (a, n) for n in range(1, 7) for a in range(9 - n + 1)
  }
  counts = np.bincount(length, minlength=7)[1:]
  assert stats.chisquare(counts).pvalue > 1e-3
  starts = np.bincount(start[length == 4], minlength=6)
  assert stats.chisquare(starts).pvalue > 1e-3


def test_evaluation_enumerates_every_start():
  task = make_task(CONFIG)
  for length in CONFIG.test_lengths:
    found = parse(task, task.evaluation(length))
    assert found == [[a, a + length - 1] for a in range(9 - length + 1)]
