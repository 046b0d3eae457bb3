import math

from emergence.analysis import compute, finding
from emergence.analysis.series import Options
from emergence.tables.score_table import Metric

ACCURACY = Metric("exact_match", 0.0, 1.0, "fraction", True)
NLL = Metric("nll", 0.0, math.inf, "nats", False)
FEW = Options(num_resamples=100, num_permutations=100)


def test_a_statement_stands_under_its_group_and_metric(make_table):
  scores = {(g, m): [[0.1]] for g in ("a", "b") for m in (ACCURACY, NLL)}
  analysis = compute.analyze(make_table(scores), FEW)
  found = [
    finding.of_series(analysis, "success", series, "all is well", share=1.0)
    for series in analysis.series
  ]
  assert [f.sentence for f in found] == [
    "group a, exact match: all is well.",
    "group a, nll: all is well.",
    "group b, exact match: all is well.",
    "group b, nll: all is well.",
  ]
  assert found[1] == finding.Finding(
    "success", ("a",), "nll", found[1].sentence, {"share": 1.0}
  )


def test_a_statement_about_the_only_group_names_the_metric_alone(make_table):
  analysis = compute.analyze(make_table({("g", ACCURACY): [[0.1]]}), FEW)
  found = finding.of_series(analysis, "items", analysis.series[0], "none")
  assert found.sentence == "exact match: none."
  assert found.group == ("g",)
