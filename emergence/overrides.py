"""Fields of a config from texts such as `train.steps=500`."""

import ast
import contextlib
import json
from collections.abc import Iterable
from typing import Any

from emergence.config import Config
from emergence.config_dict import config_keys, from_dict, to_dict, unknown_key


def override(config: Config, assignments: Iterable[str]) -> Config:
  """Applies `KEY=VALUE` texts, typed by the field they name.

  All of them are applied before the result is validated, so that settings
  which only fit together can be given in any order.

  Args:
    config: the config to start from.
    assignments: texts such as `train.steps=500` or `grid.depths=[1,2,3]`.

  Raises:
    ValueError: an unknown key (the nearest valid ones are named) or a value
      that does not fit.
  """
  plain = to_dict(config)
  for text in assignments:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals:
      raise ValueError(f"an override reads KEY=VALUE, got {text!r}")
    if key not in config_keys():
      raise ValueError(unknown_key(key, config_keys()))
    *section, field = key.split(".")
    target = plain[section[0]] if section else plain
    target[field] = _literal(value.strip())
  return from_dict(plain)


def _literal(text: str) -> Any:
  if text.lower() in ("true", "false"):
    return text.lower() == "true"
  errors = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
  # As JSON alone writes them, {"task.packed": [true, false]} for one.
  for parse in (ast.literal_eval, *[json.loads] * text.startswith(("{", "["))):
    with contextlib.suppress(*errors):
      return parse(text)
  return text  # What it is meant for says what it expects.
