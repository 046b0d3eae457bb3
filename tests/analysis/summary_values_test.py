"""The numbers of the tables that an analysis writes stay what they are.

Each folder of `summary_tables` has a table of scores, drawn once by a random
number generator, and what `experiments.analyze` wrote about it when this test
was made. Numbers agree to nine digits, texts exactly. A change that is meant to
leave the statistics alone may not touch these files; where a statistic changes
on purpose, write them anew and say in the commit which columns moved, and by
how much:

  RENEW=1 python -m pytest tests/analysis/summary_values_test.py
"""

import io
import json
import os
import pathlib

import numpy as np
import pandas as pd
import pytest

from emergence import tables
from emergence.analysis import output, questions
from emergence.statistics.options import Options

FOLDER = pathlib.Path(__file__).parent / "summary_tables"
# Percents of 50 items of five sizes in two families, some runs diverged;
# a loss beside exact match of 20 items, with one seed index over all depths;
# and continuous scores at 24 scales, from all at 0 to all at 1.
CASES = {
  "percent": {
    "scale_column": "params",
    "seed_column": "run",
    "score_columns": ["accuracy"],
    "group_columns": ["family"],
    "score_unit": ["percent"],
    "items": 50,
  },
  "likelihood": {
    "scale_column": "depth",
    "score_columns": ["loss", "exact_match"],
    "lower_is_better": ["loss"],
  },
  "many_scales": {},
}
OPTIONS = Options(num_resamples=200, num_permutations=200, seed=1)
OF_CASE = {
  "likelihood": OPTIONS._replace(threshold=0.5, thresholds=(("loss", 1.5),))
}


def written(case):
  """The files that an analysis of a case writes, by name."""
  table = tables.read(FOLDER / case / "scores.csv", **CASES[case])
  analysis = questions.analyze(table, OF_CASE.get(case, OPTIONS))
  return output.files(analysis)


@pytest.mark.parametrize("case", CASES)
def test_every_number_and_text_of_the_tables_is_unchanged(case):
  files = written(case)
  names = sorted(name for name in files if name.endswith(".csv"))
  for name in names:
    path = FOLDER / case / name
    if os.environ.get("RENEW"):
      path.write_bytes(files[name])
    expected = pd.read_csv(path)
    found = pd.read_csv(io.BytesIO(files[name]))
    assert set(expected) <= set(found)
    for column in expected:
      if pd.api.types.is_numeric_dtype(expected[column]):
        np.testing.assert_allclose(
          found[column],
          expected[column],
          rtol=1e-9,
          # A distance is the root of a number that is 0 to 1e-16 or less.
          atol=1e-7,
          err_msg=f"{name}: {column}",
        )
      else:
        assert found[column].equals(expected[column]), (name, column)
  folder = {path.name for path in (FOLDER / case).glob("*.csv")}
  assert folder == {*names, "scores.csv"}


@pytest.mark.parametrize("case", ["percent", "likelihood"])
def test_every_number_and_text_about_a_series_is_unchanged(case):
  content = json.loads(written(case)["summary.json"])
  found = {"series": content["series"]}
  # A few rows of what is long.
  found["small_studies"] = content["small_studies"][::7]
  for series in found["series"]:
    series["threshold_curve"] = series["threshold_curve"][::40]
  path = FOLDER / case / "series.json"
  if os.environ.get("RENEW"):
    path.write_text(json.dumps(found, indent=1) + "\n")
  require_same(found, json.loads(path.read_text()), case)


def require_same(found, expected, where):
  assert type(found) is type(expected), where
  if isinstance(expected, dict):
    assert found.keys() == expected.keys(), where
    for key, value in expected.items():
      require_same(found[key], value, f"{where}.{key}")
  elif isinstance(expected, list):
    assert len(found) == len(expected), where
    for i, value in enumerate(expected):
      require_same(found[i], value, f"{where}[{i}]")
  elif isinstance(expected, float):
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-7), where
  else:
    assert found == expected, where
