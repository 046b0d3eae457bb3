from emergence.analysis import question
from emergence.analysis.series import series_of
from tests.computed import ACCURACY, FEW, NLL


def test_a_statement_stands_under_its_group_and_metric(make_table):
  scores = {(g, m): [[0.1]] for g in ("a", "b") for m in (ACCURACY, NLL)}
  found = [
    question.finding("success", series, "all is well", share=1.0)
    for series in series_of(make_table(scores), FEW)
  ]
  assert [f.sentence for f in found] == [
    "group a, exact match: all is well.",
    "group a, nll: all is well.",
    "group b, exact match: all is well.",
    "group b, nll: all is well.",
  ]
  assert found[1] == question.Finding(
    "success", ("a",), "nll", found[1].sentence, {"share": 1.0}
  )
