"""A shape of the benchmark and the experiment that it stands for."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from emergence import config as config_lib
from emergence.config import Cell, Config
from experiments import command


class Shape(NamedTuple):
  """What one update computes; its text reads 16/3/8x64.

  Attributes:
    width: dimension of the residual stream.
    depth: layers.
    batch_size: contexts per update.
    context_length: tokens of a context.
  """

  width: int
  depth: int
  batch_size: int
  context_length: int

  def __str__(self) -> str:
    return f"{self.width}/{self.depth}/{self.batch_size}x{self.context_length}"

  @classmethod
  def parse(cls, text: str) -> "Shape":
    """The shape of such a text; ValueError where it is none."""
    match = re.fullmatch(r"(\d+)/(\d+)/(\d+)[x×](\d+)", text.strip())
    if not match:
      raise ValueError(
        "--shape reads like 16/3/8x64 (width/depth/batch x tokens), got"
        f" {text!r}"
      )
    return cls(*map(int, match.groups()))


def make_config(
  shape: Shape,
  name: str,
  overrides: Sequence[str] = (),
  block: int | None = None,
) -> tuple[Config, Cell]:
  """A config with the sizes of a shape, and its only cell.

  Heads have dimension 64, or the width where that is less, and 16 up to width
  32, as in the quickstart; an override says otherwise.

  Args:
    shape: the sizes.
    name: a config as `command.load_config` takes it.
    overrides: `KEY=VALUE` texts; they go before the shape.
    block: seeds that a device trains at a time; of the config where None.

  Raises:
    ValueError: no such config, or sizes that do not fit together.
  """
  head_dim = 16 if shape.width <= 32 else min(shape.width, 64)
  sizes = [
    f"grid.widths=[{shape.width}]",
    f"grid.depths=[{shape.depth}]",
    f"train.batch_size={shape.batch_size}",
    f"task.context_length={shape.context_length}",
    f"model.head_dim={head_dim}",
  ]
  if block is not None:
    sizes.append(f"seeds.block={block}")
  config = command.load_config(name, [*sizes, *overrides])
  return config, config_lib.cells(config)[0]
