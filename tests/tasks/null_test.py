import jax
import numpy as np
import pytest
from scipy import stats

from emergence import config as config_lib
from emergence.config import TaskConfig
from emergence.population import compilation, hardware
from emergence.tasks import make_task
from experiments import command
from tests.populations import train_seeds

CONFIG = TaskConfig(
  name="null", max_train_length=6, test_lengths=(2, 9), vocab_size=9
)


def test_targets_are_uniform_whatever_the_prompt():
  task = make_task(CONFIG)
  keys = jax.random.split(jax.random.key(0), 4000)
  batch = jax.tree.map(np.asarray, jax.jit(jax.vmap(task.sample))(keys))
  first_target, start = batch.tokens_L[:, 4], batch.tokens_L[:, 1]
  table = np.zeros((9, 9))
  np.add.at(table, (start, first_target), 1)
  assert stats.chisquare(np.bincount(first_target)).pvalue > 1e-3
  assert stats.chi2_contingency(table).pvalue > 1e-3


def test_only_random_tokens_are_scored():
  task = make_task(CONFIG, items=50)
  items = jax.tree.map(np.asarray, task.evaluation(9))
  assert items.tokens_L.shape[0] == 50
  assert items.is_answer_L.sum(axis=1).tolist() == [9] * 50
  assert task.symbols[items.tokens_L[0, -1]] == "."
  assert not items.is_answer_L[:, -1].any()
  assert task.solve(["$", "1", "2", ">"]) is None


@pytest.mark.slow
def test_a_trained_population_stays_at_chance():
  config = command.load_config(
    "quickstart",
    [
      *("task.name=null", "task.test_lengths=[1,10]", "eval.items=2000"),
      *("train.steps=150", "eval.num_points=1", "seeds.block=4"),
    ],
  )
  cell = config_lib.cells(config)[0]
  program = compilation.compile_cell(config, cell, hardware.local_devices(2))
  found, _ = train_seeds(program, [0, 1, 2, 3], [4, 5, 6, 7])
  exact_S = found[-1].scores.exact_match[:, 0]
  tokens_S = found[-1].scores.token_accuracy[:, 1]
  chance = 1 / config.task.vocab_size
  # Each seed is one binomial draw, because items are independent given its
  # predictions; the intervals hold together for all seeds.
  level = 1 - 1e-3 / len(exact_S)
  for scores_S, num in [(exact_S, 2000), (tokens_S, 2000 * 10)]:
    low, high = stats.binom.interval(level, num, chance)
    assert (scores_S * num >= low - 0.5).all()
    assert (scores_S * num <= high + 0.5).all()
