"""Samples of tasks that end their prompt with `>`, checked with the solvers."""

import functools

import jax
import numpy as np

from emergence.config import TaskConfig
from emergence.tasks import make_task

SMALL = {"parity": 2, "mode": 3}


def config_of(name) -> TaskConfig:
  return TaskConfig(
    name=name,
    min_train_length=2,
    max_train_length=5,
    test_lengths=(4, 8),
    vocab_size=SMALL.get(name, 8),
  )


def parse(task, batch) -> list[list[int]]:
  """Checks each example with the solver; returns the lists."""
  lists = []
  for tokens_L, is_answer_L, length in zip(*jax.tree.map(np.asarray, batch)):
    symbols = task.render(tokens_L).split()
    assert len(symbols) == length
    prompt = symbols[: symbols.index(">") + 1]
    assert symbols == prompt + task.solve(prompt)
    assert symbols[-1] == task.symbols[task.end]
    scored = list(range(len(prompt), length))
    assert np.flatnonzero(is_answer_L).tolist() == scored
    lists.append([int(symbol) for symbol in prompt[1:-1]])
  return lists


@functools.cache
def samples(name):
  task = make_task(config_of(name))
  keys = jax.random.split(jax.random.key(0), 4000)
  return parse(task, jax.jit(jax.vmap(task.sample))(keys))
