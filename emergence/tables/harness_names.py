"""Which model, size and seed an lm-evaluation-harness file is about.

The rules are those that `emergence.tables.harness.read` states.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from emergence.tables.parsing import parse_scale
from emergence.tables.score_table import Issue, quote

_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?[mMbB])(?![A-Za-z0-9])")
_SEED = re.compile(r"(?<![A-Za-z])seed[-_=]?(\d+)(?!\d)", re.IGNORECASE)
_STEP = re.compile(r"(?<![A-Za-z])step[-_=]?(\d+)(?!\d)", re.IGNORECASE)
# In this order the harness itself looks for the name of a model.
_NAME_ARGUMENTS = ("peft", "delta", "pretrained", "model", "path", "engine")
_GROUPS = ("model", "scale", "seed")


class Run(NamedTuple):
  """One result file and what it is about; None where no rule tells."""

  source: str
  content: Mapping[str, Any]
  model: str
  scale: str | None
  seed: str | None
  checkpoint: str
  conflicts: list[str]


def identify(
  source: str,
  content: Mapping[str, Any],
  pattern: re.Pattern | None,
  rule: str,
) -> Run:
  """Applies the rules of `read` to one file."""
  name, revision, label = _label(content)
  told: dict[str, str | None] = {}
  if pattern:
    match = pattern.search(source) or pattern.search(name)
    if not match:
      raise ValueError(
        f"--name_pattern finds nothing in {quote(source)} nor in {quote(name)}"
      )
    told = match.groupdict()
  values: dict[str, str | None] = {}
  conflicts = []
  for kind, token in (("scale", _SIZE), ("seed", _SEED), ("step", _STEP)):
    values[kind] = told.get(kind)
    if values[kind] is not None:
      continue
    in_label, in_path = token.findall(label)[-1:], token.findall(source)
    number = parse_scale if kind == "scale" else int
    if len(set(map(number, in_label + in_path))) > 1:
      label_says = f"{kind} {in_label[0]}" if in_label else f"no {kind}"
      conflicts.append(f"{kind} {' and '.join(in_path)}, not {label_says}")
    first, second = in_label, in_path
    if rule == "path":
      first, second = second, first
    values[kind] = (first or second or [None])[-1]
  parent = source.split("/")[-2] if "/" in source else ""
  sanitized = content.get("model_name_sanitized")
  if "__" in parent and sanitized and parent != sanitized:
    conflicts.append(f"folder {quote(parent)}, not {quote(sanitized)}")
    name = parent.replace("__", "/") if rule == "path" else name
  return Run(
    source,
    content,
    model=told.get("model") or _family(name),
    scale=values["scale"],
    seed=values["seed"],
    checkpoint=f"step{values['step']}" if values["step"] else revision,
    conflicts=conflicts,
  )


def _label(content: Mapping[str, Any]) -> tuple[str, str, str]:
  """Name and revision of a file's model, and all text that tells what it is.

  An adapter has the name; the model that it adapts may tell the size.
  """
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
  base = arguments.get("pretrained") or ""
  return name, str(revision), f"{base} {name} {revision}"


def _family(name: str) -> str:
  last = name.rstrip("/").rsplit("/", 1)[-1]
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


def report_conflicts(runs: Sequence[Run], rule: str) -> list[Issue]:
  """Tells of labels that contradict paths; ValueError if the rule is refuse."""
  wrong = [run for run in runs if run.conflicts]
  if not wrong:
    return []
  rows = [
    {"source": run.source, "conflict": "; ".join(run.conflicts)}
    for run in wrong
  ]
  found = (
    f"{len(wrong)} files lie under a path that names another run:"
    f" {quote(wrong[0].source)} says {rows[0]['conflict']} as in the file"
  )
  if rule == "refuse":
    raise ValueError(
      f"{found}. Move them, or say which is right with"
      " --conflicting_labels=label or path, or what to read with --name_pattern"
    )
  sentence = f"{found}. The {rule} is believed (--conflicting_labels={rule})."
  return [Issue("conflicting_label", sentence, rows)]


def settle_scales(runs: list[Run]) -> tuple[list[Run], str, list[Issue]]:
  """Runs that all have a scale, what it is, and issues.

  Raises:
    ValueError: neither all names nor all configs tell a size.
  """
  sizes = []
  for run in runs:
    size = at(run.content, "config", "model_num_parameters")
    is_size = isinstance(size, int) and not isinstance(size, bool) and size > 0
    sizes.append(size if is_size else None)
  without = [run for run in runs if run.scale is None]
  if without and None in sizes:
    raise _lacks("model size", without, runs, "(?P<scale>\\d+m)")
  if without:
    named = [
      run._replace(scale=str(size))
      for run, size in zip(runs, sizes, strict=True)
    ]
    return named, "num_params", []
  odd = []
  for run, size in zip(runs, sizes, strict=True):
    try:
      scale = parse_scale(run.scale)
    except ValueError as error:  # What a pattern took for a scale.
      raise ValueError(f"{quote(run.source)}: {error}") from None
    if size and not 0.5 * size <= scale <= 2 * size:
      row = {"scale": run.scale, "model_num_parameters": size}
      odd.append({"source": run.source, **row})
  sentence = (
    f"{len(odd)} files name a size that is not near their number of parameters;"
    " the name counts."
  )
  issues = [Issue("conflicting_label", sentence, odd)] if odd else []
  return runs, "model size", issues


def settle_seeds(runs: list[Run]) -> tuple[list[Run], str, list[Issue]]:
  """Runs that all have a seed, what one means, and issues.

  Raises:
    ValueError: some names tell a seed and others do not.
  """
  meaning = "The files do not tell what a seed has in common at two sizes."
  without = [run for run in runs if run.seed is None]
  if not without:
    return runs, meaning, []
  if len(without) < len(runs):
    raise _lacks("seed", without, runs, "seed(?P<seed>\\d+)")
  seeds = [str(at(run.content, "config", "random_seed")) for run in runs]
  if "None" not in seeds and len(set(seeds)) > 1:
    meaning = "A seed is one of the evaluation, not of training."
    issue = Issue(
      "evaluation_seed",
      "No name tells a seed, so config.random_seed is taken, which varies. It"
      " seeds the evaluation (few-shot examples, sampling): the spread over it"
      " is that of testing one trained model again, not of training.",
      [],
    )
  else:
    seeds = ["0"] * len(runs)
    issue = Issue(
      "no_seed",
      "No name tells a seed: every file counts as seed 0. If there are several"
      " runs, tell them apart with --name_pattern.",
      [],
    )
  named = [
    run._replace(seed=seed) for run, seed in zip(runs, seeds, strict=True)
  ]
  return named, meaning, [issue]


def _lacks(
  what: str, without: Sequence[Run], runs: Sequence[Run], group: str
) -> ValueError:
  return ValueError(
    f"{quote(without[0].source)} tells no {what}; {len(without)} of {len(runs)}"
    f" files have none. Name it with --name_pattern, such as {group}"
  )


def at(content: Any, *keys: str) -> Any:
  """The value under nested keys, None where one is not there."""
  for key in keys:
    content = content.get(key) if isinstance(content, dict) else None
  return content
