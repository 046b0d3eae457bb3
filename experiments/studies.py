"""The studies behind the findings, and their training."""

import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

from emergence.sweep.console import format_seconds


class Study(NamedTuple):
  """One config, trained by one sweep into one folder.

  Attributes:
    name: of the study and its folder.
    config: name of its config in experiments/configs.
    overrides: changes to the config, as `KEY=VALUE`.
    role: how the findings use it. `grid`: the claims are decided on it.
      `search`: a setting picked because one claim may hold there. `task`: one
      cell of a task. `demo`, `control`: drawn, but no evidence for a claim.
      `repeat`: the demo with another root seed. Empty: not used.
    claim: number of the claim that a `search` was picked for, else 0.
    underpowered: whether the preregistration calls the grid underpowered.
  """

  name: str
  config: str
  overrides: tuple[str, ...] = ()
  role: str = ""
  claim: int = 0
  underpowered: bool = False

  def flags(self, folder: pathlib.Path) -> list[str]:
    """The flags of the sweep that trains it into `folder` / `name`."""
    place = [f"--config={self.config}", f"--workdir={folder / self.name}"]
    return [*place, *(f"--override={text}" for text in self.overrides)]


# In the order of training.
STUDIES = (
  Study("quickstart", "quickstart", role="demo"),
  *(
    Study(f"root_seed_{r}", "quickstart", (f"root_seed={r}",), role="repeat")
    for r in range(1, 6)
  ),
  Study("count_depth_small", "count_depth_small", role="grid"),
  Study("count_width_small", "count_width_small", role="grid"),
  Study("addition_width_small", "addition_width_small", role="grid"),
  Study("addition_depth_small", "addition_depth_small", role="grid"),
  Study("inverse_small", "inverse_small", role="search", claim=5),
  Study("seeds_crossed", "seeds_crossed", role="control"),
  Study("null_random", "null_random", role="control"),
  Study("null_split", "null_split", role="control"),
  Study("tasks_copy", "tasks_small", role="task"),
  Study(
    "tasks_sort",
    "tasks_small",
    ("task.name=sort", "grid.widths=[16]", "task.test_lengths=[10,12]"),
    role="task",
  ),
  Study("tasks_mode", "tasks_small", ("task.name=mode",), role="task"),
  Study(
    "tasks_parity",
    "tasks_small",
    ("task.name=parity", "task.vocab_size=2", "grid.widths=[16]"),
    role="task",
  ),
)


def train(studies: Sequence[Study], folder: pathlib.Path) -> None:
  """Prints an estimate of the total time and trains each study in turn.

  Raises:
    SystemExit: a sweep failed; the exit code is that of the sweep.
  """
  sweeps = [study.flags(folder) for study in studies]
  seconds, num_unfit = 0.0, 0
  for flags in sweeps:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
      _sweep(*flags, "--dry_run", f"--json={file.name}")
      of_cells = [cell["seconds"] for cell in json.load(file)]
    num_unfit += of_cells.count(None)
    seconds += sum(x or 0 for x in of_cells)
  print(f"all studies: {format_seconds(seconds)}, compilation not included")
  if num_unfit:
    print(f"not counting {num_unfit} cells that do not fit in memory")
  for flags in sweeps:
    _sweep(*flags, "--keep_params=final")


def _sweep(*flags: str) -> None:
  done = subprocess.run([sys.executable, "-m", "experiments.sweep", *flags])
  if done.returncode:
    sys.exit(done.returncode)
