"""Which model, size and seed an lm-evaluation-harness file is about.

The rules are those that `emergence.tables.harness.read` states.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from emergence.tables import cells
from emergence.tables.score_table import Finding, quote

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
    if told.get(kind) is not None:
      values[kind] = told[kind]
      continue
    in_label, in_path = token.findall(label), token.findall(source)
    compare = cells.parse_scale if kind == "scale" else int
    if len({compare(value) for value in (*in_label[-1:], *in_path)}) > 1:
      label_says = f"{kind} {in_label[-1]}" if in_label else f"no {kind}"
      conflicts.append(f"{kind} {' and '.join(in_path)}, not {label_says}")
    first = in_path if rule == "path" else in_label
    values[kind] = (first or in_label or in_path or [None])[-1]
  parent = source.split("/")[-2] if "/" in source else ""
  sanitized = content.get("model_name_sanitized")
  if "__" in parent and sanitized and parent != sanitized:
    conflicts.append(f"folder {quote(parent)}, not {quote(sanitized)}")
    name = parent.replace("__", "/") if rule == "path" else name
  checkpoint = f"step{values['step']}" if values["step"] else revision
  return Run(
    source,
    content,
    told.get("model") or _family(name),
    values["scale"],
    values["seed"],
    checkpoint,
    conflicts,
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
  name = next((str(name) for name in names if name), "")
  name = name or str(config.get("model") or "")
  revision = arguments.get("revision") or config.get("model_revision") or ""
  base = arguments.get("pretrained") or ""
  return name, str(revision), f"{base} {name} {revision}"


def _family(name: str) -> str:
  last = name.rstrip("/").rsplit("/", 1)[-1]
  for token in (_SIZE, _SEED, _STEP):
    last = token.sub("", last)
  return re.sub(r"[-_.]{2,}", "-", last).strip("-_. ") or "model"


def compile_pattern(pattern: str | None) -> re.Pattern | None:
  """The regular expression; ValueError without or with other named groups."""
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


def report_conflicts(runs: Sequence[Run], rule: str) -> list[Finding]:
  """Tells of labels that contradict paths; ValueError if the rule is refuse."""
  wrong = [run for run in runs if run.conflicts]
  if not wrong:
    return []
  found = (
    f"{len(wrong)} files lie under a path that names another run:"
    f" {quote(wrong[0].source)} says {'; '.join(wrong[0].conflicts)} as in the"
    " file"
  )
  if rule == "refuse":
    raise ValueError(
      f"{found}. Move them, or say which is right with"
      " --conflicting_labels=label or path, or what to read with --name_pattern"
    )
  return [
    Finding(
      "conflicting_label",
      f"{found}. The {rule} is believed (--conflicting_labels={rule}).",
      [
        {"source": run.source, "conflict": "; ".join(run.conflicts)}
        for run in wrong
      ],
    )
  ]


def settle_scales(
  runs: list[Run],
) -> tuple[list[Run], str, list[Finding]]:
  """Runs that all have a scale, what it is, and findings.

  Raises:
    ValueError: neither all names nor all configs tell a size.
  """
  sizes = []
  for run in runs:
    try:
      cells.parse_scale(run.scale or 1)
    except ValueError as error:
      raise ValueError(f"{quote(run.source)}: {error}") from None
    size = at(run.content, "config", "model_num_parameters")
    is_size = isinstance(size, int) and not isinstance(size, bool) and size > 0
    sizes.append(size if is_size else None)
  without = [run for run in runs if run.scale is None]
  if without and None in sizes:
    raise ValueError(
      f"{quote(without[0].source)} tells no model size; {len(without)} files"
      " have none. Name it with --name_pattern, such as (?P<scale>\\d+m)"
    )
  if without:
    named = [
      run._replace(scale=str(size))
      for run, size in zip(runs, sizes, strict=True)
    ]
    return named, "num_params", []
  odd = [
    {"source": run.source, "scale": run.scale, "model_num_parameters": size}
    for run, size in zip(runs, sizes, strict=True)
    if size and not 0.5 * size <= cells.parse_scale(run.scale) <= 2 * size
  ]
  sentence = (
    f"{len(odd)} files name a size that is not near their number of parameters;"
    " the name counts."
  )
  findings = [Finding("conflicting_label", sentence, odd)] if odd else []
  return runs, "model size", findings


def settle_seeds(runs: list[Run]) -> tuple[list[Run], str, list[Finding]]:
  """Runs that all have a seed, what one means, and findings.

  Raises:
    ValueError: some names tell a seed and others do not.
  """
  unknown = "The files do not tell what a seed has in common at two sizes."
  without = [run for run in runs if run.seed is None]
  if not without:
    return runs, unknown, []
  if len(without) < len(runs):
    raise ValueError(
      f"{quote(without[0].source)} tells no seed, and other files do;"
      f" {len(without)} files have none. Name it with --name_pattern, such as"
      " seed(?P<seed>\\d+)"
    )
  drawn = [at(run.content, "config", "random_seed") for run in runs]
  if None not in drawn and len(set(map(str, drawn))) > 1:
    sentence = (
      "No name tells a seed, so config.random_seed is taken, which varies. It"
      " seeds the evaluation (few-shot examples, sampling): the spread over it"
      " is that of testing one trained model again, not of training."
    )
    named = [
      run._replace(seed=str(seed))
      for run, seed in zip(runs, drawn, strict=True)
    ]
    return (
      named,
      "A seed is one of the evaluation, not of training.",
      [Finding("evaluation_seed", sentence, [])],
    )
  sentence = (
    "No name tells a seed: every file counts as seed 0. If there are several"
    " runs, tell them apart with --name_pattern."
  )
  named = [run._replace(seed="0") for run in runs]
  return named, unknown, [Finding("no_seed", sentence, [])]


def at(content: Any, *keys: str) -> Any:
  """The value under nested keys, None where one is not there."""
  for key in keys:
    content = content.get(key) if isinstance(content, dict) else None
  return content
