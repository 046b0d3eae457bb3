"""What the report of a work directory says of how its records were made."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from emergence import console
from emergence.analysis.words import count
from emergence.config import Config, to_dict
from emergence.report import Section, Table
from emergence.sweep import budget

_PHASES = {
  "compile": "compiling",
  "train": "training, data included",
  "evaluate": "evaluation",
  "write": "writing records and parameters",
  "other": "everything else",
}


def time(runs: Sequence[budget.Run], num_seeds: int) -> Section:
  """Where the time of the runs went.

  Args:
    runs: those that have left their time budget.
    num_seeds: models that are recorded.
  """
  if not runs:
    return Section(
      "time",
      "Time",
      "No run has left its time budget in this directory.",
    )
  seconds = budget.total_seconds(runs)
  total = sum(seconds.values())
  trained = sum(run.seeds for run in runs)
  times = "took" if len(runs) == 1 else "add up to"
  sentence = (
    f"{count(len(runs), 'run')} {times} {console.format_seconds(total)}."
  )
  steps = sum(run.seed_steps for run in runs)
  if steps and seconds["train"] > 0:
    sentence += (
      f" {steps / seconds['train']:,.0f} seed-steps per second of training, of"
      " seeds that were finished."
    )
  if trained < num_seeds:
    sentence += (
      f" The runs' files account for {trained} of {num_seeds} models; the time"
      " of the others is not known."
    )
  if trained > num_seeds:
    sentence += (
      f" The runs trained {trained} models, of which {num_seeds} are recorded:"
      " some were trained twice, or their records are gone."
    )
  return Section(
    "time",
    "Time",
    sentence,
    "Wall time of the sweep, on a machine that may have had other work. Loading"
    " the program, this report, and what a killed run spent since its last"
    " finished block are not in it; runs side by side are added up.",
    table=Table(
      ["phase", "time", "share"],
      [
        [_PHASES[p], console.format_seconds(s), f"{s / max(total, 1e-9):.1%}"]
        for p, s in seconds.items()
      ],
    ),
  )


def machine(provenances: Sequence[Mapping[str, Any]]) -> Section:
  """The devices and versions that the records tell, and which differ."""
  names = {
    "device_kind": "device",
    "platform": "platform",
    "num_devices": "devices",
    "block": "seeds a block",
    "machine": "machine",
    "python_version": "Python",
    "jax_version": "jax",
    "jaxlib_version": "jaxlib",
    "flax_version": "flax",
    "optax_version": "optax",
    "numpy_version": "numpy",
    "emergence_version": "emergence",
    "git_commit": "commit",
    "identity_hash": "config hash",
  }
  values = {
    key: sorted({str(p.get(key, "unknown")) for p in provenances})
    for key in names
  }
  values["git_commit"] = [_short_commit(c) for c in values["git_commit"]]
  differs = [names[key] for key, found in values.items() if len(found) > 1]
  return Section(
    "machine",
    "Devices and versions",
    f"The records come from different settings of: {', '.join(differs)}."
    if differs
    else "All records come from one kind of device and one set of versions.",
    "With another device or block the data are the same bits, and single seeds"
    " may still end elsewhere.",
    table=Table(
      ["", "value"],
      [[names[key], ", ".join(found)] for key, found in values.items()],
    ),
  )


def setting(config: Config) -> Section:
  """The whole config."""
  return Section(
    "config",
    "Config",
    "The whole setting, as in config.json.",
    code=json.dumps(to_dict(config), indent=2),
  )


def _short_commit(commit: str) -> str:
  head, dash, dirty = commit.partition("-")
  return f"{head[:12]}{dash}{dirty}"
