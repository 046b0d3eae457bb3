"""The tasks on a list of tokens: copy, sort, mode, parity."""

import collections
import functools
import itertools

import jax
import numpy as np
import pytest
from scipy import stats

from emergence.config import TaskConfig
from emergence.tasks import make_task

SMALL = {"parity": 2, "mode": 3}
EXAMPLES = {
  "copy": ("4 1 7", "4 1 7"),
  "sort": ("4 11 7", "4 7 11"),
  "mode": ("4 1 4", "4"),
  "parity": ("0 1 1", "0"),
}


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


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_solver_on_an_example(name):
  prompt, answer = (text.split() for text in EXAMPLES[name])
  solve = make_task(config_of(name)).solve
  assert solve(["$", *prompt, ">"]) == [*answer, "."]


@pytest.mark.parametrize("name", EXAMPLES)
def test_thousands_of_samples_agree_with_the_solver(name):
  lists = samples(name)
  lengths = collections.Counter(map(len, lists))
  assert sorted(lengths) == [2, 3, 4, 5]
  assert stats.chisquare(list(lengths.values())).pvalue > 1e-3
  # Each token is as likely as another at each place.
  for place in range(4):
    tokens = collections.Counter(x[place] for x in lists if len(x) == 4)
    assert len(tokens) == SMALL.get(name, 8)
    assert stats.chisquare(list(tokens.values())).pvalue > 1e-3


@pytest.mark.parametrize("name", ["copy", "sort"])
def test_lists_have_no_token_twice_and_are_equally_likely(name):
  lists = samples(name)
  assert all(len(set(x)) == len(x) for x in lists)
  pairs = collections.Counter(tuple(x) for x in lists if len(x) == 2)
  assert set(pairs) == set(itertools.permutations(range(8), 2))
  assert stats.chisquare(list(pairs.values())).pvalue > 1e-3


def test_a_list_has_one_mode_and_its_place_tells_nothing():
  firsts, lasts = [], []
  for x in samples("mode"):
    (mode, most), *others = collections.Counter(x).most_common()
    assert all(count < most for _, count in others)
    if len(x) == 5:
      firsts.append(x[0] == mode)
      lasts.append(x[-1] == mode)
  counts = [[sum(hits), len(hits) - sum(hits)] for hits in (firsts, lasts)]
  assert stats.chi2_contingency(counts).pvalue > 1e-3


def test_lists_of_parity_are_enumerated_where_there_are_few():
  config = config_of("parity")
  task = make_task(config, items=16)
  every = parse(task, task.evaluation(4))
  assert sorted(every) == [list(x) for x in itertools.product((0, 1), repeat=4)]
  assert len(parse(task, task.evaluation(8))) == 16
  assert not task.is_enumerated
  assert make_task(config, items=256).is_enumerated


@pytest.mark.parametrize("name", ["copy", "sort", "mode"])
def test_evaluation_has_exactly_the_length_asked_for(name):
  task = make_task(config_of(name), items=64)
  lists = parse(task, task.evaluation(8))
  assert {len(x) for x in lists} == {8}
  assert len({tuple(x) for x in lists}) > 50
  assert not task.is_enumerated
