"""Finds the model, size and seed of an lm-evaluation-harness result file.

The docstring of `emergence.tables.harness.read` states the rules.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from emergence.tables.parsing import flag, parse_scale
from emergence.tables.score_table import quote

_SIZE = re.compile(
  r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?[mMbB]|\d+[mMbB]\d+)(?![A-Za-z0-9])"
)
# Also matches doubtful sizes (8x160m, 1200K); only suggested in messages.
NEAR_SIZE = r"(?P<scale>(?<![\d.])\d+(?:\.\d+)?[kKmMbB]\d*)"
_SEED = re.compile(r"(?<![A-Za-z])seed[-_=]?(\d+)(?!\d)", re.IGNORECASE)
_STEP = re.compile(r"(?<![A-Za-z])step[-_=]?(\d+)(?!\d)", re.IGNORECASE)
# The order in which the harness itself looks for a model's name.
_NAME_ARGUMENTS = ("peft", "delta", "pretrained", "model", "path", "engine")
_GROUPS = ("model", "scale", "seed")


class ResultFile(NamedTuple):
  """A result file with its model, size and seed; None if no rule gives it."""

  source: str
  content: Mapping[str, Any]
  model: str
  scale: str | None
  seed: str | None
  checkpoint: str


def identify(
  source: str,
  content: Mapping[str, Any],
  pattern: re.Pattern | None = None,
) -> ResultFile:
  """Finds the model, size, seed and checkpoint of one file.

  Args:
    source: path of the file, relative to the folder of results.
    content: the parsed JSON of the file.
    pattern: `--name_pattern`, compiled; its groups take precedence.

  Raises:
    ValueError: the pattern is not found, or the path has another size or seed
      than the label.
  """
  name, revision, label = _label(content)
  told: dict[str, str | None] = {}
  if pattern:
    match = pattern.search(source) or pattern.search(name)
    if not match:
      raise ValueError(
        f"--name_pattern matches neither the path {quote(source)} nor the"
        f" model name {quote(name)}"
      )
    told = match.groupdict()
  values: dict[str, str | None] = {}
  for kind, token in (("scale", _SIZE), ("seed", _SEED), ("step", _STEP)):
    values[kind] = told.get(kind)
    if values[kind] is not None:
      continue
    in_label, in_path = token.findall(label)[-1:], token.findall(source)
    number = parse_scale if kind == "scale" else int
    if kind != "step" and len(set(map(number, in_label + in_path))) > 1:
      within = NEAR_SIZE if kind == "scale" else r"seed[-_=]?(?P<seed>\d+)"
      raise ValueError(
        f"the path {quote(source)} gives {kind} {' and '.join(in_path)}, but"
        " the model name in the file gives"
        f" {f'{kind} {in_label[0]}' if in_label else f'no {kind}'}; rename the"
        f" path, or add {flag('name_pattern', within)}, which reads the {kind}"
        " from the path"
      )
    values[kind] = (in_label or in_path or [None])[-1]
  return ResultFile(
    source,
    content,
    model=told.get("model") or _family(name, told.get("scale")),
    scale=values["scale"],
    seed=values["seed"],
    checkpoint=f"step{values['step']}" if values["step"] else revision,
  )


def _label(content: Mapping[str, Any]) -> tuple[str, str, str]:
  """Returns a model's name, its revision, and the label to search."""
  config = content.get("config")
  config = config if isinstance(config, dict) else {}
  arguments = config.get("model_args")
  if not isinstance(arguments, dict):
    pairs = (part.partition("=") for part in str(arguments or "").split(","))
    arguments = {key.strip(): value for key, _, value in pairs}
  names = [content.get("model_name")]
  names += [arguments.get(key) for key in _NAME_ARGUMENTS]
  name = str(next(filter(None, names), config.get("model") or ""))
  revision = arguments.get("revision") or config.get("model_revision") or ""
  # The name may be an adapter's and the size only in its base model's name.
  base = arguments.get("pretrained") or ""
  return name, str(revision), f"{base} {name} {revision}"


def _family(name: str, scale: str | None) -> str:
  last = name.rstrip("/").rsplit("/", 1)[-1].replace(scale or " ", "")
  for token in (_SIZE, _SEED, _STEP):
    last = token.sub("", last)
  return re.sub(r"[-_.]{2,}", "-", last).strip("-_. ") or "model"


def compile_pattern(pattern: str | None) -> re.Pattern | None:
  """Compiles `--name_pattern`; ValueError unless it names known groups only."""
  if pattern is None:
    return None
  try:
    compiled = re.compile(pattern)
  except re.error as error:
    raise ValueError(
      f"--name_pattern: {pattern!r} is no regular expression: {error}"
    ) from error
  names = set(compiled.groupindex)
  if not names or names - set(_GROUPS):
    raise ValueError(
      f"--name_pattern needs named groups out of {', '.join(_GROUPS)}, such as"
      f" (?P<seed>\\d+); got {', '.join(sorted(names)) or 'none'}"
    )
  return compiled


def settle_scales(
  files: list[ResultFile],
) -> tuple[list[ResultFile], str]:
  """Gives each file a scale; also returns what the scale is called.

  Raises:
    ValueError: some files have no size in their names, and some have none in
      their config.
  """
  sizes = []
  for file in files:
    size = at(file.content, "config", "model_num_parameters")
    is_size = isinstance(size, int) and not isinstance(size, bool) and size > 0
    sizes.append(size if is_size else None)
  without = [file for file in files if file.scale is None]
  if without and None in sizes:
    near = re.search(NEAR_SIZE, without[0].source)
    pattern = NEAR_SIZE if near else _words_pattern(files)
    raise _lacks("model size", without, files, flag("name_pattern", pattern))
  if without:
    named = [
      file._replace(scale=str(size))
      for file, size in zip(files, sizes, strict=True)
    ]
    return named, "num_params"
  return files, "model size"


def settle_seeds(
  files: list[ResultFile], default: int | None
) -> list[ResultFile]:
  """Gives the default seed to files that have no seed.

  Raises:
    ValueError: a file has no seed and `default` is None.
  """
  without = [file for file in files if file.seed is None]
  if without and default is None:
    flags = filter(None, [advise_folders(files), "--default_seed=0"])
    raise _lacks("seed", without, files, " or ".join(flags))
  return [
    file if file.seed is not None else file._replace(seed=str(default))
    for file in files
  ]


def advise_folders(files: Sequence[ResultFile]) -> str:
  """Returns the flag that reads seeds from folder names, or an empty text.

  Of two files that agree in model, size, seed and checkpoint, it takes the
  first folder in which their paths differ.
  """
  first: dict[tuple, list[str]] = {}
  for file in files:
    folders = file.source.split("/")[:-1]
    others = first.setdefault(file[2:6], folders)
    if len(others) == len(folders) and others != folders:
      i = next(i for i, x in enumerate(folders) if x != others[i])
      before = f"(?:[^/]+/){{{i}}}" if i else ""
      return flag("name_pattern", f"^{before}(?P<seed>[^/]+)/")
  return ""


def _words_pattern(files: Sequence[ResultFile]) -> str:
  """A pattern of the one word in which the models' names differ."""
  words = [set(re.findall(r"[^-_/.]+", file.model)) for file in files]
  own = [found - set.intersection(*words) for found in words]
  if any(len(found) != 1 for found in own):
    return r"(?P<scale>\d+(?:\.\d+)?[kmbKMB])"
  return f"(?P<scale>{'|'.join(sorted(map(re.escape, set.union(*own))))})"


def _lacks(
  what: str,
  without: Sequence[ResultFile],
  files: Sequence[ResultFile],
  advice: str,
) -> ValueError:
  return ValueError(
    f"found no {what} for {len(without)} of {len(files)} files, such as"
    f" {quote(without[0].source)}; add {advice}"
  )


def at(content: Any, *keys: str) -> Any:
  """Returns the value under nested keys, or None if a key is missing."""
  for key in keys:
    content = content.get(key) if isinstance(content, dict) else None
  return content
