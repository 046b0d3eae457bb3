"""All cases by their names, and the one that shows that checks can fail."""

import shutil

from experiments.faults import company, damaged, machine, midway
from experiments.faults.case import Case, Found, told
from experiments.trial import Trial


def _control(trial: Trial) -> Found:
  """Breaks what the other cases compare, which they have to notice."""
  flaws = []
  workdir = midway.copy(trial, trial.folder / "undisturbed", "control")
  if found := trial.flaws(workdir) + trial.trained_twice(workdir):
    flaws.append(f"an undisturbed sweep has flaws: {found}")
  path, other = sorted(workdir.glob("records/*/*/*/*.parquet"))[:2]
  content = path.read_bytes()
  shutil.copy(path, path.parent / "seeds-000100-000103.parquet")
  noticed = trial.flaws(workdir)
  if not any("two files" in flaw for flaw in noticed):
    flaws.append("a seed in two files was not noticed")
  (path.parent / "seeds-000100-000103.parquet").unlink()
  path.write_bytes(other.read_bytes())
  if not any("differs" in flaw for flaw in trial.flaws(workdir)):
    flaws.append("other records were not noticed")
  path.unlink()
  if not any("is missing" in flaw for flaw in trial.flaws(workdir)):
    flaws.append("missing records were not noticed")
  outcome = trial.run(workdir)
  twice = trial.trained_twice(workdir)
  if not any("again" in flaw for flaw in twice):
    flaws.append("the log did not show that a block was trained twice")
  if not any("the runs" in flaw for flaw in twice):
    flaws.append("runs/ did not show that a block was trained twice")
  if path.read_bytes() != content:
    flaws.append("trained again, a block has other records")
  return Found(f"{told(trial, outcome)}; noticed: {'; '.join(twice)}", flaws)


CASES = {
  **damaged.CASES,
  **machine.CASES,
  **company.CASES,
  "control": Case(
    "what the other cases compare is broken on purpose",
    "each check objects",
    _control,
  ),
}
