import json
import re

import numpy as np
import pytest

from emergence.analysis import questions
from emergence.report import analysis_sections
from emergence.tables.score_table import Issue
from tests.computed import ACCURACY, FEW, NLL


def sections_of(analysis):
  return [
    *analysis_sections.sections(analysis),
    analysis_sections.audit_section(analysis),
  ]


def by_name(sections):
  return {section.name: section for section in sections}


@pytest.fixture(scope="module")
def found(two_groups):
  return by_name(sections_of(two_groups))


def test_statements_are_those_of_the_first_metric_and_the_modality_of_others(
  found, two_groups
):
  expected = [
    f.sentence
    for _, f in questions.findings(two_groups)
    if f.metric in ("", "exact_match") or f.kind == "modality"
  ]
  shown = [text for section in found.values() for text, _ in section.points]
  assert sorted(shown) == sorted(expected)


def test_an_answer_is_a_statement_with_its_numbers_beside_it(found, pick):
  (statement,) = pick("abruptness")
  section = found["abruptness"]
  assert section.title == "Does the score jump from one scale to the next?"
  told = statement.sentence.split(": ")[1]
  assert section.answers[0] == f"group split: {told[0].upper()}{told[1:]}"
  numbers = dict(section.points)[statement.sentence]
  for name in ("largest_step_of_mean", "threshold"):
    value = f"{statement.numbers[name]:.3g}"
    assert f"{name.replace('_', ' ')} {value}" in numbers


def test_what_is_in_view_are_sentences_without_a_test_or_a_method(found):
  methods = "Holm|DKW|Wilson|Clopper|Kaplan|Wasserstein|p =|kappa"
  methods += "|quantile|permut|bootstrap"
  for name, section in found.items():
    in_view = [section.title, *section.answers]
    if section.figure is not None or section.is_first:
      in_view.append(section.sentence)
    for text in in_view:
      assert not re.search(methods, text), (name, text)
      assert not text or re.search(r"[.?]$", text), text
      assert "  " not in text
      assert ".." not in text
    assert section.title.endswith("?")
    assert len(section.answers) <= 4


def test_what_the_scores_are_is_told(make_table, two_groups):
  scores = {("g", NLL): [[1.0, 2.0]], ("g", ACCURACY): [[0.1, 0.2]]}
  table = make_table(scores)
  options = FEW._replace(thresholds=(("nll", 1.5),))
  assert analysis_sections.about(questions.analyze(table, options)) == (
    "The score is nll (nats); lower is better. A seed succeeds if its score is"
    " ≤ 1.5. All scores are of group g, scores.csv."
  )
  few = analysis_sections.about(two_groups._replace(most_groups=1))
  assert "Figures show the first 1 of 2 groups; --all_figures" in few


def test_one_scale_has_no_section_about_scaling(make_table):
  table = make_table({("g", ACCURACY): [np.random.default_rng(2).random(9)]})
  found = by_name(sections_of(questions.analyze(table, FEW)))
  assert list(found) == [
    *("distribution-exact-match", "summaries", "cells", "modality"),
    *("composition", "curve", "best-of", "thresholds", "audit"),
  ]
  assert "at most 0 cells" not in found["modality"].sentence
  assert found["summaries"].title == "What do the seeds score?"


def test_the_metric_of_the_figure_answers_where_the_first_cannot(make_table):
  bounded = [np.repeat([0, 0.5], 15), np.repeat([0.5, 1], 15)]
  scores = {("g", NLL): [np.ones(30)] * 2, ("g", ACCURACY): bounded}
  analysis = questions.analyze(make_table(scores), FEW)
  section = by_name(sections_of(analysis))["composition"]
  assert section.sentence.startswith("Bars of exact match show")
  assert section.answers[0].startswith("exact match: at size 1 (the most mixed")


def test_the_audit_tells_each_kind_of_oddity_once_and_each_unit(make_table):
  rows = [{"seed": seed, "source": f"line {seed}"} for seed in range(100)]
  odd = [
    Issue("score_unit", "a is a share.", [{"a": 1}]),
    Issue("missing", "Some are missing.", rows),
    Issue("score_unit", "c is a share.", []),
    Issue("missing", "One more is.", [{"c": 1}, {"c": 2}]),
  ]
  table = make_table({("g", ACCURACY): [[0.1, 0.2]]}, issues=odd)
  section = analysis_sections.audit_section(questions.analyze(table, FEW))
  assert section.answers == ["2 scores are analyzed, with 2 kinds of notes."]
  assert [list(row) for row in section.table.rows] == [
    ["score unit", "a is a share.", "1"],
    [
      "missing",
      "Some are missing. summary.json has 1 more note of this kind.",
      "102",
    ],
    ["score unit", "c is a share.", "0"],
  ]
  assert len(json.loads(section.code)["2 missing"]) == 60


def test_names_of_sections_differ_whatever_metrics_are_called(make_table):
  rng = np.random.default_rng(3)
  first, second = "a bα" + "m" * 300, "a-bβ" + "m" * 301
  scores = {
    ("g", ACCURACY._replace(name=first)): [rng.random(9)],
    ("g", NLL._replace(name=second)): [rng.random(9)],
  }
  found = sections_of(questions.analyze(make_table(scores), FEW))
  names = [section.name for section in found]
  assert len(set(names)) == len(names)
  assert all(re.fullmatch(r"[a-z0-9-]{1,100}", name) for name in names)
