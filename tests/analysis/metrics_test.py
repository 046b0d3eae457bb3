import re

import numpy as np

from emergence.analysis import questions
from tests.computed import ACCURACY, FEW, NLL, statements


def test_another_metric_agrees_or_does_not(said, make_table):
  texts = [f.sentence for f in said if f.kind == "metrics"]
  assert all(
    re.fullmatch(
      r"group split, size \d: two modes are detected in exact match and in nll"
      r"\.",
      text,
    )
    for text in texts
  )
  assert texts
  rng = np.random.default_rng(4)
  split = [np.repeat([0.05, 0.85], 20) + rng.normal(0, 0.02, 40)]
  one = [rng.normal(3, 0.2, 40)]
  same = [-np.log(split[0])]
  names = {
    ("g", ACCURACY): np.clip(split, 0, 1),
    ("g", NLL): one,
    ("g", NLL._replace(name="other_loss")): same,
  }
  analysis = questions.analyze(make_table(names), FEW)
  (finding,) = [f for f in statements(analysis) if f.kind == "metrics"]
  assert finding.sentence == (
    "size 1: two modes are detected in exact match and in other loss, not in"
    " nll."
  )
  assert finding.numbers["other"] == ["nll"]
  # Whichever of them comes first.
  turned = dict(reversed(names.items()))
  analysis = questions.analyze(make_table(turned), FEW)
  (finding,) = [f for f in statements(analysis) if f.kind == "metrics"]
  assert set(finding.numbers["bimodal"]) == {"exact_match", "other_loss"}
  alone = {("g", NLL): one, ("g", ACCURACY): np.clip(split, 0, 1)}
  analysis = questions.analyze(make_table(alone), FEW)
  (finding,) = [f for f in statements(analysis) if f.kind == "metrics"]
  assert finding.sentence == (
    "size 1: two modes are detected in exact match, not in nll."
  )
