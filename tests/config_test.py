import dataclasses

import pytest

from emergence.config import Config, SeedsConfig, override


@pytest.mark.parametrize(
  ("seeds", "pairs"),
  [
    (SeedsConfig(design="paired"), [(0, 0), (1, 1), (5, 5)]),
    (SeedsConfig(design="fixed_init"), [(0, 0), (0, 1), (0, 5)]),
    (SeedsConfig(design="fixed_data"), [(0, 0), (1, 0), (5, 0)]),
    (
      SeedsConfig(design="crossed", num_init=2, num_data=3, count=6),
      [(0, 0), (0, 1), (1, 2)],
    ),
  ],
)
def test_a_design_says_what_a_seed_stands_for(seeds, pairs):
  assert [seeds.init_and_data_seed(seed) for seed in (0, 1, 5)] == pairs


def test_a_crossed_design_trains_every_combination_once():
  seeds = SeedsConfig(design="crossed", num_init=3, num_data=4, count=12)
  pairs = {seeds.init_and_data_seed(seed) for seed in seeds.requested}
  assert pairs == {(i, d) for i in range(3) for d in range(4)}
  with pytest.raises(ValueError, match="num_init · num_data = 12"):
    dataclasses.replace(seeds, count=8)
  with pytest.raises(ValueError, match=r"12 is not in 0\.\.11"):
    seeds.require_seeds([12])


@pytest.mark.parametrize(("steps", "points"), [(100, 10), (7, 3), (5, 5)])
def test_evaluations_start_at_zero_and_end_at_the_end(steps, points):
  config = override(
    Config(), [f"train.steps={steps}", f"eval.num_points={points}"]
  )
  assert config.eval_steps[0] == 0
  assert config.eval_steps[-1] == steps
  assert len(set(config.eval_steps)) == points + 1
  gaps = {b - a for a, b in zip(config.eval_steps, config.eval_steps[1:])}
  assert max(gaps) - min(gaps) <= 1
