"""What is said of a table without a scale, and of hostile text."""

import numpy as np
import pandas as pd

from emergence import tables
from emergence.analysis import questions
from tests.analyses import analyze
from tests.computed import FEW, statements

HOSTILE = '<script>alert("x")</script>'


def test_a_table_without_a_scale_is_told_without_the_number_of_one(tmp_path):
  scores = np.random.default_rng(2).random(30).round(3)
  file = tmp_path / "a.csv"
  pd.DataFrame({"seed": range(30), "score": scores}).to_csv(file, index=False)
  analysis = questions.analyze(tables.read(file), FEW)
  told = [finding.sentence for finding in statements(analysis)]
  assert any("at the only scale" in text for text in told)
  assert not any("scale 1" in text for text in told)


def test_hostile_text_reaches_all_outputs_as_text(tmp_path):
  rng = np.random.default_rng(4)
  group, metric, long = f"g{HOSTILE}", f"$x$ {HOSTILE}", "x" * 400
  names = [f"{HOSTILE} $\\frac{{", long]
  frame = pd.DataFrame(
    [
      {HOSTILE: n, "seed": s, metric: rng.random(), group: name}
      for name in names
      for n in (1, 2)
      for s in range(6)
    ]
  )
  path = tmp_path / "$x$ <b>.csv"
  frame.to_csv(path, index=False)
  content = analyze(
    path,
    tmp_path / "out",
    f"--scale_column={HOSTILE}",
    f"--score_column={metric}",
    f"--higher_is_better={metric}",
    f'--group_columns="{group.replace(chr(34), chr(34) * 2)}"',
  )
  summary = content["summary"]
  assert summary.columns[0] == group
  assert set(summary[group]) == set(names)
  assert set(summary["metric"]) == {metric}
  groups = {tuple(finding["group"]) for finding in content["findings"]}
  assert groups == {(name,) for name in names}
  for finding in content["findings"]:
    assert len(finding["sentence"]) < 2000
  page = (tmp_path / "out" / "report.html").read_text()
  assert "&lt;script&gt;alert(" in page
  assert "<b>" not in page
  for path in (tmp_path / "out" / "figures").glob("*.svg"):
    assert "<script" not in path.read_text()
    assert len(path.name) < 100
