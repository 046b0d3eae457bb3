import itertools

from emergence.tasks import make_task
from tests.list_tasks import config_of, parse


def test_the_solver_on_an_example():
  solve = make_task(config_of("parity")).solve
  assert solve("$ 0 1 1 >".split()) == "0 .".split()


def test_lists_of_parity_are_enumerated_where_there_are_few():
  config = config_of("parity")
  task = make_task(config, items=16)
  every = parse(task, task.evaluation(4))
  assert sorted(every) == [list(x) for x in itertools.product((0, 1), repeat=4)]
  assert len(parse(task, task.evaluation(8))) == 16
