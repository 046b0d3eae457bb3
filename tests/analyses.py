"""The command that analyzes, run on a file."""

import json
import re

import pandas as pd
import pytest

from tests.mains import Result, run_main


def run(*flags) -> Result:
  return run_main("experiments.analyze", *flags)


def analyze(source, out, *flags) -> dict:
  """Runs the command and returns its summary.json, read strictly."""
  result = run(f"--records={source}", f"--out={out}", "--resamples=100", *flags)
  assert result.returncode == 0, result.stderr
  assert result.stderr == ""
  assert not re.search(r"\b(nan|inf|None)\b", result.stdout)
  for name in ("summary", "trajectories", "distances", "paths"):
    assert (out / f"{name}.csv").exists()
  page = (out / "report.html").read_text()
  assert "<script" not in page
  content = json.loads(
    (out / "summary.json").read_text(), parse_constant=pytest.fail
  )
  for finding in content["findings"]:
    assert not re.search(r"\b(nan|inf|None)\b", finding["sentence"])
  content["stdout"] = result.stdout
  content["summary"] = pd.read_csv(out / "summary.csv")
  return content
