"""What mirrored and shifted scores do to the functions of a sample."""

import numpy as np
import pytest

from emergence.statistics import density, dip, modality, modes, transport
from emergence.statistics.options import Options
from emergence.statistics.sample import Sample

FEW = Options(num_resamples=200)
LAWS = {
  "even": lambda rng: rng.random(50),
  "atom": lambda rng: np.where(rng.random(50) < 0.4, 0, rng.random(50)),
  "grid": lambda rng: rng.binomial(20, rng.beta(0.5, 0.5, 50)) / 20,
  "clusters": lambda rng: rng.normal(np.repeat([0.3, 0.8], 25), 0.04),
  "near the end": lambda rng: 1 - rng.exponential(0.01, 50),
}


def mirrored(x):
  return Sample.of(1 - x)


def shifted(x):
  return Sample.of(x - 0.5, (-0.5, 0.5))


@pytest.fixture(params=LAWS, ids=list(LAWS))
def scores_S(request):
  return np.clip(LAWS[request.param](np.random.default_rng(11)), 0, 1)


@pytest.mark.parametrize("change", [mirrored, shifted])
def test_the_dip_the_grid_and_the_bandwidth_stay(scores_S, change):
  here, there = Sample.of(scores_S), change(scores_S)
  assert dip.dip_test(there) == pytest.approx(dip.dip_test(here))
  assert there.grid_step == pytest.approx(here.grid_step)
  assert density.bandwidth(there) == pytest.approx(density.bandwidth(here))


def test_modes_and_antimodes_move_with_the_scores(scores_S):
  here = modes.mode_and_antimode(Sample.of(scores_S))
  for there, back in (
    (modes.mode_and_antimode(mirrored(scores_S)), lambda x: 1 - x),
    (modes.mode_and_antimode(shifted(scores_S)), lambda x: x + 0.5),
  ):
    assert back(there.mode) == pytest.approx(here.mode, abs=1e-6)
    assert back(there.antimode) == pytest.approx(
      here.antimode, abs=1e-6, nan_ok=True
    )
    assert there.mode_stable == here.mode_stable


@pytest.mark.parametrize("change", [mirrored, shifted])
def test_distances_stay(scores_S, change):
  other_S = np.random.default_rng(12).beta(2, 3, 40)
  here = [Sample.of(scores_S), Sample.of(other_S)]
  there = [change(scores_S), change(other_S)]
  np.testing.assert_allclose(
    transport.distances(there), transport.distances(here)
  )
  np.testing.assert_allclose(
    transport.decompose(*there), transport.decompose(*here), atol=1e-12
  )


def test_labels_are_mirrored_or_stay(scores_S):
  here, there, moved = (
    modality.label(sample)
    for sample in (Sample.of(scores_S), mirrored(scores_S), shifted(scores_S))
  )
  other_end = {"breakout": "falloff", "falloff": "breakout"}
  assert there.label == other_end.get(here.label, here.label)
  assert moved.label == here.label
  assert there.p == pytest.approx(here.p)
  assert moved.p == pytest.approx(here.p)
  for first, second in (
    (here.breakout, there.falloff),
    (here.falloff, there.breakout),
    (here.breakout, moved.breakout),
  ):
    assert first.num_inside == second.num_inside
    assert first.p == pytest.approx(second.p, nan_ok=True)
