import subprocess
import sys

import pytest

from emergence import tables


def test_reading_tables_loads_neither_training_nor_pandas():
  program = (
    "import sys, emergence.tables\n"
    "found = {'jax', 'flax', 'pandas', 'emergence.population',"
    " 'emergence.training', 'emergence.sweep'}"
    " & set(sys.modules)\n"
    "assert not found, found"
  )
  subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    (
      "t.csv",
      {"scale_axis": "width"},
      "as a table, to which --scale_axis does not",
    ),
    ("t.csv", {"default_seed": 0}, "to which --default_seed does not"),
    ("nowhere", {}, "there is no .*nowhere"),
    ("evals", {}, r"is no work directory \(no records\), and no .json file"),
  ],
)
def test_an_option_that_would_be_ignored_and_no_scores_are_refused(
  tmp_path, name, options, message
):
  (tmp_path / "t.csv").write_text("scale,seed,score\n1,1,1\n")
  (tmp_path / "evals").mkdir()
  with pytest.raises(ValueError, match=message):
    tables.read(tmp_path / name, **options)
