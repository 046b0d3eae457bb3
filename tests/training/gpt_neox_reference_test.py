"""The model agrees with transformers' GPT-NeoX, see gpt_neox_reference.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emergence import export
from emergence.tasks import Example
from emergence.training import model, train
from tests import gpt_neox_reference as reference

# Relative to the size of what is compared.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def stored():
  with np.load(reference.FILE, allow_pickle=False) as arrays:
    return dict(arrays)


@functools.partial(jax.jit, static_argnums=1)
def compute(params, case):
  """Our logits, loss and gradient of the loss."""
  tokens_BL, is_answer_BL = map(jnp.asarray, reference.draw_batch(case))
  batch = Example(tokens_BL, is_answer_BL, jnp.full(len(tokens_BL), 0))
  loss_of = lambda p: train.answer_loss(p, case.arch, batch)
  loss, gradient = jax.value_and_grad(loss_of)(params)
  return model.apply(params, case.arch, tokens_BL), loss, gradient


@pytest.fixture(scope="module", params=reference.CASES)
def computed(request):
  """Name of a case, our logits, loss and gradients under their names."""
  case = reference.CASES[request.param]
  logits, loss, gradient = compute(reference.draw_params(case), case)
  return request.param, logits, loss, export.to_gpt_neox(gradient)


def test_logits_and_loss_are_those_of_transformers(stored, computed):
  case, logits, loss, _ = computed
  expected = stored[f"{case}/logits"]
  assert np.abs(expected).max() > 1
  assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()
  np.testing.assert_allclose(loss, stored[f"{case}/loss"], rtol=TOLERANCE)


def test_every_gradient_is_that_of_transformers(stored, computed):
  case, _, _, gradients = computed
  prefix = f"{case}/gradient/"
  names = {
    key.removeprefix(prefix).rsplit("/", 1)[0]
    for key in stored
    if key.startswith(prefix)
  }
  assert names == set(gradients)
  for name, gradient in gradients.items():
    parts = reference.digest(name, gradient)
    norm = float(stored[f"{prefix}{name}/norm"])
    assert norm > 1e-6, name
    # An error of norm e has projections of about e on random directions.
    for part in ("norm", "entries", "projections"):
      error = np.abs(parts[part] - stored[f"{prefix}{name}/{part}"]).max()
      assert error < TOLERANCE * norm, (name, part)
