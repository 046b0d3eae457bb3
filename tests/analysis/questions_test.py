import math
import pickle
import re
from concurrent.futures import Executor, Future

import numpy as np
import pytest

from emergence.analysis import output, questions
from emergence.plotting import rendering
from emergence.report import analysis_sections, answer
from emergence.tables.score_table import Metric
from tests.computed import (
  ACCURACY,
  FEW,
  NLL,
  analyze_one,
  ask,
  odd_tables,
  scales,
  statements,
  strict,
  texts,
)


@pytest.mark.parametrize(
  ("scores", "scales"),
  [pytest.param(*given, id=name) for name, *given in odd_tables()],
)
def test_odd_data_is_told_written_and_drawn(make_table, scores, scales):
  analysis = questions.analyze(make_table(scores, scales), FEW)
  in_short = answer.text(analysis)
  assert not re.search(r"[.;] ?[.;]|  and", in_short), in_short
  assert in_short.endswith(".\n")
  assert len(answer.sentence(analysis).split()) <= 50
  sections = [
    *analysis_sections.sections(analysis),
    analysis_sections.audit_section(analysis),
  ]
  told = [in_short, *(finding.sentence for finding in statements(analysis))]
  told += [text for section in sections for text in texts(section)]
  for text in told:
    assert not re.search(r"\b(nan|inf|None)\b", text), text
  files = output.files(analysis)
  strict(files.pop("summary.json"))
  for name, content in files.items():
    header, *lines = content.decode().splitlines()
    assert header.startswith("group,")
    for line in lines:
      assert not {"nan", "NaN", "None"} & set(line.split(",")), (name, line)
  for section in sections:
    if section.figure is not None:
      assert len(rendering.render(section.figure, "png", dpi=50)) > 1000


def test_less_is_better_is_the_mirror_image_of_more(make_table):
  rng = np.random.default_rng(2)
  cells = [
    np.where(np.arange(30) < 4 * n, 1.0, 5.0) + rng.normal(0, 0.2, 30)
    for n in range(7)
  ]
  mirror = Metric("up", -math.inf, 0.0, "nats", True)
  down, up = (
    analyze_one(
      make_table,
      metric,
      [sign * cell for cell in cells],
      FEW._replace(thresholds=((metric.name, sign * 2.0),)),
    )
    for metric, sign in ((NLL, 1), (mirror, -1))
  )
  for a, b in zip(scales(down), scales(up), strict=True):
    assert a.success.diverged_fail.probability == (
      b.success.diverged_fail.probability
    )
    assert a.bootstrap.mean == b.bootstrap.mean
    assert a.modality.label == b.modality.label
    assert a.modality.antimode == pytest.approx(
      -b.modality.antimode, nan_ok=True
    )
  a, b = down.answers, up.answers
  np.testing.assert_allclose(a["distance"].w2_NN, b["distance"].w2_NN)
  np.testing.assert_array_equal(
    a["trajectories"].shape.linearity_S,
    b["trajectories"].shape.linearity_S,
  )
  # Falling is improving.
  assert a["trajectories"].shape.improvement_S.max() > 3
  assert a["pairing"] == b["pairing"]
  assert a["abruptness"] == b["abruptness"]
  assert a["small_studies"] == b["small_studies"]
  assert (down.threshold, up.threshold) == (2.0, -2.0)


def test_a_threshold_stands_in_the_unit_of_the_metric_everywhere(make_table):
  for cells in ([[0.5] * 12] * 2, [[4.0] * 30, [3.0] * 30, [0.5] * 30]):
    analysis = questions.analyze(
      make_table({("g", NLL): cells}),
      FEW._replace(thresholds=(("nll", 1.5),)),
    )
    told = [f.numbers.get("threshold") for f in statements(analysis)]
    assert set(told) == {None, 1.5}
    for row in output.summary(analysis):
      assert "-" not in (row["mean_given_success_reason"] or "")


def test_the_same_seed_gives_the_same_and_another_seed_other_resamples(
  make_table,
):
  rng = np.random.default_rng(6)
  cells = [rng.random(15) for _ in range(3)]
  kinds = ("summaries", "path", "pairing", "small_studies")
  first, again, other = (
    analyze_one(make_table, ACCURACY, cells, FEW._replace(seed=seed), kinds)
    for seed in (0, 0, 1)
  )
  assert first.answers["summaries"] == again.answers["summaries"]
  assert first.answers["path"] == again.answers["path"]
  assert first.answers["pairing"] == again.answers["pairing"]
  lows = [one.answers["summaries"][0].mean.low for one in (first, other)]
  assert lows[0] != lows[1]
  for kind in ("pairing", "small_studies"):
    assert first.answers[kind] != other.answers[kind]


def test_the_order_of_the_rows_does_not_matter(make_table):
  rng = np.random.default_rng(7)
  table = make_table({("g", ACCURACY): [rng.random(15) for _ in range(3)]})
  upside_down = table.frame.sort_values("scale", ascending=False)
  (found,), (other,) = (
    ask(t, "distance").series
    for t in (table, table._replace(frame=upside_down))
  )
  np.testing.assert_array_equal(
    *(one.answers["distance"].w2_NN for one in (found, other))
  )
  assert [p.label for p in other.populations] == ["1", "2", "3"]


def test_foreign_names_are_one_line_and_cut(make_table):
  long = "x" * 500
  metric = ACCURACY._replace(name="<script>$x$\n\x1b[31m")
  scores = {(long, metric): [[0.1]], ("$x$", metric): [[0.2]]}
  analysis = questions.analyze(make_table(scores, scale_name=long), FEW)
  for finding in statements(analysis):
    assert len(finding.sentence) < 500
    assert finding.sentence.isprintable()
    assert "<script>$x$\\n\\x1b[31m: " in finding.sentence
    assert finding.group in ((long,), ("$x$",))


def tables_to_read():
  """Scores of many kinds, by metric."""
  rng = np.random.default_rng(0)
  split = lambda num, n: np.clip(
    np.where(rng.random(num) < n / 6, 0.85, 0.03) + rng.normal(0, 0.02, num),
    0,
    1,
  )
  nll = lambda cells: [0.1 - np.log(cell + 0.01) for cell in cells]
  yield "turning back", {ACCURACY: [split(40, n) for n in (0, 5, 6, 3, 0)]}
  yield "many scales", {ACCURACY: [split(32, n) for n in range(8)]}
  yield "one scale", {ACCURACY: [split(40, 3)]}
  yield "three seeds", {ACCURACY: [split(3, n) for n in range(7)]}
  yield "nine seeds", {NLL: nll([split(9, n) for n in range(3)])}
  lost = [
    np.where(rng.random(60) < 0.2, np.nan, split(60, n)) for n in (0, 2, 4, 6)
  ]
  yield "diverged", {ACCURACY: lost, NLL: nll(lost)}


@pytest.mark.parametrize(
  "cells", [pytest.param(x, id=name) for name, x in tables_to_read()]
)
def test_every_sentence_is_short_and_needs_no_dictionary(make_table, cells):
  scores = {(g, metric): cells[metric] for g in "xy" for metric in cells}
  options = FEW
  if NLL in cells:
    options = FEW._replace(thresholds=(("nll", 1.0),))
  said = statements(questions.analyze(make_table(scores), options))
  assert said
  for found in said:
    text = found.sentence
    assert len(text.split()) <= 35, text
    assert text.startswith(f"group {found.group[0]}, "), text
    assert re.fullmatch(r"[^\n]+[^.]\.", text), text
    for wrong in ("..", ";.", ":.", ". ", "  ", " ,", "( ", "-0."):
      assert wrong not in text, text
    assert not re.search(
      r"Holm|DKW|Wilson|Clopper|Wasserstein|p =|bootstrap|permut|null", text
    ), text
    assert not re.search(r"every \w+s\b|\b1 (runs|seeds)\b|nan|None", text), (
      text
    )


class Elsewhere(Executor):
  """Runs at once what it got and returns as bytes, as a process would."""

  def submit(self, call, /, *args):
    args = pickle.loads(pickle.dumps(args))
    result = Future()
    result.set_result(pickle.loads(pickle.dumps(call(*args))))
    return result


def test_another_process_gives_the_same_answers(make_table):
  rng = np.random.default_rng(8)
  cells = [rng.random(12) for _ in range(3)]
  table = make_table({("g", metric): cells for metric in (ACCURACY, NLL)})
  here, there = (questions.analyze(table, FEW, x) for x in (None, Elsewhere()))
  assert output.files(there) == output.files(here)
