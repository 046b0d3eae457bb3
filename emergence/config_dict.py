"""A config as nested dicts with a key for each field, as JSON keeps it."""

import dataclasses
import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from emergence.config import Config


def to_dict(config: Config) -> dict[str, Any]:
  """The config as nested dicts, lists, numbers and strings."""
  plain = dataclasses.asdict(config)
  plain["train"]["learning_rate_by_width"] = {
    str(width): rate for width, rate in config.train.learning_rate_by_width
  }
  return json.loads(json.dumps(plain))


def from_dict(plain: Mapping[str, Any]) -> Config:
  """Inverse of `to_dict`; raises ValueError on unknown keys or bad values."""
  sections = {f.name: f.type for f in dataclasses.fields(Config)}
  arguments = {}
  for name, value in plain.items():
    if name not in sections:
      raise ValueError(unknown_key(name, sections))
    kind = sections[name]
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
      if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a mapping of fields, got {value!r}")
      fields = [f.name for f in dataclasses.fields(kind)]
      for key in value:
        if key not in fields:
          raise ValueError(unknown_key(f"{name}.{key}", config_keys()))
      value = kind(**value)
    arguments[name] = value
  return Config(**arguments)


def config_keys() -> list[str]:
  """Every key that an override takes, such as `train.steps`."""
  keys = []
  for field in dataclasses.fields(Config):
    if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
      keys += [f"{field.name}.{f.name}" for f in dataclasses.fields(field.type)]
    else:
      keys.append(field.name)
  return keys


def unknown_key(key: str, known: Iterable[str]) -> str:
  """What to say of a key that is none; names the nearest valid ones."""
  known = list(known)
  near = difflib.get_close_matches(key, known, n=3, cutoff=0.4)
  last = key.rsplit(".", 1)[-1]
  near = [k for k in known if k.rsplit(".", 1)[-1] == last] or near
  return (
    f"unknown config key {key!r}; did you mean {' or '.join(near or known)}?"
  )
