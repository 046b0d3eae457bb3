"""Trains the studies behind the findings, and collects what is committed.

  python -m experiments.reproduce --train --workdir=DIR
  python -m experiments.reproduce --collect --workdir=DIR

Each study of `experiments.studies` has the work directory DIR/NAME, with the
records and the final parameters of all of its seeds. The same command continues
an interrupted one. `--studies=NAME,NAME` takes these alone. `--collect` copies
the records and the parameters of a few seeds into `experiments/records`, see
`experiments.collected`.
"""

import pathlib

from absl import flags

from experiments import collected, command
from experiments.studies import STUDIES, train

_TRAIN = flags.DEFINE_bool("train", False, "Train what has no records yet.")
_COLLECT = flags.DEFINE_bool(
  "collect", False, "Copy finished studies into experiments/records."
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the work directories.", required=True
)
_STUDIES = flags.DEFINE_list("studies", None, "Names of studies; default all.")


def main() -> None:
  if _TRAIN.value == _COLLECT.value:
    raise ValueError("give one of --train and --collect")
  known = {study.name: study for study in STUDIES}
  names = list(known) if _STUDIES.value is None else _STUDIES.value
  for name in names:
    if name not in known:
      raise ValueError(
        f"--studies: no study {name!r}; there are {', '.join(known)}"
      )
  folder = pathlib.Path(_WORKDIR.value)
  if _TRAIN.value:
    train([known[name] for name in names], folder)
    return
  for name in names:
    collected.collect(folder / name, collected.FOLDER / name)


if __name__ == "__main__":
  command.run(main)
