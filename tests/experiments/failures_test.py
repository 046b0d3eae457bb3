"""How failing seeds go wrong, on drawn grids and drawn parameters."""

import jax
import numpy as np
import pytest
from etils import epath

from emergence.config import cells
from emergence.population.compilation import make_setup
from emergence.storage import params
from emergence.training import model
from experiments import claims, failures
from tests import drawn_grids

SHARES = [0.1, 0.4, 0.6]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("grid")
  config = drawn_grids.config_of(3, 24)
  drawn_grids.write(folder, config, drawn_grids.split(SHARES, 24))
  return folder


@pytest.fixture(scope="module")
def grid(folder):
  return claims.load("grid", folder)


def test_errors_of_failing_seeds_are_counted_by_kind(grid):
  """Even seeds were drawn to stop early, odd ones to repeat."""
  score_SN = drawn_grids.split(SHARES, 24)
  found = failures.failures(grid)
  for n, scale in enumerate(found):
    fails_S = np.flatnonzero(score_SN[:, n] < 0.2)
    num_odd = int((fails_S % 2).sum())
    main = dict(zip(failures.error_kinds.KINDS, scale.main_K, strict=True))
    assert main.pop("stops_early") == len(fails_S) - num_odd
    assert main.pop("repeats") == num_odd
    assert not any(main.values())
    assert (scale.length, scale.num_seeds) == (20, 24)
  at = failures.most_mixed(found)
  assert at.name in ("depth 2", "depth 3")
  sentence = failures.sentence(found)
  num = len(at.share_FK)
  assert f"At {at.name}, {num} of 24 seeds fail. Most wrong" in sentence
  assert f"stop early in {at.main_K[0]}" in sentence
  heights = sum(p.get_height() for p in failures.draw(found).axes[0].patches)
  assert heights == pytest.approx(3)  # Shares of each scale add up to one.


def test_diverged_seeds_fail_but_have_no_answers(grid):
  """12 of 24 seeds fail at depths 1 and 2, at depth 1 all as they diverged."""
  frame = grid.frame.assign(diverged=grid.frame["seed"] < 3)
  several = failures.failures(grid._replace(frame=frame))
  assert [x.num_diverged for x in several] == [3, 3, 3]
  stops_early = np.eye(6)[:1].repeat(9, axis=0)
  found = [
    failures.Failing(20, 1, "depth 1", 24, 12, stops_early[:0]),
    failures.Failing(20, 2, "depth 2", 24, 3, stops_early),
    failures.Failing(20, 3, "depth 3", 24, 0, stops_early),
  ]
  assert failures.sentence(found) == (
    "At depth 2, 12 of 24 seeds fail; 3 of them diverged. Most wrong answers"
    " stop early in each of the others."
  )


def test_failing_seeds_that_were_a_success_before_are_counted(grid):
  """Of the failing seeds of one scale one was at .3 once, and one at .6.

  A third one reached .9, but after it had diverged, and a fourth at the end.
  """
  first, second, third = grid.score.populations
  fails_S = second.sample.scores_S < 0.2
  scores_SE = second.curves.scores_SE.copy()
  diverged_SE = second.curves.diverged_SE.copy()
  one, other, third_one, last = np.flatnonzero(fails_S)[:4]
  scores_SE[one, 0], scores_SE[other, 1] = 0.3, 0.6
  scores_SE[third_one, 1], scores_SE[last, -1] = 0.9, 0.9
  diverged_SE[third_one, 1:] = True
  curves = second.curves._replace(scores_SE=scores_SE, diverged_SE=diverged_SE)
  populations = [first, second._replace(curves=curves), third]
  changed = grid._replace(score=grid.score._replace(populations=populations))
  sentence = failures.lost_sentence(changed)
  assert f"2 of {fails_S.sum()} (1) at depth 2" in sentence
  assert "0 of 22 (0) at depth 1" in sentence
  bare = grid.score._replace(populations=[first._replace(curves=None)])
  assert failures.lost_sentence(grid._replace(score=bare)) == ""


def test_the_attention_of_a_failing_and_a_succeeding_seed(grid, folder):
  """Of the first of either kind among those whose parameters are kept."""
  assert failures.kept_pair(grid, folder) is None
  cell = cells(grid.config)[1]
  arch = make_setup(grid.config, cell).arch
  init = jax.jit(lambda seed: model.init(jax.random.key(seed), arch))
  attend = jax.jit(lambda own, x: model.attention_weights(own, arch, x))
  params_of = {seed: init(seed) for seed in range(3, 24)}
  for seed, own in params_of.items():
    own = jax.tree.map(lambda x: np.asarray(x)[None], own)
    step = grid.config.train.steps
    params.save_params(epath.Path(folder), cell, [seed], step, own)
  score_S = drawn_grids.split(SHARES, 24)[:, 1]
  fails = next(s for s in range(3, 24) if score_S[s] < 0.2)
  succeeds = next(s for s in range(3, 24) if score_S[s] >= 0.2)
  found = failures.kept_pair(grid, folder)
  names = [f"seed {fails} fails", f"seed {succeeds} succeeds"]
  assert list(found.weights_of) == names
  # $ a b > and 20 numbers and the end, the middle of 61 items.
  tokens = [80, 30, 49, 81, *range(30, 50), 82]
  assert (found.num_prompt, found.num_trained) == (4, 15)
  for name, seed in zip(names, (fails, succeeds), strict=True):
    expected = np.stack(attend(params_of[seed], np.array([tokens])))
    np.testing.assert_allclose(
      found.weights_of[name], expected[:, 0], atol=1e-6
    )
  panels = failures.draw_attention(found).axes
  assert len(panels) == 2 * cell.depth * arch.num_heads
  assert "seed" in failures.attention_sentence(found)


def test_successes_and_failures_are_compared_by_their_training_loss(tmp_path):
  """At the second scale successes lose more; 4 fail at the third: too few."""
  shares, num = [0.5, 0.5, 0.9], 40
  score_SN = drawn_grids.split(shares, num)
  fails_SN = score_SN < 0.2
  rng = np.random.default_rng(3)
  loss_SN = np.exp(rng.normal(-4, 0.3, score_SN.shape))
  loss_SN[~fails_SN[:, 1], 1] *= 1.5
  loss_SN[0, 1] = np.nan
  config = drawn_grids.config_of(3, num)
  drawn_grids.write(tmp_path, config, score_SN, loss_SN=loss_SN)
  grid = claims.load("grid", tmp_path)
  found = failures.losses_of_kinds(grid, is_fixed=True)
  assert [kind.name for kind in found] == ["1", "2"]
  loss_SN = loss_SN.astype(np.float32)
  for n, kind in enumerate(found):
    has_loss_S = ~np.isnan(loss_SN[:, n])
    pairs = [
      (a > b) + (a == b) / 2
      for a in loss_SN[has_loss_S & ~fails_SN[:, n], n]
      for b in loss_SN[has_loss_S & fails_SN[:, n], n]
    ]
    np.testing.assert_allclose(kind.auc, np.mean(pairs))
  assert found[1].p_adjusted < 1e-3 < 0.05 < found[0].p_adjusted
  text = failures.loss_sentence(grid)
  assert "a higher loss on fixed examples of the training" in text
  assert f"that fails is {found[1].auc:.2f} at depth 2 (p = " in text
  assert "At depth 1 no difference in this loss" in text


def test_where_failing_seeds_go_wrong_and_what_they_get_right_after_it():
  share_SA = np.array(
    [[1, 0.1, 0.1, 0.08], [1, 0.3, 0.2, 0.1], [1, 0.9, 0.9, 0.9]]
  )
  found = failures.RightUpTo(3, "width 48", 8, share_SA, np.arange(3) > 1)
  assert failures.right_up_to_sentence(found) == (
    "In each of 2 failing seeds, more than half of the answers have an error by"
    " token 2 of 4; the longest answer in training has 8 tokens. Of the answers"
    " that are still right at this token, from 33% to 80% (by seed) are right"
    " to the end."
  )
