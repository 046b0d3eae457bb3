from emergence.tasks import make_task
from tests.list_tasks import config_of


def test_the_solver_on_an_example():
  solve = make_task(config_of("copy")).solve
  assert solve("$ 4 1 7 >".split()) == "4 1 7 .".split()
