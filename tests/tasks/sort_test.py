from scipy import stats

from emergence.tasks import make_task
from tests.list_tasks import config_of, samples


def test_the_solver_on_an_example():
  solve = make_task(config_of("sort")).solve
  assert solve("$ 4 11 7 >".split()) == "4 7 11 .".split()


def test_lists_come_in_every_order_and_not_sorted():
  # Of three different numbers, one order in six is the sorted one.
  is_sorted = [x == sorted(x) for x in samples("sort") if len(x) == 3]
  p = stats.binomtest(sum(is_sorted), len(is_sorted), 1 / 6).pvalue
  assert p > 1e-3
