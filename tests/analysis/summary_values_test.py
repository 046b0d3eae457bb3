"""The numbers of the tables that an analysis writes stay what they are.

`summary_table` has a table of scores, drawn once by a random number generator,
a loss beside exact match of 20 items with one seed index over all depths, and
what `experiments.analyze` wrote about it when this test
was made. Numbers agree to nine digits, texts exactly. A change that is meant to
leave the statistics alone may not touch these files; where a statistic changes
on purpose, write them anew and say in the commit which columns moved, and by
how much:

  RENEW=1 python -m pytest tests/analysis/summary_values_test.py
"""

import io
import os
import pathlib

import numpy as np
import pandas as pd

from emergence import tables
from emergence.analysis import output, questions
from emergence.statistics.options import Options

FOLDER = pathlib.Path(__file__).parent / "summary_table"
OPTIONS = Options(
  threshold=0.5,
  thresholds=(("loss", 1.5),),
  within_seed=True,
  num_resamples=200,
  num_permutations=200,
  seed=1,
)


def test_every_number_and_text_of_the_tables_is_unchanged():
  table = tables.read(
    FOLDER / "scores.csv",
    scale_column="depth",
    score_columns=["loss", "exact_match"],
    lower_is_better=["loss"],
  )
  files = output.files(questions.analyze(table, OPTIONS))
  names = sorted(name for name in files if name.endswith(".csv"))
  for name in names:
    path = FOLDER / name
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
