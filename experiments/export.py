"""Writes a trained seed as a Hugging Face GPT-NeoX model.

  python -m experiments.export --workdir=DIR --cell=count/width-16/depth-2 \\
      --seed=7

The seed must have kept its parameters: sweep with --keep_params=final or all.
Interpretability tools for GPT-NeoX can then compare a seed that succeeds with
one that does not.
"""

from absl import flags
from etils import epath

from emergence import export
from emergence.config import Cell, cell_config
from emergence.storage import records
from experiments import command

_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Work directory of a sweep, local or gs://.", required=True
)
_CELL = flags.DEFINE_string(
  "cell", None, "The cell, such as count/width-16/depth-2.", required=True
)
_SEED = flags.DEFINE_integer(
  "seed", None, "The seed index.", required=True, lower_bound=0
)
_STEP = flags.DEFINE_integer(
  "step",
  None,
  "Export the parameters after this many steps; default: after the last step."
  " Other steps need a sweep with --keep_params=all.",
  lower_bound=0,
)
_OUT = flags.DEFINE_string(
  "out",
  None,
  "Folder to write; default: exports/CELL/seed-NNNNNN-step-NNNNNNNN in the work"
  " directory.",
)
_JSON = flags.DEFINE_string(
  "json",
  None,
  "File to write the result to, with the keys of emergence.export.Exported.",
)


def main() -> None:
  for flag in (_WORKDIR, _OUT):
    if flag.value == "":
      raise ValueError(f"--{flag.name} is empty")
  command.require_writable(_JSON.value)
  workdir = epath.Path(_WORKDIR.value)
  try:
    cell = Cell.parse(_CELL.value)
  except ValueError as error:
    raise ValueError(f"--cell: {error}") from error
  step = _STEP.value
  if step is None:
    step = cell_config(records.read_config(workdir), cell).train.steps
  name = f"seed-{_SEED.value:06d}-step-{step:08d}"
  folder = _OUT.value or workdir / "exports" / str(cell) / name
  result = export.export(workdir, cell, _SEED.value, folder, step)
  scores = ", ".join(
    f"{score:.4f} at length {length}" for length, score in result.scores.items()
  )
  name = result.metric.replace("_", " ")
  print(f"{name} {scores or 'not recorded after this step'}")
  print(f"exported {result.folder}")
  command.write_json(_JSON.value, result._asdict())


if __name__ == "__main__":
  command.run(main)
