import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from emergence.config import from_dict
from emergence.report import sweep_sections
from emergence.report.page import render_page
from emergence.sweep.time_budget import SweepRun
from tests import drawn_grids


def write(workdir, score_SN):
  """Records of seeds whose losses follow from their final scores."""
  score_SN = np.asarray(score_SN)
  config = drawn_grids.config_of(
    *(score_SN.shape[1], 8), train_distribution_items=0
  )
  drawn_grids.write(workdir, config, score_SN, 2 - score_SN, 1 + score_SN)


def all_sections(found):
  return [*sweep_sections.sections(found), *sweep_sections.provenance(found)]


def texts(workdir) -> dict[str, str]:
  found = sweep_sections.read(workdir)
  parts = {s.name: " ".join(said(s)) for s in all_sections(found)}
  return parts | {"status": sweep_sections.say_status(found)}


def said(section):
  return [*section.answers, section.caveat, *map(" ".join, section.points)]


def test_every_section_has_words_for_what_it_shows_and_what_it_does_not(
  finished,
):
  parts = all_sections(sweep_sections.read(finished))
  assert len({s.name for s in parts}) == len(parts)
  for section in parts:
    assert re.fullmatch(r"[a-z-]+", section.name)
    assert section.title.endswith("?")
    assert all(text.endswith(".") for text in section.answers)
    if section.figure is not None:
      assert section.caveat.endswith(".")
  assert sum(s.figure is not None for s in parts) == 4


def test_sentences_carry_the_numbers_of_the_records(workdir):
  shallow = [0.0] * 18 + [0.25, 0.07]
  deep = [0.0] * 5 + [0.6] * 6 + [0.9] * 9
  write(workdir, np.transpose([shallow, deep]))
  found = texts(workdir)
  assert "40 models were trained at 2 scales" in found["models"]
  # Of the seeds that the config asks for, and of more.
  assert "16 of the 16 models" in found["status"]
  assert "are recorded, and 24 others" in found["status"]
  # Half way a score is a quarter of what it will be.
  curves = found["training-curves"]
  assert "16 seeds end at 20% or more: half of them" in curves
  assert "had reached this score by step 2, all by step 4" in curves
  assert "0 seeds scored 20% or more at some evaluation" in curves
  assert "from 0.00 to 0.90 at length 20" in found["length-curves"]
  loss = found["training-loss"]
  assert "is 1 at depth 1 and 1.6 at depth 2" in loss
  assert "loss is 1.9 for the seeds that succeed at length 20 and 1" in loss
  likelihood = found["exact-match-against-nll"]
  assert "At 2 of 2 scales score and likelihood rank" in likelihood
  assert "depth 2 rank correlation −1.00" in likelihood


def test_curves_are_those_of_the_headline_metric(workdir):
  write(workdir, np.transpose([[0.0] * 5 + [0.9] * 3]))
  (section,) = [
    s
    for s in all_sections(sweep_sections.read(workdir))
    if s.name == "training-curves"
  ]
  (axes, *_) = section.figure.axes
  assert axes.get_yscale() == "linear"
  (lines,) = axes.collections
  ends = [segment[-1, 1] for segment in lines.get_segments()]
  assert sorted(ends) == pytest.approx([0.0] * 5 + [0.9] * 3, abs=0.01)


def test_a_sweep_that_is_not_finished_says_so(finished_copy):
  shutil.rmtree(finished_copy / "records" / "count" / "width-8" / "depth-2")
  found = texts(finished_copy)
  told = "8 of 16 models are recorded; 1 scale has none; 0 diverged."
  assert told in found["status"]
  assert "trained 16 models, of which 8 are recorded" in found["time"]


def test_diverged_seeds_are_told_and_left_out_where_a_number_is_needed(workdir):
  write(workdir, [[np.nan, np.nan]] + [[0.0, 0.9]] * 7)
  found = texts(workdir)
  assert "2 diverged and count as failures" in found["status"]
  assert "2 diverged seeds are left out" in found["training-loss"]
  assert "nan" not in " ".join(found.values())


def test_a_sweep_of_which_all_seeds_diverged_is_reported(workdir):
  write(workdir, np.full((4, 2), np.nan))
  found = texts(workdir)
  assert "8 diverged" in found["status"]
  assert "No seed has a finite training loss" in found["training-loss"]
  assert "nan" not in " ".join(found.values())
  sections = all_sections(sweep_sections.read(workdir))
  render_page("Title", "Answer.", found["status"], sections)


def test_one_seed_and_no_success_are_reported(workdir):
  write(workdir, [[0.0]])
  found = texts(workdir)
  assert "No seed ends at 20% or more" in found["training-curves"]
  assert "1 model was trained at 1 scale" in found["models"]
  assert "No scale has 5 or more seeds" in found["exact-match-against-nll"]


@pytest.mark.parametrize(
  ("seeds", "words"),
  [
    ({"design": "fixed_init"}, "only in the seed of their data"),
    ({"design": "crossed", "num_init": 4, "num_data": 2}, "are too narrow"),
  ],
)
def test_what_a_seed_varies_is_said(tiny, finished, seeds, words):
  found = sweep_sections.read(finished)
  seeds = dataclasses.replace(tiny.seeds, **seeds)
  found = found._replace(config=dataclasses.replace(tiny, seeds=seeds))
  (models, *_) = sweep_sections.provenance(found)
  assert words in f"{models.answers[0]} {sweep_sections.say_status(found)}"


def run(seeds, train, other=0.0) -> SweepRun:
  seconds = {"compile": 0.0, "train": train, "evaluate": 0.0, "write": 0.0}
  return SweepRun("", seeds, 100 * seeds, seconds | {"other": other}, {}, {})


def test_the_time_of_all_runs_is_added_up_by_phase():
  section = sweep_sections.time([run(4, 30.0), run(2, 30.0, 20.0)], 6)
  assert section.answers == [
    "2 runs took 1:20 min in total. Training ran at 10 seed-steps per second,"
    " counting only seeds that were finished."
  ]
  shares = {row[0]: row[1:] for row in section.table.rows}
  assert shares["training, data included"] == ["1:00 min", "75.0%"]
  assert shares["everything else"] == ["20 s", "25.0%"]


def test_models_that_no_run_accounts_for_are_told():
  words = "account for 4 of 6 models; the time of the others is not known"
  assert words in sweep_sections.time([run(4, 30.0)], 6).answers[0]
  bare = sweep_sections.time([], 16)
  assert "No run has written its time budget" in bare.answers[0]


def test_settings_in_which_records_differ_are_named():
  here = {"device_kind": "cpu", "git_commit": f"{'0' * 40}-dirty"}
  there = here | {"device_kind": "H100"}
  one = sweep_sections.machine([here, here])
  assert one.answers[0].startswith("All records come from one kind of device")
  two = sweep_sections.machine([here, there])
  assert two.answers == ["The records differ in: device."]
  values = dict(two.table.rows)
  assert values["device"] == "H100, cpu"
  assert values["commit"] == f"{'0' * 12}-dirty"
  assert values["jax"] == "unknown"


def test_the_config_is_shown_whole(tiny):
  shown = json.loads(sweep_sections.setting(tiny).code)
  assert from_dict(shown) == tiny
