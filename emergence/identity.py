"""What of a config is trained, and its hash, stored with every record.

A key at its default does not enter the hash. So a key that is added to the
config later leaves the hashes of old work directories as they are, and the
defaults of identity keys must never change.
"""

import hashlib
import json
from typing import Any

from emergence.config import Cell, Config, cell_config
from emergence.config_dict import config_keys, to_dict

# What is wanted of an experiment, how the work is cut, and what is different
# from cell to cell.
_NOT_IDENTITY = (
  "seeds.count",
  "seeds.first",
  "seeds.num_init",
  "seeds.block",
  "grid.widths",
  "grid.depths",
  "train.learning_rate_by_width",
)


def identity(config: Config) -> dict[str, Any]:
  """What is trained, without how much of it: the value of each config key.

  Of keys that are axes only the names count, under `grid.axes`. Learning rates
  by width are part of the cells, see `cell_hash`.
  """
  plain = to_dict(config)
  axes = [name for name, _ in config.grid.axes]
  left_out = {*_NOT_IDENTITY, *axes}
  if config.seeds.design != "crossed":
    left_out.add("seeds.num_data")
  found = {}
  for key in config_keys():
    if key not in left_out:
      *section, field = key.split(".")
      found[key] = (plain[section[0]] if section else plain)[field]
  found["grid.axes"] = axes
  return found


def identity_hash(config: Config) -> str:
  """Hash of the identity; the same for all cells."""
  return _hash(identity(config))


def cell_hash(config: Config, cell: Cell) -> str:
  """Hash of what defines one cell: the identity of its config, with its width
  and depth. What a config says of other widths does not count."""
  config = cell_config(config, cell)
  found = identity(config)
  found["train.learning_rate"] = config.train.learning_rate_at(cell.width)
  return _hash(found | {"width": cell.width, "depth": cell.depth})


def first_difference(a: Config, b: Config) -> tuple[str, Any, Any] | None:
  """The first key in which two configs are not the same experiment.

  Returns:
    The key and both values; None where they are the same.
  """
  of_a, of_b = identity(a), identity(b)
  # Axes first: they say which other keys count.
  for key in ["grid.axes", *config_keys()]:
    if of_a.get(key) != of_b.get(key):
      return key, of_a.get(key), of_b.get(key)
  for width in sorted({*a.grid.widths} & {*b.grid.widths}):
    rates = [config.train.learning_rate_at(width) for config in (a, b)]
    if rates[0] != rates[1]:
      return f"the learning rate at width {width}", rates[0], rates[1]
  return None


def _hash(values: dict[str, Any]) -> str:
  defaults = identity(Config())
  changed = {
    key: value
    for key, value in values.items()
    if key not in defaults or value != defaults[key]
  }
  text = json.dumps(changed, sort_keys=True, separators=(",", ":"))
  return hashlib.sha256(text.encode()).hexdigest()[:16]
