import math
import re

import numpy as np

from emergence.analysis import compute, findings
from emergence.analysis.series import Options
from emergence.tables.score_table import Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)
NLL = Metric("nll", 0.0, math.inf, "nats", False)
FEW = Options(num_resamples=100, num_permutations=100)
KINDS = """success difference modality metrics path abruptness pairing
trajectories small_studies threshold items divergence""".split()


def test_every_sentence_reads_as_one(said):
  assert {f.kind for f in said} <= set(KINDS)
  assert [f.kind for f in said][-1] == "metrics"
  for finding in said:
    text = finding.sentence
    assert text.startswith(f"group {finding.group[0]}, "), text
    assert re.fullmatch(r"[^\n]+[^.]\.", text), text
    for wrong in ("..", ";.", ":.", "  ", " ,", "( ", "-0.", "nan", "inf,"):
      assert wrong not in text, text
    assert not re.search(r"\b(nan|inf|None)\b", text), text
    assert "1 seeds" not in text
    assert "1 runs" not in text


def test_no_sentence_of_odd_data_says_nan(say):
  rng = np.random.default_rng(10)
  tables = [
    [rng.random(12)],
    [[0.3]],
    [[0.3], [0.5], [0.1]],
    [[0.5] * 12] * 4,
    [rng.random(12), [np.nan] * 12, rng.random(12)],
    [[np.nan] * 12, rng.random(12), [0.9] * 12],
    [[0.0] * 12] * 3 + [[1.0] * 12] * 4,
    [[0.1, np.nan], [np.nan, 0.2], [0.3, 0.4]],
    [0.3 + 0.1 * n + 0.05 * rng.random(12) for n in range(4)],
  ]
  for cells in tables:
    for text in say(cells):
      assert not re.search(r"\b(nan|inf|None)\b", text), text
      assert "1 seeds" not in text, text
      assert "1 runs" not in text, text
    if np.isfinite(np.concatenate(cells)).all():
      scores = {("g", NLL): [-np.log(np.maximum(c, 1e-3)) for c in cells]}
      for text in say(scores):
        assert not re.search(r"\b(nan|inf|None)\b", text), text


def test_foreign_names_are_one_line_and_cut(make_table):
  long = "x" * 500
  metric = ACCURACY._replace(name="<script>$x$\n\x1b[31m")
  scores = {(long, metric): [[0.1]], ("$x$", metric): [[0.2]]}
  analysis = compute.analyze(make_table(scores, scale_name=long), FEW)
  for finding in findings.findings(analysis):
    assert len(finding.sentence) < 500
    assert finding.sentence.isprintable()
    assert "<script>$x$\\n\\x1b[31m: " in finding.sentence
    assert finding.group in ((long,), ("$x$",))
