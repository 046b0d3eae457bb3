import pathlib
import re
import shlex

import pytest

from emergence import config as config_lib
from emergence.config import override
from emergence.population import compilation
from emergence.training import model
from experiments import command, roofline

PAGE = pathlib.Path(roofline.__file__).parent / "accelerators.md"


def print_costs(line):
  """What the command of a line prints; its flags parsed by hand."""
  flags = [flag.split("=", 1) for flag in shlex.split(line)[3:]]
  overrides = [value for name, value in flags if name == "--override"]
  others = {name: value for name, value in flags if name != "--override"}
  config = command.load_config(others.pop("--config", "count_width"), overrides)
  chip = roofline.CHIPS[others.pop("--chip", "h100")]
  assert not others
  rows = [
    roofline.cost(config, cell, chip) for cell in config_lib.cells(config)
  ]
  return roofline.format_costs(config, chip, rows)


def test_the_page_shows_what_the_command_prints():
  blocks = re.findall(r"    \$ (.*)\n((?:    .*\n)+)", PAGE.read_text())
  assert len(blocks) == 6
  for line, shown in blocks:
    expected = "".join(f"    {x}\n" for x in print_costs(line).splitlines())
    assert shown == expected


@pytest.fixture
def small():
  """A cell whose numbers can be had by hand: one layer, one head."""
  return command.load_config(
    "quickstart",
    ["grid.depths=[1]", "task.context_length=64", "train.batch_size=8"],
  )


def test_operations_and_bytes_are_those_of_a_hand_calculation(small):
  (cell,) = config_lib.cells(small)
  found = roofline.cost(small, cell, roofline.CHIPS["h100"])
  # 8 × 64 tokens, width 16, hidden 64, one head, 84 symbols.
  vocab = compilation.make_setup(small, cell).arch.vocab_size
  per_token = 4 * 16**2 + 2 * 16 * 64 + 2 * 64 * 16 + 16 * vocab
  assert found.flops == 6 * per_token * 512
  kept = 512 * (15 * 16 + 2 * 64 + 2 * 16 + 2 * vocab)
  num_params = model.num_params(compilation.make_setup(small, cell).arch)
  assert found.bytes == 5 * 4 * kept + 40 * num_params
  assert found.bound == "memory"
  assert found.seed_steps_per_second == pytest.approx(3.35e12 / found.bytes)
  steps = small.seeds.count * small.train.steps
  assert found.hours == pytest.approx(
    steps / found.seed_steps_per_second / 3600
  )


def test_precision_and_type_set_the_peak(small):
  wide = ["grid.widths=[4096]", "model.head_dim=64", "task.context_length=512"]

  def rate(chip, *overrides):
    config = override(small, [*wide, *overrides])
    (cell,) = config_lib.cells(config)
    found = roofline.cost(config, cell, roofline.CHIPS[chip])
    assert found.bound == "compute"
    return found.seed_steps_per_second

  high = rate("v5e", "train.matmul_precision=high")
  assert high == pytest.approx(2 * rate("v5e"))
  assert rate("v5e", "train.matmul_precision=default") == pytest.approx(
    rate("v5e", "train.compute_dtype=bfloat16")
  )


def test_a_small_step_wants_many_seeds(small):
  (cell,) = config_lib.cells(small)
  chip = roofline.CHIPS["h100"]
  found = roofline.cost(small, cell, chip)
  assert found.seeds_to_fill > 132 / 4
  assert found.seeds_that_fit > found.seeds_to_fill
