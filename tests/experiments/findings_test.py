"""The pages of the findings."""

import re
import subprocess
import sys

import pytest

from experiments import collected, findings
from experiments.claims import CLAIMS, Verdict
from experiments.findings import Drawn
from experiments.studies import STUDIES, Study
from tests.mains import ROOT

GRID = Study("grid", "unused", role="grid")


def test_the_table_has_a_row_a_claim_and_a_column_a_grid():
  other = GRID._replace(name="other", underpowered=True)
  captions = dict.fromkeys(("emergent_and_linear", "summaries"), "A caption.")
  held = Verdict(True, "so it is", 0.01, ".9 (.8–.95)")
  verdicts = dict.fromkeys(range(1, 6), held) | {6: Verdict(None, "no set")}
  weak = dict.fromkeys(range(1, 7), Verdict(False, "it is not", 0.5))
  searched = Study("longer", "other", role="search", claim=5)
  both = [
    Drawn(GRID, captions, verdicts, [], {}),
    Drawn(other, {}, weak, [], {}),
    Drawn(searched, captions, {5: held}, [], {}),
  ]
  head, _, *rows = findings.claim_table(both, "experiments/").split("\n")
  links = [
    f"[{name}](experiments/configs/unused.py)" for name in ("grid", "other")
  ]
  assert head == f"| claim | result | {' | '.join(links)} |"
  assert len(rows) == len(CLAIMS) == 6
  cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
  first, second = cells[:2]
  assert first[1:] == [
    "**reproduced in 1 of 2 grids**",
    "reproduced, p = 0.02<br>.9 (.8–.95)<br>[emergent and linear]"
    "(experiments/figures/grid/emergent_and_linear.png)",
    "underpowered, p = 0.5",
  ]
  assert second[3] == "not reproduced, p = 0.5"
  assert cells[5][2] == "not tested"
  assert cells[4][1].startswith(
    "**reproduced in 1 of 2 grids**<br>not a grid but picked to show this,"
    " [longer](experiments/configs/other.py): reproduced, p = 0.01<br>"
  )


def test_blocks_are_renewed_between_their_markers(tmp_path):
  page = tmp_path / "README.md"
  page.write_text("a\n<!-- x -->\nold\n<!-- end of x -->\nb\n")
  for _ in range(2):
    findings.renew(page, {"x": "new"})
    expected = "a\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nb\n"
    assert page.read_text() == expected
  with pytest.raises(ValueError, match="no lines <!-- y -->"):
    findings.renew(page, {"y": "new"})


def test_the_committed_pages_say_the_same_of_the_claims():
  page = (findings.PLACE / "README.md").read_text()
  _, _, rest = page.partition("<!-- claims -->\n\n")
  claims, _, _ = rest.partition("\n\n<!-- end of claims -->")
  beside_figures = (findings.PLACE / "figures" / "README.md").read_text()
  expected = beside_figures[beside_figures.index("| claim |") :]
  expected, _, _ = expected.partition("\n\n## Signs before a rise")
  assert claims == expected.replace("](../", "](")


@pytest.mark.slow
def test_the_committed_pages_are_those_of_the_committed_records(tmp_path):
  # Not with `run_main`, whose processes may not have others.
  command = ["experiments.reproduce", "--figures", f"--out={tmp_path}"]
  result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT)
  assert result.returncode == 0
  committed = (findings.PLACE / "figures" / "README.md").read_text()
  assert (tmp_path / "README.md").read_text() == committed
  first_page = (ROOT / "README.md").read_text()
  for row in re.findall(r"^\| \d\. .*", committed, re.MULTILINE):
    assert row.replace("](../", "](experiments/") in first_page
  second_page = (findings.PLACE / "README.md").read_text()
  studies = [x for x in STUDIES if (collected.FOLDER / x.name).exists()]
  for table in (findings.repeat_table, findings.runs_table):
    assert table(studies, collected.FOLDER) in second_page
