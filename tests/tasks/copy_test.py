import dataclasses

import pytest

from emergence.tasks import make_task
from tests.list_tasks import config_of


def test_the_solver_on_an_example():
  solve = make_task(config_of("copy")).solve
  assert solve("$ 4 1 7 >".split()) == "4 1 7 .".split()


def test_an_alphabet_shorter_than_the_list_is_refused():
  config = dataclasses.replace(config_of("copy"), vocab_size=7)
  with pytest.raises(ValueError, match="vocab_size must be at least 8"):
    make_task(config)
