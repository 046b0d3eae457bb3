"""What of a config is trained, and its hash, stored with every record."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from emergence.config import Cell, Config
from emergence.config_dict import to_dict


def identity(config: Config) -> dict[str, Any]:
  """What is trained, without how much of it: the part that is hashed."""
  plain = to_dict(config)
  del plain["grid"]
  request = ["count", "first", "num_init"]
  if config.seeds.design != "crossed":
    request.append("num_data")
  for field in request:
    del plain["seeds"][field]
  return plain


def identity_hash(config: Config) -> str:
  """Hash of everything but the request; the same for all cells."""
  return _hash(identity(config))


def cell_hash(config: Config, cell: Cell) -> str:
  """Hash of what defines one cell: the identity with its width and depth."""
  return _hash(identity(config) | {"width": cell.width, "depth": cell.depth})


def first_difference(a: Config, b: Config) -> tuple[str, Any, Any] | None:
  """The first identity key in which two configs differ, and both values."""
  flat_a, flat_b = _flatten(identity(a)), _flatten(identity(b))
  for key in [*flat_a, *(k for k in flat_b if k not in flat_a)]:
    if flat_a.get(key) != flat_b.get(key):
      return key, flat_a.get(key), flat_b.get(key)
  return None


def _flatten(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  flat = {}
  for key, value in plain.items():
    if isinstance(value, Mapping) and key != "learning_rate_by_width":
      flat |= _flatten(value, f"{prefix}{key}.")
    else:
      flat[prefix + key] = value
  return flat


def _hash(plain: Mapping[str, Any]) -> str:
  text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
  return hashlib.sha256(text.encode()).hexdigest()[:16]
