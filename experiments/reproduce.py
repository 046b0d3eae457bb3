"""Trains the studies behind the findings, collects and draws what is committed.

  python -m experiments.reproduce --figures
  python -m experiments.reproduce --train --workdir=DIR
  python -m experiments.reproduce --collect --workdir=DIR

`--figures` draws all figures of the committed records into experiments/figures,
beside a README.md that shows them, and writes the tables of claims and runs in
experiments/README.md and README.md. `--out=DIR` draws elsewhere and leaves both
pages alone.

Each study of `experiments.studies` has the work directory DIR/NAME, with the
records and the final parameters of all of its seeds. The same command continues
an interrupted one. `--studies=NAME,NAME` takes only these; with `--figures` it
needs `--out`. `--collect` copies
the records and the parameters of a few seeds into `experiments/records`, see
`experiments.collected`.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from experiments import collected, command, findings
from experiments.studies import STUDIES, Study, train

_TRAIN = flags.DEFINE_bool(
  "train", False, "Train the seeds that have no records yet."
)
_COLLECT = flags.DEFINE_bool(
  "collect", False, "Copy finished studies into experiments/records."
)
_FIGURES = flags.DEFINE_bool(
  "figures",
  False,
  "Draw the figures of the committed records, and write the findings.",
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Folder that holds the work directories, for --train and --collect.",
)
_OUT = flags.DEFINE_string(
  "out", None, "Folder for the figures; default experiments/figures."
)
_STUDIES = flags.DEFINE_list("studies", None, "Names of studies; default all.")


def main() -> None:
  if _TRAIN.value + _COLLECT.value + _FIGURES.value != 1:
    raise ValueError("give exactly one of --train, --collect and --figures")
  known = {study.name: study for study in STUDIES}
  names = list(known) if _STUDIES.value is None else _STUDIES.value
  for name in names:
    if name not in known:
      raise ValueError(
        f"--studies: no study {name!r}; choose from {', '.join(known)}"
      )
  studies = [known[name] for name in names]
  if _FIGURES.value:
    if _STUDIES.value is not None and _OUT.value is None:
      raise ValueError(
        "--figures --studies: give --out, because the committed pages are about"
        " all studies"
      )
    figures(studies)
    return
  command.require_flags("workdir")
  folder = pathlib.Path(_WORKDIR.value)
  if _TRAIN.value:
    train(studies, folder)
    return
  for study in studies:
    target = collected.FOLDER / study.name
    collected.collect(folder / study.name, target, study.role == "grid")


def figures(studies: Sequence[Study]) -> None:
  """Draws the studies whose records are committed, and writes the pages."""
  out = pathlib.Path(_OUT.value or findings.PLACE / "figures")
  folder, readme = collected.FOLDER, findings.PLACE / "README.md"
  studies = [study for study in studies if (folder / study.name).exists()]
  drawn = findings.draw_all(studies, folder, out)
  caption = findings.draw_tasks(studies, folder, out)
  out.mkdir(parents=True, exist_ok=True)
  (out / "README.md").write_text(findings.page(drawn, caption))
  print(f"figures {out}")
  if _OUT.value is None:
    claims = findings.claim_table(drawn, "")
    if any(x.verdicts for x in drawn):
      claims += f"\n\n{findings.claim_numbers(drawn)}"
    if further := findings.further(drawn):
      claims += f"\n\n## What the paper does not ask (exploratory)\n\n{further}"
    blocks = {
      "claims": claims,
      "repeats": findings.repeat_table(studies, folder),
      "runs": findings.runs_table(studies, folder),
    }
    findings.renew(readme, blocks)
    first_page = findings.PLACE.parent / "README.md"
    table = findings.claim_table(drawn, "experiments/")
    findings.renew(first_page, {"claims": table})
    print(f"tables  {readme}, {first_page}")


if __name__ == "__main__":
  command.run(main)
