import json

import jax
import numpy as np
import pytest
from etils import epath

from emergence.config import Cell, ModelConfig, to_dict
from emergence.storage.params import load_params, save_params
from emergence.training import model
from emergence.training.model import Architecture

ARCH = Architecture(ModelConfig(head_dim=4), width=8, depth=2, vocab_size=6)
CELL = Cell.parse("count/width-8/depth-2")


@pytest.fixture
def workdir(tmp_path, tiny):
  """Belongs to a sweep of six steps."""
  content = {"config": to_dict(tiny)}
  (tmp_path / "config.json").write_text(json.dumps(content))
  return epath.Path(tmp_path)


@pytest.fixture
def params():
  """Parameters of four seeds, made up."""
  shapes = jax.eval_shape(lambda key: model.init(key, ARCH), jax.random.key(0))
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: rng.normal(size=(4, *x.shape)).astype(np.float32), shapes
  )


def test_the_parameters_of_a_seed_come_back_ready_to_apply(workdir, params):
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
  with pytest.raises(ValueError, match=r"after 5 steps .* only after \[3\]"):
    load_params(workdir, CELL, 3, step=5)
  with pytest.raises(ValueError, match="no parameters of count/width-8"):
    load_params(workdir, CELL, 4)
