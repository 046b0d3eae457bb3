"""Trains the studies behind the findings, and collects what is committed.

  python -m experiments.reproduce --train --workdir=DIR
  python -m experiments.reproduce --collect --workdir=DIR

Each study has the work directory DIR/NAME, with the records, checkpoints and
final parameters of all of its seeds. The same command continues an interrupted
one. `--runs=NAME,NAME` takes only some of the studies. `--collect` copies the
records of the studies and the parameters of a few seeds into
`experiments/records`, see `experiments.collected`.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
from typing import NamedTuple

from absl import flags

from emergence.sweep.console import format_seconds
from experiments import collected, command

_TRAIN = flags.DEFINE_bool("train", False, "Train what has no records yet.")
_COLLECT = flags.DEFINE_bool(
  "collect", False, "Copy finished studies into experiments/records."
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the work directories.", required=True
)
_RUNS = flags.DEFINE_list("runs", None, "Names of studies; default all.")


class Study(NamedTuple):
  """One config, trained by one or more sweeps into one folder.

  Attributes:
    name: of its folder.
    config: its config, in experiments/configs.
    overrides: of config keys, `KEY=VALUE`.
    seeds_of_cells: cells to train with more seeds than the config asks for:
      (cell, count), for seeds 0 … count − 1.
  """

  name: str
  config: str
  overrides: tuple[str, ...] = ()
  seeds_of_cells: tuple[tuple[str, int], ...] = ()

  def sweeps(self, folder: pathlib.Path) -> list[list[str]]:
    """The arguments of each sweep of the study."""
    arguments = [f"--config={self.config}", f"--workdir={folder / self.name}"]
    arguments += [f"--override={text}" for text in self.overrides]
    more = [
      [f"--cells={cell}", f"--seeds=0-{count - 1}"]
      for cell, count in self.seeds_of_cells
    ]
    return [arguments, *([*arguments, *flags] for flags in more)]


# In the order of training.
STUDIES: tuple[Study, ...] = ()


def main() -> None:
  if _TRAIN.value == _COLLECT.value:
    raise ValueError("give one of --train and --collect")
  studies = {study.name: study for study in STUDIES}
  names = list(studies) if _RUNS.value is None else _RUNS.value
  for name in names:
    if name not in studies:
      raise ValueError(
        f"--runs: no study {name!r}; there are {', '.join(studies)}"
      )
  folder = pathlib.Path(_WORKDIR.value)
  chosen = [studies[name] for name in names]
  if _TRAIN.value:
    train(chosen, folder)
  else:
    for study in chosen:
      collected.collect(folder / study.name, collected.FOLDER / study.name)


def train(studies: list[Study], folder: pathlib.Path) -> None:
  """Says how long the studies will take, and trains them one after another.

  Raises:
    SystemExit: a sweep failed, with its exit code.
  """
  sweeps = [
    arguments for study in studies for arguments in study.sweeps(folder)
  ]
  seconds = 0.0
  for arguments in sweeps:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
      _sweep(*arguments, "--dry_run", f"--json={file.name}")
      seconds += sum(cell["seconds"] or 0 for cell in json.load(file))
  print(f"all studies {format_seconds(seconds)}, compiling not included")
  for arguments in sweeps:
    _sweep(*arguments, "--keep_params=final")


def _sweep(*arguments: str) -> None:
  done = subprocess.run([sys.executable, "-m", "experiments.sweep", *arguments])
  if done.returncode:
    sys.exit(done.returncode)


if __name__ == "__main__":
  command.run(main)
