import jax
import numpy as np
import pytest

from emergence.config import Cell
from emergence.storage.params import load_params, save_params

CELL = Cell.parse("count/width-8/depth-2")


@pytest.fixture
def params():
  """Parameters of four seeds, made up."""
  rng = np.random.default_rng(0)
  layers = {i: {"kernel": rng.normal(size=(4, 3, 2))} for i in range(2)}
  return {"embed": rng.normal(size=(4, 5)), "layers": layers}


def test_the_parameters_of_a_seed_come_back_as_they_were(workdir, params):
  save_params(workdir, CELL, [3, 4, 7, 8], 10, params)
  for row, seed in enumerate([3, 4, 7, 8]):
    found = load_params(workdir, CELL, seed, step=10)
    expected = jax.tree.map(lambda x, row=row: x[row], params)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_parameters_that_were_not_kept_are_an_error(workdir, params):
  with pytest.raises(ValueError, match="--keep_params=final"):
    load_params(workdir, CELL, 3)
  save_params(workdir, CELL, [0, 1, 2, 3], 3, params)
  with pytest.raises(ValueError, match=r"after 5 steps; .* after 3 steps"):
    load_params(workdir, CELL, 3, step=5)
