"""What the command refuses, in one line, and its help."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.analyses import run, write

MISTAKES = [
  (["--records="], ["--records is empty"]),
  (["--out="], ["--out is empty"]),
  (["--records=/nowhere/a.csv"], ["there is no /nowhere/a.csv"]),
  (["--score_column=acc"], ["--score_column: no column 'acc'"]),
  (["--group_columns=score"], ["'score'"]),
  (["--threshold=high"], ["--threshold reads like 0.2"]),
  (["--threshold=score=nan"], ["finite number", "'nan'"]),
  (["--chance=half"], ["--chance reads like 0.2"]),
  (["--threshold=20"], ["--threshold: 20 is outside of [0, 1]"]),
  (["--threshold=acc=0.5"], ["there is no metric 'acc'"]),
  (["--where=scale=9"], ["leaves no row"]),
  (["--lower_is_better=loss"], ["no column 'loss' in the metrics"]),
  (["--conflicting_scores=mean"], ["conflicting_scores"]),
  (["--resamples=10"], ["resamples"]),
  (["--seed=-1"], ["seed"]),
  (["--test_length=9"], ["--test_length does not concern a single file"]),
  (["--nonsense=1"], ["nonsense"]),
  (["leftover"], ["unexpected argument 'leftover'"]),
  (
    ["--records=ODD", "--group_columns=mean"],
    ["'mean' is a column of the results"],
  ),
  (["--threshold=0.3,score=nan"], ["finite number"]),
]

# Imports the command once and runs it in a fork for each list of flags.
SERVER = """
import json, os, sys
import pandas, pyarrow.parquet  # Once for all.
from experiments import analyze, command
for i, flags in enumerate(json.load(sys.stdin)):
  pid = os.fork()
  if not pid:
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
      stream.flush()
      name = f"{sys.argv[1]}/{i}.{number}"
      os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY), number)
    sys.argv = ["analyze", *flags]
    try:
      command.run(analyze.main)
    except SystemExit as error:
      sys.stdout.flush()
      sys.stderr.flush()
      os._exit(error.code)
  print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
  """Exit code, stdout and stderr of each of `MISTAKES`."""
  folder = tmp_path_factory.mktemp("mistakes")
  path = write(folder / "a.csv", {1: [0.1, 0.2], 2: [0.3, 0.4]})
  odd = folder / "odd.csv"
  odd.write_text("scale,seed,score,mean\n1,0,0.5,a\n")
  given = [f"--records={path}", f"--out={folder / 'out'}"]
  flags = [
    [*given, *(flag.replace("ODD", str(odd)) for flag in more)]
    for more, _ in MISTAKES
  ]
  result = subprocess.run(
    [sys.executable, "-c", SERVER, folder],
    input=json.dumps(flags),
    capture_output=True,
    text=True,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    timeout=300,
  )
  assert result.returncode == 0, result.stderr
  codes = map(int, result.stdout.split())
  assert not (folder / "out").exists()
  return [
    (code, *((folder / f"{i}.{number}").read_text() for number in (1, 2)))
    for i, code in enumerate(codes)
  ]


@pytest.mark.parametrize("i", range(len(MISTAKES)))
def test_a_mistake_ends_in_one_line(mistakes, i):
  code, stdout, stderr = mistakes[i]
  assert code == 2
  (line,) = stderr.splitlines()
  assert line.startswith("error: ")
  for part in MISTAKES[i][1]:
    assert part in line
  assert stdout == ""


def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path):
  small = write(tmp_path / "a.csv", {1: [0.1, 0.2]})
  json_path = tmp_path / "none" / "a.json"
  result = run(
    f"--records={small}", f"--out={tmp_path / 'out'}", f"--json={json_path}"
  )
  assert result.returncode == 1
  assert result.stderr == f"error: --json: {json_path} cannot be written\n"


def test_help_explains_each_flag():
  result = run("--help")
  assert result.returncode == 0
  main = pathlib.Path(__file__).parents[2] / "experiments" / "analyze.py"
  flags = re.findall(r'(?:DEFINE_|define_)\w+\(\s*"(\w+)"', main.read_text())
  assert len(flags) > 15
  for flag in flags:
    assert f"--{flag}:" in result.stdout or f"--[no]{flag}:" in result.stdout
