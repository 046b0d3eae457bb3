import dataclasses
import json

import pytest

from emergence.config import Config, SeedsConfig, from_dict, override, to_dict


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


@pytest.mark.parametrize(("steps", "points"), [(100, 10), (7, 3)])
def test_evaluations_start_at_zero_and_end_at_the_end(steps, points):
  config = override(
    Config(), [f"train.steps={steps}", f"eval.num_points={points}"]
  )
  assert config.eval_steps[0] == 0
  assert config.eval_steps[-1] == steps
  assert len(set(config.eval_steps)) == points + 1
  gaps = {b - a for a, b in zip(config.eval_steps, config.eval_steps[1:])}
  assert max(gaps) - min(gaps) <= 1


def test_a_config_survives_json(tiny):
  config = override(tiny, ["train.learning_rate_by_width={16: 0.003, 8: 1}"])
  text = json.dumps(to_dict(config))
  assert from_dict(json.loads(text)) == config
  assert config.train.learning_rate_at(16) == 0.003
  assert config.train.learning_rate_at(8) == 1.0
  assert config.train.learning_rate_at(32) == config.train.learning_rate


@pytest.mark.parametrize(
  ("assignment", "read", "value"),
  [
    ("train.learning_rate=1e-4", lambda c: c.train.learning_rate, 1e-4),
    ("task.packed=false", lambda c: c.task.packed, False),
    ("task.name=null", lambda c: c.task.name, "null"),
    ("grid.depths=[1,2,3]", lambda c: c.grid.depths, (1, 2, 3)),
    ("root_seed = 7", lambda c: c.root_seed, 7),
  ],
)
def test_an_override_is_typed_by_its_field(assignment, read, value):
  found = read(override(Config(), [assignment]))
  assert found == value
  assert type(found) is type(value)


@pytest.mark.parametrize(
  ("assignment", "message"),
  [
    ("train.stepz=500", "did you mean train.steps"),
    (
      "train.learning_rate_by_width={16: 0.1, '16': 0.2}",
      "one rate above 0 for each width",
    ),
    ("train.steps=1.5", "train.steps must be a whole number"),
    ("train.steps=0", "train.steps must be at least 1"),
    ("train.compute_dtype=float8", "one of float32, bfloat16"),
    ("task.test_lengths=[20,10]", "increasing"),
    ("seeds.num_data=4", "0 unless seeds.design=crossed"),
  ],
)
def test_a_bad_override_names_the_key_and_what_was_expected(
  assignment, message
):
  with pytest.raises(ValueError, match=message):
    override(Config(), [assignment])


def test_overrides_are_validated_together():
  # Neither of the two is valid alone.
  config = override(
    Config(), ["task.min_train_length=40", "task.max_train_length=50"]
  )
  assert (config.task.min_train_length, config.task.max_train_length) == (
    40,
    50,
  )
