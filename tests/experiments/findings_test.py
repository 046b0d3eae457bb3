"""The pages and figures of the findings, on drawn grids."""

import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest

from emergence.config import GridConfig, SeedsConfig
from emergence.sweep import time_budget
from experiments import claims, findings
from experiments.claims import CLAIMS, Verdict
from experiments.findings import Drawn
from experiments.studies import Study
from tests import drawn_grids
from tests.mains import ROOT

GRID = Study("grid", "unused", role="grid")


@pytest.fixture(scope="module")
def records_folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("records")
  config = drawn_grids.config_of(6, 40)
  score_SN = drawn_grids.split([0, 0.2, 0.3, 0.6, 0.7, 0.9], 40)
  drawn_grids.write(folder / "grid", config, score_SN)
  return folder


def test_a_crossed_study_shows_what_init_and_data_decide(tmp_path):
  """Alone: its seeds are not independent. Here the initialization decides."""
  config = drawn_grids.config_of(1, 36)
  crossed = SeedsConfig(design="crossed", num_init=6, num_data=6, count=36)
  config = dataclasses.replace(config, seeds=crossed)
  by_init_S1 = np.repeat(np.linspace(0.1, 0.9, 6), 6)[:, None]
  drawn_grids.write(tmp_path / "crossed", config, by_init_S1)
  study = Study("crossed", "unused", role="control")
  found = findings.draw(study, tmp_path, tmp_path / "out")
  assert list(found.captions) == ["variance_components"]
  assert "initialization decides" in found.captions["variance_components"]
  assert (found.verdicts, found.trials) == ({}, [])


def test_a_setting_against_itself_is_drawn_over_root_seeds(tmp_path):
  config = drawn_grids.config_of(1, 24)
  grid = GridConfig(widths=(8,), depths=(1,), axes={"root_seed": (1, 2, 3)})
  config = dataclasses.replace(config, grid=grid)
  score_SN = drawn_grids.split([0.5, 0.5, 0.5], 24)
  drawn_grids.write(tmp_path / "null", config, score_SN)
  found = claims.load("null", tmp_path / "null")
  assert [p.scale for p in found.score.populations] == [1, 2, 3]


def test_tasks_stand_side_by_side(tmp_path):
  names = ("count", "copy", "mode")
  for name, share in zip(names, (0.2, 0.8, 0.9), strict=True):
    config = drawn_grids.config_of(1, 24)
    task = dataclasses.replace(config.task, name=name)
    config = dataclasses.replace(config, task=task)
    drawn_grids.write(tmp_path / name, config, drawn_grids.split([share], 24))
  studies = [Study(name, "unused", role="task") for name in names]
  caption = findings.draw_tasks(studies, tmp_path, tmp_path / "out")
  assert f"![A ridge for each task](tasks.png)\n\n{caption}" in findings.page(
    [], caption
  )
  assert (tmp_path / "out" / "tasks.png").stat().st_size > 0
  assert findings.draw_tasks([GRID], tmp_path, tmp_path) == ""


def test_the_table_has_a_row_a_claim_and_a_column_a_grid():
  other = GRID._replace(name="other", underpowered=True)
  captions = dict.fromkeys(("emergent_and_linear", "summaries"), "A caption.")
  held = Verdict(True, "so it is", 0.01, ".9 (.8–.95)")
  verdicts = dict.fromkeys(range(1, 6), held) | {6: Verdict(None, "no set")}
  weak = dict.fromkeys(range(1, 7), Verdict(False, "it is not", 0.5))
  searched = Study("longer", "other", role="search", claim=5)
  question = "Does a seed index do alike at every scale?"
  both = [
    Drawn(GRID, captions, verdicts, [], {question: "It does."}),
    Drawn(other, {}, weak, [], {question: ""}),
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
    "**reproduced in 1 of 2 grids**<br>searched for in"
    " [longer](experiments/configs/other.py): reproduced, p = 0.01<br>"
  )
  numbers = findings.claim_numbers(both)
  assert "   - `grid`, reproduced, p = 0.02: so it is.\n" in numbers
  assert numbers.count("   - ") == 13
  assert "longer`, where it was searched for" in numbers
  assert findings.further(both) == f"**{question}**\n\n- `grid`: It does."


def test_runs_are_listed_with_their_speed(records_folder):
  devices = {"platform": "cpu", "kind": "cpu", "count": 2}
  run = time_budget.RunFile(records_folder / "grid", devices)
  watch = time_budget.Stopwatch()
  watch.add("train", 12.0)
  run.write(240, 960, watch)
  *_, row = findings.runs_table([GRID], records_folder).split("\n")
  cells = [cell.strip() for cell in row.split("|")[1:-1]]
  assert cells[0] == "`grid`"
  assert cells[1:3] == ["6 of count: depth 1, 2, 3, 4, 5 and 6", "240"]
  assert cells[4].startswith("2 × cpu (")
  assert cells[5] == "80"


def test_repeats_of_the_demo_say_whether_depth_2_splits(records_folder):
  studies = [GRID._replace(role="demo"), GRID._replace(role="repeat"), GRID]
  _, _, *rows = findings.repeat_table(studies, records_folder).split("\n")
  demo, repeat = (
    [cell.strip() for cell in row.split("|")[1:-1]] for row in rows
  )
  assert demo == [f"{repeat[0]} (the demo)", *repeat[1:]]
  _, tenths, split, p = repeat
  assert sum(map(int, tenths.split())) == 40
  assert split == "breakout"
  assert float(p.replace("−", "-")) < 0.05


def test_blocks_are_renewed_between_their_markers(tmp_path):
  page = tmp_path / "README.md"
  page.write_text("a\n<!-- x -->\nold\n<!-- end of x -->\nb\n")
  for _ in range(2):
    findings.renew(page, {"x": "new"})
    expected = "a\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nb\n"
    assert page.read_text() == expected
  with pytest.raises(ValueError, match="no lines <!-- y -->"):
    findings.renew(page, {"y": "new"})


@pytest.mark.slow
def test_the_committed_page_is_that_of_the_committed_records(tmp_path):
  # Not with `run_main`, whose processes may not have others.
  command = ["experiments.reproduce", "--figures", f"--out={tmp_path}"]
  result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT)
  assert result.returncode == 0
  committed = (findings.PLACE / "figures" / "README.md").read_text()
  assert (tmp_path / "README.md").read_text() == committed
  first_page = (ROOT / "README.md").read_text()
  for row in re.findall(r"^\| \d\. .*", committed, re.MULTILINE):
    assert row.replace("](../", "](experiments/") in first_page
