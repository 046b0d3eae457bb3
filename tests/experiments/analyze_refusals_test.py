"""What the command refuses, in one line, and its help."""

import dataclasses
import pathlib
import subprocess
import sys

import pytest

from emergence import tables
from tests.analyses import run, write
from tests.mains import assert_one_line_error, overridden


@pytest.fixture
def scores(tmp_path):
  return write(tmp_path / "a.csv", {1: [0.1, 0.2], 2: [0.3, 0.4]})


@pytest.mark.parametrize(
  ("mistake", "part"),
  [
    ("--records=", "--records is empty"),
    ("--out=a --out=b", "--out is given twice"),
    ("--records=/nowhere/a.csv", "there is no /nowhere/a.csv"),
    ("--records=~/none.csv", f"there is no {pathlib.Path.home()}/none.csv"),
    ("--score_column=acc", "--score_column: no column 'acc'"),
    ("--threshold=high", "--threshold expects 0.2"),
    ("--threshold=20", "--threshold: 20 is outside of [0, 1]"),
    ("--threshold=acc=0.5", "there is no metric 'acc'"),
    ("--test_length=9", "--test_length does not concern a table"),
    ("--nonsense=1", "nonsense"),
    ("leftover", "unexpected argument 'leftover'"),
    (
      "--records=ODD --group_columns=mean",
      "'mean' is a column of the results",
    ),
  ],
)
def test_a_mistake_ends_in_one_line(scores, tmp_path, mistake, part):
  odd, out = tmp_path / "odd.csv", tmp_path / "out"
  odd.write_text("scale,seed,score,mean\n1,0,0.5,a\n")
  given = [f"--records={scores}", f"--out={out}"]
  flags = overridden(given, mistake.replace("ODD", str(odd)).split())
  assert_one_line_error(run(*flags), 2, part)
  assert not out.exists()


def test_a_file_that_cannot_be_written_is_told_before_the_work(
  scores, tmp_path
):
  path = tmp_path / "none" / "a.json"
  result = run(f"--records={scores}", f"--out={tmp_path}", f"--json={path}")
  assert result.returncode == 1
  assert result.stderr == f"error: --json: {path} cannot be written\n"


def test_help_explains_every_option_of_the_reader():
  # Lines are broken at spaces and hyphens.
  text = "".join(run("--help").stdout.split())
  for option in dataclasses.fields(tables.ReadOptions):
    assert f"--{option.metadata.get('flag', option.name)}:" in text.replace(
      "[no]", ""
    )
    assert "".join(option.metadata["help"].split()) in text


def test_help_may_be_read_in_part():
  # Nobody reads on when it is written.
  command = f"{sys.executable} -m experiments.analyze --help | true"
  result = subprocess.run(
    ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True
  )
  assert (result.returncode, result.stderr) == (0, "")
