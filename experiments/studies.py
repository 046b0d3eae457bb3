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
    name: of its folder.
    config: its config, in experiments/configs.
    overrides: of config keys, `KEY=VALUE`.
    role: what the findings take it for: `grid`, on which the claims are
      decided; `search`, a setting picked because one claim may hold there;
      `task`, one cell of a task; `demo` or `control`, which are drawn and are
      no evidence for a claim; `repeat`, the demo with another root seed; empty
      for nothing.
    claim: the number of the claim of a search.
    underpowered: whether the preregistration calls the grid so.
  """

  name: str
  config: str
  overrides: tuple[str, ...] = ()
  role: str = ""
  claim: int = 0
  underpowered: bool = False

  def flags(self, folder: pathlib.Path) -> list[str]:
    """The flags of its sweep."""
    place = [f"--config={self.config}", f"--workdir={folder / self.name}"]
    return [*place, *(f"--override={text}" for text in self.overrides)]


# In the order of training. The demo is the first: no evidence for a claim.
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
  """Says how long the studies will take, and trains them one after another.

  Raises:
    SystemExit: a sweep failed, with its exit code.
  """
  sweeps = [study.flags(folder) for study in studies]
  seconds, num_unfit = 0.0, 0
  for flags in sweeps:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
      _sweep(*flags, "--dry_run", f"--json={file.name}")
      of_cells = [cell["seconds"] for cell in json.load(file)]
    num_unfit += of_cells.count(None)
    seconds += sum(x or 0 for x in of_cells)
  print(f"all studies {format_seconds(seconds)}, compiling not included")
  if num_unfit:
    print(f"not counting {num_unfit} cells that do not fit in memory")
  for flags in sweeps:
    _sweep(*flags, "--keep_params=final")


def _sweep(*flags: str) -> None:
  done = subprocess.run([sys.executable, "-m", "experiments.sweep", *flags])
  if done.returncode:
    sys.exit(done.returncode)
