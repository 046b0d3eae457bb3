import jax
import numpy as np
import pytest

from emergence import checkpoint, model
from emergence.config import Cell, ModelConfig
from emergence.model import Architecture

ARCH = Architecture(ModelConfig(head_dim=4), width=8, depth=2, vocab_size=6)
CELL = Cell("count", 8, 2)


@pytest.fixture
def params():
  """Parameters of four seeds."""
  keys = jax.random.split(jax.random.key(0), 4)
  return jax.tree.map(
    np.asarray, jax.vmap(lambda key: model.init(key, ARCH))(keys)
  )


def test_the_parameters_of_a_seed_come_back_ready_to_apply(tmp_path, params):
  from etils import epath

  workdir = epath.Path(tmp_path)
  checkpoint.save_params(workdir, CELL, [3, 4, 7, 8], 10, params)
  late = jax.tree.map(lambda x: x + 1, params)
  checkpoint.save_params(workdir, CELL, [3, 4, 7, 8], 200, late)
  for row, seed in enumerate([3, 4, 7, 8]):
    found = checkpoint.load_params(tmp_path, CELL, seed, step=10)
    expected = jax.tree.map(lambda x, row=row: x[row], params)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
  last = checkpoint.load_params(tmp_path, CELL, 8)
  jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[3]), last, late)
  tokens_BL = np.array([[0, 1, 2]])
  assert np.isfinite(model.apply(last, ARCH, tokens_BL)).all()


def test_parameters_that_were_not_kept_are_an_error(tmp_path, params):
  from etils import epath

  with pytest.raises(ValueError, match="--keep_params=final"):
    checkpoint.load_params(tmp_path, CELL, 3)
  checkpoint.save_params(epath.Path(tmp_path), CELL, [0, 1, 2, 3], 10, params)
  with pytest.raises(ValueError, match=r"holds the steps \[10\], not 20"):
    checkpoint.load_params(tmp_path, CELL, 3, step=20)
  with pytest.raises(ValueError, match="no parameters of count/width-8"):
    checkpoint.load_params(tmp_path, CELL, 4)
