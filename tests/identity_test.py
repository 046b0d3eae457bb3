import json
import pathlib

import pytest

from emergence import config as config_lib
from emergence.config import (
  Cell,
  Config,
  SeedsConfig,
  TrainConfig,
  cell_hash,
  config_keys,
  first_difference,
  identity_hash,
  override,
  to_dict,
)
from experiments import command

GOLDEN = pathlib.Path(__file__).with_name("identity.json")


def test_the_request_may_grow_without_a_new_identity(tiny):
  grid = ["grid.widths=[8,16]", "grid.depths=[1,2,3]"]
  seeds = ["seeds.count=100", "seeds.first=8", "seeds.block=2"]
  grown = override(tiny, grid + seeds)
  cell = Cell.parse("count/width-8/depth-2")
  assert identity_hash(grown) == identity_hash(tiny)
  assert cell_hash(grown, cell) == cell_hash(tiny, cell)
  assert first_difference(grown, tiny) is None


# The request, and what concerns the analysis alone; rates are part of cells.
OTHERS = {
  *("grid.widths", "grid.depths", "seeds.count", "seeds.first", "seeds.block"),
  *("seeds.num_init", "seeds.num_data", "eval.headline_metric"),
  "train.learning_rate_by_width",
}
CHANGED = {
  "task.name": "null",
  "task.test_lengths": [3, 5],
  "task.packed": False,
  "task.independent_operands": True,
  "model.parallel_residual": False,
  "model.rotary_fraction": 0.5,
  "train.warmup_fraction": 0.1,
  "train.decay_all": True,
  "train.matmul_precision": "high",
  "train.compute_dtype": "bfloat16",
  "seeds.design": "fixed_init",
  "grid.axes": {"train.weight_decay": [0.0, 0.1]},
}


@pytest.mark.parametrize("key", [x for x in config_keys() if x not in OTHERS])
def test_every_other_key_makes_a_new_identity(tiny, key):
  changed = CHANGED.get(key)
  if changed is None:
    plain = to_dict(tiny)
    for part in key.split("."):
      plain = plain[part]
    changed = plain + 1
  other = override(tiny, [f"{key}={changed}"])
  assert identity_hash(other) != identity_hash(tiny)
  difference = first_difference(tiny, other)
  assert difference is not None
  assert difference[0] == key


def test_num_data_gives_a_crossed_seed_its_meaning():
  config = Config(
    seeds=SeedsConfig(design="crossed", num_init=2, num_data=6, count=12)
  )
  other = override(config, ["seeds.num_init=3", "seeds.num_data=4"])
  more = override(config, ["seeds.num_init=4", "seeds.count=24"])
  assert identity_hash(other) != identity_hash(config)
  assert identity_hash(more) == identity_hash(config)


def test_the_hash_does_not_depend_on_how_a_number_was_written():
  a = Config(train=TrainConfig(weight_decay=0, learning_rate_by_width={8: 1}))
  b = Config(
    train=TrainConfig(weight_decay=0.0, learning_rate_by_width=((8, 1.0),))
  )
  assert identity_hash(a) == identity_hash(b)


def test_defaults_of_identity_keys_and_hashes_are_what_they_were():
  """Whoever wants another default writes the value into the config instead."""
  golden = json.loads(GOLDEN.read_text())
  defaults = config_lib.identity(Config())
  assert {k: defaults[k] for k in golden["defaults"]} == golden["defaults"]
  for name, (whole, hashes) in golden["hashes"].items():
    config = command.load_config(name)
    assert identity_hash(config) == whole
    found = {str(c): cell_hash(config, c) for c in config_lib.cells(config)}
    assert found == hashes


def test_a_cell_is_the_same_whether_its_value_is_an_axis_or_not(tiny):
  wide = override(tiny, ['grid.axes={"train.weight_decay": [0.1, 0.3]}'])
  cell = Cell.parse("count/width-8/depth-1/train.weight_decay-0.3")
  alone = override(tiny, ["train.weight_decay=0.3"])
  same = Cell.parse("count/width-8/depth-1")
  assert cell in config_lib.cells(wide)
  assert cell_hash(wide, cell) == cell_hash(alone, same)
  assert identity_hash(wide) != identity_hash(alone)
  more = override(tiny, ['grid.axes={"train.weight_decay": [0.3, 0.5]}'])
  assert identity_hash(more) == identity_hash(wide)


def test_rates_of_other_widths_do_not_change_a_cell(tiny):
  both = override(tiny, ["train.learning_rate_by_width={8: 0.5, 16: 0.1}"])
  one = override(tiny, ["train.learning_rate=0.5"])
  cell = Cell.parse("count/width-8/depth-1")
  assert cell_hash(both, cell) == cell_hash(one, cell)
  # So the grid can grow by a width and its rate.
  some = override(tiny, ["train.learning_rate_by_width={8: 0.5}"])
  wide = override(both, ["grid.widths=[8, 16]"])
  assert identity_hash(some) == identity_hash(wide)
  assert first_difference(some, wide) is None
  other = override(wide, ["train.learning_rate_by_width={8: 0.4, 16: 0.1}"])
  assert first_difference(some, other) == (
    "the learning rate at width 8",
    0.5,
    0.4,
  )
