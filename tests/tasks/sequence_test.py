"""What all tasks on a list of tokens have in common."""

import collections
import itertools

import pytest
from scipy import stats

from emergence.tasks import make_task
from tests.list_tasks import SMALL, config_of, parse, samples


@pytest.mark.parametrize("name", ["copy", "sort", "mode", "parity"])
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


@pytest.mark.parametrize("name", ["copy", "mode"])
def test_evaluation_has_exactly_the_length_asked_for(name):
  task = make_task(config_of(name), items=64)
  lists = parse(task, task.evaluation(8))
  assert {len(x) for x in lists} == {8}
  assert len({tuple(x) for x in lists}) > 50
