"""The config of a shape of the benchmark, such as 16/3/8x64."""

import re
from collections.abc import Sequence

from emergence import config as config_lib
from emergence.config import Cell, Config
from experiments import command


def make_config(
  shape: str, name: str, overrides: Sequence[str] = ()
) -> tuple[Config, Cell]:
  """A config with the sizes of a shape, and its only cell.

  Unless an override says otherwise, heads have dimension 16 up to width 32, as
  in the quickstart, and above that 64 or the width, whichever is less.

  Args:
    shape: width/depth/batch x tokens.
    name: a config as `command.load_config` takes it.
    overrides: `KEY=VALUE` texts; they win over the shape.

  Raises:
    ValueError: not a shape, no such config, or sizes that do not fit together.
  """
  match = re.fullmatch(r"(\d+)/(\d+)/(\d+)[x×](\d+)", shape)
  if not match:
    raise ValueError(
      "--shape expects, say, 16/3/8x64 (width/depth/batch x tokens), got"
      f" {shape!r}"
    )
  width, depth, batch_size, context_length = map(int, match.groups())
  sizes = [
    f"grid.widths=[{width}]",
    f"grid.depths=[{depth}]",
    f"train.batch_size={batch_size}",
    f"task.context_length={context_length}",
    f"model.head_dim={16 if width <= 32 else min(width, 64)}",
  ]
  config = command.load_config(name, [*sizes, *overrides])
  return config, config_lib.cells(config)[0]
