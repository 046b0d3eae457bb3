"""What the command refuses, in one line, and its help."""

import dataclasses
import pathlib

import pytest

from emergence import tables
from tests.analyses import run
from tests.mains import assert_one_line_error, overridden, run_main


@pytest.fixture
def scores(tmp_path):
  path = tmp_path / "a.csv"
  path.write_text("scale,seed,score\n1,0,0.1\n1,1,0.2\n2,0,0.3\n2,1,0.4\n")
  return path


@pytest.mark.parametrize(
  ("mistake", "part"),
  [
    ("--records=", "--records is empty"),
    ("--out=a --out=b", "--out is given twice"),
    ("--records=~/none.csv", f"there is no {pathlib.Path.home()}/none.csv"),
    ("--threshold=high", "--threshold expects 0.2"),
    ("--threshold=20", "--threshold: 20 is outside of [0, 1]"),
    ("--threshold=acc=0.5", "there is no metric 'acc'"),
    ("leftover", "unexpected argument 'leftover'"),
    (
      "--records=ODD --group_columns=mean",
      "'mean' is also a column of the results",
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
  patch = "import os; reads, writes = os.pipe(); os.close(reads)"
  patch += "; os.dup2(writes, 1)"
  result = run_main("experiments.analyze", "--help", patch=patch)
  assert (result.returncode, result.stderr) == (0, "")
